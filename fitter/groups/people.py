"""What all images of a person's hand share: its shape, and the offsets of its vertices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import Config
from fitter.fitting.fit_model import FitModel
from fitter.fitting.shape_information import entries
from fitter.groups.joint_offsets import OffsetImages, joint_offsets
from fitter.groups.joint_shape import Images, ShapePriors, joint_shapes
from fitter.hand_models import HandModel
from fitter.inputs.by_image import ByImage
from fitter.inputs.people import ALL_HANDS, ImagePeople, hand_title
from fitter.inputs.sources import Sources
from fitter.records import HandKey, HandParams, SharedHand, Side, mirror_where
from fitter.store.layout import Block
from fitter.store.people import PEOPLE, PersonHand, read_people, sweep_people, write_people
from fitter.store.reader import StoreReader
from fitter.store.schema import HAND_SIZE_SOURCES, SIDES
from fitter.system.messages import count

PART, OFFSET_PART = 256, 16
"""Images whose rows are read at once, and those whose offsets are."""

LISTED = 10
"""People and hands that a note spells out."""

PeopleShared = Mapping[HandKey, PersonHand]


class PeopleSharing:
    """A `fitter.groups.sharing.Sharing`: a group is a person and a side."""

    name = PEOPLE

    def __init__(self, config: Config, model: FitModel, hand: HandModel) -> None:
        """For fits with the options of a run.

        Args:
            config: of the run.
            model: what the keypoint fit uses of the hand model.
            hand: the right-hand model.
        """
        self._config, self._model, self._hand = config, model, hand
        self._num_betas = model.keypoints.joint_shapedirs.shape[-1]

    @property
    def passes(self) -> int:
        """One more than shapes are made."""
        return self._config.people.rounds + 1

    @property
    def reads(self) -> frozenset[str]:
        """The offsets, where a stage frees them."""
        return frozenset({"offset_vertex"})

    @property
    def pass_sizes(self) -> dict[str, int]:
        """What each image says of the shape."""
        return {"shape_information_entry": entries(self._num_betas)}

    def share(self, rows: StoreReader) -> PeopleShared:
        """The shapes and, where a stage frees them, the offsets; see `fitter.groups.joint_shape`
        and `fitter.groups.joint_offsets`."""
        priors = shape_priors(self._config, self._model)
        shapes = joint_shapes(lambda: _images(rows), self._num_betas, priors)
        offsets: dict[HandKey, np.ndarray] = {}
        if "offset_vertex" in rows.sizes:
            like = self._hand.v_template
            betas = {key: found.betas for key, found in shapes.items()}
            offsets = joint_offsets(self._hand, lambda: _offset_images(rows, like), betas)
            none = np.zeros((rows.sizes["offset_vertex"], 3), np.float32)
            offsets = {key: offsets.get(key, none) for key in shapes}
        return {
            key: PersonHand(SharedHand(found.betas, offsets.get(key)), found.images)
            for key, found in shapes.items()
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

    def notes(self, rows: StoreReader, sources: Sources, path: Path) -> list[str]:
        """How many shapes were made, and what of a file of people had no effect."""
        shared = self.read(path)
        persons = {person for person, _ in shared}
        hands = [
            f"{person}, {side}: {count(shared[person, side].images, 'image')}"
            for person, side in shared
        ]
        made = f"{count(len(shared), 'shape')} made, of {count(len(persons), 'person')}"
        notes = [f"{made} ({_some(hands)})" if hands else made]
        said = None if sources.people is None else sources.people.said
        if said is not None:
            expected = {person for each in said.entries.values() for person in each.persons}
            if expected - persons:
                names = _some(sorted(expected - persons))
                notes.append(f"{said.path}: no valid hand of {names} was found")
            unseen = _unseen(rows, said)
            if unseen:
                notes.append(f"{said.path}: there is no {_some(unseen)}")
        return notes

    def asked(self, sources: Sources) -> Sources:
        """As they are: that they have people says it."""
        return sources

    def people_of(self, path: Path) -> list[HandKey]:
        """Whose hands share something."""
        return [*self.read(path)]


def shape_priors(config: Config, model: FitModel) -> ShapePriors:
    """Those of the energies that the information of an image comes from."""
    squares = [stage for stage in config.refine.stages.values() if stage.solver == "lm"]
    weights = squares[-1].energies if squares else config.fit.energies
    # Small systems, of least norm: for the processor.
    size = model.size.to("cpu")
    return ShapePriors(size, weights.get("shape_prior", 0.0), weights.get("size_prior", 0.0))


def _some(texts: Sequence[str]) -> str:
    """The first of some texts, and how many more there are."""
    more = len(texts) - LISTED
    return "; ".join(texts[:LISTED]) + (f"; and {more} more" if more > 0 else "")


def _unseen(rows: StoreReader, said: ByImage[ImagePeople]) -> list[str]:
    """The hands of which a file says whose they are, and which no image of the entry shows."""
    wanted = {
        (entry, hand): None
        for entry, people in said.entries.items()
        for hand in people.by_hand
        if hand != ALL_HANDS
    }
    if wanted:
        for block in rows.committed_blocks():
            names = rows.names[block.start : block.stop]
            for name, codes in zip(names, rows.read("side", block), strict=True):
                found = [str(slot) for slot in np.flatnonzero(codes)]
                found += [SIDES[code] for code in set(codes.tolist()) - {0}]
                for entry in said.entries_of(name):
                    for hand in found:
                        wanted.pop((entry, hand), None)
    return [f"{hand_title(hand)} in {entry}" for entry, hand in wanted]


def parts_of(rows: StoreReader, length: int) -> Iterator[Block]:
    """All images, `length` at a time, in their order."""
    for block in rows.committed_blocks():
        for start in range(block.start, block.stop, length):
            yield Block(block.index, start, min(start + length, block.stop))


def hands_in(rows: StoreReader, part: Block) -> tuple[list[HandKey], tuple[np.ndarray, ...]]:
    """The valid hands in some images that are somebody's, and their places (image, slot)."""
    persons = rows.read("person", part)
    places = np.nonzero((persons != "") & rows.read("valid", part))
    sides = rows.read("side", part)[places]
    keys = [
        (str(person), cast(Side, SIDES[side]))
        for person, side in zip(persons[places], sides, strict=True)
    ]
    return keys, places


def _images(rows: StoreReader) -> Iterator[Images[HandKey]]:
    """What all images say of the shapes."""
    given = HAND_SIZE_SOURCES.index("given")
    for part in parts_of(rows, PART):
        keys, places = hands_in(rows, part)
        if keys:
            sizes = rows.read("hand_size", part)[places].astype(np.float64)
            is_given = rows.read("hand_size_source", part)[places] == given
            yield Images(
                keys,
                rows.read("shape_information", part)[places],
                np.where(is_given, sizes, np.nan),
            )


def _offset_images(rows: StoreReader, like: Tensor) -> Iterator[OffsetImages[HandKey]]:
    """The offsets of all hands, left ones mirrored."""
    for part in parts_of(rows, OFFSET_PART):
        keys, places = hands_in(rows, part)
        if not keys:
            continue
        names = ("global_orient", "hand_pose", "betas", "transl", "vertex_offsets")
        values = [like.new_tensor(rows.read(name, part)[places]) for name in names]
        is_left = torch.tensor([side == "left" for _, side in keys], device=like.device)
        params = HandParams(*values[:4]).mirrored_where(is_left)
        yield OffsetImages(keys, params, mirror_where(is_left, values[4]))
