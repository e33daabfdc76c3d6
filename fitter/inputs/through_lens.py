"""An image of a camera with a lens, as everything after the detector sees it.

Hands are found in the image as it was taken, where a hand at the border of a wide lens looks like
any other; without distortion it would be stretched several-fold. Their keypoints, and the pixels
and masks that stages compare with, are then brought into a camera without distortion that stands in
the same place and looks the same way, and so is all that is stored. That camera keeps the lens's
focal length; its images are as large as they must be to show what the lens shows, so that no hand
at the border is lost, up to the limits below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fitter.errors import InputError
from fitter.inputs.lens_rays import rays_of
from fitter.inputs.undistortion import PinholeCamera, Undistortion, undistorted_points
from fitter.lens import Lens, LensModel
from fitter.records import HandObservation, ImageRecord

MOST_PIXELS = 2.0
"""Pixels of the image without distortion over those of the image as it was taken, at most; one that
would need more has a shorter focal length. # not published"""

WIDEST_SHOWN = math.radians(70.0)
"""Angle with the axis, radians, up to which images without distortion show anything. A fisheye's
pixels are stretched 9-fold there. Keypoints beyond are kept, see
`fitter.inputs.lens_rays.WIDEST_ANGLE`. # not published"""

_STEPS = 129
"""Positions along a side at which it is asked where a lens's rays go."""

_BESIDE = 1.0
"""Pixels between positions from which it is measured how far a lens stretches what is there."""


