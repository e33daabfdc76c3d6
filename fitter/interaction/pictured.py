"""Hands of some pictures as the joint stage takes them, and groups of them by their size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fitter.interaction.touching import Touching
from fitter.refinement.refiner import Refined


@dataclass(frozen=True)
class HandsOfPictures:
    """N refined hands of some pictures.

    Attributes:
        refined: the hands, as right ones.
        picture: (N,) which picture each is in.
        left: (N,) bool.
        intrinsics: (N, 3, 3) K of the pictures.
        masks: of each (S, S) in [0, 1] what a network sees in its crop, or None.
        eligible: (N,) bool, whether it is taken for a hand at all.
        sureness: (N,) the greater the surer.
        people: whose hand each is, where that is known.
    """

    refined: Refined
    picture: np.ndarray
    left: Tensor
    intrinsics: Tensor
    masks: Sequence[np.ndarray | None]
    eligible: np.ndarray
    sureness: np.ndarray
    people: Sequence[str | None]


@dataclass(frozen=True)
class Bucket:
    """G groups of n hands each.

    Attributes:
        groups: of them.
        places: (G, n) int64 of the hands among the N.
    """

    groups: list[Touching]
    places: Tensor

    @property
    def count(self) -> int:
        """n."""
        return self.places.shape[1]

    @property
    def hands(self) -> Tensor:
        """(G n,) places, one group after the other."""
        return self.places.flatten()

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """(P,) group of each pair, and the places of both hands in it."""
        found = [(g, i, j) for g, group in enumerate(self.groups) for i, j in group.pairs]
        table = torch.tensor(found, dtype=torch.int64, device=self.places.device)
        group, first, second = table.view(-1, 3).T
        return group, first, second


def buckets(found: Sequence[Touching], device: torch.device) -> list[Bucket]:
    """Groups of one size together, the smallest first."""
    by_size: dict[int, list[Touching]] = defaultdict(list)
    for group in found:
        by_size[len(group.hands)].append(group)
    return [
        Bucket(groups, torch.tensor([group.hands for group in groups], device=device))
        for _, groups in sorted(by_size.items())
    ]
