"""An opened picture's pixels as upright 8-bit RGB, and which of them show something."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fitter.inputs.deep_pixels import Range, brightened, grey_range, sample_of
from fitter.inputs.image_content import ImageContent, named

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels. # not published"""

_BAND_PIXELS = 2**20
"""How many pixels are converted at a time, so that the steps between need no memory to speak of."""

_OPAQUE = 128
"""Opacity from which on a pixel shows something."""

DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on damaged files, format by format."""


@dataclass(frozen=True)
class Pixels:
    """What an image shows.

    Attributes:
        rgb: (H, W, 3) uint8, upright, C-contiguous and writable.
        inside: (H, W) bool, the pixels that show something: not those that are transparent, or
            whose value is no number; None where all do.
    """

    rgb: np.ndarray
    inside: np.ndarray | None = None

    @staticmethod
    def of_transparent(image: Image.Image) -> Pixels:
        """Those of an upright picture with transparency."""
        rgb, shown = over_background(image)
        return Pixels(np.array(rgb), None if shown.all() else shown)


_Converted = tuple[np.ndarray, np.ndarray | None]
"""A band's values (h, W, 3) or (h, W, 1), and (h, W) bool, which of its pixels show something."""


def upright_pixels(content: ImageContent, image: Image.Image, is_deep: bool) -> Pixels:
    """Decode an opened picture.

    Args:
        content: the picture's file, or its bytes.
        image: opened from it.
        is_deep: what `is_deep_colour` said of it.

    Raises:
        InputError: no value is a number (`image.no_numbers`), or see `brightened`. What Pillow
            raises on damaged files goes through.
    """
    image.load()
    if is_deep:
        image = brightened(content, image)
    turn_upright(image)
    width, height = image.size
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    inside: np.ndarray | None = None
    convert = _converter(image, named(content))
    for top, band in _bands(image):
        rows = slice(top, top + band.height)
        rgb[rows], shown = convert(band)
        if shown is not None and not shown.all():
            if inside is None:
                inside = np.ones((height, width), dtype=bool)
            inside[rows] = shown
    return Pixels(rgb, inside)


def turn_upright(image: Image.Image) -> None:
    """Apply a loaded picture's EXIF orientation in place."""
    # Whole pixels with a damaged EXIF block are a good picture that states no orientation.
    with contextlib.suppress(*DECODING_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)


def straight(image: Image.Image) -> Image.Image:
    """A picture with transparency as RGBA."""
    # The premultiplied modes convert to their straight twins only.
    return image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)).convert("RGBA")


def has_transparency(image: Image.Image) -> bool:
    """Whether some pixels of a picture may be transparent."""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def _converter(image: Image.Image, where: Path | str) -> Callable[[Image.Image], _Converted]:
    """How the bands of a loaded picture become 8-bit RGB."""
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return partial(_grey, grey_range(sample_of(image), where))
    return over_background if has_transparency(image) else _opaque


def _grey(values: Range, band: Image.Image) -> _Converted:
    found = np.asarray(band)
    return values(found)[..., None], np.isfinite(found) if band.mode == "F" else None


def over_background(band: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """(h, W, 3) uint8 RGB of a picture with transparency over the background, and (h, W) bool,
    which of its pixels show something."""
    foreground = straight(band)
    background = Image.new("RGBA", band.size, (*BACKGROUND, 255))
    opacity = np.asarray(foreground.getchannel("A"))
    mixed = Image.alpha_composite(background, foreground).convert("RGB")
    return np.asarray(mixed), opacity >= _OPAQUE


def _opaque(band: Image.Image) -> _Converted:
    return np.asarray(band if band.mode == "RGB" else band.convert("RGB")), None
