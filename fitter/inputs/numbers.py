"""Numbers that come from outside, as arrays; words that look like some are none."""

from __future__ import annotations

import reprlib

import numpy as np


def as_numbers(value: object) -> np.ndarray | None:
    """A float64 array of any shape, or None for what is no array of numbers."""
    try:
        found = np.asarray(value)
        return None if found.dtype.kind in "US" else found.astype(np.float64)
    except (TypeError, ValueError):
        return None


def shortened(value: object) -> str:
    """A value that is not what it should be, for a sentence."""
    return reprlib.repr(value)
