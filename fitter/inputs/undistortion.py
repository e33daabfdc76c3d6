"""Images, positions and masks as a camera without distortion and with the same K would see them.

OpenCV's model of a lens. Its images have the centre of the top-left pixel at (0, 0) and ours at
(0.5, 0.5), which shows where pixels are sampled and nowhere else: K stays as it is given. OpenCV is
loaded where it is needed, because a refusal of what is given beside the images needs it not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fitter.rig import RigCamera

_KEPT = 8
"""Cameras whose maps are kept: of an image of 12 megapixels they take 84 MB."""

_ITERATIONS, _PRECISION = 100, 1e-10
"""When the search for an undistorted position ends."""


@dataclass(frozen=True)
class Undistortion:
    """Where a camera's pixels are on its distorted images.

    Attributes:
        maps: (H, W, 2) int16 and (H, W) uint16, OpenCV's fixed-point maps.
        inside: (H, W) bool, the pixels that the distorted image shows; None where it shows all.
    """

    maps: tuple[np.ndarray, np.ndarray]
    inside: np.ndarray | None

    @staticmethod
    def of(camera: RigCamera, size: tuple[int, int]) -> Undistortion | None:
        """Of a camera's images of (width, height) pixels; None without distortion."""
        if not camera.distortion.any():
            return None
        return _made(camera.intrinsics.tobytes(), camera.distortion.tobytes(), size)

    def pixels(self, distorted: np.ndarray) -> np.ndarray:
        """The image (H, W, 3) uint8, black where the distorted one shows nothing."""
        import cv2

        return cv2.remap(distorted, *self.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def mask(self, distorted: np.ndarray) -> np.ndarray:
        """The mask (H, W) bool, False where the distorted one shows nothing."""
        import cv2

        # Not the nearest sample: OpenCV takes that of fixed-point maps to the left and above.
        share = cv2.remap(
            distorted.astype(np.uint8) * np.uint8(255), *self.maps, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )  # fmt: skip
        return share > 127


def undistorted_points(camera: RigCamera, points: np.ndarray) -> np.ndarray:
    """Positions (N, 2) pixels of a distorted image, in pixels of the one without distortion."""
    if not camera.distortion.any():
        return points
    import cv2

    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, _PRECISION)
    matrix = camera.intrinsics
    found = cv2.undistortPointsIter(
        points.reshape(-1, 1, 2).astype(np.float64),
        matrix,
        camera.distortion,
        np.eye(3),
        matrix,
        until,
    )
    return found.reshape(-1, 2)


@lru_cache(maxsize=_KEPT)
def _made(matrix: bytes, distortion: bytes, size: tuple[int, int]) -> Undistortion:
    import cv2

    ours = np.frombuffer(matrix).reshape(3, 3)
    opencv = ours.copy()
    opencv[:2, 2] -= 0.5  # it counts the centres of pixels from 0
    x, y = cv2.initUndistortRectifyMap(
        opencv, np.frombuffer(distortion), np.eye(3), opencv, size, cv2.CV_32FC1
    )
    width, height = size
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return Undistortion(maps, None if inside.all() else inside)
