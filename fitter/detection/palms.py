"""Palms from what the palm network says, and the turned window around the hand of each.

raw palms of all anchors -> `decode_palms` -> `suppress_palms` -> `palm_window`. The steps and their
constants are those of MediaPipe's graph (Zhang et al. 2020, "MediaPipe Hands: On-device Real-time
Hand Tracking").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fitter.detection.networks.shapes import CELLS, PALM_PIXELS
from fitter.detection.windows import Window

PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)
"""Canonical keypoints that a palm's seven points stand for."""

SAME_PALM = 0.3
"""Intersection over union of two palms' boxes from which on they are one."""

_WRIST, _MIDDLE = 0, 2
"""Points of a palm whose line is upright in the hand's window."""

_ENLARGED, _FORWARD = 2.6, 0.5
"""Side of the hand's window over the palm's longer side, and how far its centre lies toward the
fingers, over the palm's height."""


@dataclass(frozen=True)
class Palms:
    """P palms.

    Attributes:
        boxes: (P, 4) x0, y0, x1, y1 pixels.
        points: (P, 7, 2) pixels, see `PALM_KEYPOINTS`.
        scores: (P,) probability that it is one.
    """

    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: np.ndarray | slice) -> Palms:
        return Palms(self.boxes[index], self.points[index], self.scores[index])

    def to_picture(self, window: Window) -> Palms:
        """Palms of an upright window's image in the picture's pixels."""
        corners = window.points_to_picture(self.boxes.reshape(-1, 2, 2), PALM_PIXELS)
        points = window.points_to_picture(self.points, PALM_PIXELS)
        return Palms(corners.reshape(-1, 4), points, self.scores)


@lru_cache(maxsize=1)
def anchors() -> np.ndarray:
    """(2016, 2) positions in pixels of the window that the network's palms are relative to: the
    middles of its maps' cells, as often as a cell has anchors."""
    parts = []
    for cells, count in CELLS:
        middle = (np.arange(cells) + 0.5) * (PALM_PIXELS / cells)
        x, y = np.meshgrid(middle, middle)
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, axis=0))
    result = np.concatenate(parts)
    result.setflags(write=False)
    return result


def decode_palms(values: np.ndarray, logits: np.ndarray, min_score: float) -> Palms:
    """Palms of one window, best first.

    Args:
        values: (2016, 18) see `PalmNetwork`.
        logits: (2016,).
        min_score: in [0, 1]; least probability.

    Returns:
        In pixels of the window.
    """
    # As in the graph; far from where a probability in single precision is 0 or 1.
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
    index = np.flatnonzero(scores >= min_score)
    index = index[np.argsort(-scores[index], kind="stable")]
    numbers = values[index].astype(np.float64).reshape(-1, 9, 2)
    start = anchors()[index]
    centre, half = numbers[:, 0] + start, numbers[:, 1] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return Palms(boxes, numbers[:, 2:] + start[:, None], scores[index])


def suppress_palms(palms: Palms, same: float = SAME_PALM) -> Palms:
    """One palm for all that overlap: their mean, weighted by score (weighted suppression).

    Args:
        palms: best first.
        same: intersection over union from which on two are one.

    Returns:
        Best first, each with the score of its best.
    """
    left = np.arange(len(palms))
    boxes, points, scores = [], [], []
    while len(left):
        best = palms[left[0]]
        overlap = intersection_over_union(best.boxes, palms.boxes[left])
        group = overlap > same
        group[0] = True  # even where its box has no area
        members = palms[left[group]]
        weights = members.scores / members.scores.sum()
        boxes.append(weights @ members.boxes)
        points.append(np.tensordot(weights, members.points, 1))
        scores.append(best.scores)
        left = left[~group]
    if not scores:
        return palms
    return Palms(np.stack(boxes), np.stack(points), np.array(scores))


def suppress_across(palms: Sequence[Palms], same: float = SAME_PALM) -> list[Palms]:
    """The palms of N windows without those that another window shows better.

    Args:
        palms: of each window, in pixels of one picture.
        same: intersection over union from which on two are one.
    """
    if not palms:
        return []
    boxes = np.concatenate([each.boxes for each in palms])
    scores = np.concatenate([each.scores for each in palms])
    keep = np.zeros(len(scores), dtype=bool)
    for index in np.argsort(-scores, kind="stable"):
        overlap = intersection_over_union(boxes[index], boxes[keep])
        keep[index] = not (overlap > same).any()
    ends = np.cumsum([len(each) for each in palms])[:-1]
    return [each[kept] for each, kept in zip(palms, np.split(keep, ends), strict=True)]


def intersection_over_union(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(P,) overlap of a box (4,) with boxes (P, 4); 0 where both have no area."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    union = area + areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def palm_window(box: np.ndarray, points: np.ndarray) -> Window:
    """The window around the hand of a palm: fingers up, larger than the palm and ahead of it.

    Args:
        box: (4,), points: (7, 2), pixels of the picture.
    """
    angle = upright_angle(points[_MIDDLE] - points[_WRIST])
    size = box[2:] - box[:2]
    centre = 0.5 * (box[:2] + box[2:])
    centre = centre + _FORWARD * size[1] * np.array([np.sin(angle), -np.cos(angle)])
    return Window(centre, _ENLARGED * float(size.max()), angle)


def upright_angle(direction: np.ndarray) -> float:
    """Radians by which a window is turned in which `direction` (2,), of the picture, points up."""
    return float(np.arctan2(direction[0], -direction[1]))
