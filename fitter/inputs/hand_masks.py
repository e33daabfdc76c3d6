"""Which pixels of a given mask are whose: each hand of an image gets its own by its keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitter.errors import InputError
from fitter.records import HandObservation

OWN = 0.5
"""Share of a hand's keypoints that lie in any label, from which on the label with most of them is
the hand. With less it is in parts, such as fingers."""

OUTSIDE = 0.9
"""Share of all keypoints outside a mask from which on it may be inverted."""

AREA, BORDER = 0.5, 0.75
"""Share of the image, or of its border, that an inverted mask shows."""

_ASPECT = 1.0
"""Pixels by which the sides of a mask of another size may be off the image's aspect: one number is
rounded when an image is scaled."""


def masks_of_hands(mask: np.ndarray, hands: Sequence[HandObservation]) -> list[np.ndarray | None]:
    """The mask of each hand.

    A mask of all hands is that of each. Of labels a hand's own is the one that most of its
    keypoints lie in; where none has `OWN` of them, it is all those that have some of them and are
    no other hand's own.

    Args:
        mask: (H, W) bool, or uint16 labels with 0 for none.
        hands: of the image.

    Returns:
        (H, W) bool for each hand; None for one whose keypoints lie in no label.

    Raises:
        InputError: it shows the opposite of the hands (`mask.inverted`).
    """
    if mask.dtype == bool:
        _require_upright(mask, hands)
        return [mask] * len(hands)
    counts = [np.bincount(_values_at(mask, hand), minlength=int(mask.max()) + 1) for hand in hands]
    own = [_own(count) for count in counts]
    taken = {label for label in own if label}
    found: list[np.ndarray | None] = []
    for label, count in zip(own, counts, strict=True):
        parts = [label] if label else [n for n in np.flatnonzero(count) if n and n not in taken]
        found.append(np.isin(mask, parts) if parts else None)
    return found


def scaled(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """A mask in the size of its image, None where it has another aspect.

    Args:
        mask: (h, w) bool, or uint16 labels.
        size: (width, height) of the image in pixels.

    Returns:
        (H, W) of the same kind.
    """
    width, height = size
    rows, columns = mask.shape
    if (columns, rows) == (width, height):
        return mask
    # One of the two is off by what rounding the other to whole pixels cost, in the smaller image.
    small, large = sorted([(columns, rows), (width, height)])
    factor = large[0] / small[0], large[1] / small[1]
    if min(abs(large[1] / factor[0] - small[1]), abs(large[0] / factor[1] - small[0])) > _ASPECT:
        return None
    import cv2

    if mask.dtype != bool:
        return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
    how = cv2.INTER_AREA if width < columns else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.uint8) * np.uint8(255), size, interpolation=how) > 127


def _own(count: np.ndarray) -> int:
    """The label that is a hand, by how many of its keypoints each has; 0 for none."""
    labelled = count[1:]
    if not labelled.sum():
        return 0
    best = int(labelled.argmax())
    return best + 1 if labelled[best] >= OWN * labelled.sum() else 0


def _values_at(mask: np.ndarray, hand: HandObservation) -> np.ndarray:
    """(K,) what the mask says at the hand's keypoints that were seen and are within the image."""
    x, y = np.floor(hand.keypoints[hand.seen & np.isfinite(hand.keypoints).all(-1)]).T
    height, width = mask.shape
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return mask[y[within].astype(int), x[within].astype(int)]


def _require_upright(mask: np.ndarray, hands: Sequence[HandObservation]) -> None:
    """Refuse a mask that shows where the hands are not: it is inverted, and no mask of something
    else, where it shows most of the image or what lies at its border."""
    values = [_values_at(mask, hand) for hand in hands]
    count = sum(len(each) for each in values)
    outside = count - sum(int(each.sum()) for each in values)
    if not count or outside < OUTSIDE * count:
        return
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    share = float(mask.mean())
    if share > AREA or border.mean() > BORDER:
        raise InputError("mask.inverted", outside=outside, count=count, share=share)
