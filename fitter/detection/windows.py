"""Square windows of a picture, and those in which hands are searched.

A window is an image of its own, perhaps a mirrored one; `Window` carries hands between its pixels
and the picture's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from fitter.camera import SquareCrop, crop_pixels
from fitter.records import HandObservation, Side

LARGEST_LOOK = 1280
"""Longer side in pixels of the picture at the first look; larger pictures are shrunk for it."""

MOST_WINDOWS = 100
"""Rounds of the search with more windows than this are left out: in a picture that is a strip, its
shorter side says nothing about the size of hands, and the windows would be without number."""

_MIRROR_X = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Window:
    """A square of the picture as an image of its own; `mirrored` flips that image."""

    crop: SquareCrop
    mirrored: bool = False

    @staticmethod
    def at(centre: np.ndarray, size: float, output_size: int, mirrored: bool = False) -> Window:
        """A window in one place.

        Args:
            centre: (2,), in pixels of the picture.
            size: of its sides, in pixels of the picture; may reach beyond it.
            output_size: of its sides, in its own pixels.
            mirrored: whether to flip it left to right.
        """
        crop = SquareCrop(
            torch.as_tensor(centre, dtype=torch.float64)[None],
            torch.tensor([size], dtype=torch.float64),
            output_size,
        )
        return Window(crop, mirrored)

    def pixels(self, picture: np.ndarray) -> np.ndarray:
        """What the window shows of a picture, (output_size, output_size, 3) uint8."""
        window = crop_pixels(picture, self.crop)[0]
        return window[:, ::-1] if self.mirrored else window

    def cuts(self, hand: HandObservation, picture: np.ndarray) -> bool:
        """Whether a hand, in the picture's pixels, leaves the window where the picture goes on."""
        low = self.crop.origin[0].numpy()
        high = low + float(self.crop.size[0])
        limit = np.array([picture.shape[1], picture.shape[0]])
        beyond_low = (hand.box[:2] < low) & (low > 0)
        beyond_high = (hand.box[2:] > high) & (high < limit)
        return bool((beyond_low | beyond_high).any())

    def from_image(self, hand: HandObservation) -> HandObservation:
        """A hand of the picture with its keypoints and side in the window; the rest as it was."""
        scale = float(self.crop.scale[0])
        keypoints, side = (hand.keypoints - self.crop.origin[0].numpy()) * scale, hand.side
        if self.mirrored:
            keypoints = [self.crop.output_size, 0.0] + keypoints * [-1.0, 1.0]
            side = _other(side)
        return replace(hand, keypoints=keypoints, side=side)

    def to_image(self, hand: HandObservation) -> HandObservation:
        """A hand found in the window, in the picture's pixels and axes."""
        scale = float(self.crop.scale[0])
        keypoints, side = hand.keypoints, hand.side
        depth, xyz = weak_depth(hand)
        if self.mirrored:
            keypoints = keypoints * [-1.0, 1.0] + [self.crop.output_size, 0.0]
            xyz, side = xyz * _MIRROR_X, _other(side)
        return replace(
            hand,
            keypoints=keypoints / scale + self.crop.origin[0].numpy(),
            relative_depth=depth / scale,
            relative_xyz=xyz,
            side=side,
        )


def weak_depth(hand: HandObservation) -> tuple[np.ndarray, np.ndarray]:
    """A detected hand's relative depth, (21,) pixels, and its weak 3D keypoints, (21, 3) m."""
    # Hands from files may lack them; what a network has found has both.
    assert hand.relative_depth is not None and hand.relative_xyz is not None
    return hand.relative_depth, hand.relative_xyz


def search_windows(width: int, height: int) -> list[list[Window]]:
    """Rounds of windows to search in a picture of this size.

    First the picture with a border as wide as half of it, for a hand that fills it; then squares as
    high as its shorter side and squares half as high, both overlapping by half, for hands that are
    small in it.
    """
    longer, shorter = max(width, height), min(width, height)
    middle = np.array([width / 2, height / 2])
    rounds = [[Window.at(middle, 2.0 * longer, min(2 * longer, LARGEST_LOOK))]]
    for size in (shorter, shorter / 2):
        columns, rows = _centres(width, size), _centres(height, size)
        if len(columns) * len(rows) <= MOST_WINDOWS:
            pixels = int(np.clip(size, 256, 768))
            rounds.append(
                [Window.at(np.array([x, y]), size, pixels) for y in rows for x in columns]
            )
    return rounds


def _centres(length: float, size: float) -> np.ndarray:
    """Centres of intervals of `size` that cover [0, length] and overlap by at least half."""
    count = int(np.ceil(2.0 * (length - size) / size - 1e-9)) + 1
    return np.linspace(size / 2, length - size / 2, count) if count > 1 else np.array([length / 2])


def _other(side: Side) -> Side:
    return "left" if side == "right" else "right"
