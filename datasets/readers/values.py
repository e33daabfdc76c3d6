"""Values in annotation files, checked where they enter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fitter.errors import InputError


def numbers(value: object, shape: tuple[int, ...], path: Path | str, what: str) -> np.ndarray:
    """`value` as float64 of a shape.

    Args:
        value: what a file holds.
        shape: expected; -1 admits any length.
        path: of the file, and what: of its content, for the message.

    Raises:
        InputError: it is no array of numbers of this shape, or one is not finite.
    """
    expected = "x".join("N" if n < 0 else str(n) for n in shape)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        found = type(value).__name__
        raise InputError(
            "dataset.values", file=path, what=what, expected=expected, found=found
        ) from None
    fits = array.ndim == len(shape) and all(
        n in (-1, m) for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits:
        found = "x".join(map(str, array.shape)) or "one value"
        raise InputError("dataset.values", file=path, what=what, expected=expected, found=found)
    if not np.isfinite(array).all():
        raise InputError("dataset.not_finite", file=path, what=what)
    return array


def entry(record: object, name: str, path: Path | str) -> Any:
    """What a JSON object holds under a name.

    Raises:
        InputError: it is no object, or has no such entry.
    """
    if not isinstance(record, Mapping) or name not in record:
        raise InputError("dataset.no_entry", file=path, what=name)
    return record[name]
