"""The photographs of a store, where they are still there and still the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.stored_images import read_stored_image
from fitter.inputs.through_lens import ThroughLens


@dataclass
class Photographs:
    """Reads photographs by their names, and keeps count of those that it could not give.

    Attributes:
        folder: that the names are relative to.
        read: how many were given.
        other_size: how many have another size than the images that were fitted.
        unread: how many could not be read.
        first_reason: why the first of those could not.
    """

    folder: Path
    read: int = 0
    other_size: int = 0
    unread: int = 0
    first_reason: str = field(default="")

    def of(
        self,
        name: str,
        size: tuple[int | None, int | None],
        through: ThroughLens | None = None,
    ) -> np.ndarray | None:
        """An image that was fitted, without distortion.

        Args:
            name: that the store has for it.
            size: (width, height) that the store has for it, pixels.
            through: how its lens took it (`taken_through`); None where none distorts it.

        Returns:
            (H, W, 3) uint8 RGB, or None where it is gone or has another size.
        """
        try:
            pixels = read_stored_image(self.folder, name)
        except InputError as error:
            self.unread += 1
            self.first_reason = self.first_reason or str(error)
            return None
        taken = size if through is None else through.size
        if pixels.shape[1::-1] != taken:
            self.other_size += 1
            return None
        self.read += 1
        return pixels if through is None else through.pixels(pixels, name)
