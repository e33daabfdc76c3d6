"""Points from what several calibrated cameras see of them.

`triangulate` is linear least squares; `agreed_points` leaves out a camera that disagrees with the
others, which three and more cameras can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

_REWEIGHTED = 2
"""Rounds of weights by depth. # not published"""

_ROUNDS = 3
"""Rounds of weights by agreement, beginning with the pair of cameras that the others agree with.
# not published"""

_AT_ONCE = 512
"""Pairs of cameras whose points are found at once: some megabytes for a hundred cameras."""

HAND_LENGTH = 0.18
"""Metres, the unit of distances of keypoints from lines of sight: what an open hand measures. The
box around a hand in an image would not do, since a fist seen edge-on spans a third of it.
# not published"""

DISAGREEMENT = 0.1
"""Root mean square distance of keypoints, in `HAND_LENGTH`, from which on a view disagrees.
# not published"""

ALWAYS_IN_FULL = 0.02
"""The same distance up to which a view counts in full however closely the others agree: what 4
pixels are half a metre before a camera of 600 pixels focal length. # not published"""


@dataclass(frozen=True)
class Sights:
    """What V cameras see of P points.

    Attributes:
        positions: (V, P, 2) image positions over the focal length, ``K^-1 (u, v, 1)``.
        confidence: (V, P) in [0, 1], 0 where a point is not seen.
        rotation: (V, 3, 3) and translation: (V, 3) metres, from the rig's frame to the cameras'.
    """

    positions: np.ndarray
    confidence: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def of(self, views: Sequence[int] | np.ndarray) -> Sights:
        """Those of some of the cameras (K,), or sets of cameras (Q, K), each for itself."""
        return Sights(*(values[np.asarray(views)] for values in vars(self).values()))

    def weighted(self, weight: np.ndarray) -> Sights:
        """The same with confidence times weights of the cameras (V,)."""
        return replace(self, confidence=self.confidence * weight[:, None])

    @property
    def seen(self) -> np.ndarray:
        """(..., V, P) bool: which points each camera sees."""
        return (self.confidence > 0) & np.isfinite(self.positions).all(-1)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """(..., V) root mean square distance of points (..., P, 3) in the rig's frame from the
        cameras' lines of sight, at the points' depths, weighted by confidence, in `HAND_LENGTH`.

        A point that is not known, NaN, says nothing of a camera; infinite where a camera sees none
        of the points that are, or is behind one that it sees.
        """
        inside = np.einsum("...vij,...pj->...vpi", self.rotation, points)
        inside = inside + self.translation[..., None, :]
        counted = self.seen & np.isfinite(points).all(-1)[..., None, :]
        with np.errstate(all="ignore"):
            missed = np.square(inside[..., :2] - inside[..., 2:] * self.positions).sum(-1)
            behind = ~(inside[..., 2] > 0)
        mass = np.where(counted, self.confidence, 0.0)
        total = (mass * np.where(counted, missed, 0.0)).sum(-1)
        mean = total / np.maximum(mass.sum(-1), 1e-12)
        wrong = (counted & behind).any(-1) | ~counted.any(-1)
        return np.where(wrong, np.inf, np.sqrt(mean) / HAND_LENGTH)

    def shared(self, points: np.ndarray) -> np.ndarray:
        """(..., V) how many of the points (..., P, 3) that are known each camera sees."""
        known = np.isfinite(points).all(-1)[..., None, :]
        return np.asarray((self.seen & known).sum(-1))


@dataclass(frozen=True)
class LinesOfSight:
    """The linear equations of V cameras for P points, from which those of any of the cameras are
    put together.

    Linear least squares of ``(x_v r3 - r1) X = t1 - x_v t3`` and its twin in y over the cameras,
    weighted by confidence, and then anew with every row over the depth found before, which makes
    its residual the distance in the image: the iterated linear method of Hartley and Sturm,
    "Triangulation", 1997, section 5.

    Attributes:
        normal: (V, P, 3, 3) products of the left sides, 0 where a camera sees no point.
        slope: (V, P, 3) of the left and right ones.
        sights: the cameras.
    """

    normal: np.ndarray
    slope: np.ndarray
    sights: Sights

    @classmethod
    def of(cls, sights: Sights) -> LinesOfSight:
        """Those of some cameras."""
        seen = np.where(sights.seen, sights.confidence, 0.0)
        positions = np.where(seen[..., None] > 0, sights.positions, 0.0)
        rows, moved = sights.rotation, sights.translation
        left = positions[..., None] * rows[:, None, None, 2] - rows[:, None, :2]
        right = moved[:, None, :2] - positions * moved[:, None, None, 2]
        normal = np.einsum("vp,vpki,vpkj->vpij", seen, left, left)
        return cls(normal, np.einsum("vp,vpki,vpk->vpi", seen, left, right), sights)

    def meet(self, views: np.ndarray) -> np.ndarray:
        """(Q, P, 3) points in the rig's frame, metres, that the views (Q, K) see together; NaN
        where fewer than two of them see one."""
        sights = self.sights
        normal, slope = self.normal[views], self.slope[views]
        points = _solved(normal.sum(1), slope.sum(1))
        axis, away = sights.rotation[views][:, :, 2], sights.translation[views][:, :, 2]
        for _ in range(_REWEIGHTED):
            depth = np.einsum("qki,qpi->qkp", axis, points) + away[..., None]
            weight = 1 / np.square(np.maximum(depth, 1e-3))
            points = _solved(
                np.einsum("qkp,qkpij->qpij", weight, normal),
                np.einsum("qkp,qkpi->qpi", weight, slope),
            )
        few = sights.seen[views].sum(1) < 2
        return np.where(few[..., None], np.nan, points)

    def variance(self, views: np.ndarray) -> np.ndarray:
        """(Q, P) sums of the variances of the three coordinates of what `meet` gives, for an
        error of one metre in each coordinate at the points' depth."""
        trace = np.trace(np.linalg.inv(_regular(self.normal[views].sum(1))), axis1=-2, axis2=-1)
        return np.asarray(trace)


