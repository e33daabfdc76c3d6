"""Names of images by the hundred thousand, in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, overload

import numpy as np


@dataclass(frozen=True)
class NumberedNames(Sequence[str]):
    """Names made of their place.

    Attributes:
        pattern: of a name, with a place for its number, such as ``training/rgb/{:08d}.jpg``.
        length: how many there are.
    """

    pattern: str
    length: int

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        places = range(self.length)[place]
        if isinstance(places, range):
            return [self.pattern.format(number) for number in places]
        return self.pattern.format(places)


@dataclass(frozen=True)
class ChosenNames(Sequence[str]):
    """Names made of numbers, some of which are left out.

    Attributes:
        pattern: of a name, with a place for its number, such as ``training/rgb/{:08d}.jpg``.
        numbers: (N,) int64.
    """

    pattern: str
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self.pattern.format(number) for number in self.numbers[place].tolist()]
        return self.pattern.format(self.numbers[place].item())


@dataclass(frozen=True)
class PackedNames(Sequence[str]):
    """Any names, as one text in UTF-8.

    Attributes:
        text: of all names, one after the other.
        ends: (N,) int64 bytes of the text up to the end of each name.
    """

    text: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Keep these names."""
        text, ends = bytearray(), []
        for name in names:
            text += name.encode()
            ends.append(len(text))
        return cls(bytes(text), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        places = range(len(self))[place]
        if isinstance(places, range):
            return [self[each] for each in places]
        start = self.ends[places - 1] if places else 0
        return self.text[start : self.ends[places]].decode()
