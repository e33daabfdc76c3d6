"""Images, positions and masks as a camera without distortion and with the same K would see them.

OpenCV's model of a lens. Its images have the centre of the top-left pixel at (0, 0) and ours at
(0.5, 0.5), which shows where pixels are sampled and nowhere else: K stays as it is given. OpenCV is
loaded where it is needed, because a refusal of what is given beside the images needs it not.

The model's polynomials may turn round: beyond some angle a ray that is farther from the axis comes
out nearer to it, and the image would be shown a second time. What is beyond is not seen.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from fitter.rig import RigCamera

_KEPT_BYTES = 1 << 30
"""Of the maps of cameras that a process keeps. Those of an image of 12 megapixels take 84 MB."""

_ITERATIONS, _PRECISION = 100, 1e-10
"""When the search for an undistorted position ends."""

_MISSED = 0.05
"""Pixels by which a position may be missed when what was found for it is distorted again."""

_AWAY = -100.0
"""A position outside of every image."""


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
        matrix, lens = (part.astype(np.float64) for part in (camera.intrinsics, camera.distortion))
        return _made(matrix.tobytes(), lens.tobytes(), size)

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        shown = 0 if self.inside is None else self.inside.nbytes
        return sum(part.nbytes for part in self.maps) + shown

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
    """Positions (N, 2) pixels of a distorted image, in pixels of the one without distortion; NaN
    where no ray of the lens's model goes."""
    if not camera.distortion.any():
        return points
    import cv2

    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, _PRECISION)
    matrix, lens, none = camera.intrinsics, camera.distortion, np.zeros(3)
    given = points.reshape(-1, 1, 2).astype(np.float64)
    rays = cv2.undistortPointsIter(given, matrix, lens, np.eye(3), np.eye(3), until).reshape(-1, 2)
    rays = np.column_stack([rays, np.ones(len(rays))])
    # OpenCV returns something where its search does not end: it is one that comes back.
    again = cv2.projectPoints(rays, none, none, matrix, lens)[0].reshape(-1, 2)
    found = (rays @ matrix.T)[:, :2]
    missed = np.linalg.norm(again - given[:, 0], axis=-1)
    good = (missed < _MISSED) & (np.linalg.norm(rays[:, :2], axis=-1) < largest_radius(lens))
    return np.where(good[:, None], found, np.nan)


def largest_radius(distortion: np.ndarray) -> float:
    """Tangent of the angle with the axis up to which a lens's radial polynomials grow; infinity
    where they do not turn round.

    OpenCV has r (1 + k1 s + k2 s^2 + k3 s^3) / (1 + k4 s + k5 s^2 + k6 s^3) with s = r^2.

    Args:
        distortion: (D,) OpenCV's coefficients.
    """
    k = np.zeros(14)
    k[: len(distortion)] = distortion
    above = np.polynomial.Polynomial([1.0, k[0], k[1], k[4]])
    below = np.polynomial.Polynomial([1.0, k[5], k[6], k[7]])
    s = np.polynomial.Polynomial([0.0, 1.0])
    # The numerator of the derivative after r.
    slope = above * below + 2 * s * (above.deriv() * below - above * below.deriv())
    roots = np.concatenate([slope.trim(1e-15).roots(), below.trim(1e-15).roots()])
    ends = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
    return float(np.sqrt(ends.min())) if len(ends) else np.inf


def share_that_is_seen(camera: RigCamera, size: tuple[int, int]) -> float:
    """Share of an image of (width, height) pixels at which rays of the lens's model arrive."""
    x, y = (np.linspace(0.5, side - 0.5, 33) for side in size)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return float(np.isfinite(undistorted_points(camera, grid)).all(-1).mean())


_maps: OrderedDict[tuple[bytes, bytes, tuple[int, int]], Undistortion] = OrderedDict()
"""Those that were used last at the end."""


def _made(matrix: bytes, distortion: bytes, size: tuple[int, int]) -> Undistortion:
    """Of a camera, kept: frames ask for those of all cameras in turn."""
    key = (matrix, distortion, size)
    if key not in _maps:
        _maps[key] = _make(np.frombuffer(matrix).reshape(3, 3), np.frombuffer(distortion), size)
        while len(_maps) > 1 and sum(made.bytes for made in _maps.values()) > _KEPT_BYTES:
            _maps.popitem(last=False)
    _maps.move_to_end(key)
    return _maps[key]


def _make(matrix: np.ndarray, distortion: np.ndarray, size: tuple[int, int]) -> Undistortion:
    import cv2

    opencv = matrix.copy()
    opencv[:2, 2] -= 0.5  # it counts the centres of pixels from 0
    x, y = cv2.initUndistortRectifyMap(opencv, distortion, np.eye(3), opencv, size, cv2.CV_32FC1)
    width, height = size
    seen = _is_seen(opencv, distortion, x, y)
    inside = seen & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x[~seen] = y[~seen] = _AWAY
    maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return Undistortion(maps, None if inside.all() else inside)


def _is_seen(
    matrix: np.ndarray, distortion: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Which pixels (H, W) bool without distortion the lens shows once and not turned round; (x, y),
    each (H, W), is where they are on its image."""
    height, width = x.shape
    v, u = np.mgrid[:height, :width].astype(np.float32)
    inverse = np.linalg.inv(matrix).astype(np.float32)
    across = inverse[0, 0] * u + inverse[0, 1] * v + inverse[0, 2]
    down = inverse[1, 1] * v + inverse[1, 2]
    near = np.hypot(across, down) < largest_radius(distortion)
    if min(height, width) < 2:
        return near
    (x_v, x_u), (y_v, y_u) = np.gradient(x), np.gradient(y)
    return near & (x_u * y_v > x_v * y_u)
