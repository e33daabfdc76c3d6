"""Sizes of hands that the user knows, from a file: which images show whose hand.

A JSON object from names of images, or patterns that names match, to metres from the wrist's joint
along the bones to the middle fingertip::

    {"anna/*": 0.171, "ben/*": 0.192, "ben/with_anna.jpg": 0.171}

A name of its own goes before patterns; ``*`` in a pattern is any number of characters, slashes too.
A size is that of all hands of the image. Images that nothing matches have no known size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from fitter.conventions import HAND_SIZES
from fitter.errors import InputError
from fitter.inputs.by_image import ByImage
from fitter.inputs.json_files import load_json


@dataclass(frozen=True)
class HandSizes:
    """Sizes for images of a listing; small: it travels with every image.

    Build it with `HandSizes.open`.

    Attributes:
        said: metres by image.
        everywhere: metres of the hands of all images of which the file says nothing, or None.
    """

    said: ByImage[float]
    everywhere: float | None = None

    @staticmethod
    def open(path: Path, everywhere: float | None = None) -> HandSizes:
        """Read the file.

        Args:
            path: of the file.
            everywhere: metres of the hands of all other images, or None.

        Raises:
            InputError: it is missing, no JSON object, empty, or a size is none.
        """
        content = load_json(path, "sizes of hands")
        if not isinstance(content, dict) or not content:
            raise InputError("hand_size.layout", file=path, found=type(content).__name__)
        sizes = {name: check_hand_size(size, f"{path}: {name}") for name, size in content.items()}
        return HandSizes(
            ByImage(path, sizes, "hand_size.no_image", "hand_size.two_patterns"), everywhere
        )

    @property
    def path(self) -> Path:
        """The file."""
        return self.said.path

    def require_for(self, names: Iterable[str]) -> None:
        """See `ByImage.require_for`."""
        self.said.require_for(names)

    def size_of(self, name: str) -> float | None:
        """Metres that the file says of the hands of an image, or None; see `ByImage.of`."""
        return self.said.of(name)


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
