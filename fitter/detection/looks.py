"""Two looks at one hand made one observation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fitter.detection.same_hand import hand_size
from fitter.detection.windows import weak_depth
from fitter.records import HandObservation

FULL_DETAIL = 160.0
"""Size in pixels of a hand from which on more pixels add no detail to the landmark network."""

DISAGREEMENT_SCALE = 0.05
"""Distance of two looks at a keypoint, as a share of hand size, that halves its confidence."""

UNCONFIRMED = 0.5
"""Factor on score, presence and confidence of a hand that the second look does not find."""

OUTSIDE = 0.1
"""Factor on the confidence of keypoints outside the picture: the networks place them by habit, and
two looks agree about them without either having seen them."""


def merge_looks(
    first: HandObservation, second: HandObservation, scales: tuple[float, float]
) -> HandObservation:
    """Average two looks at one hand, each weighted by the detail it had.

    The confidence of keypoint k is ``1 / (1 + (d_k / (DISAGREEMENT_SCALE s))^2)`` with d_k the
    distance of the two looks at it and s the hand's size.

    Args:
        first: one look.
        second: another look.
        scales: for each look, pixels of what it looked at per pixel of the picture.
    """
    size = max(hand_size(first), 1.0)
    details = np.minimum(1.0, np.array(scales) * size / FULL_DETAIL)
    share = float(details[0] / details.sum())

    def mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return share * a + (1.0 - share) * b

    gap = np.linalg.norm(first.keypoints - second.keypoints, axis=1)
    right = [
        hand.side_score if hand.side == "right" else 1.0 - hand.side_score
        for hand in (first, second)
    ]
    right_mean = share * right[0] + (1.0 - share) * right[1]
    depth = xyz = None
    if first.relative_depth is not None and second.relative_depth is not None:
        (own, own_xyz), (other, other_xyz) = weak_depth(first), weak_depth(second)
        depth, xyz = mean(own, other), mean(own_xyz - own_xyz[0], other_xyz - other_xyz[0])
    return HandObservation(
        keypoints=mean(first.keypoints, second.keypoints),
        confidence=1.0 / (1.0 + (gap / (DISAGREEMENT_SCALE * size)) ** 2),
        side="right" if right_mean >= 0.5 else "left",
        side_score=max(right_mean, 1.0 - right_mean),
        score=max(first.score, second.score),
        relative_depth=depth,
        relative_xyz=xyz,
        features=_both(first.features, second.features),
        presence=_least(first.presence, second.presence),
    )


def doubted(hand: HandObservation) -> HandObservation:
    """A hand that a second look did not find."""
    return replace(
        hand,
        score=hand.score * UNCONFIRMED,
        confidence=hand.confidence * UNCONFIRMED,
        presence=None if hand.presence is None else hand.presence * UNCONFIRMED,
    )


def distrust_outside(hand: HandObservation, width: int, height: int) -> HandObservation:
    """A hand with less confidence in its keypoints outside the picture."""
    inside = ((hand.keypoints >= 0) & (hand.keypoints <= [width, height])).all(axis=1)
    return replace(hand, confidence=np.where(inside, 1.0, OUTSIDE) * hand.confidence)


def _both(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """The features of either look; the first one's where both were at the same picture."""
    if first is None or second is None:
        return None
    return np.where(np.isnan(first), second, first)


def _least(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else min(first, second)
