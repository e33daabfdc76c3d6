"""Masks that the user gives beside the pictures: which pixels show a hand.

`MaskFolder` reads a folder that mirrors the pictures': the mask of ``a/b.jpg`` is ``a/b.png`` in
it, or the same with another ending of `MASK_SUFFIXES`, of which the first that is there counts. A
picture without such a file has no mask. A mask stands upright like the picture as it is seen (its
own EXIF orientation, if it has one, is applied); it has the picture's size, or is scaled to it
where it has the same aspect.

What counts as hand
    grey   above half of the range, and the range is the smallest of 1, 255 and 65,535 that holds
           the largest value: masks of 0 and 1, 0 and 255 in 8 or 16 bits, and probabilities alike.
           Few values that fill areas, or lie in the lower half of the range, are labels.
    colour the largest of the three channels, as above: any bright colour on black. Several colours
           that fill areas are labels.
    palette in a grey palette the grey, as above; in a coloured one (as PASCAL VOC's) each index
           that is not black is a label.
    cut-out pictures whose transparency varies: the opacity, as above, whatever the colours.
    arrays (.npy), (H, W): as grey.

Labels tell hands and things apart (1, 2, ...): which one is whose the keypoints say, see
`fitter.inputs.hand_masks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.beside_files import BesideFolder, FolderCodes
from fitter.inputs.hand_masks import scaled
from fitter.inputs.image_content import ImageContent
from fitter.inputs.images import DEFAULT_LIMITS, ImageEntry, ReadLimits, check_size, decoded
from fitter.inputs.mask_values import colour_pixels, hand_pixels, one_or_labels
from fitter.inputs.pixels import has_transparency, straight, turn_upright

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".npy", ".webp", ".jpg", ".jpeg")
"""Endings of masks in the order in which they are looked for, lossless ones first; each also in
capitals."""

_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
"""Formats whose values are not surely those that were written."""


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
            (H, W) bool, all the hands of the picture, or uint16 labels, 0 for none; None for a
            picture that has no mask.

        Raises:
            InputError: the mask cannot be read (see `read_mask`) or has another aspect than the
            picture.
        """
        path = self.path_of(entry.name)
        if path is None:
            return None
        return fitting_mask(read_mask(path, limits), size, path, entry.name)


def fitting_mask(
    mask: np.ndarray, size: tuple[int, int], where: Path | str, image: str
) -> np.ndarray:
    """A mask in the size of its image.

    Args:
        mask: (h, w) bool, or uint16 labels.
        size: (width, height) of the upright image in pixels.
        where: the mask, for messages.
        image: name of the image.

    Raises:
        InputError: it has another aspect (`mask.size`).
    """
    found = scaled(mask, size)
    if found is None:
        rows, columns = mask.shape
        raise InputError(
            "mask.size",
            file=where,
            image=image,
            expected=f"{size[0]} x {size[1]}",
            found=f"{columns} x {rows}",
        )
    return found


def read_mask(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Read one mask, see the top of this module for what counts as hand.

    Returns:
        (H, W) bool, or uint16 labels, 0 for none.

    Raises:
        InputError: it cannot be read or is no picture (`mask.unreadable`, in the words of
            `fitter.inputs.images.read_image`); an array that is none or is damaged
            (`mask.array`); or its values leave open what is hand, see
            `fitter.inputs.mask_values.hand_pixels`.
    """
    try:
        return _read(path, limits)
    except InputError as error:
        if not error.code.startswith("image."):
            raise
        # Whoever reads of a damaged picture would look at the photograph, which is fine.
        reason = error.without("file").replace("known picture", "known").replace("picture", "mask")
        raise InputError("mask.unreadable", file=path, reason=reason) from error


def _read(path: Path, limits: ReadLimits) -> np.ndarray:
    """What `read_mask` gives; what is wrong is said as of a picture."""
    if Path(path).suffix.lower() == ".npy":
        return hand_pixels(_array(Path(path), limits), path)

    def read(_: ImageContent, image: Image.Image) -> np.ndarray:
        is_lossless = image.format not in _LOSSY and image.info.get("compression") != "jpeg"
        image.load()
        turn_upright(image)
        if has_transparency(image):
            opacity = np.asarray(straight(image).getchannel("A"))
            if opacity.min() != opacity.max():
                return hand_pixels(opacity, path, is_lossless)
        return _pixels(image, path, is_lossless)

    return decoded(Path(path), limits, read)


def _pixels(image: Image.Image, path: Path, is_lossless: bool) -> np.ndarray:
    if image.mode == "1":
        return np.asarray(image)
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        return hand_pixels(np.asarray(image), path, is_lossless)
    colours = np.asarray(image.convert("RGB"))
    if image.mode in ("P", "PA") and (colours != colours[..., :1]).any():
        # Dark colours are labels, too, and however thin what they show.
        indices = np.asarray(image if image.mode == "P" else image.getchannel(0))
        labels = indices.astype(np.uint16) + np.uint16(1)  # that of index 0 may have a colour, too
        return one_or_labels(np.where(colours.any(axis=-1), labels, np.uint16(0)))
    return colour_pixels(colours, path, is_lossless)


def _array(path: Path, limits: ReadLimits) -> np.ndarray:
    """The numbers (H, W) of a file of NumPy's, which is not asked to run anything."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError("image.missing", file=path) from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError("mask.array", file=path, found="a damaged file") from error
    kinds = (np.bool_, np.integer, np.floating)
    if values.ndim != 2 or not any(np.issubdtype(values.dtype, kind) for kind in kinds):
        found = f"{values.dtype.name} of shape {values.shape}"
        raise InputError("mask.array", file=path, found=found)
    check_size(path, (values.shape[1], values.shape[0]), limits)
    return np.array(values)
