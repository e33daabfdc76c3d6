"""Names of images that follow a rule: hundreds of thousands need no memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True)
class NumberedNames(Sequence[str]):
    """Names made of their place.

    Attributes:
        pattern: of a name, with a place for its number, such as ``training/rgb/{:08d}.jpg``.
        count: of the names.
    """

    pattern: str
    count: int

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        places = range(self.count)[place]
        if isinstance(places, range):
            return [self.pattern.format(number) for number in places]
        return self.pattern.format(places)
