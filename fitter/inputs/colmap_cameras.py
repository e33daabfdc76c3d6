"""Cameras of a COLMAP model written as text: ``cameras.txt``, and ``images.txt`` beside it.

A line of ``cameras.txt`` is a camera: its number, model, width, height and parameters. Of two lines
of ``images.txt``, the first ends in the number of the image's camera and the image's name. Pixel
centres are as ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.lens_files import checked_lens
from fitter.lens import Lens, LensModel

MODELS: Mapping[str, tuple[LensModel, int, tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": ("pinhole", 1, ()),
    "PINHOLE": ("pinhole", 2, ()),
    "SIMPLE_RADIAL": ("pinhole", 1, (0,)),
    "RADIAL": ("pinhole", 1, (0, 1)),
    "OPENCV": ("pinhole", 2, (0, 1, 2, 3)),
    "FULL_OPENCV": ("pinhole", 2, (0, 1, 2, 3, 4, 5, 6, 7)),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", 1, (0,)),
    "RADIAL_FISHEYE": ("fisheye", 1, (0, 1)),
    "OPENCV_FISHEYE": ("fisheye", 2, (0, 1, 2, 3)),
}
"""OpenCV's model that COLMAP's is, its focal lengths, and which of OpenCV's coefficients follow the
principal point."""

UNKNOWN_MODELS = ("FOV", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE")
"""COLMAP's models that OpenCV has not."""


def is_colmap(text: str) -> bool:
    """Whether a text is a ``cameras.txt``."""
    lines = _lines(text)
    return bool(lines) and len(lines[0]) > 1 and lines[0][1] in (*MODELS, *UNKNOWN_MODELS)


def colmap_cameras(path: Path, text: str) -> Lens | dict[str, Lens]:
    """The one camera of a ``cameras.txt``, or that of each image by its name.

    Args:
        path: of ``cameras.txt``; asked of what lies beside it where there are several cameras.
        text: of it.

    Raises:
        InputError: a line is no camera, its model is not known, or there are several cameras and
            no ``images.txt`` that says whose images are whose.
    """
    cameras = dict(_camera(words, path) for words in _lines(text))
    if len(cameras) == 1:
        return next(iter(cameras.values()))
    images = path.with_name("images.txt")
    try:
        listed = images.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "lens.no_images", file=path, expected=images, found=len(cameras)
        ) from error
    found = {}
    # A line without points is empty, so that lines count and words do not.
    rows = [line for line in listed.splitlines() if not line.startswith("#")]
    for row in filter(str.strip, rows[::2]):
        words = row.split(maxsplit=9)
        if len(words) != 10 or words[8] not in cameras:
            raise InputError("lens.images", file=images, found=row[:60])
        found[words[9]] = cameras[words[8]]
    return found


def _camera(words: list[str], path: Path) -> tuple[str, Lens]:
    """A camera and its number."""
    where = f"{path}, camera {words[0]}"
    name = words[1] if len(words) > 1 else ""
    if name not in MODELS:
        raise InputError("lens.model", file=where, expected=", ".join(MODELS), found=name)
    model, focal, places = MODELS[name]
    try:
        width, height = int(words[2]), int(words[3])
        numbers = [float(word) for word in words[4:]]
    except (ValueError, IndexError) as error:
        raise InputError("lens.line", file=where, found=" ".join(words)[:80]) from error
    expected = focal + 2 + len(places)
    if len(numbers) != expected or min(width, height) < 1:
        raise InputError("lens.line", file=where, found=" ".join(words)[:80])
    if not np.isfinite(numbers).all():
        raise InputError("lens.not_finite", file=where)
    fx, fy, (cx, cy) = numbers[0], numbers[focal - 1], numbers[focal : focal + 2]
    matrix = check_intrinsics([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], where)
    coefficients = np.zeros(0)
    if places or model == "fisheye":
        coefficients = np.zeros(8 if max(places) > 3 else 4)
        coefficients[list(places)] = numbers[focal + 2 :]
    return words[0], checked_lens(Lens(matrix, model, coefficients, (width, height)), where)


def _lines(text: str) -> list[list[str]]:
    """The words of each line that is no comment; some programs put commas between."""
    lines = (line.replace(",", " ").split() for line in text.splitlines())
    return [words for words in lines if words and not words[0].startswith("#")]
