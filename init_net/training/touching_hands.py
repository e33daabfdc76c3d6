"""The two hands of one picture, among annotated pictures: what Yu et al. 3.4 refines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from fitter.contact import Surface, closed, penetration
from fitter.errors import InputError
from init_net.samples.config import DatasetConfig
from init_net.samples.crop_samples import CropViews
from init_net.samples.hand_pairs import beside_each_other
from init_net.samples.joined import JoinedSamples
from init_net.samples.selection import in_portion
from init_net.samples.shards import ShardedSamples
from init_net.training.mesh_terms import LENGTH_UNIT
from init_net.training.sources import annotated_source


class PairSurfaces:
    """Pairs of hands as closed surfaces, and how deep these are in each other."""

    def __init__(self, faces: Tensor, vertices: int) -> None:
        """Take the faces (F, 3) of a right hand's mesh of so many vertices."""
        self._right = closed(faces, vertices)
        self._left = self._right.flip(1)

    def __call__(self, vertices: Tensor, views: CropViews) -> tuple[Surface, Surface]:
        """Right and left hands of B / 2 pairs; arguments as of `beside_each_other`."""
        right, left = beside_each_other(vertices, views)
        return Surface(right, self._right), Surface(left, self._left)

    def penetration(self, vertices: Tensor, views: CropViews) -> Tensor:
        """L_pene of Yu eq. 6, (B,) in `LENGTH_UNIT`, the same for both hands of a pair.

        Hands are parametric meshes, whose wrists are where they truly are (not published: what
        places the hands).
        """
        depth = penetration(*self(vertices, views), form="printed") / LENGTH_UNIT
        return depth.repeat_interleave(2)


@dataclass(frozen=True)
class HandPairs:
    """Pairs among samples.

    Attributes:
        samples: that the detector has looked at.
        pairs: (M, 2) int64 samples: a right hand, and the left one of the same picture.
        owner: (M,) int64 number of the source of each.
    """

    samples: ShardedSamples
    pairs: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, sources: Mapping[str, DatasetConfig]) -> Self:
        """All pairs of annotated pictures that were converted and looked at.

        Args:
            sources: by their names in the configuration.

        Raises:
            InputError: `training.no_hand_pairs`: a source has none whose places are known.
        """
        parts: list[ShardedSamples] = []
        tables: list[np.ndarray] = []
        start = 0
        for name, source in sources.items():
            whole = ShardedSamples(source.samples_folder, annotated_source(source).count)
            found = _pairs(source, whole)
            if len(found) == 0:
                raise InputError("training.no_hand_pairs", file=f"{name} ({source.folder})")
            parts.append(whole)
            tables.append(found + start)
            start += len(whole)
        samples = parts[0] if len(parts) == 1 else JoinedSamples(parts)
        owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        return cls(samples, np.concatenate(tables), owner)

    @classmethod
    def of_each(cls, sources: Mapping[str, DatasetConfig]) -> dict[str, Self]:
        """The pairs of each of some sources, by its name, without those that have none.

        Raises:
            InputError: `training.no_hand_pairs`: there are sources, and none has any.
        """
        found: dict[str, Self] = {}
        without: list[InputError] = []
        for name, source in sources.items():
            try:
                found[name] = cls.of({name: source})
            except InputError as error:
                if error.code != "training.no_hand_pairs":
                    raise
                without.append(error)
        if without and not found:
            raise without[0]
        return found

    def rows(self, pairs: np.ndarray) -> np.ndarray:
        """(2 N,) samples of pairs at places (N,), see `HANDS`."""
        return self.pairs[pairs].ravel()


def _pairs(source: DatasetConfig, whole: ShardedSamples) -> np.ndarray:
    """(M, 2) pairs of one source, the first of each picture, in its portion."""
    annotated = annotated_source(source)
    usable = whole.column("usable") & np.isfinite(whole.column("transl")).all(1)
    if source.portion is not None:
        usable &= in_portion(annotated.scenes, source.portion)
    found = []
    for place, first in enumerate(annotated.starts[:-1].tolist()):
        count = int(annotated.starts[place + 1]) - first
        if count < 2:
            continue
        sides = [hand.side for hand in annotated.images.annotation(place).hands]
        both = [
            next((first + k for k in range(count) if sides[k] == side and usable[first + k]), None)
            for side in ("right", "left")
        ]
        if None not in both:
            found.append(both)
    return np.array(found, np.int64).reshape(-1, 2)
