"""What is learned from and what is held out of one data set."""

from __future__ import annotations

import numpy as np

_STREAM = 11
"""Apart from what else a seed decides."""


def split_samples(
    unique: np.ndarray, share: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split samples at random (Seeber 4.1: 70 and 30 %), all that show the same thing together.

    Args:
        unique: (N,) int64, what each sample shows: a number of its own, or the one that several
            versions of an image, such as FreiHAND's four, or the two views of a pair share.
        share: of the unique numbers in the first part, to the nearest whole one.
        seed: decides which.

    Returns:
        Places of the samples of either part, each rising.
    """
    numbers = np.unique(unique)
    order = np.random.default_rng([seed, _STREAM]).permutation(len(numbers))
    first = np.isin(unique, numbers[order[: round(share * len(numbers))]])
    return np.flatnonzero(first), np.flatnonzero(~first)
