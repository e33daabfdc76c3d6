"""Pictures: their pixels as upright 8-bit RGB, and what their files say about the camera.

Everything a folder of photographs can contain is turned into one kind of array here, or refused
with one sentence: `read_image` never returns a picture of which pixels are missing. A JPEG that
lacks nothing but the marker of its end has them all and is read. What a changed bit, or a hole in
the middle of a JPEG, did to pixels that still decode is not seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif, camera_exif
from fitter.inputs.deep_pixels import is_deep_colour
from fitter.inputs.image_content import (
    ImageBytes,
    ImageContent,
    length,
    named,
    pillows,
    stream,
)
from fitter.inputs.jpeg_end import is_cut_off, with_its_end
from fitter.inputs.picture_formats import HEAD, formats_of
from fitter.inputs.pixels import DECODING_ERRORS, upright_pixels

_T = TypeVar("_T")

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MOST_PIXELS_A_BYTE = {"BMP": 128, "GIF": 3000, "JPEG": 1024, "PNG": 8 * 1032}
"""More pixels a byte no file of a format can hold, so that its header lies. BMP: a run of 255 takes
two bytes. GIF: strings of up to 4,000 pixels in codes of 12 bits. JPEG: one bit for each of the
eight blocks, at the least, of 32 x 32 pixels. PNG: deflate's 1032, of eight one-bit pixels. In TIFF
and WebP some codes have no such bound: a WebP of one colour has 38 bytes, whatever its size."""


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
            decoded, a progressive JPEG up to 12 n, a WebP, HEIC and AVIF 16 n. Pillow itself
            refuses more than 178,956,970 pixels whatever this says.
    """

    min_side: int = 16
    max_pixels: int = 150_000_000


DEFAULT_LIMITS = ReadLimits()


@dataclass(frozen=True)
class ReadPicture:
    """A decoded picture, and what its file says.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, C-contiguous and writable.
        exif: what the file says about its camera.
        inside: (H, W) bool, the pixels that show something: not those that are transparent, or
            whose value is no number; None where all do.
    """

    pixels: np.ndarray
    exif: CameraExif
    inside: np.ndarray | None = None


def read_image(path: ImageContent, limits: ReadLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Read one picture.

    The EXIF orientation is applied, or a HEIF's or AVIF's own; values of more than 8 bits are
    scaled to 8, see `fitter.inputs.deep_pixels`; grey, palette and CMYK pictures become RGB;
    transparent pixels show `fitter.inputs.pixels.BACKGROUND`; of an animation or a multi-page file
    the first picture is taken; colour profiles are ignored.

    Args:
        path: the picture's file, or its bytes.
        limits: sizes to accept.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous and writable.

    Raises:
        InputError: the file is missing, empty, unreadable, no picture, damaged or cut short, what
            reads its format is not installed, or its size is outside `limits`.
    """
    return read_picture(path, limits).pixels


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
    read = read_picture(path, limits)
    return read.pixels, read.exif


def read_picture(path: ImageContent, limits: ReadLimits = DEFAULT_LIMITS) -> ReadPicture:
    """Read one picture as `read_image` does, and all that its file says.

    Args:
        path: the picture's file, or its bytes.
        limits: sizes to accept.

    Raises:
        InputError: as `read_image`.
    """

    def read(content: ImageContent, image: Image.Image) -> ReadPicture:
        # Pillow decodes a PNG that is asked for its EXIF block, and forgets how deep it was;
        # turning a picture takes its orientation away.
        is_deep = is_deep_colour(image)
        exif = _camera_exif(image)
        pixels = upright_pixels(content, image, is_deep)
        return ReadPicture(pixels.rgb, exif, pixels.inside)

    return decoded(path, limits, read)


def decoded(
    content: ImageContent,
    limits: ReadLimits,
    decode: Callable[[ImageContent, Image.Image], _T],
) -> _T:
    """What is made of an opened picture; of a JPEG, too, that lacks the marker of its end alone.

    Args:
        content: the picture's file, or its bytes.
        limits: sizes to accept.
        decode: gets the picture's bytes and what Pillow opened.

    Raises:
        InputError: as `read_image`.
    """
    try:
        with opened(content, limits) as image:
            _require_lower_part(content, image)
            return decode(content, image)
    except InputError as error:
        whole = with_its_end(content) if error.code == "image.damaged" else None
        if whole is None:
            raise
    with opened(whole, limits) as image:
        return decode(whole, image)


def _require_lower_part(content: ImageContent, image: Image.Image) -> None:
    """Refuse a JPEG that Pillow fills up where data are missing."""
    if image.format not in ("JPEG", "MPO"):
        return
    image.load()
    if is_cut_off(content, image):
        raise InputError("image.damaged", file=named(content), reason="its lower part is missing")


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
        is_turned = image.format != "HEIF" and _camera_exif(image).swaps_axes
        return (height, width) if is_turned else (width, height)


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
    head = _first_bytes(content)
    formats = formats_of(head, path)
    with warnings.catch_warnings():
        # Pillow warns at 89 million pixels; `limits` is the rule here and is enforced below.
        # It also warns about every oddity of a damaged EXIF block, which the reader survives.
        warnings.simplefilter("ignore")
        try:
            with Image.open(pillows(content), formats=formats) as image:
                check_size(path, image.size, limits)
                _check_content(content, image)
                yield image
        except Image.DecompressionBombError as error:
            raise InputError(
                "image.far_too_large", file=path, max_pixels=limits.max_pixels
            ) from error
        except Image.UnidentifiedImageError as error:
            raise _unidentified(path, head, formats) from error
        except MemoryError as error:
            raise InputError("image.memory", file=path) from error
        except DECODING_ERRORS as error:
            # A message may be empty, and it may quote bytes of the file: it stays one line.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError("image.damaged", file=path, reason=reason) from error


def _unidentified(path: Path | str, head: bytes, formats: tuple[str, ...]) -> InputError:
    """What is wrong with a file that Pillow takes for no picture."""
    if len(formats) == 1:  # told by its first bytes
        reason = f"it begins as {formats[0]} does, and is none"
        return InputError("image.damaged", file=path, reason=reason)
    is_tiff = head.startswith(_TIFF_STARTS)
    return InputError("image.tiff" if is_tiff else "image.format", file=path)


def _first_bytes(content: ImageContent) -> bytes:
    """The first bytes of a file that can be read."""
    if isinstance(content, ImageBytes):
        if not content.content:
            raise InputError("image.empty", file=content.name)
        return content.content[:HEAD]
    path = Path(content)
    if path.is_dir():
        raise InputError("image.folder", file=path)
    try:
        # Opening a pipe would wait for its other end for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("image.not_regular", file=path)
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError as error:
        raise InputError("image.missing", file=path) from error
    except PermissionError as error:
        raise InputError("image.permission", file=path) from error
    except OSError as error:
        raise InputError("image.unreadable", file=path, reason=error.strerror) from error
    if not head:
        raise InputError("image.empty", file=path)
    return head


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
