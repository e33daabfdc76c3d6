"""Numbers that come from outside, as arrays; words that look like some are none."""

from __future__ import annotations

import reprlib

import numpy as np

_NO_NUMBERS = (str, bytes, complex)
"""What an array of objects may hold that NumPy makes real numbers of."""


def as_numbers(value: object) -> np.ndarray | None:
    """A float64 array of any shape, or None for what is no array of numbers."""
    try:
        found = np.asarray(value)
        is_words = found.dtype.kind not in "biufO" or (
            found.dtype.kind == "O" and any(isinstance(each, _NO_NUMBERS) for each in found.flat)
        )
        return None if is_words else found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):  # a whole number of 400 digits
        return None


def shortened(value: object) -> str:
    """A value that is not what it should be, for a sentence."""
    return reprlib.repr(value)
