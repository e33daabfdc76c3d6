"""Which decoder a picture meets: told by the file's first bytes, never by its name."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import features

from fitter.errors import InputError

IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
)
"""File name endings that count as pictures, compared in lower case. The content decides the
format: a WebP picture whose name says .jpg is read as WebP."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may take a file for. It knows many more and hands some (PostScript) to another
program: a file from anywhere must not choose which decoder it meets."""

HEAD = 64
"""First bytes of a file that are looked at."""

_AVIF = (b"avif", b"avis")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of ISO/IEC 23008-12 that a file is of, or is compatible with."""


def formats_of(head: bytes, where: Path | str) -> tuple[str, ...]:
    """What Pillow may take a file for.

    Args:
        head: its first `HEAD` bytes, or all.
        where: the file, for messages.

    Raises:
        InputError: what reads such pictures is not installed (`image.no_heif`, `image.no_avif`).
    """
    brands = _brands(head)
    if brands & set(_AVIF):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow before 11.3 does not know the word
            is_read = features.check("avif")
        if not is_read:
            raise InputError("image.no_avif", file=where)
        return ("AVIF",)
    if brands & set(_HEIF):
        _register_heif(where)
        return ("HEIF",)
    return _FORMATS


def _brands(head: bytes) -> set[bytes]:
    if head[4:8] != b"ftyp":
        return set()
    # The first one is the file's own; a version stands between it and the compatible ones.
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[at : at + 4] for at in (8, *range(16, end - 3, 4))}


def _register_heif(where: Path | str) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise InputError("image.no_heif", file=where) from error
    # Images are decoded in as many processes as there are cores.
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
