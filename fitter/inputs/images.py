"""Pictures: their pixels as upright 8-bit RGB, and what their files say about the camera.

Everything a folder of photographs can contain is turned into one kind of array here, or refused
with one sentence: `read_image` never returns a picture whose file was cut off. What a changed bit
did to pixels that still decode, nobody can see.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageOps

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif, camera_exif
from fitter.inputs.image_content import (
    ImageBytes,
    ImageContent,
    length,
    named,
    pillows,
    stream,
)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""File name endings that count as pictures, compared in lower case. The content decides the
format: a WebP picture whose name says .jpg is read as WebP."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may take a file for. It knows many more and hands some (PostScript) to another
program: a file from anywhere must not choose which decoder it meets."""

BACKGROUND = (128, 128, 128)
"""What shows through transparent pixels: mid grey, because cut-out hands on white or black get a
halo that a detector and a silhouette take for an edge, and mid grey is halfway between the two."""

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

_MOST_PIXELS_A_BYTE = {"BMP": 128, "GIF": 3000, "JPEG": 1024, "PNG": 8 * 1032}
"""More pixels a byte no file of a format can hold, so that its header lies. BMP: a run of 255 takes
two bytes. GIF: strings of up to 4,000 pixels in codes of 12 bits. JPEG: one bit for each of the
eight blocks, at the least, of 32 x 32 pixels. PNG: deflate's 1032, of eight one-bit pixels. In TIFF
and WebP some codes have no such bound: a WebP of one colour has 38 bytes, whatever its size."""

_BAND_PIXELS = 2**20
"""How many pixels are converted at a time, so that the steps between need no memory to speak of."""


@dataclass(frozen=True)
class ImageEntry:
    """One picture of a listing.

    Attributes:
        name: path relative to the listed folder, with forward slashes.
        path: where to read it from.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class ReadLimits:
    """Sizes of pictures that are read; others are refused.

    Attributes:
        min_side: shorter side in pixels below which no hand can be seen.
        max_pixels: width times height. A picture of n pixels needs about 8 n bytes while it is
            decoded, a progressive JPEG up to 12 n and a WebP 16 n. Pillow itself refuses more than
            178,956,970 pixels whatever this says.
    """

    min_side: int = 16
    max_pixels: int = 150_000_000


DEFAULT_LIMITS = ReadLimits()


def read_image(path: ImageContent, limits: ReadLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Read one picture.

    The EXIF orientation is applied; 16-bit values are scaled to 8 bits; grey, palette and CMYK
    pictures become RGB; transparent pixels show `BACKGROUND`; of an animation or a multi-page file
    the first picture is taken; colour profiles are ignored.

    Args:
        path: the picture's file, or its bytes.
        limits: sizes to accept.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous and writable.

    Raises:
        InputError: the file is missing, empty, unreadable, no picture, damaged or cut short, or
            its size is outside `limits`.
    """
    return read_image_and_exif(path, limits)[0]


def read_image_and_exif(
    path: ImageContent, limits: ReadLimits = DEFAULT_LIMITS
) -> tuple[np.ndarray, CameraExif]:
    """Read one picture as `read_image` does, and what it says about its camera.

    Args:
        path: the picture's file, or its bytes.
        limits: sizes to accept.

    Returns:
        (H, W, 3) uint8 RGB, and the camera's EXIF entries.

    Raises:
        InputError: as `read_image`.
    """
    with opened(path, limits) as image:
        exif = _camera_exif(image)  # before turning the picture, which takes the orientation away
        return _decode(named(path), image), exif


def read_exif(path: Path) -> CameraExif:
    """What a picture says about its camera, without its pixels; nothing for a damaged file."""
    try:
        with opened(path) as image:
            return _camera_exif(image)
    except InputError:
        return CameraExif()


