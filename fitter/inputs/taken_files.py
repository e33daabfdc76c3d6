"""An image file as results have it: without the distortion of the lens that took it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.image_files import ImageFile
from fitter.inputs.images import ReadPicture
from fitter.inputs.through_lens import ThroughLens


@dataclass(frozen=True)
class TakenFile(ImageFile):
    """An image that a lens distorted.

    Attributes:
        file: the image as it was taken.
        through: the lens, and the camera without distortion.
    """

    file: ImageFile
    through: ThroughLens

    @property
    def label(self) -> str:
        """Its path."""
        return self.file.label

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`; without distortion, and without EXIF, since K is known.

        Raises:
            InputError: also an image of another size than the one that was fitted.
        """
        return self.through.pixels(self.file.read()[0], self.label), CameraExif()

    def picture(self) -> ReadPicture:
        """See `ImageFile`."""
        taken = self.file.picture()
        pixels = self.through.pixels(taken.pixels, self.label)
        return ReadPicture(pixels, CameraExif(), self.through.inside(taken.inside))

    def inside(self, size: tuple[int, int]) -> np.ndarray | None:
        """See `ImageFile`: not what lies outside of what the lens showed."""
        return self.through.inside(self.file.inside(self.through.size))

    @property
    def time(self) -> float | None:
        """See `ImageFile`."""
        return self.file.time

    def stamp(self) -> tuple[int, float] | None:
        """See `ImageFile`."""
        return self.file.stamp()

    def absolute(self) -> TakenFile:
        """See `ImageFile`."""
        return replace(self, file=self.file.absolute())