def _regular(normal: np.ndarray) -> np.ndarray:
    """Normal matrices (..., 3, 3) of rays of which parallel ones meet far off, not nowhere."""
    size = np.trace(normal, axis1=-2, axis2=-1)[..., None, None]
    return np.asarray(normal + (1e-12 * size + 1e-30) * np.eye(3))


def _solved(normal: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """(..., 3) of (..., 3, 3) and (..., 3)."""
    return np.asarray(np.linalg.solve(_regular(normal), slope[..., None])[..., 0])


def triangulate(sights: Sights) -> np.ndarray:
    """(P, 3) points in the rig's frame, metres, NaN where fewer than two cameras see one; see
    `LinesOfSight`."""
    every = np.arange(len(sights.positions))
    return np.asarray(LinesOfSight.of(sights).meet(every[None])[0])


def agreed_points(sights: Sights) -> tuple[np.ndarray, np.ndarray]:
    """Points on which most cameras agree.

    Every pair of cameras says where the points are; the pair with which the others agree best
    begins (a least median of squares over all pairs would not tell two groups apart), and its
    points give every camera a weight, from which they are found again.

    Returns:
        (P, 3) points in the rig's frame, NaN where fewer than two cameras see one, and (V,)
        weights in [0, 1]. Two cameras cannot say which of them is wrong: both have the weight 1.
    """
    count = len(sights.positions)
    if count < 3:
        return triangulate(sights), np.ones(count)
    points = _best_pair(sights)
    weight = np.ones(count)
    for _ in range(_ROUNDS):
        weight = agreement(sights.distances(points))
        points = triangulate(sights.weighted(weight))
    return points, weight


def _best_pair(sights: Sights) -> np.ndarray:
    """(P, 3) what the two cameras see with which all agree best. What a camera sees and the two do
    not know counts as if it disagreed, or a pair with a single common point would be best."""
    lines = LinesOfSight.of(sights)
    seen = np.maximum(sights.seen.sum(1), 1)
    best, least = np.full((sights.positions.shape[1], 3), np.nan), np.inf
    for pairs in in_parts(np.array(list(combinations(range(len(seen)), 2)))):
        guesses = lines.meet(pairs)
        known = sights.shared(guesses) / seen
        apart = known * _bounded(sights.distances(guesses)) + (1 - known)
        cost = apart.sum(1)
        place = int(cost.argmin())
        if cost[place] < least:
            best, least = guesses[place], float(cost[place])
    return best


def in_parts(pairs: np.ndarray) -> list[np.ndarray]:
    """Pairs (Q, 2) as parts of at most `_AT_ONCE`."""
    return np.array_split(pairs, max(1, -(-len(pairs) // _AT_ONCE)))


def noise_of(sights: Sights, points: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation of a coordinate of the keypoints, in `HAND_LENGTH`, by how views disagree
    on the points that were found from them; NaN for fewer than two views.

    V views that see a point say 2 V numbers of it, three of which place it.

    Args:
        sights: what V views see.
        points: (P, 3) metres, the rig's frame, NaN where they are not known.
        weight: (V,) of the views.
    """
    counted = sights.seen & (weight > 0.5)[:, None] & np.isfinite(points).all(-1)
    number = counted.sum(0)
    # Of a point that one view sees nothing is left over.
    counted &= number > 1
    free = int((2 * number - 3)[number > 1].sum())
    if free < 1:
        return float("nan")
    used = replace(sights, confidence=np.where(counted, sights.confidence, 0.0))
    seeing = counted.any(1)
    apart = used.distances(points)[seeing]
    if not np.isfinite(apart).all():
        return float("nan")
    return float(np.sqrt((np.square(apart) * counted.sum(1)[seeing]).sum() / free))


def _bounded(distances: np.ndarray) -> np.ndarray:
    """Geman and McClure's loss of distances, at most 1."""
    # As infinity is to come out, and far from where squares overflow.
    squared = np.square(np.nan_to_num(distances, nan=1e9, posinf=1e9) / DISAGREEMENT)
    return np.asarray(squared / (1 + squared))


def agreement(distances: np.ndarray, spread: float = 3.0) -> np.ndarray:
    """Weights of a hand's views from the distances (V,) of what they see from the fitted hand.

    A view counts in full within `spread` times the median of all views' distances, or
    `ALWAYS_IN_FULL` where that is more; beyond by the weight of Geman and McClure's loss,
    ``1 / (1 + e^2)^2`` with e the excess in halves of that limit, and not at all below 0.001. Two
    views or one count in full: nobody can say which is wrong.
    """
    if len(distances) < 3:
        return np.ones(len(distances))
    finite = np.isfinite(distances)
    if not finite.any():
        return np.ones(len(distances))
    limit = max(spread * float(np.median(distances[finite])), ALWAYS_IN_FULL)
    excess = np.where(finite, np.maximum(2 * (distances / limit - 1), 0), np.inf)
    weight = 1 / np.square(1 + np.square(excess))
    return np.where(weight < 1e-3, 0.0, weight)
