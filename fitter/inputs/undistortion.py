"""Images, positions and masks as a camera without distortion would see them.

That camera stands in the same place and looks the same way; its K and its images' size are the same
or others (`PinholeCamera`). OpenCV's images have the centre of the top-left pixel at (0, 0) and
ours at (0.5, 0.5), which shows where pixels are sampled and nowhere else.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fitter.inputs.lens_rays import rays_of, reach
from fitter.lens import HasLens, Lens, LensModel, is_straight

_KEPT_BYTES = 1 << 30
"""Of the maps of cameras that a process keeps. Those of an image of 12 megapixels take 84 MB."""

_AWAY = -100.0
"""A position outside of every image."""


class PinholeCamera(NamedTuple):
    """A camera without distortion: (3, 3) float64 K in pixels, and (width, height) of its images
    in pixels."""

    intrinsics: np.ndarray
    size: tuple[int, int]


@dataclass(frozen=True)
class Undistortion:
    """Where the pixels of a camera without distortion are on the images that a lens made.

    Attributes:
        maps: (H, W, 2) int16 and (H, W) uint16, OpenCV's fixed-point maps.
        inside: (H, W) bool, the pixels that the distorted image shows; None where it shows all.
    """

    maps: tuple[np.ndarray, np.ndarray]
    inside: np.ndarray | None

    @staticmethod
    def of(
        camera: HasLens, size: tuple[int, int], into: PinholeCamera | None = None
    ) -> Undistortion | None:
        """Of a camera's images; None without distortion.

        Args:
            camera: with its lens.
            size: (width, height) of its images, pixels.
            into: the camera without distortion; None for one with the same K and size.
        """
        if is_straight(camera):
            return None
        into = PinholeCamera(camera.intrinsics, size) if into is None else into
        arrays = (camera.intrinsics, camera.distortion, into.intrinsics)
        matrix, lens, straight = (part.astype(np.float64).tobytes() for part in arrays)
        return _made((camera.model, matrix, lens, size, straight, into.size))

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
        """The mask (H, W) bool, or uint16 labels, False or 0 where the distorted one shows
        nothing."""
        import cv2

        if distorted.dtype != bool:
            whole = np.empty((0, 0), np.uint16)  # no parts of pixels
            return cv2.remap(
                distorted, self._nearest(), whole, cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
            )  # fmt: skip

        # Not the nearest sample: OpenCV takes that of fixed-point maps to the left and above.
        share = cv2.remap(
            distorted.astype(np.uint8) * np.uint8(255), *self.maps, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )  # fmt: skip
        return share > 127

    def _nearest(self) -> np.ndarray:
        """(H, W, 2) int16, the pixel of the distorted image that is nearest to each pixel's place.

        The fixed-point maps have the pixel to the left and above, and in the lower 10 bits how far
        the place is from it, down and to the right, in 32nds of a pixel.
        """
        whole, part = self.maps
        return whole + (np.stack([part & 31, part >> 5 & 31], axis=-1) >= 16)


def undistorted_points(
    camera: HasLens, points: np.ndarray, into: np.ndarray | None = None
) -> np.ndarray:
    """Positions of a distorted image in pixels of the one without distortion.

    Args:
        camera: with its lens.
        points: (N, 2) pixels of its image.
        into: (3, 3) K of the camera without distortion; None for the same K.

    Returns:
        (N, 2) pixels, NaN where no ray of the lens's model goes.
    """
    if is_straight(camera) and into is None:
        return points
    matrix = camera.intrinsics if into is None else into
    rays = rays_of(camera, points)
    return (np.column_stack([rays, np.ones(len(rays))]) @ matrix.T)[:, :2]


def share_that_is_seen(camera: HasLens, size: tuple[int, int]) -> float:
    """Share of an image of (width, height) pixels at which rays of the lens's model arrive."""
    matrix, distortion = (
        part.astype(np.float64).tobytes() for part in (camera.intrinsics, camera.distortion)
    )
    return _share_that_is_seen(camera.model, matrix, distortion, size)


@lru_cache(maxsize=64)
def _share_that_is_seen(
    model: LensModel, matrix: bytes, distortion: bytes, size: tuple[int, int]
) -> float:
    """The same, kept: most images of a run were taken by one lens."""
    lens = Lens(np.frombuffer(matrix).reshape(3, 3), model, np.frombuffer(distortion))
    x, y = (np.linspace(0.5, side - 0.5, 33) for side in size)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return float(np.isfinite(undistorted_points(lens, grid)).all(-1).mean())


_Key = tuple[LensModel, bytes, bytes, tuple[int, int], bytes, tuple[int, int]]

_maps: OrderedDict[_Key, Undistortion] = OrderedDict()
"""Those that were used last at the end."""


def _made(key: _Key) -> Undistortion:
    """Of a camera, kept: frames ask for those of all cameras in turn."""
    if key not in _maps:
        model, matrix, distortion, size, straight, into = key
        lens = Lens(
            np.frombuffer(matrix).reshape(3, 3),
            model,
            np.frombuffer(distortion),
        )
        camera = PinholeCamera(np.frombuffer(straight).reshape(3, 3), into)
        _maps[key] = _make(lens, size, camera)
        while len(_maps) > 1 and sum(made.bytes for made in _maps.values()) > _KEPT_BYTES:
            _maps.popitem(last=False)
    _maps.move_to_end(key)
    return _maps[key]


def _make(lens: Lens, size: tuple[int, int], into: PinholeCamera) -> Undistortion:
    import cv2

    matrix, straight = lens.intrinsics.copy(), into.intrinsics.copy()
    for each in (matrix, straight):
        each[:2, 2] -= 0.5  # OpenCV counts the centres of pixels from 0
    fisheye = lens.model == "fisheye"
    mapped = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
    x, y = mapped(matrix, lens.distortion, np.eye(3), straight, into.size, cv2.CV_32FC1)
    width, height = size
    seen = _is_seen(straight, reach(lens), x, y)
    inside = seen & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x[~seen] = y[~seen] = _AWAY
    maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return Undistortion(maps, None if inside.all() else inside)


def _is_seen(matrix: np.ndarray, longest: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which pixels (H, W) bool without distortion the lens shows once and not turned round; (x, y),
    each (H, W), is where they are on its image, `longest` its `reach`."""
    height, width = x.shape
    v, u = np.mgrid[:height, :width].astype(np.float32)
    inverse = np.linalg.inv(matrix).astype(np.float32)
    across = inverse[0, 0] * u + inverse[0, 1] * v + inverse[0, 2]
    down = inverse[1, 1] * v + inverse[1, 2]
    near = np.hypot(across, down) < longest
    if min(height, width) < 2:
        return near
    (x_v, x_u), (y_v, y_u) = np.gradient(x), np.gradient(y)
    return near & (x_u * y_v > x_v * y_u)
