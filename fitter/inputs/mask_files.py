"""Masks that the user gives beside the pictures: which pixels show a hand.

`MaskFolder` reads a folder that mirrors the pictures': the mask of ``a/b.jpg`` is ``a/b.png`` in
it, or the same with another ending of `MASK_SUFFIXES`, of which the first that is there counts. A
picture without such a file has no mask. A mask holds all the hands of its picture and stands
upright like the picture as it is seen (its own EXIF orientation, if it has one, is applied); it has
exactly the picture's size.

What counts as hand
    grey   above half of the range, and the range is the smallest of 1, 255 and 65,535 that holds
           the largest value: masks of 0 and 1, 0 and 255 in 8 or 16 bits, and probabilities alike.
           A mask with values, but none above half of the range, is refused: it numbers objects
           (0, 1, 2), and which of them are hands it does not say.
    colour the largest of the three channels, as above: any bright colour on black.
    labels pictures with a palette: in a grey palette the grey, as above; in a coloured one (as
           PASCAL VOC's) everything that is not black.
    cut-out pictures whose transparency varies: the opacity, as above, whatever the colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.arrays import hand_pixels
from fitter.inputs.beside_files import BesideFolder, FolderCodes
from fitter.inputs.images import DEFAULT_LIMITS, ImageEntry, ReadLimits, opened
from fitter.inputs.pixels import turn_upright

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
"""Endings of masks in the order in which they are looked for, lossless ones first; each also in
capitals."""


@dataclass(frozen=True)
class MaskFolder(BesideFolder):
    """The masks of the pictures of a listing; see `BesideFolder`."""

    suffixes: ClassVar[tuple[str, ...]] = MASK_SUFFIXES
    codes: ClassVar[FolderCodes] = FolderCodes(
        no_folder="mask.no_folder",
        not_a_folder="mask.not_a_folder",
        unlistable="mask.unlistable",
        is_the_image="mask.is_the_image",
        none="mask.none",
        shared="mask.shared",
    )

    def mask_for(
        self, entry: ImageEntry, size: tuple[int, int], limits: ReadLimits = DEFAULT_LIMITS
    ) -> np.ndarray | None:
        """The mask of one picture.

        Args:
            entry: the picture.
            size: (width, height) of the upright picture in pixels.
            limits: sizes of masks to accept.

        Returns:
            (H, W) bool, all the hands of the picture; None for a picture that has no mask.

        Raises:
            InputError: the mask cannot be read (as `fitter.inputs.images.read_image`) or has
            another size than the picture.
        """
        path = self.path_of(entry.name)
        if path is None:
            return None
        mask = read_mask(path, limits)
        height, width = mask.shape
        if (width, height) != tuple(size):
            raise InputError(
                "mask.size",
                file=path,
                image=entry.name,
                expected=f"{size[0]} x {size[1]}",
                found=f"{width} x {height}",
            )
        return mask


def read_mask(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Read one mask, see the top of this module for what counts as hand.

    Returns:
        (H, W) bool.

    Raises:
        InputError: as `fitter.inputs.images.read_image`; or its values leave open what is hand:
        they are no whole numbers, exceed 16 bits, or none lies above half of its range and some do
            above 0.
    """
    with opened(path, limits) as image:
        image.load()
        turn_upright(image)
        if image.mode == "F":
            raise InputError("image.float", file=path)
        values = _opacity(image) if _is_cut_out(image) else _values(image)
    return hand_pixels(values, path)


def _is_cut_out(image: Image.Image) -> bool:
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return False
    opacity = _opacity(image)
    return bool(opacity.min() != opacity.max())


def _opacity(image: Image.Image) -> np.ndarray:
    # The premultiplied modes convert to their straight twins only.
    straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
    return np.asarray(image.convert(straight).convert("RGBA"))[..., 3]


def _values(image: Image.Image) -> np.ndarray:
    """(H, W) brightness in the file's own range."""
    if image.mode in ("1", "L", "I") or image.mode.startswith("I;16"):
        return np.asarray(image)
    colours = np.asarray(image.convert("RGB"))
    brightest = colours.max(axis=-1)
    is_grey = (colours == colours[..., :1]).all()
    if image.mode in ("P", "PA") and not is_grey:
        return brightest > 0
    return brightest
