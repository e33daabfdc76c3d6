"""Errors of surfaces: meshes of one topology, or clouds of vertices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from fitter.metrics.points import point_errors


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
