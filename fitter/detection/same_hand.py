"""Whether two finds are one hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fitter.records import HandObservation

DUPLICATE_ORDERED = 0.25
"""Mean distance of corresponding keypoints over hand size below which two finds are one hand."""

DUPLICATE_UNORDERED = 0.06
"""The same for the nearest keypoints whatever their names: one hand found as a left and as a right
one has its keypoints on the same pixels in another order. Two hands laid over each other at random
turns measure 0.10 and all but one in a hundred more than 0.07."""


def hand_size(hand: HandObservation) -> float:
    """Longer side in pixels of the box around a hand's keypoints."""
    return float(max(hand.box[2:] - hand.box[:2]))


def ordered_distance(a: HandObservation, b: HandObservation) -> float:
    """Mean distance of corresponding keypoints as a share of the larger hand's size."""
    distance = np.linalg.norm(a.keypoints - b.keypoints, axis=1).mean()
    return float(distance / max(hand_size(a), hand_size(b), 1e-9))


def unordered_distance(a: HandObservation, b: HandObservation) -> float:
    """Mean distance of each keypoint to the other hand's nearest, both ways, over the larger size.

    It is the symmetric chamfer distance of the two sets.
    """
    nearest = nearest_distance(a.keypoints, b.keypoints)
    return float(nearest / max(hand_size(a), hand_size(b), 1e-9))


def nearest_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of each point of two sets (N, 2) and (M, 2) to the other's nearest, pixels."""
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    return float(0.5 * (distance.min(axis=0).mean() + distance.min(axis=1).mean()))


def drop_duplicates(
    hands: Sequence[HandObservation],
    kept: Sequence[HandObservation] = (),
    strictness: float = 1.0,
    rank: Callable[[HandObservation], float] = lambda hand: hand.score,
) -> list[HandObservation]:
    """Hands best score first, without those that lie on the keypoints of a better one.

    Boxes and sides are not asked: two hands may share a box, and one hand may be found under both
    sides. Two true hands that overlap have keypoints in different places, and stay.

    Args:
        hands: in any order.
        kept: hands that stay whatever the others are.
        strictness: factor on `DUPLICATE_ORDERED` and `DUPLICATE_UNORDERED`.
        rank: greater for the better one of two.

    Returns:
        All kept hands; equal scores keep their order.
    """
    result = list(kept)
    places = [_place(hand) for hand in result]
    for hand in sorted(hands, key=lambda hand: -rank(hand)):
        place = _place(hand)
        near = (result[i] for i in _near(place, places))
        if not any(is_same_hand(hand, other, strictness) for other in near):
            result.append(hand)
            places.append(place)
    return sorted(result, key=lambda hand: -hand.score)


def is_same_hand(a: HandObservation, b: HandObservation, strictness: float = 1.0) -> bool:
    """Whether two finds are one hand, under either side; see `drop_duplicates`."""
    return (
        ordered_distance(a, b) < strictness * DUPLICATE_ORDERED
        or unordered_distance(a, b) < strictness * DUPLICATE_UNORDERED
    )


def rivals_of(
    hands: Sequence[HandObservation], finds: Sequence[HandObservation], most: int
) -> list[HandObservation]:
    """Other finds of the same hands, for each at most `most`, those of the best scores."""
    chosen: dict[int, HandObservation] = {}
    ranked = sorted(finds, key=lambda find: -find.score)
    places = [_place(find) for find in ranked]
    for hand in hands:
        near = (ranked[i] for i in _near(_place(hand), places))
        rivals = [find for find in near if find is not hand and is_same_hand(find, hand)]
        chosen |= {id(find): find for find in rivals[:most]}
    return [find for find in chosen.values() if not any(find is hand for hand in hands)]


def _place(hand: HandObservation) -> np.ndarray:
    """(3,) mean of the keypoints and size, pixels."""
    return np.append(hand.keypoints.mean(axis=0), hand_size(hand))


def _near(place: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Which of N places are no farther than the larger size: others are other hands by any measure.

    The mean distance of corresponding keypoints is at least that of their means. The unordered
    distance is at least that of one mean from the other's hull, no point of which is farther than
    0.75 sizes from its own mean.
    """
    others = np.array(places).reshape(-1, 3)
    distance = np.linalg.norm(others[:, :2] - place[:2], axis=1)
    return np.flatnonzero(distance <= np.maximum(others[:, 2], place[2]))