def read_size(path: ImageContent, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Width and height in pixels that `read_image` would give a picture, without its pixels.

    Args:
        path: the picture's file, or its bytes.
        limits: sizes to accept.

    Raises:
        InputError: as `read_image`, but for what only the pixels show.
    """
    with opened(path, limits) as image:
        width, height = image.size
        return (height, width) if _camera_exif(image).swaps_axes else (width, height)


@contextlib.contextmanager
def opened(content: ImageContent, limits: ReadLimits = DEFAULT_LIMITS) -> Iterator[Image.Image]:
    """Pillow's picture of a file, not yet decoded.

    Whatever shows the file to be damaged, in here or in the block that decodes it, becomes the
    `InputError` that `read_image` promises.

    Args:
        content: the picture's file, or its bytes.
        limits: sizes to accept.

    Raises:
        InputError: as `read_image`.
    """
    path = named(content)
    _check_readable(content)
    with warnings.catch_warnings():
        # Pillow warns at 89 million pixels; `limits` is the rule here and is enforced below.
        # It also warns about every oddity of a damaged EXIF block, which the reader survives.
        warnings.simplefilter("ignore")
        try:
            with Image.open(pillows(content), formats=FORMATS) as image:
                check_size(path, image.size, limits)
                _check_content(content, image)
                yield image
        except Image.DecompressionBombError as error:
            raise InputError(
                "image.far_too_large", file=path, max_pixels=limits.max_pixels
            ) from error
        except Image.UnidentifiedImageError as error:
            raise InputError("image.format", file=path) from error
        except MemoryError as error:
            raise InputError("image.memory", file=path) from error
        except DECODING_ERRORS as error:
            # A message may be empty, and it may quote bytes of the file: it stays one line.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError("image.damaged", file=path, reason=reason) from error


def turn_upright(image: Image.Image) -> None:
    """Apply a loaded picture's EXIF orientation in place."""
    # Whole pixels with a damaged EXIF block are a good picture that states no orientation.
    with contextlib.suppress(*DECODING_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)


def _check_readable(content: ImageContent) -> None:
    if isinstance(content, ImageBytes):
        if not content.content:
            raise InputError("image.empty", file=content.name)
        return
    path = Path(content)
    if path.is_dir():
        raise InputError("image.folder", file=path)
    try:
        # Opening a pipe would wait for its other end for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("image.not_regular", file=path)
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise InputError("image.missing", file=path) from error
    except PermissionError as error:
        raise InputError("image.permission", file=path) from error
    except OSError as error:
        raise InputError("image.unreadable", file=path, reason=error.strerror) from error
    if empty:
        raise InputError("image.empty", file=path)


def check_size(where: Path | str, size: tuple[int, int], limits: ReadLimits) -> None:
    """Make sure that an image's size is one that is taken.

    Args:
        where: what to name in messages.
        size: (width, height) in pixels.
        limits: sizes to accept.

    Raises:
        InputError: it is too small (`image.too_small`) or too large (`image.too_large`).
    """
    width, height = size
    if min(width, height) < limits.min_side:
        raise InputError(
            "image.too_small", file=where, min_side=limits.min_side, width=width, height=height
        )
    if width * height > limits.max_pixels:
        raise InputError(
            "image.too_large",
            file=where,
            max_pixels=limits.max_pixels,
            width=width,
            height=height,
            pixels=width * height,
        )


def _check_content(content: ImageContent, image: Image.Image) -> None:
    """Refuse a header that claims more pixels than the file has, before memory is taken."""
    path = named(content)
    width, height = image.size
    most = _MOST_PIXELS_A_BYTE.get(image.format or "")
    size = length(content)
    if most and width * height > most * size:
        raise InputError("image.too_few_bytes", file=path, length=size, width=width, height=height)
    covered = _covered(content, image)
    # Pillow leaves black what no strip of a TIFF covers. The first frame of an animation may be
    # much smaller than its canvas; but with one wrong bit a canvas takes gigabytes, so above 16
    # million pixels a share of it must be there.
    least = width * height if image.format == "TIFF" else width * height // 64 - 2**18
    if covered < least:
        raise InputError(
            "image.missing_pixels", file=path, found=covered, width=width, height=height
        )


def _covered(content: ImageContent, image: Image.Image) -> int:
    """How many pixels the file says it has, of those that its size promises."""
    if tiles := getattr(image, "tile", None):
        return sum((right - left) * (low - top) for _, (left, top, right, low), *_ in tiles)
    if image.format == "WEBP":
        with stream(content) as file:
            file.seek(12)
            while len(head := file.read(8)) == 8:
                kind, length = struct.unpack("<4sI", head)
                if kind == b"ANMF":
                    _, across, down, _ = struct.unpack("<6s3s3s4s", file.read(16))
                    width, height = (1 + int.from_bytes(side, "little") for side in (across, down))
                    return width * height
                file.seek(length + length % 2, os.SEEK_CUR)
    return image.width * image.height


def _decode(path: Path | str, image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise InputError("image.float", file=path)
    image.load()
    turn_upright(image)
    if image.mode == "I":
        least, most = cast(tuple[int, int], image.getextrema())
        if least < 0 or most > 65535:
            raise InputError("image.grey_range", file=path, least=least, most=most)
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = _rgb(band)
    return pixels


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535
        return grey[..., None]
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        # The premultiplied modes convert to their straight twins only.
        straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
        foreground = image.convert(straight).convert("RGBA")
        background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(background, foreground)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _silence_decoders() -> None:
    """Take back what is printed about damage beside the error that reports it."""
    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
    # libtiff writes to file descriptor 2 itself. Where Pillow was linked such that its functions
    # cannot be found, its lines stay.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


_silence_decoders()


def _camera_exif(image: Image.Image) -> CameraExif:
    try:
        return camera_exif(image)
    except DECODING_ERRORS:
        return CameraExif()
