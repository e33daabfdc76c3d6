"""What tells values that are far off from others of their group, without holding them all."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
import torch

from fitter.energies.residuals import geman_mcclure

Key = TypeVar("Key", bound=Hashable)

_BINS, _DECADES = 240, 24
"""Of the histograms of distances, from 10^-12 to 10^12 in whatever unit they have."""


class Medians(Generic[Key]):
    """The medians of the distances of groups, to a ninth of their size: of each group a histogram
    on a logarithmic scale is held."""

    def __init__(self) -> None:
        """Of no distances yet."""
        self._counts: dict[Key, np.ndarray] = {}

    def add(self, key: Key, distances: np.ndarray) -> None:
        """Take (N,) distances of a group."""
        per_decade = _BINS / _DECADES
        bins = np.floor((np.log10(distances.clip(1e-300)) + _DECADES / 2) * per_decade)
        counts = self._counts.setdefault(key, np.zeros(_BINS, np.int64))
        counts += np.bincount(bins.clip(0, _BINS - 1).astype(int), minlength=_BINS)

    def found(self) -> dict[Key, float]:
        """The median of each group that has any distance."""
        return {key: _median(counts) for key, counts in self._counts.items() if counts.any()}


def robust_weights(distances: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Geman and McClure's weights, from 1 for a distance of 0; a quarter at `scale`."""
    return geman_mcclure(torch.from_numpy((distances / scale) ** 2))[1].numpy()


def _median(histogram: np.ndarray) -> float:
    """The middle, on the logarithmic scale, of the bin with the median, interpolated in it."""
    total, below = histogram.sum(), np.cumsum(histogram)
    place = int(np.searchsorted(below, total / 2))
    before = below[place] - histogram[place]
    share = (total / 2 - before) / histogram[place]
    return float(10 ** ((place + share) * _DECADES / _BINS - _DECADES / 2))
