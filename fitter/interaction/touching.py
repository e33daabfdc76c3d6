"""Which hands of a picture are fitted together: those whose meshes' boxes touch each other's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitter.detection.same_hand import DUPLICATE_UNORDERED, nearest_distance

_SAME_HAND = 0.25
"""Two found hands of one side are one hand where their keypoints lie, on average, within this share
of the longer side of the box. # not published"""


@dataclass(frozen=True)
class PicturedHands:
    """N fitted hands of some pictures, as far as it decides who touches whom.

    Attributes:
        picture: (N,) int64, which picture each is in.
        left: (N,) bool.
        boxes: (N, 4) x0, y0, x1, y1 around the projected mesh, pixels; NaN for a hand that takes no
            part, such as one that failed or is none.
        keypoints: (N, 21, 2) pixels, projected.
        sureness: (N,) the greater the surer that it is a hand.
    """

    picture: np.ndarray
    left: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray
    sureness: np.ndarray


@dataclass(frozen=True)
class Touching:
    """Hands of one picture that are fitted together.

    Attributes:
        hands: places of the hands, ascending.
        pairs: places in `hands` of each two whose boxes touch.
    """

    hands: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


def touching(hands: PicturedHands, margin: float) -> list[Touching]:
    """The groups of two hands and more, by their first hand.

    A hand that was found twice, under either side, takes part once, as the surer of the two:
    nothing is to push a hand out of itself. A hand found under both sides has its keypoints on the
    same pixels in another order; of 120 rendered pairs that touch none comes nearer to that than
    0.08 of a hand.

    Args:
        hands: of any pictures.
        margin: share of its longer side by which each box is widened.
    """
    usable = np.isfinite(hands.boxes).all(1)
    near = _near(hands.boxes, margin) & (hands.picture[:, None] == hands.picture[None])
    near &= usable[:, None] & usable[None]
    for place in np.argsort(-hands.sureness, kind="stable"):
        twice = near[place] & _same_hand(hands, int(place), near[place])
        near[twice] = near[:, twice] = False
    return [_group(near, part) for part in _parts(near) if len(part) > 1]


def _near(boxes: np.ndarray, margin: float) -> np.ndarray:
    """(N, N) bool: widened boxes overlap; of a hand and itself it is False."""
    near = _overlap(_widened(boxes, margin), _widened(boxes, margin))
    np.fill_diagonal(near, False)
    return near


def _widened(boxes: np.ndarray, margin: float) -> np.ndarray:
    width = margin * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    return np.concatenate([boxes[:, :2] - width, boxes[:, 2:] + width], 1)


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) bool of boxes (N, 4) and (M, 4); False where one is NaN."""
    with np.errstate(invalid="ignore"):
        low = np.maximum(first[:, None, :2], second[None, :, :2])
        high = np.minimum(first[:, None, 2:], second[None, :, 2:])
        over: np.ndarray = (low <= high).all(-1)
    return over


def _same_hand(hands: PicturedHands, place: int, near: np.ndarray) -> np.ndarray:
    """(N,) bool: less sure hands that are the one at `place` found again, under either side, of
    those that are `near` (N,) bool."""
    apart = np.linalg.norm(hands.keypoints - hands.keypoints[place], axis=-1).mean(1)
    size = _size(hands.boxes[place])
    twice = (apart <= _SAME_HAND * size) & (hands.left == hands.left[place])
    for other in np.flatnonzero(near & (hands.left != hands.left[place])):
        larger = max(size, _size(hands.boxes[other]))
        nearest = nearest_distance(hands.keypoints[place], hands.keypoints[other])
        twice[other] = nearest < DUPLICATE_UNORDERED * larger
    numbers = np.arange(len(twice))
    surer = hands.sureness[place] > hands.sureness
    first = (hands.sureness[place] == hands.sureness) & (place < numbers)
    found: np.ndarray = twice & (surer | first)
    return found


def _size(box: np.ndarray) -> float:
    return float((box[2:] - box[:2]).max())


def _parts(near: np.ndarray) -> list[tuple[int, ...]]:
    """Connected components, each ascending, by their first member."""
    parts: list[tuple[int, ...]] = []
    left = set(range(len(near)))
    while left:
        part, new = set(), {min(left)}
        while new:
            part |= new
            new = {int(k) for place in new for k in np.flatnonzero(near[place])} - part
        left -= part
        parts.append(tuple(sorted(part)))
    return parts


def _group(near: np.ndarray, part: Sequence[int]) -> Touching:
    count = range(len(part))
    pairs = tuple((i, j) for i in count for j in count if i < j and near[part[i], part[j]])
    return Touching(tuple(part), pairs)
