"""A camera matrix K that comes from outside: checked, and what is given in its place recognised.

What holds K and nothing else is taken as K: nine numbers in a row, and K beside zeros as 3x4
``K [I | 0]`` or 4x4. Everything else is refused with what it probably is.

Pixel convention: K is taken as given, in the convention of `fitter.conventions` (centre of the
top-left pixel at (0.5, 0.5)). Tools that put pixel centres at whole numbers, OpenCV's calibration
among them, give cx and cy smaller by 0.5; add it when such a K is handed in and half a pixel
matters. Public data sets do not say which convention their K follows, and for their crops the
difference (half a pixel, below 1 mm at arm's length) is smaller than the differences between joint
definitions, so it cannot be decided from annotated joints and is left alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from fitter.errors import InputError
from fitter.inputs.exif_focal import MIN_FOCAL_RATIO
from fitter.inputs.numbers import as_numbers, shortened

_SHARES = 10.0
"""Focal lengths of cameras in shares of the image or in normalised device coordinates are below
(field of view above 6 degrees), those in pixels above."""

_SAME_SHARE, _LEAST_OTHER = 0.06, 0.15
"""K is of another resolution where its principal point, over the middle of the image, is the same
in x and y but for the first, relative, and off one by more than the second. Principal points of
lenses are off by a few hundredths. # not published"""

_TIGHT_SHARE = 0.02
"""The first of these for the one K of the one image that it names, which may well be of a crop."""

_SQUARE = 1.15
"""Longer over shorter side up to which an image may be taken for one that stands upright: then a
principal point near the middle of the one lies near that of the other. # not published"""

_FARTHEST_CENTRE = 0.95
"""Share of half a side by which one camera's principal point may be off the middle of its images.
# not published"""

_SQUAREST = 3.0
"""Most that fx and fy may differ by, as a ratio: 16:9 pressed into 9:16 has 3.2. # not
published"""

Belongs = Literal["camera", "image", "crops"]
"""What a K is given for: one camera whose images are whole, one image by its name, or images each
with its own, such as crops whose principal points lie anywhere."""


def check_intrinsics(value: object, where: str) -> np.ndarray:
    """Turn a value from outside into K.

    Args:
        value: what should be a 3x3 matrix.
        where: what to name in messages.

    Returns:
        (3, 3) float64.

    Raises:
        InputError: the value has another shape, is not finite, has a focal length that is not
            positive, or entries where a camera matrix has zeros and the one; where it is another
            matrix that people have, with what it probably is (codes ``intrinsics.*``).
    """
    matrix = as_numbers(value)
    if matrix is None:
        raise InputError("intrinsics.no_numbers", file=where, found=shortened(value))
    if not np.isfinite(matrix).all():
        raise InputError("intrinsics.not_finite", file=where)
    if matrix.shape == (9,):
        matrix = matrix.reshape(3, 3)
    matrix = _alone(matrix)
    other = _other_matrix(matrix)
    if other is not None:
        raise InputError(other, file=where, found=shortened(matrix.tolist()))
    if matrix.shape != (3, 3):
        raise InputError("intrinsics.shape", file=where, shape=list(matrix.shape))
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        fx, fy = matrix[0, 0].item(), matrix[1, 1].item()
        raise InputError("intrinsics.focal_length", file=where, fx=fx, fy=fy)
    if matrix[1, 0] != 0 or not np.array_equal(matrix[2], [0, 0, 1]):
        raise InputError("intrinsics.form", file=where, found=matrix.tolist())
    return matrix


def _alone(matrix: np.ndarray) -> np.ndarray:
    """K without the zeros and ones beside it in a 3x4 or 4x4 matrix; all else as it is."""
    if matrix.shape not in ((3, 4), (4, 4)):
        return matrix
    around = np.eye(4)[: len(matrix)]
    around[:3, :3] = matrix[:3, :3]
    is_k = _has_form(matrix[:3, :3]) and np.array_equal(around, matrix)
    return matrix[:3, :3] if is_k else matrix


def _has_form(matrix: np.ndarray) -> bool:
    """Whether a 3x3 matrix has K's zeros, its one, and focal lengths in pixels."""
    zeros = matrix[1, 0] == 0 and np.array_equal(matrix[2], [0, 0, 1])
    return bool(zeros and min(matrix[0, 0], matrix[1, 1]) > 1)


