"""The focal length that a picture's EXIF block gives, and whether it is to be believed."""

from __future__ import annotations

import math

from fitter.inputs.camera_exif import CameraExif

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of a 35 mm film frame. Equivalent focal lengths compare diagonals (CIPA DCG-001), which
is what cameras with sensors that are not 3:2 write."""

ASPECT_TOLERANCE = 0.01
"""Relative difference between a picture's aspect and the one in its EXIF block above which the
picture was cropped after it was taken, so that its EXIF block no longer describes it."""

MIN_FOCAL_RATIO = 0.1
"""Smallest believable focal length as a share of the longer side (a field of view of 157 degrees);
less means a K in other units, such as shares of the width."""


def focal_from_exif(exif: CameraExif, size: tuple[int, int]) -> tuple[float, float] | None:
    """Focal lengths from EXIF, in pixels of the upright picture as it is now.

    The sensor's own resolution is preferred to the 35 mm equivalent, which cameras round to whole
    millimetres. A picture resized after it was taken is recognised by `CameraExif.pixel_size`; one
    that was cropped (another aspect) has no known focal length.

    Args:
        exif: what the picture says about its camera.
        size: (width, height) of the upright picture.

    Returns:
        (fx, fy), or None when EXIF does not determine them.
    """
    upright = exif.pixel_size
    if upright is not None and exif.swaps_axes:
        upright = (upright[1], upright[0])
    if upright is not None and (
        abs(upright[0] * size[1] / (upright[1] * size[0]) - 1) > ASPECT_TOLERANCE
    ):
        return None
    if exif.focal_mm is not None and exif.plane_pixels_per_mm is not None:
        resize = size[0] / upright[0] if upright is not None else 1.0
        x, y = (exif.focal_mm * density * resize for density in exif.plane_pixels_per_mm)
        focal = (y, x) if exif.swaps_axes else (x, y)
    elif exif.focal_35mm is not None:
        focal = (exif.focal_35mm * math.hypot(*size) / FILM_DIAGONAL_MM,) * 2
    else:
        return None
    return focal if min(focal) >= MIN_FOCAL_RATIO * max(size) else None
