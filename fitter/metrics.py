"""How far estimated hands are from annotated ones.

Every function takes batches, batch first, works in float64 and returns one figure per hand in the
unit of its input. A hand with a value that is not finite gets NaN and changes no other hand's
figure. `auc` alone summarises over hands. The errors of vertices, absolute and aligned, are `mpjpe`
and `pa_mpjpe` of the vertices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import trapezoid
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from fitter.rotations import roma

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
    """The estimate, scaled, rotated and moved onto the truth with the least squared distance.

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
    scatter = (source**2).sum((1, 2))
    agreement = (rotation * covariance).sum((1, 2))
    scale = np.divide(agreement, scatter, out=np.zeros_like(scatter), where=scatter > 0)
    aligned = np.full_like(estimate, np.nan)
    rotated = source @ rotation.transpose(0, 2, 1)
    aligned[usable] = scale[:, None, None] * rotated + target_mean
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


def mask_iou(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of masks: (B, H, W) bool twice -> (B,) in [0, 1].

    Two masks that are both empty agree: 1.
    """
    estimate, truth = np.asarray(estimate, bool), np.asarray(truth, bool)
    union = (estimate | truth).sum((1, 2))
    overlap = (estimate & truth).sum((1, 2))
    return np.divide(overlap, union, out=np.ones(len(union)), where=union > 0)


def contour_distance(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Symmetric mean distance between the contours of masks, (B, H, W) bool twice -> (B,) pixels.

    A contour is the set of a mask's pixels of whose four neighbours one lies in the image and not
    in the mask: where the image's border cuts a mask there is no contour. Every pixel of a
    contour is as far off as the nearest pixel of the other one; the two contours' means are
    averaged (the average symmetric surface distance of segmentation, in two dimensions).

    Two masks without a contour agree, 0; if only one has a contour, the distance is the largest
    that the image has room for, its diagonal.
    """
    estimate, truth = np.asarray(estimate, bool), np.asarray(truth, bool)
    distances = np.empty(len(estimate))
    for hand, (found, true) in enumerate(zip(estimate, truth, strict=True)):
        a, b = _contour(found), _contour(true)
        if a.any() and b.any():
            to_a, to_b = distance_transform_edt(~a), distance_transform_edt(~b)
            distances[hand] = 0.5 * (to_b[a].mean() + to_a[b].mean())
        else:
            distances[hand] = np.hypot(a.shape[0], a.shape[1]) if a.any() or b.any() else 0.0
    return distances


def _contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of the mask (H, W) beside one in the image that is not in it."""
    around = np.pad(mask, 1, mode="edge")
    surrounded = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~surrounded


def edge_error(estimate: np.ndarray, truth: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mean absolute difference of edge lengths of meshes of one topology.

    The "edge error distance" of Yu et al., "Overcoming the Trade-off Between Accuracy and
    Plausibility in 3D Hand Shape Reconstruction", CVPR 2023, section 4.3, which prints no formula.
    This is the edge length loss of Moon and Lee, "I2L-MeshNet", ECCV 2020, each edge counted once.
    It does not depend on where the meshes are or how they are rotated.

    Args:
        estimate: (B, V, 3), truth: (B, V, 3).
        faces: (F, 3) vertex indices.

    Returns:
        (B,) in the vertices' unit.
    """
    faces = np.asarray(faces)
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    a, b = np.unique(sides, axis=0).T

    def lengths(vertices: np.ndarray) -> np.ndarray:
        return point_errors(np.asarray(vertices, float)[:, a], np.asarray(vertices, float)[:, b])

    return np.abs(lengths(estimate) - lengths(truth)).mean(axis=1)


def normal_error(estimate: np.ndarray, truth: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How far the estimated mesh's edges are from lying in the true mesh's faces.

    The mean over faces and their three edges of ``|e . n|``, e the estimated edge's direction and n
    the true face's unit normal: 0 for the same surface, at most 1. Yu et al. section 4.3 print no
    formula and cite the surface normal loss of Ge et al., "3D hand shape and pose estimation from a
    single RGB image", CVPR 2019, that of Wang et al., "Pixel2Mesh", ECCV 2018; its form with unit
    edges and an absolute value (Moon and Lee, "I2L-MeshNet", ECCV 2020) is taken here. Whether Yu
    et al. align the meshes first is not published: this function does not.

    A true face without area has no normal and does not count; an estimated edge without length has
    no direction and counts as 1, so that a mesh cannot gain by collapsing.

    Args:
        estimate: (B, V, 3), truth: (B, V, 3); any unit.
        faces: (F, 3) vertex indices.

    Returns:
        (B,); NaN for hands with values that are not finite or without a true face that has area.
    """
    corners = np.asarray(estimate, float)[:, faces]
    true = np.asarray(truth, float)[:, faces]
    normals = np.cross(true[:, :, 1] - true[:, :, 0], true[:, :, 2] - true[:, :, 0])
    area = np.linalg.norm(normals, axis=-1)
    edges = corners[:, :, [1, 2, 0]] - corners
    size = np.linalg.norm(edges, axis=-1) * area[..., None]
    along = np.abs(np.einsum("bfec,bfc->bfe", edges, normals))
    sine = np.divide(along, size, out=np.ones_like(size), where=size != 0).mean(axis=-1)
    counted = area != 0
    total = np.where(counted, sine, 0.0).sum(axis=1)
    count = counted.sum(axis=1).astype(float)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
