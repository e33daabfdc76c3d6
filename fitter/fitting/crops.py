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
from fitter.records import HandObservation


@dataclass(frozen=True)
class HandCrop:
    """One hand in its crop of S x S pixels, as a right hand.

    Attributes:
        pixels: (S, S, 3) uint8 RGB, black outside the picture.
        inside: (S, S) uint8, the share of each pixel that lies in the picture, in 255ths; None
            where the whole crop does.
        given: (S, S) uint8, the share that a given mask counts as hand, in 255ths; None without
            one.
        predicted: (S, S) float32 in [0, 1], how likely a pixel shows the hand as a network sees it;
            None where none has looked.
        intrinsics: (3, 3) float64 K in pixels of the crop.
        keypoints: (21, 2) float64, pixels of the crop.
        confidence: (21,) float64 in [0, 1].
        others: (N, 21, 2) keypoints of the picture's other hands, pixels of the crop, NaN where
            not seen.
    """

    pixels: np.ndarray
    inside: np.ndarray | None
    given: np.ndarray | None
    intrinsics: np.ndarray
    keypoints: np.ndarray
    confidence: np.ndarray
    others: np.ndarray
    predicted: np.ndarray | None = None

    @property
    def inside_share(self) -> np.ndarray:
        """(S, S) float32 in [0, 1], `inside` as a share."""
        if self.inside is None:
            return np.ones(self.pixels.shape[:2], np.float32)
        return _as_share(self.inside)

    @property
    def given_share(self) -> np.ndarray | None:
        """(S, S) float32 in [0, 1], `given` as a share, or None without a mask."""
        return None if self.given is None else _as_share(self.given)


def crop_hands(
    pixels: np.ndarray,
    intrinsics: np.ndarray,
    hands: Sequence[HandObservation],
    mask: np.ndarray | None,
    crop: tuple[int, float],
) -> list[HandCrop | None]:
    """Crop all hands of a picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        intrinsics: (3, 3) K in pixels of the picture.
        hands: found in it.
        mask: (H, W) bool, the pixels that show hands, or None where nobody gave one.
        crop: side in pixels, and side over the longer side of the keypoints' box.

    Returns:
        A crop for each hand, None for one without finite keypoints to put a square around.
    """
    return [
        _crop(pixels, intrinsics, i, hands, mask, crop) if np.isfinite(hand.box).all() else None
        for i, hand in enumerate(hands)
    ]


def _crop(
    pixels: np.ndarray,
    intrinsics: np.ndarray,
    index: int,
    hands: Sequence[HandObservation],
    mask: np.ndarray | None,
    crop: tuple[int, float],
) -> HandCrop:
    side, margin = crop
    hand, others = hands[index], [*hands[:index], *hands[index + 1 :]]
    window = SquareCrop.around(torch.from_numpy(hand.box.reshape(1, 2, 2)), margin, side)
    positions = np.stack(
        [hand.keypoints]
        + [np.where(other.seen[:, None], other.keypoints, np.nan) for other in others]
    )
    points = to_crop(torch.from_numpy(positions.reshape(1, -1, 2)), window)
    matrix = crop_intrinsics(torch.from_numpy(intrinsics)[None].double(), window)
    pictures = [
        crop_pixels(pixels, window)[0],
        _in_255ths(inside_image((pixels.shape[0], pixels.shape[1]), window)[0]),
        *([] if mask is None else [_in_255ths(resample_mask(mask, window)[0])]),
    ]
    if hand.side == "left":
        points, matrix = mirror_points(points, side), mirror_intrinsics(matrix, side)
        pictures = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
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


def _as_share(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / 255