@dataclass(frozen=True)
class ThroughLens:
    """Images of one camera with a lens.

    Attributes:
        lens: with the size of the images that it made.
        straight: the camera without distortion.
    """

    lens: Lens
    straight: PinholeCamera

    @staticmethod
    def of(lens: Lens) -> ThroughLens:
        """Of a lens whose size is known."""
        matrix, distortion = lens.intrinsics.tobytes(), lens.distortion.tobytes()
        assert lens.size is not None
        return ThroughLens(lens, _straight(lens.model, matrix, distortion, lens.size))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the images as they are taken, pixels."""
        assert self.lens.size is not None
        return self.lens.size

    @property
    def undistortion(self) -> Undistortion:
        """Where pixels come from."""
        found = Undistortion.of(self.lens, self.size, self.straight)
        assert found is not None  # the lens distorts
        return found

    def pixels(self, taken: np.ndarray, where: str) -> np.ndarray:
        """An image (H, W, 3) uint8 without distortion, black where the lens shows nothing.

        Args:
            taken: (h, w, 3) uint8 RGB.
            where: what to name in messages.

        Raises:
            InputError: it has another size (`hand.other_image`).
        """
        found = (taken.shape[1], taken.shape[0])
        if found != self.size:
            raise InputError("hand.other_image", file=where, expected=self.size, found=found)
        return self.undistortion.pixels(taken)

    def record(self, image: ImageRecord) -> ImageRecord:
        """An image as it was taken, without distortion."""
        return replace(
            image,
            pixels=self.pixels(image.pixels, image.name),
            intrinsics=self.straight.intrinsics.copy(),
            inside=self.inside(image.inside),
        )

    def inside(self, taken: np.ndarray | None) -> np.ndarray | None:
        """Which pixels without distortion show something.

        Args:
            taken: (h, w) bool, the same of the image as it was taken; None where all do.

        Returns:
            (H, W) bool; None where all do.
        """
        shown = self.undistortion.inside
        if taken is None:
            return shown
        mask = self.undistortion.mask(taken)
        return mask if shown is None else mask & shown

    def mask(self, taken: np.ndarray | None) -> np.ndarray | None:
        """A mask (h, w) bool, or uint16 labels, of the image as it was taken; (H, W) of the same
        kind without distortion."""
        return None if taken is None else self.undistortion.mask(taken)

    def hand(self, hand: HandObservation) -> HandObservation | None:
        """A hand of the image as it was taken, without distortion.

        Keypoints of confidence 0, which may be anywhere, stay; those that the lens's model does not
        show, or too far from the axis, get confidence 0. None where no seen keypoint is left.
        """
        straight = undistorted_points(self.lens, hand.keypoints, self.straight.intrinsics)
        known = np.isfinite(straight).all(-1)
        if hand.seen.any() and not (known & hand.seen).any():
            return None
        middle = straight[known].mean(0) if known.any() else np.zeros(2)
        moved = replace(
            hand,
            keypoints=np.where(known[:, None], straight, middle),
            confidence=np.where(known, hand.confidence, 0.0),
        )
        if hand.relative_depth is None:
            return moved
        return replace(moved, relative_depth=hand.relative_depth * self._stretch(hand))

    def _stretch(self, hand: HandObservation) -> float:
        """Length of what is at a hand without distortion over that in the image as it was taken:
        the geometric mean over directions, which depth is in proportion to, see
        `init_net.view_frame.view_focal`."""
        seen = hand.keypoints[hand.seen] if hand.seen.any() else hand.keypoints
        around = seen.mean(0) + _BESIDE * np.array([[0, 0], [1, 0], [0, 1]])
        here, right, below = undistorted_points(self.lens, around, self.straight.intrinsics)
        area = abs(np.linalg.det(np.stack([right - here, below - here]))) / _BESIDE**2
        return math.sqrt(area) if np.isfinite(area) else 1.0


def taken_through(
    lens: Lens | None, intrinsics: np.ndarray | None, size: tuple[int | None, int | None]
) -> ThroughLens | None:
    """How an image was taken of which results tell; None where no lens distorts it.

    Args:
        lens: of the results.
        intrinsics: (3, 3) K of the results, which is of the image without distortion.
        size: (width, height) of that image, pixels.
    """
    width, height = size
    if lens is None or intrinsics is None or width is None or height is None:
        return None
    return ThroughLens(lens, PinholeCamera(intrinsics, (width, height)))


@lru_cache(maxsize=64)
def _straight(
    model: LensModel, matrix: bytes, distortion: bytes, size: tuple[int, int]
) -> PinholeCamera:
    """`straight_camera`, kept: most images of a run were taken by one lens."""
    K = np.frombuffer(matrix).reshape(3, 3)
    return straight_camera(Lens(K, model, np.frombuffer(distortion), size))


def straight_camera(lens: Lens) -> PinholeCamera:
    """The camera without distortion that shows what a lens shows.

    Args:
        lens: whose size is known.

    Returns:
        Its K is the lens's but for a shift by whole pixels, and, where its image would have more
        than `MOST_PIXELS` times as many pixels as the lens's, for a scale.

    Raises:
        InputError: all that the lens shows is farther than `WIDEST_SHOWN` from its axis
            (`lens.aside`).
    """
    assert lens.size is not None
    x, y = (np.linspace(0.0, side, _STEPS) for side in lens.size)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    rays = rays_of(lens, grid)
    rays = rays[np.linalg.norm(rays, axis=-1) < math.tan(WIDEST_SHOWN)]  # NaN is not
    if len(rays) == 0:
        angle = math.degrees(WIDEST_SHOWN)
        raise InputError("lens.aside", file="lens", found=angle)
    matrix = lens.intrinsics
    shown = rays * matrix[[0, 1], [0, 1]] + matrix[:2, 2]
    # A whole number that is missed by a rounding error adds no pixel.
    first, end = np.floor(shown.min(0) + 1e-3), np.ceil(shown.max(0) - 1e-3)
    width, height = (end - first).tolist()
    moved = matrix.copy()
    moved[:2, 2] -= first
    scale = math.sqrt(MOST_PIXELS * lens.size[0] * lens.size[1] / (width * height))
    if scale >= 1:
        return PinholeCamera(moved, (round(width), round(height)))
    moved[:2] *= scale
    return PinholeCamera(moved, (math.ceil(width * scale), math.ceil(height * scale)))
