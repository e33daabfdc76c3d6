"""What is kept of a picture for the stages after the keypoints: a small square around every hand.

A left hand's crop is that of the mirrored picture, in which it is a right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fitter.camera import (
    SquareCrop,
    crop_intrinsics,
    crop_pixels,
    mirror_intrinsics,
    mirror_points,
    to_crop,
)
from fitter.masks.geometry import inside_image, resample_mask
from fitter.records import HandCrop, HandObservation


def crop_hands(
    pixels: np.ndarray,
    intrinsics: np.ndarray,
    hands: Sequence[HandObservation],
    mask: np.ndarray | Sequence[np.ndarray | None] | None,
    crop: tuple[int, float],
    inside: np.ndarray | None = None,
) -> list[HandCrop | None]:
    """Crop all hands of a picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        intrinsics: (3, 3) K in pixels of the picture.
        hands: found in it.
        mask: (H, W) bool, the pixels that show hands, one for each hand or one for all; None where
            nobody gave one.
        crop: side in pixels, and side over the longer side of the keypoints' box.
        inside: (H, W) bool, the pixels that show something, or None where all do.

    Returns:
        A crop for each hand, None for one without finite keypoints to put a square around.
    """
    masks = [mask] * len(hands) if mask is None or isinstance(mask, np.ndarray) else mask
    scene = _Picture(pixels, intrinsics, masks, inside)
    return [
        _crop(scene, i, hands, crop) if np.isfinite(hand.box).all() else None
        for i, hand in enumerate(hands)
    ]


@dataclass(frozen=True)
class _Picture:
    """What crops are cut from, see `crop_hands`."""

    pixels: np.ndarray
    intrinsics: np.ndarray
    masks: Sequence[np.ndarray | None]
    inside: np.ndarray | None

    def share_inside(self, window: SquareCrop) -> np.ndarray:
        """(S, S) float32: the share of each pixel of the only crop that the picture shows."""
        if self.inside is None:
            return inside_image((self.pixels.shape[0], self.pixels.shape[1]), window)[0]
        return resample_mask(self.inside, window)[0]


def _crop(
    picture: _Picture, index: int, hands: Sequence[HandObservation], crop: tuple[int, float]
) -> HandCrop:
    side, margin = crop
    mask = picture.masks[index]
    hand, others = hands[index], [*hands[:index], *hands[index + 1 :]]
    window = SquareCrop.around(torch.from_numpy(hand.box.reshape(1, 2, 2)), margin, side)
    positions = np.stack(
        [hand.keypoints]
        + [np.where(other.seen[:, None], other.keypoints, np.nan) for other in others]
    )
    points = to_crop(torch.from_numpy(positions.reshape(1, -1, 2)), window)
    matrix = crop_intrinsics(torch.from_numpy(picture.intrinsics)[None].double(), window)
    pictures = [
        crop_pixels(picture.pixels, window)[0],
        _in_255ths(picture.share_inside(window)),
        *([] if mask is None else [_in_255ths(resample_mask(mask, window)[0])]),
    ]
    if hand.side == "left":
        points, matrix = mirror_points(points, side), mirror_intrinsics(matrix, side)
        pictures = [np.ascontiguousarray(values[:, ::-1]) for values in pictures]
    own, *rest = points.view(-1, 21, 2).numpy()
    return HandCrop(
        pixels=pictures[0],
        inside=None if pictures[1].min() == 255 else pictures[1],
        given=pictures[2] if mask is not None else None,
        intrinsics=matrix[0].numpy(),
        keypoints=own,
        confidence=hand.confidence,
        others=np.array(rest).reshape(-1, 21, 2),
    )


def _in_255ths(share: np.ndarray) -> np.ndarray:
    """Shares in [0, 1] as uint8: a block of many pictures waits with its crops for the fit, and
    takes a quarter of the memory so."""
    # Halves are rounded down: masks ask what is above one half, which half of 255 is not.
    return np.ceil(255 * share.clip(0, 1) - 0.5).astype(np.uint8)
