"""The names of a store's images, which may be more than memory has room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol, overload

import numpy as np

from fitter.errors import InputError

if TYPE_CHECKING:
    import zarr


class SizedNames(Protocol):
    """Names that can be gone through, and may lie on disk."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


class ImageNames(Sequence[str]):
    """The names of a store's images, read from the disk a block at a time, the last one kept."""

    def __init__(self, array: zarr.Array) -> None:
        """The names in `array`, (images,)."""
        self._array = array
        self._step = array.chunks[0]
        self._start = 0
        self._held: list[str] = []

    def __len__(self) -> int:
        return self._array.shape[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), self._step):
            yield from self[start : start + self._step]

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, int):
            if not 0 <= place < len(self):
                raise IndexError(place)
            return self[place : place + 1][0]
        start, stop, step = place.indices(len(self))
        chunk = start - start % self._step
        if step != 1 or not start < stop <= chunk + self._step:
            return self._read(place)
        if chunk != self._start or not self._held:
            self._start = chunk
            self._held = self._read(slice(chunk, chunk + self._step))
        return self._held[start - chunk : stop - chunk]

    def _read(self, place: slice) -> list[str]:
        """Raises InputError where the names are gone, which reads as empty ones, or damaged."""
        try:
            names = [str(name) for name in np.asarray(self._array[place])]
        except (RuntimeError, ValueError) as error:
            raise InputError("store.damaged_names", reason=str(error)) from error
        if not all(names):
            raise InputError("store.damaged_names", reason="names are missing")
        return names


class RestOfNames:
    """The names of a store from a place on, not held in memory."""

    def __init__(self, names: ImageNames, start: int) -> None:
        """Those of `names` from place `start` on."""
        self._names, self._start = names, start

    def __len__(self) -> int:
        return len(self._names) - self._start

    def __iter__(self) -> Iterator[str]:
        return islice(iter(self._names), self._start, None)


class FrameImages(Sequence[tuple[str, ...]]):
    """The names of the images of a store's frames, of each camera; empty where there is none."""

    def __init__(self, array: zarr.Array) -> None:
        """The names in `array`, (frames, views)."""
        self._array = array

    def __len__(self) -> int:
        return self._array.shape[0]

    @overload
    def __getitem__(self, place: int) -> tuple[str, ...]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[str, ...]]: ...

    def __getitem__(self, place: int | slice) -> tuple[str, ...] | list[tuple[str, ...]]:
        if isinstance(place, int):
            if not 0 <= place < len(self):
                raise IndexError(place)
            return self[place : place + 1][0]
        try:
            found = np.asarray(self._array[place])
        except (RuntimeError, ValueError) as error:
            raise InputError("store.damaged_names", reason=str(error)) from error
        return [tuple(map(str, row)) for row in found]
