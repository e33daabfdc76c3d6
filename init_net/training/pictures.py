"""Pictures of what a network says of held-out samples beside the truth, for TensorBoard.

A row for each sample: on the left what is true, on the right what the network says.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from fitter.conventions import BONES
from init_net.samples.crop_samples import CropSamples

SHOWN = 6
"""Samples of a picture."""

_SIDE = 224
"""Pixels of what is shown of a sample."""

_FINGERS = ((230, 60, 60), (240, 160, 40), (90, 190, 60), (60, 140, 230), (190, 90, 220))
"""sRGB of the bones, from the thumb to the little finger."""

_MASK = np.array([40, 220, 120], np.float32)
_PAPER = 245
_INK = (20, 20, 20)

CAPTION = 22
"""Pixels of the height of captions."""


def crop_pictures(
    crops: CropSamples,
    positions: Tensor | None,
    logits: Tensor | None,
    wanted: Tensor | None = None,
    drawn: Tensor | None = None,
) -> np.ndarray:
    """Crops with keypoints and masks.

    Args:
        crops: B.
        positions: (B, 21, 2) keypoints as the network has them, crop units about the middle; None
            where it says none, and then no true ones are drawn.
        logits: (B, S, S) above 0 where it sees the hand; None likewise.
        wanted: (B, 21, 2) keypoints that are learned from; None for the true ones.
        drawn: (B, S, S, 3) hands as they are drawn, sRGB, which go between; None for none.

    Returns:
        (B H, 2 H or 3 H, 3) uint8 sRGB.
    """
    rows = []
    targets = crops.positions if wanted is None else wanted
    for row in range(len(crops.image)):
        image = _picture(crops.image[row].permute(1, 2, 0))
        true, found = image.copy(), image.copy()
        if logits is not None:
            if bool(crops.has_mask[row]):
                true = _tinted(true, crops.mask[row] > 0.5)
            found = _tinted(found, logits[row] > 0)
        if positions is not None:
            _draw_hand(true, targets[row])
            _draw_hand(found, positions[row])
        middle = [] if drawn is None else [_picture(drawn[row])]
        rows.append(np.concatenate([true, *middle, found], 1))
    return np.concatenate(rows)


def captioned(picture: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """A picture with a word or two over each of its columns.

    Args:
        picture: (H, C W, 3) uint8 of C columns of the same width.
        captions: of the C columns, in ASCII.

    Returns:
        (H + `CAPTION`, C W, 3) uint8.
    """
    height, width = CAPTION, picture.shape[1] // len(captions)
    strips = []
    for caption in captions:
        strip = np.full((height, width, 3), _PAPER, np.uint8)
        place = (4, height - 7)
        cv2.putText(strip, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
        strips.append(strip)
    return np.concatenate([np.concatenate(strips, 1), picture])


def relative_pictures(keypoints: Tensor, truth: Tensor) -> np.ndarray:
    """Hands of keypoints alone, each as the camera sees it and from its right.

    Args:
        keypoints: (B, 21, 3) as the network has them, relative to the wrist, crop units.
        truth: (B, 21, 3) likewise.

    Returns:
        (B H, 4 H, 3) uint8 sRGB: the truth from both sides, then what the network says.
    """
    rows = []
    for found, true in zip(keypoints.float().cpu(), truth.float().cpu(), strict=True):
        middle = true.nan_to_num().mean(0)
        views = []
        for hand in (true - middle, found - middle):
            for axes in ([0, 1], [2, 1]):
                paper = np.full((_SIDE, _SIDE, 3), _PAPER, np.uint8)
                _draw_hand(paper, hand[:, axes])
                views.append(paper)
        rows.append(np.concatenate(views, 1))
    return np.concatenate(rows)


def _picture(image: Tensor) -> np.ndarray:
    """(H, H, 3) uint8 of a picture (S, S, 3) in [0, 1]; colours beyond are the nearest."""
    values = (255 * image.float().clamp(0, 1)).round().cpu().numpy().astype(np.uint8)
    return cv2.resize(values, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)


def _tinted(image: np.ndarray, mask: Tensor) -> np.ndarray:
    """An image (H, H, 3) whose pixels in a mask (S, S) have another colour."""
    shown = cv2.resize(
        mask.cpu().numpy().astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST
    )
    mixed = 0.55 * image + 0.45 * _MASK
    return np.where(shown[..., None] > 0, mixed, image).astype(np.uint8)


def _draw_hand(image: np.ndarray, positions: Tensor) -> None:
    """Draw bones between (21, 2) positions in crop units about the middle; unknown ones are left
    out."""
    # OpenCV takes whole pixels; far beyond the image they would not be whole numbers for it.
    pixels = (_SIDE * (positions.float().cpu().numpy() + 0.5)).clip(-_SIDE, 2 * _SIDE)
    for number, (start, end) in enumerate(BONES):
        ends = pixels[[start, end]]
        if np.isfinite(ends).all():
            first, last = (tuple(map(int, point.round())) for point in ends)
            colour = _FINGERS[number * len(_FINGERS) // len(BONES)]
            cv2.line(image, first, last, colour, 2, cv2.LINE_AA)
