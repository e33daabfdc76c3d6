"""Points from what several calibrated cameras see of them.

`triangulate` is linear least squares; `agreed_points` leaves out a camera that disagrees with the
others, which three and more cameras can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

_REWEIGHTED = 2
"""Rounds of weights by depth: two reach the least reprojection error to within rounding."""

_ROUNDS = 3
"""Rounds of weights by agreement, beginning with the pair of cameras that the others agree with."""

HAND_LENGTH = 0.18
"""Metres, the unit of distances of keypoints from lines of sight: what an open hand measures. The
box around a hand in an image would not do, since a fist seen edge-on spans a third of it."""

DISAGREEMENT = 0.1
"""Root mean square distance of keypoints, in `HAND_LENGTH`, from which on a view disagrees.
Detectors err by 0.02 to 0.05."""


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

    def of(self, views: list[int]) -> Sights:
        """Those of some of the cameras."""
        return Sights(*(values[views] for values in vars(self).values()))

    def depths(self, points: np.ndarray) -> np.ndarray:
        """(V, ...) depths in every camera of points (..., 3) in the rig's frame, metres."""
        return self._inside(points)[..., 2]

    def distances(self, points: np.ndarray) -> np.ndarray:
        """(V,) root mean square distance of points (P, 3) in the rig's frame from the cameras'
        lines of sight, at the points' depths, weighted by confidence, in `HAND_LENGTH`; infinite
        where a seen point is not in front of the camera or not known."""
        inside = self._inside(points)
        seen = self.confidence > 0
        with np.errstate(all="ignore"):
            missed = np.square(inside[..., :2] - inside[..., 2:] * self.positions).sum(-1)
        good = (inside[..., 2] > 0) & np.isfinite(missed)
        total = (self.confidence * np.where(seen & good, missed, 0.0)).sum(1)
        mean = total / np.maximum(self.confidence.sum(1), 1e-12)
        wrong = (seen & ~good).any(1) | ~seen.any(1)
        return np.where(wrong, np.inf, np.sqrt(mean) / HAND_LENGTH)

    def _inside(self, points: np.ndarray) -> np.ndarray:
        turned = np.einsum("vij,...j->v...i", self.rotation, points)
        return turned + self.translation.reshape(-1, *[1] * (points.ndim - 1), 3)


def triangulate(sights: Sights) -> np.ndarray:
    """(P, 3) points in the rig's frame, metres, NaN where fewer than two cameras see one.

    Linear least squares of ``(x_v r3 - r1) X = t1 - x_v t3`` and its twin in y over the cameras,
    weighted by confidence, and then anew with every row over the depth found before, which makes
    its residual the distance in the image: the iterated linear method of Hartley and Sturm,
    "Triangulation", 1997, section 5.
    """
    seen = np.where(np.isfinite(sights.positions).all(-1), sights.confidence, 0.0)
    positions = np.where(seen[..., None] > 0, sights.positions, 0.0)
    rows = sights.rotation
    left = positions[..., None] * rows[:, None, None, 2] - rows[:, None, :2]
    right = sights.translation[:, None, :2] - positions * sights.translation[:, None, None, 2]
    weight = np.sqrt(seen)
    points = _solved(left, right, weight)
    for _ in range(_REWEIGHTED):
        depth = np.maximum(sights.depths(points), 1e-3)
        points = _solved(left, right, weight / np.where(np.isfinite(depth), depth, 1.0))
    few = (seen > 0).sum(0) < 2
    return np.where(few[:, None], np.nan, points)


def _solved(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(P, 3) of (V, P, 2, 3), (V, P, 2) and (V, P)."""
    scaled, wanted = left * weight[..., None, None], right * weight[..., None]
    normal = np.einsum("vpki,vpkj->pij", scaled, scaled)
    slope = np.einsum("vpki,vpk->pi", scaled, wanted)
    # Rays that are parallel meet nowhere: they meet far off.
    size = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal = normal + (1e-12 * size + 1e-300) * np.eye(3)
    return np.linalg.solve(normal, slope[..., None])[..., 0]


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
    guesses = [triangulate(sights.of(list(pair))) for pair in combinations(range(count), 2)]
    apart = np.stack([_bounded(sights.distances(points)) for points in guesses])
    points = guesses[int(apart.sum(1).argmin())]
    weight = np.ones(count)
    for _ in range(_ROUNDS):
        weight = agreement(sights.distances(points))
        weighted = Sights(
            sights.positions,
            sights.confidence * weight[:, None],
            sights.rotation,
            sights.translation,
        )
        points = triangulate(weighted)
    return points, weight


def noise_of(distances: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation of a coordinate of the keypoints, in `HAND_LENGTH`, by how views disagree
    on the points that were found from them; NaN for fewer than two views.

    V views say 2 V numbers of every point, three of which place it.

    Args:
        distances: (V,) of the points from the views' lines of sight, see `Sights.distances`.
        weight: (V,) of the views.
    """
    counted = weight > 0.5
    free = 2 * int(counted.sum()) - 3
    if free < 1 or not np.isfinite(distances[counted]).all():
        return float("nan")
    return float(np.sqrt(np.square(distances[counted]).sum() / free))


def _bounded(distances: np.ndarray) -> np.ndarray:
    """Geman and McClure's loss of distances, at most 1."""
    # As infinity is to come out, and far from where squares overflow.
    squared = np.square(np.nan_to_num(distances, nan=1e9, posinf=1e9) / DISAGREEMENT)
    return np.asarray(squared / (1 + squared))


def agreement(distances: np.ndarray, spread: float = 3.0) -> np.ndarray:
    """Weights of a hand's views from the distances (V,) of what they see from the fitted hand.

    A view counts in full within `spread` times the median of all views' distances, or
    half of `DISAGREEMENT` where that is more; beyond by the weight of Geman and McClure's loss,
    ``1 / (1 + e^2)^2`` with e the excess in halves of that limit, and not at all below 0.001. Two
    views or one count in full: nobody can say which is wrong.
    """
    if len(distances) < 3:
        return np.ones(len(distances))
    finite = np.isfinite(distances)
    if not finite.any():
        return np.ones(len(distances))
    limit = max(spread * float(np.median(distances[finite])), DISAGREEMENT / 2)
    excess = np.where(finite, np.maximum(2 * (distances / limit - 1), 0), np.inf)
    weight = 1 / np.square(1 + np.square(excess))
    return np.where(weight < 1e-3, 0.0, weight)
