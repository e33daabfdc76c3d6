"""Square windows of a picture, upright or turned, as images that a network sees.

Positions in the picture count as everywhere: the first pixel covers [0, 1]. Nothing here needs
PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from fitter.records import HandObservation, Side

FINEST_STEP = 2.0
"""Pixels of a picture along one of a window up to which interpolation between four of them leaves
nothing out; beyond, the picture is halved first."""


@dataclass(frozen=True)
class Window:
    """A square of a picture, which may reach beyond it.

    Attributes:
        centre: (2,) float64, pixels of the picture.
        size: of its side, pixels of the picture.
        angle: radians by which its x axis is turned from the picture's, towards y.
        mirrored: whether its x axis is flipped: its image is that of the mirrored picture.
    """

    centre: np.ndarray
    size: float
    angle: float = 0.0
    mirrored: bool = False

    @staticmethod
    def whole(picture: np.ndarray, share: float = 1.0) -> Window:
        """The square around a picture (H, W, 3), its side `share` of the longer side.

        Half a pixel further than the picture's middle, which makes it MediaPipe's to the bit: there
        a picture begins in the middle of its first pixel.
        """
        height, width = picture.shape[:2]
        return Window(np.array([width + 1, height + 1]) / 2, share * max(height, width))

    @cached_property
    def axes(self) -> np.ndarray:
        """(2, 2) its x and y axis in the picture, as columns, unit vectors."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        flip = -1.0 if self.mirrored else 1.0
        return np.array([[flip * cosine, -sine], [flip * sine, cosine]])

    def matrix(self, pixels: int) -> np.ndarray:
        """(2, 3) affine map from positions in its image, `pixels` a side, to the picture's.

        Positions in a window's image count from the middle of its first pixel, as the networks were
        trained to count them.
        """
        turned = self.axes * (self.size / pixels)
        return np.column_stack([turned, self.centre - turned @ [pixels / 2, pixels / 2]])

    def points_to_picture(self, points: np.ndarray, pixels: int) -> np.ndarray:
        """Positions (..., 2) in its image, `pixels` a side, in the picture's pixels."""
        matrix = self.matrix(pixels)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def points_from_picture(self, points: np.ndarray, pixels: int) -> np.ndarray:
        """Positions (..., 2) in the picture's pixels, in its image, `pixels` a side."""
        return (points - self.centre) @ self.axes * (pixels / self.size) + pixels / 2

    def to_picture(self, hand: HandObservation, pixels: int) -> HandObservation:
        """A hand found in its image, `pixels` a side, in the picture's pixels and axes."""
        depth, xyz = weak_depth(hand)
        across = xyz[:, :2] @ self.axes.T
        return replace(
            hand,
            keypoints=self.points_to_picture(hand.keypoints, pixels),
            relative_depth=depth * (self.size / pixels),
            relative_xyz=np.column_stack([across, xyz[:, 2]]),
            side=other_side(hand.side) if self.mirrored else hand.side,
        )

    def from_picture(self, hand: HandObservation, pixels: int) -> HandObservation:
        """A hand of the picture with its keypoints and side in the window; the rest as it was."""
        keypoints = self.points_from_picture(hand.keypoints, pixels)
        side = other_side(hand.side) if self.mirrored else hand.side
        return replace(hand, keypoints=keypoints, side=side)

    def cuts(self, hand: HandObservation, picture: np.ndarray) -> bool:
        """Whether a hand, in the picture's pixels, leaves an upright window where the picture goes
        on."""
        low, high = self.centre - self.size / 2, self.centre + self.size / 2
        limit = np.array([picture.shape[1], picture.shape[0]])
        beyond_low = (hand.box[:2] < low) & (low > 0)
        beyond_high = (hand.box[2:] > high) & (high < limit)
        return bool((beyond_low | beyond_high).any())


class Picture:
    """A picture with its reductions by half, made as they are needed.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = np.ascontiguousarray(pixels)
        self._levels = [self.pixels]

    def cut(self, windows: Sequence[Window], pixels: int, repeats: bool = False) -> np.ndarray:
        """The images of windows, (N, pixels, pixels, 3) uint8 RGB.

        Each is interpolated linearly in a reduction of the picture whose pixels are not smaller
        than half of its own, so that nothing is left out and no pattern is made up.

        Args:
            windows: N of them.
            pixels: of a side of their images.
            repeats: whether the picture's outermost pixels go on outside of it; else it is black.
        """
        border = cv2.BORDER_REPLICATE if repeats else cv2.BORDER_CONSTANT
        images = np.empty((len(windows), pixels, pixels, 3), dtype=np.uint8)
        for image, window in zip(images, windows, strict=True):
            source = self._reduced(self.level(window.size / pixels))
            scale = np.array([source.shape[1], source.shape[0]]) / self.pixels.shape[1::-1]
            matrix = scale[:, None] * window.matrix(pixels)
            matrix[:, 2] -= 0.5  # OpenCV counts from the middle of the first pixel
            cv2.warpAffine(
                source, matrix, (pixels, pixels), dst=image,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=border,
            )  # fmt: skip
        return images

    def level(self, step: float) -> int:
        """How often to halve for a window that has a pixel for `step` of the picture's."""
        shorter, level = min(self.pixels.shape[:2]), 0
        while step > FINEST_STEP and shorter > 1:
            step, shorter, level = step / 2, shorter // 2, level + 1
        return level

    def _reduced(self, level: int) -> np.ndarray:
        """The picture halved so often."""
        while level >= len(self._levels):
            height, width = self._levels[-1].shape[:2]
            size = (max(width // 2, 1), max(height // 2, 1))
            reduced = cv2.resize(self._levels[-1], size, interpolation=cv2.INTER_AREA)
            self._levels.append(reduced)
        return self._levels[level]


def weak_depth(hand: HandObservation) -> tuple[np.ndarray, np.ndarray]:
    """A detected hand's relative depth, (21,) pixels, and its weak 3D keypoints, (21, 3) m."""
    # Hands from files may lack them; what a network has found has both.
    assert hand.relative_depth is not None and hand.relative_xyz is not None
    return hand.relative_depth, hand.relative_xyz


def other_side(side: Side) -> Side:
    """The side that a mirror shows."""
    return "left" if side == "right" else "right"