def _other_matrix(matrix: np.ndarray) -> str | None:
    """What a matrix that is not K probably is, as the code that says so; None for no guess."""
    if matrix.shape in ((3, 4), (4, 4)):
        return _other_of_four(matrix)
    if matrix.shape != (3, 3):
        return None
    if _is_rotation(matrix):
        return None if np.array_equal(matrix, np.eye(3)) else "intrinsics.pose"
    if _has_form(matrix.T) and not _has_form(matrix) and matrix[2, :2].any():
        return "intrinsics.transposed"
    (fx, _, cx), (_, fy, cy), _ = matrix.tolist()
    is_inverse = 0 < max(fx, fy) < 0.1 and max(cx, cy) < 0 and matrix[2, 2] == 1
    return "intrinsics.inverse" if is_inverse else None


def _other_of_four(matrix: np.ndarray) -> str | None:
    """The same for 3x4 and 4x4 matrices."""
    is_square = len(matrix) == 4
    if is_square:
        last = [matrix[3], matrix[:, 3]]
        # OpenGL's bottom row takes the w of a point from its z; Direct3D writes the transpose.
        if any(abs(row[2]) == 1 and not row[[0, 1, 3]].any() for row in last):
            return "intrinsics.opengl"
        if _is_rotation(matrix[:3, :3]):
            return "intrinsics.pose"
        return "intrinsics.projection" if np.array_equal(matrix[3], [0, 0, 0, 1]) else None
    return "intrinsics.pose" if _is_rotation(matrix[:, :3]) else "intrinsics.projection"


def _is_rotation(matrix: np.ndarray) -> bool:
    return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-3)


def require_size(
    matrix: np.ndarray, size: tuple[int, int], origin: str, image: str, of: Belongs
) -> None:
    """Refuse a K that can hardly be of an image.

    Args:
        matrix: (3, 3), checked.
        size: (width, height) of the image, pixels.
        origin: what to name in messages.
        image: its name, likewise.
        of: what the K is given for. Those of crops may have their principal points anywhere.

    Raises:
        InputError: its focal lengths are no pixels, its pixels far from square, or it is of an
            image of another resolution, of one that is turned by a quarter, or of a part of
            another one.
    """
    facts = {"file": origin, "image": image, "width": size[0], "height": size[1]}
    fx, fy = matrix[0, 0].item(), matrix[1, 1].item()
    cx, cy = matrix[:2, 2].tolist()
    if max(fx, fy) < _SHARES and max(abs(cx), abs(cy)) <= 1 and min(size) > 2:
        code = "intrinsics.shares" if min(cx, cy) > 0.2 else "intrinsics.device"
        raise InputError(code, file=origin, image=image, found=shortened(matrix.tolist()))
    if min(fx, fy) < MIN_FOCAL_RATIO * max(size):
        raise InputError("intrinsics.small_focal_length", **facts, found=min(fx, fy))
    if of == "crops":
        return
    centre = matrix[:2, 2]
    share = 2 * centre / np.array(size)
    same = _SAME_SHARE if of == "camera" else _TIGHT_SHARE
    whole = tuple(np.rint(2 * centre).astype(int).tolist())
    if min(share) > 0 and abs(share[0] / share[1] - 1) < same and abs(share[0] - 1) > _LEAST_OTHER:
        raise InputError("intrinsics.other_resolution", **facts, whole=whole, share=1 / share[0])
    if max(size) > _SQUARE * min(size) and _is_turned(centre, size, of):
        raise InputError("intrinsics.turned", **facts, cx=cx, cy=cy, whole=whole)
    if of == "image":
        return
    if max(fx, fy) > _SQUAREST * min(fx, fy):
        raise InputError("intrinsics.not_square", **facts, fx=fx, fy=fy)
    if np.abs(share - 1).max() > _FARTHEST_CENTRE:
        raise InputError("intrinsics.far_centre", **facts, cx=cx, cy=cy, whole=whole)


def _is_turned(centre: np.ndarray, size: tuple[int, int], of: Belongs) -> bool:
    """Whether a principal point (2,) is the middle of an image of the other orientation.

    That one may have another resolution, but not where K is of one image by its name, which may
    well be a crop: its principal point has to be the very middle.
    """
    share = 2 * centre / np.array(size[::-1])
    if of == "image":
        return bool(np.abs(share - 1).max() < _TIGHT_SHARE)
    return bool(min(share) > 0 and abs(share[0] / share[1] - 1) < _SAME_SHARE)
