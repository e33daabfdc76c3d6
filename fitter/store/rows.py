"""Rows of a store as arrays of its variables, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fitter.store.schema import HAND_VARIABLES, IMAGE_VARIABLES, HandRow, ImageRow, Variable


def assemble(variable: Variable, rows: Sequence[ImageRow], sizes: Mapping[str, int]) -> np.ndarray:
    """One variable's array for consecutive images.

    Args:
        variable: one of `VARIABLES`.
        rows: B rows, each with at most `sizes["hand"]` hands.
        sizes: the length of every dimension but `image`.

    Returns:
        (B, *variable's other dimensions) of the variable's type; text is an object array.

    Raises:
        ValueError: a row holds more hands than slots, or a value of the wrong shape or flag.
    """
    dims = (*variable.outer[1:], *variable.dims)
    dtype = object if variable.dtype == "string" else variable.dtype
    array = np.full((len(rows), *(sizes[dim] for dim in dims)), variable.fill, dtype)
    for i, row in enumerate(rows):
        if len(row.hands) > sizes["hand"]:
            raise ValueError(f"row {i} holds {len(row.hands)} hands, the store {sizes['hand']}")
        slots: list[tuple[tuple[int, ...], ImageRow | HandRow]] = [((i,), row)]
        if variable.outer != ("image",):
            slots = [((i, h), hand) for h, hand in enumerate(row.hands)]
        for slot, record in slots:
            value = getattr(record, variable.name)
            if value is not None:
                array[slot] = variable.encode(value, sizes)
    return array


def disassemble(arrays: Mapping[Variable, np.ndarray]) -> list[ImageRow]:
    """The rows of consecutive images, from what `assemble` made of them.

    Args:
        arrays: (B, ...) array of every variable but those a store may leave out.

    Returns:
        B rows. What was stored as a fill value is None again; a slot is a hand where it has a side.
    """

    def values(variables: Sequence[Variable], place: tuple[int, ...]) -> dict[str, Any]:
        kept = (stored[v.name] for v in variables if v.name in stored)
        return {v.name: _decoded(v, arrays[v][place]) for v in kept}

    # By name: a store's own variables may have other flags than those declared here.
    stored = {variable.name: variable for variable in arrays}
    side = stored["side"]
    return [
        ImageRow(
            **values(IMAGE_VARIABLES, (i,)),
            hands=tuple(
                HandRow(**values(HAND_VARIABLES, (i, h))) for h in _places(arrays[side][i])
            ),
        )
        for i in range(len(arrays[side]))
    ]


def _decoded(variable: Variable, value: Any) -> Any:
    """One row's value; None where `Variable.encode` was never asked."""
    if variable.flags:
        return variable.flags[value] if value else None
    if variable.dtype == "string":
        return str(value) or None
    if variable.dtype.startswith("float") and np.isnan(value).all():
        return None
    return value if variable.dims else value.item()


def _places(marks: np.ndarray) -> list[int]:
    """Where a row (N,) is not zero."""
    return [int(place) for place in np.flatnonzero(marks)]
