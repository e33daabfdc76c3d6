"""Sizes of hands that the user knows, from a file: which images show whose hand.

A JSON object from names of images, or patterns that names match, to metres from the wrist's joint
along the bones to the middle fingertip::

    {"anna/*": 0.171, "ben/*": 0.192, "ben/with_anna.jpg": 0.171}

A name of its own goes before patterns; ``*`` in a pattern is any number of characters, slashes too.
A size is that of all hands of the image. Images that nothing matches have no known size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Real
from pathlib import Path
from typing import Any

from fitter.conventions import HAND_SIZES
from fitter.errors import InputError
from fitter.inputs.json_files import load_json

_WILD = frozenset("*?[")


@dataclass(frozen=True)
class HandSizes:
    """Sizes for images of a listing; small: it travels with every image.

    Build it with `HandSizes.open`.

    Attributes:
        path: the file.
        by_name: metres by the name of an image.
        by_pattern: metres by a pattern, in the order of the file.
    """

    path: Path
    by_name: Mapping[str, float]
    by_pattern: Mapping[str, float]

    @staticmethod
    def open(path: Path) -> HandSizes:
        """Read the file.

        Raises:
            InputError: it is missing, no JSON object, empty, or a size is none.
        """
        content = load_json(path, "sizes of hands")
        if not isinstance(content, dict) or not content:
            raise InputError("hand_size.layout", file=path, found=type(content).__name__)
        sizes = {name: check_hand_size(size, f"{path}: {name}") for name, size in content.items()}
        wild = {name for name in sizes if _WILD & set(name)}
        return HandSizes(
            path,
            {name: size for name, size in sizes.items() if name not in wild},
            {name: size for name, size in sizes.items() if name in wild},
        )

    def require_for(self, names: Iterable[str]) -> None:
        """Refuse a file that speaks of other images.

        Args:
            names: of all images.

        Raises:
            InputError: a name or pattern in the file matches no image; or an image matches two
                patterns of different sizes, and has no entry of its own.
        """
        unmatched = {*self.by_name, *self.by_pattern}
        example = ""
        for name in names:
            example = example or name
            unmatched.discard(name)
            unmatched.difference_update(self._matching(name))
            self.size_of(name)
        if unmatched:
            first = next(n for n in (*self.by_name, *self.by_pattern) if n in unmatched)
            raise InputError("hand_size.no_image", file=self.path, found=first, image=example)

    def size_of(self, name: str) -> float | None:
        """Metres of the hands of an image, or None where they are not known.

        Raises:
            InputError: two patterns say different things of it.
        """
        if name in self.by_name:
            return self.by_name[name]
        found = self._matching(name)
        if len({self.by_pattern[pattern] for pattern in found}) > 1:
            raise InputError("hand_size.two_patterns", file=self.path, image=name, found=found)
        return self.by_pattern[found[0]] if found else None

    def _matching(self, name: str) -> list[str]:
        return [pattern for pattern in self.by_pattern if fnmatchcase(name, pattern)]


def check_hand_size(given: Any, where: str) -> float:
    """A size as a number of metres.

    Args:
        given: what a user gave.
        where: it was given, for messages.

    Raises:
        InputError: it is no number, or no hand is of that size.
    """
    least, largest = HAND_SIZES
    is_number = isinstance(given, Real) and not isinstance(given, bool)
    if not is_number or not (math.isfinite(given) and least <= given <= largest):
        raise InputError(
            "hand_size.metres", file=where, least=least, largest=largest, found=repr(given)
        )
    return float(given)
