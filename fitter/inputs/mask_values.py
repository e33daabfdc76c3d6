"""What the numbers of a mask say: which pixels are hand, or which hand or thing each one shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fitter.errors import InputError

_RANGES = (1, 255, 65535)
"""Largest values of masks: truth values, 8 bits and 16 bits."""

_MOST_LABELS = 64
"""Values beside 0 up to which a mask may be a map of labels."""

_SOLID = 0.5
"""Share of a value's pixels that have their like on all four sides, from which on it is a label.
Values between those of hand and background are the soft border of a mask: they lie side by side
with others."""


def hand_pixels(values: np.ndarray, where: Path | str, is_lossless: bool = True) -> np.ndarray:
    """What a mask of one channel says.

    Labels
        where it has few values, and at least two beside 0 that fill areas, or all lie in the lower
        half of the range.
    One mask of all hands
        otherwise: pixels above half of the range, which is the smallest of 1, 255 and 65,535 that
        holds the largest value.

    Args:
        values: (H, W) bool, whole or floating-point numbers, at least one.
        where: what to name in messages.
        is_lossless: whether the values are those that were written, and no JPEG's.

    Returns:
        (H, W) bool, or uint16 labels, 0 for none.

    Raises:
        InputError: a value is negative, no number or exceeds 16 bits (`image.grey_range`), or none
            is above half of the range, some are above 0, and they are no labels (`mask.labels`).
    """
    if values.dtype == bool:
        return values
    least, most = values.min().item(), values.max().item()
    span = next((span for span in _RANGES if span >= most), None)
    if span is None or not least >= 0:
        raise InputError("image.grey_range", file=where, least=least, most=most)
    if not is_lossless and span == 1:
        span = 255
    is_dim = 0 < most <= span / 2
    if is_lossless and span > 1:
        # A mask of 0 and its largest value, as most are, has no labels to be looked for.
        labels = _labels(values) if is_dim or ((values > 0) & (values < most)).any() else None
        if labels is not None and (is_dim or _count_solid(labels) > 1):
            return one_or_labels(labels)
    if is_dim:
        raise InputError("mask.labels", file=where, span=span, least=least, most=most)
    return values > span / 2


def colour_pixels(colours: np.ndarray, where: Path | str, is_lossless: bool = True) -> np.ndarray:
    """What a mask in colour says: each colour that fills an area is a label where there are several
    beside black, and otherwise any bright one is hand.

    Args:
        colours: (H, W, 3) uint8.
        where: what to name in messages.
        is_lossless: as of `hand_pixels`.

    Returns:
        As `hand_pixels`.

    Raises:
        InputError: as `hand_pixels`.
    """
    if (colours == colours[..., :1]).all():
        return hand_pixels(colours[..., 0], where, is_lossless)
    if is_lossless:
        wide = colours.astype(np.uint32)
        labels = _labels(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
        if labels is not None and _count_solid(labels) > 1:
            return labels
    return hand_pixels(colours.max(axis=-1), where, is_lossless)


def _labels(values: np.ndarray) -> np.ndarray | None:
    """Values (H, W) as labels uint16, those beside 0 numbered from 1 on in their order; None where
    they are too many or no whole numbers."""
    if np.issubdtype(values.dtype, np.floating):
        if (values != np.round(values)).any():
            return None
        values = values.astype(np.uint16)
    # Most masks have a few values, and others thousands: some rows tell without sorting them all.
    if len(np.unique(values[:: max(1, len(values) // 32)])) > _MOST_LABELS + 1:
        return None
    most = int(values.max())
    if most <= _RANGES[-1]:
        found = np.flatnonzero(np.bincount(values.ravel(), minlength=most + 1))
        numbers = np.zeros(most + 1, np.uint16)
        numbers[found] = np.arange(len(found)) + (found[0] > 0)
        return numbers[values] if len(found) <= _MOST_LABELS + 1 else None
    found, places = np.unique(values, return_inverse=True)
    if len(found) > _MOST_LABELS + 1:
        return None
    return (places.reshape(values.shape) + (found[0] > 0)).astype(np.uint16)


def one_or_labels(labels: np.ndarray) -> np.ndarray:
    """Labels (H, W) uint16; where there is one beside 0, a mask (H, W) bool of it."""
    present = np.bincount(labels.ravel())[1:] > 0
    return labels if present.sum() > 1 else labels > 0


def _count_solid(labels: np.ndarray) -> int:
    """How many of the labels beside 0 fill areas."""
    padded = np.pad(labels, 1, mode="edge")
    inner = np.ones(labels.shape, bool)
    height, width = labels.shape
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inner &= padded[y : y + height, x : x + width] == labels
    count = np.bincount(labels.ravel())
    solid = np.bincount(labels[inner], minlength=len(count))
    return int((solid[1:] > _SOLID * count[1:]).sum())
