"""Rows of a store as arrays of its variables, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fitter.store.frame_schema import FrameRow, ViewHandRow, ViewRow
from fitter.store.row_kinds import Row
from fitter.store.schema import HandRow, ImageRow
from fitter.store.variables import Variable, declared

_VIEWS = tuple(v.name for v in declared(ViewRow, ()))
_VIEW_HANDS = tuple(v.name for v in declared(ViewHandRow, ()))
_HANDS = tuple(v.name for v in declared(HandRow, ()))
_IMAGES = tuple(v.name for v in declared(ImageRow, ()))
_FRAMES = tuple(v.name for v in declared(FrameRow, ()))

Place = tuple[int, ...]


def assemble(variable: Variable, rows: Sequence[Row], sizes: Mapping[str, int]) -> np.ndarray:
    """One variable's array for consecutive images or frames.

    Args:
        variable: one of those of the rows' kind.
        rows: B rows, each with at most `sizes["hand"]` hands.
        sizes: the length of every dimension but the first.

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
        for place, record in _records(row, variable.outer[1:], sizes):
            value = getattr(record, variable.name)
            if value is not None:
                array[(i, *place)] = variable.encode(value, sizes)
    return array


def _records(
    row: Row, dims: tuple[str, ...], sizes: Mapping[str, int]
) -> Iterator[tuple[Place, Any]]:
    """The parts of a row that have a value of a variable with these dimensions, and their place."""
    if not dims:
        yield (), row
    elif dims == ("hand",):
        yield from (((h,), hand) for h, hand in enumerate(row.hands))
    else:
        assert isinstance(row, FrameRow)  # images have no views
        if row.views and len(row.views) != sizes["view"]:
            raise ValueError(f"a row holds {len(row.views)} views, the store {sizes['view']}")
        for v, view in enumerate(row.views):
            if dims == ("view",):
                yield (v,), view
                continue
            if len(view.hands) > len(row.hands):
                raise ValueError(
                    f"view {v} holds {len(view.hands)} hands, its row {len(row.hands)}"
                )
            yield from (((v, h), hand) for h, hand in enumerate(view.hands))


def disassemble(arrays: Mapping[Variable, np.ndarray]) -> list[ImageRow]:
    """The rows of consecutive images, from what `assemble` made of them.

    Args:
        arrays: (B, ...) array of every variable but those a store may leave out.

    Returns:
        B rows. What was stored as a fill value is None again; a slot is a hand where it has a side.
    """
    stored = _Stored(arrays)
    return [
        ImageRow(**stored.values(_IMAGES, (i,)), hands=stored.hands(i)) for i in range(stored.rows)
    ]


def disassemble_frames(arrays: Mapping[Variable, np.ndarray]) -> list[FrameRow]:
    """The same for frames; each view has as many hands as its frame."""
    stored = _Stored(arrays)
    return [
        FrameRow(
            **stored.values(_FRAMES, (i,)),
            hands=stored.hands(i),
            views=tuple(
                ViewRow(
                    **stored.values(_VIEWS, (i, v)),
                    hands=tuple(
                        ViewHandRow(**stored.values(_VIEW_HANDS, (i, v, h)))
                        for h in stored.slots(i)
                    ),
                )
                for v in range(stored.views)
            ),
        )
        for i in range(stored.rows)
    ]


class _Stored:
    """Arrays of variables, asked for values by place."""

    def __init__(self, arrays: Mapping[Variable, np.ndarray]) -> None:
        # By name: a store's own variables may have other flags than those declared in the schema.
        self._named = {variable.name: (variable, array) for variable, array in arrays.items()}
        self._sides = self._named["side"][1]
        self.rows = len(self._sides)

    @property
    def views(self) -> int:
        return self._named["view_status"][1].shape[1]

    def slots(self, row: int) -> list[int]:
        """Where a row has a hand."""
        return [int(place) for place in np.flatnonzero(self._sides[row])]

    def hands(self, row: int) -> tuple[HandRow, ...]:
        return tuple(HandRow(**self.values(_HANDS, (row, slot))) for slot in self.slots(row))

    def values(self, names: Sequence[str], place: Place) -> dict[str, Any]:
        """Of those variables that there are; one with other dimensions is another's."""
        found = {}
        for name in names:
            variable, array = self._named.get(name, (None, None))
            if variable is not None and array is not None and len(variable.outer) == len(place):
                found[name] = _decoded(variable, array[place])
        return found


def _decoded(variable: Variable, value: Any) -> Any:
    """One row's value; None where `Variable.encode` was never asked."""
    if variable.flags:
        return variable.flags[value] if value else None
    if variable.dtype == "string":
        return str(value) or None
    if variable.dtype.startswith("float") and np.isnan(value).all():
        return None
    return value if variable.dims else value.item()
