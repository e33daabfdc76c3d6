"""The shape that all images of a person's hand share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from fitter.config.options import Config
from fitter.fitting.fit_model import FitModel
from fitter.fitting.shape_information import entries
from fitter.groups.joint_shape import Images, ShapePriors, joint_shapes
from fitter.inputs.sources import Sources
from fitter.records import HandKey, SharedHand, Side
from fitter.store.layout import Block
from fitter.store.people import PEOPLE, PersonHand, read_people, sweep_people, write_people
from fitter.store.reader import StoreReader
from fitter.store.schema import HAND_SIZE_SOURCES, SIDES

PART = 256
"""Images whose rows are read at once."""

PeopleShared = Mapping[HandKey, PersonHand]


class PeopleSharing:
    """A `fitter.groups.sharing.Sharing`: a group is a person and a side."""

    name = PEOPLE

    def __init__(self, config: Config, model: FitModel) -> None:
        """For fits of a model with the options of a run."""
        self._config, self._model = config, model
        self._num_betas = model.keypoints.joint_shapedirs.shape[-1]

    @property
    def passes(self) -> int:
        """One more than shapes are made."""
        return self._config.people.rounds + 1

    @property
    def pass_sizes(self) -> dict[str, int]:
        """What each image says of the shape."""
        return {"shape_information_entry": entries(self._num_betas)}

    def share(self, rows: StoreReader) -> PeopleShared:
        """The shapes, see `fitter.groups.joint_shape`."""
        shapes = joint_shapes(lambda: _images(rows), self._num_betas, self._priors())
        return {
            key: PersonHand(SharedHand(found.betas), found.images) for key, found in shapes.items()
        }

    def write(self, path: Path, shared: PeopleShared) -> None:
        """See `write_people`."""
        write_people(path, shared, self._num_betas)

    def sweep(self, path: Path) -> None:
        """See `sweep_people`."""
        sweep_people(path)

    def read(self, path: Path) -> PeopleShared:
        """See `read_people`."""
        return read_people(path)

    def given(self, sources: Sources, shared: PeopleShared) -> Sources:
        """Each image's people with their shapes."""
        return replace(sources, shared={key: hand.shared for key, hand in shared.items()})

    def _priors(self) -> ShapePriors:
        """Those of the energies that the information of an image comes from."""
        squares = [stage for stage in self._config.refine.stages.values() if stage.solver == "lm"]
        weights = squares[-1].energies if squares else self._config.fit.energies
        return ShapePriors(
            self._model.size, weights.get("shape_prior", 0.0), weights.get("size_prior", 0.0)
        )


def _images(rows: StoreReader) -> Iterator[Images[HandKey]]:
    """What all images say, some at a time, in their order."""
    given = HAND_SIZE_SOURCES.index("given")
    for block in rows.committed_blocks():
        for start in range(block.start, block.stop, PART):
            part = Block(block.index, start, min(start + PART, block.stop))
            persons = rows.read("person", part)
            image, hand = np.nonzero((persons != "") & rows.read("valid", part))
            if not len(image):
                continue
            sides = rows.read("side", part)[image, hand]
            sizes = rows.read("hand_size", part)[image, hand].astype(np.float64)
            is_given = rows.read("hand_size_source", part)[image, hand] == given
            yield Images(
                [
                    (str(person), cast(Side, SIDES[side]))
                    for person, side in zip(persons[image, hand], sides, strict=True)
                ],
                rows.read("shape_information", part)[image, hand],
                np.where(is_given, sizes, np.nan),
            )
