"""How far estimated hands are from annotated ones.

Every function takes batches, batch first, works in float64 and returns one figure per hand in the
unit of its input. A hand with a value that is not finite gets NaN and changes no other hand's
figure. `auc` alone summarises over hands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import roma
import torch
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree

AUC_THRESHOLDS = np.linspace(0.0, 0.05, 100)
"""Metres: the thresholds of FreiHAND's evaluation, 0 to 50 mm in 100 steps."""


def point_errors(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distances between corresponding points: (..., P, D) twice -> (..., P)."""
    return np.linalg.norm(np.asarray(estimate, float) - np.asarray(truth, float), axis=-1)


def mpjpe(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean per-joint position error: (B, P, 3) twice -> (B,)."""
    return point_errors(estimate, truth).mean(axis=-1)


def root_aligned(points: np.ndarray, root: int = 0) -> np.ndarray:
    """Points (B, P, 3) moved so that point `root` (the wrist) is the origin."""
    points = np.asarray(points, float)
    return points - points[:, root : root + 1]


def procrustes_aligned(
    estimate: np.ndarray, truth: np.ndarray, allow_reflection: bool = False
) -> np.ndarray:
    """The estimate, scaled, turned and moved onto the truth with the least squared distance.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    1991, eqs. 39 to 42.

    Args:
        estimate: (B, P, 3); a hand whose points all coincide is moved to the truth's mean.
        truth: (B, P, 3).
        allow_reflection: permit a mirror image, as the orthogonal Procrustes of FreiHAND's own
            evaluation does; the error can only become smaller. By default a proper rotation.

    Returns:
        (B, P, 3), NaN for hands with values that are not finite.
    """
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    usable = np.isfinite(estimate).all((1, 2)) & np.isfinite(truth).all((1, 2))
    target_mean = truth[usable].mean(axis=1, keepdims=True)
    source = estimate[usable] - estimate[usable].mean(axis=1, keepdims=True)
    target = truth[usable] - target_mean
    covariance = target.transpose(0, 2, 1) @ source
    rotation = roma.procrustes(
        torch.from_numpy(covariance), force_rotation=not allow_reflection, method="svd"
    ).numpy()
    spread = (source**2).sum((1, 2))
    agreement = (rotation * covariance).sum((1, 2))
    scale = np.divide(agreement, spread, out=np.zeros_like(spread), where=spread > 0)
    aligned = np.full_like(estimate, np.nan)
    turned = source @ rotation.transpose(0, 2, 1)
    aligned[usable] = scale[:, None, None] * turned + target_mean
    return aligned


def pa_mpjpe(estimate: np.ndarray, truth: np.ndarray, allow_reflection: bool = False) -> np.ndarray:
    """`mpjpe` after `procrustes_aligned`: (B, P, 3) twice -> (B,)."""
    return mpjpe(procrustes_aligned(estimate, truth, allow_reflection), truth)


def auc(errors: np.ndarray, thresholds: np.ndarray = AUC_THRESHOLDS) -> float:
    """Area under the curve of correct keypoints, over the thresholds' range, in [0, 1].

    The curve is the share of errors not above each threshold, its area the trapezoidal rule's,
    as in FreiHAND's evaluation. FreiHAND averages the areas of 21 curves; with equally many
    errors per joint, that is the area of the one curve of all errors.

    Args:
        errors: any shape, in the thresholds' unit; NaN counts as above every threshold.
        thresholds: (T,) increasing.

    Returns:
        The area; NaN where there are no errors at all.
    """
    errors = np.sort(np.asarray(errors, float), axis=None)
    if errors.size == 0:
        return float("nan")
    share = np.searchsorted(errors, thresholds, side="right") / errors.size
    return float(trapezoid(share, thresholds) / (thresholds[-1] - thresholds[0]))


def fscore(
    estimate: np.ndarray, truth: np.ndarray, thresholds: Sequence[float] = (0.005, 0.015)
) -> np.ndarray:
    """F-score of surfaces given as vertices, by nearest neighbours.

    Knapitsch et al., "Tanks and Temples", 2017: precision is the share of estimated vertices with
    a true vertex strictly closer than the threshold, recall the reverse, F their harmonic mean
    (0 where both are 0).

    Args:
        estimate: (B, V, 3).
        truth: (B, W, 3); V and W may differ.
        thresholds: T distances in the vertices' unit; 5 and 15 mm for metres.

    Returns:
        (B, T), NaN for hands with values that are not finite.
    """
    limits = np.asarray(thresholds, float)[:, None]
    scores = np.full((len(estimate), len(limits)), np.nan)
    for hand, (found, true) in enumerate(zip(estimate, truth, strict=True)):
        if not (np.isfinite(found).all() and np.isfinite(true).all()):
            continue
        precision = (cKDTree(true).query(found)[0] < limits).mean(axis=1)
        recall = (cKDTree(found).query(true)[0] < limits).mean(axis=1)
        total = precision + recall
        product = 2 * precision * recall
        scores[hand] = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
    return scores


def keypoint_2d_error(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean distance of keypoints in the image: (B, P, 2) pixels twice -> (B,) pixels."""
    return point_errors(estimate, truth).mean(axis=-1)
