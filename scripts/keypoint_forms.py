"""Which point of a hand explains a detector's keypoint: as an offset from a bone, or on the mesh.

Both minimise distances in the image over thousands of renders, with a Cauchy loss and the
detector's own confidences for weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detector_sightings import Sightings, project, vertices_of
from scipy.optimize import nnls

from fitter.conventions import MODEL_TO_KEYPOINTS, PARENTS
from fitter.hand_models import HandModelData
from fitter.hand_models.keypoint_model import KEYPOINT_BONES

OUTLIER = 0.04
"""Distance over hand size at which a detection counts half: the Cauchy loss's scale."""
ROUNDS = 30
CANDIDATES, REACH, PALM_REACH = 80, 0.035, 0.045
"""Vertices that a keypoint may be a mean of, and how far from it they may lie, metres; farther for
the wrist and the base of the thumb, which lie deep."""
RIDGE = 1e-4
"""Of the weights' squares against the mean square of a residual per unit of a weight."""
LEAST_WEIGHT = 0.002
BONE_OF_KEYPOINT = tuple(KEYPOINT_BONES[i] for i in MODEL_TO_KEYPOINTS)


def offset_points(sightings: Sightings, offsets: np.ndarray) -> np.ndarray:
    """(N, 21, 3) joints and tips moved by offsets (21, 3) or (N, 21, 3), canonical order, fixed to
    the bones."""
    return sightings.points + (sightings.rotations @ offsets[..., None])[..., 0]


def distances(sightings: Sightings, points: np.ndarray) -> np.ndarray:
    """(N, 21) distance of points (N, 21, 3) from the detections in the image, over hand size."""
    error = project(points, sightings.intrinsics) - sightings.detected
    return np.linalg.norm(error, axis=-1) / sightings.size[:, None]


def solve_offsets(sightings: Sightings) -> np.ndarray:
    """Offsets (21, 3) in metres, canonical order."""
    return _solve(sightings, np.ones((len(sightings.points), 1)))[:, 0]


def solve_view_offsets(sightings: Sightings, side: np.ndarray) -> np.ndarray:
    """Offsets (21, 2, 3) in metres: of a hand seen on edge, and what is added for each unit of its
    `facing` (N,)."""
    return _solve(sightings, np.stack([np.ones_like(side), side], 1))


def _solve(sightings: Sightings, terms: np.ndarray) -> np.ndarray:
    """Offsets (21, T, 3) whose sum with weights (N, T) explains the detections best: Gauss-Newton
    steps, reweighted each time."""
    size, K = sightings.size[:, None], sightings.intrinsics
    offsets = np.zeros((21, terms.shape[1], 3))
    for _ in range(ROUNDS):
        x = offset_points(sightings, np.einsum("nt,ktj->nkj", terms, offsets))
        z = x[..., 2:]
        residual = project(x, K) - sightings.detected
        eye = np.broadcast_to(np.eye(2), (*x.shape[:2], 2, 2))
        slope = np.concatenate([eye, -(x[..., :2] / z)[..., None]], -1) / z[..., None]
        jacobian = K[:, 0, 0, None, None, None] * slope @ sightings.rotations
        jacobian = jacobian[..., None, :] * terms[:, None, None, :, None]
        jacobian = jacobian.reshape(*x.shape[:2], 2, -1)
        weight = _weights(np.linalg.norm(residual, axis=-1) / size, sightings.confidence) / size**2
        normal = np.einsum("nk,nkri,nkrj->kij", weight, jacobian, jacobian, optimize=True)
        right = np.einsum("nk,nkri,nkr->ki", weight, jacobian, residual, optimize=True)
        step = np.linalg.solve(normal, right[..., None])[..., 0].reshape(offsets.shape)
        offsets = offsets - step
        if np.abs(step).max() < 1e-7:
            break
    return offsets


def _weights(distance: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    return confidence / (1 + (distance / OUTLIER) ** 2)


@dataclass(frozen=True)
class MeshForm:
    """Keypoints as means of vertices: lists of indices and of weights, 21 of each."""

    vertices: list[np.ndarray]
    weights: list[np.ndarray]

    def points(self, sightings: Sightings) -> np.ndarray:
        """(N, 21, 3) camera frame."""
        used = np.unique(np.concatenate(self.vertices))
        mesh = vertices_of(sightings, used)
        return np.stack(
            [
                np.einsum("v,nvi->ni", w, mesh[:, np.searchsorted(used, v)], dtype=np.float64)
                for v, w in zip(self.vertices, self.weights, strict=True)
            ],
            1,
        )


def solve_mesh(sightings: Sightings, data: HandModelData, offsets: np.ndarray) -> MeshForm:
    """Nonnegative weights with sum one over vertices near the keypoints that `offsets` give."""
    candidates = [candidate_vertices(data, offsets, k) for k in range(21)]
    used = np.unique(np.concatenate(candidates))
    mesh = vertices_of(sightings, used)
    vertices, weights = [], []
    for k, chosen in enumerate(candidates):
        found = _solve_weights(sightings, mesh[:, np.searchsorted(used, chosen)], k)
        kept = found > LEAST_WEIGHT
        vertices.append(chosen[kept])
        weights.append(found[kept] / found[kept].sum())
    return MeshForm(vertices, weights)


def _solve_weights(sightings: Sightings, mesh: np.ndarray, k: int) -> np.ndarray:
    """Weights (C,) of candidates (N, C, 3) for keypoint k.

    The residual of a mean ``sum w x`` in the image, ``focal (sum w x) / (sum w z) - detected``, is
    linear in w once it is multiplied by the mean's depth, which is that of the joint but for a
    few per cent.
    """
    K, size = sightings.intrinsics, sightings.size
    focal = K[:, 0, 0]
    ray = (sightings.detected[:, k] - K[:, :2, 2]) / focal[:, None]
    scale = focal / (size * sightings.points[:, k, 2])
    rows = (mesh[..., :2] - ray[:, None] * mesh[..., 2:]) * scale[:, None, None]
    rows = rows.transpose(0, 2, 1).astype(np.float64)
    count = rows.shape[-1]
    weights = np.full(count, 1 / count)
    for _ in range(12):
        robust = _weights(np.linalg.norm(rows @ weights, axis=-1), sightings.confidence[:, k])
        gram = np.einsum("n,nij,nik->jk", robust, rows, rows, optimize=True) / len(rows)
        unit = np.trace(gram) / count
        root = np.linalg.cholesky(gram + RIDGE * unit * np.eye(count)).T
        # The sum is held at one by a row that outweighs all others.
        sum_row = 1e3 * np.sqrt(unit) * np.ones((1, count))
        target = np.append(np.zeros(count), sum_row[0, 0])
        weights, _ = nnls(np.concatenate([root, sum_row]), target, maxiter=50 * count)
        weights /= weights.sum()
    return weights


def candidate_vertices(data: HandModelData, offsets: np.ndarray, k: int) -> np.ndarray:
    """Vertices near keypoint k that its bone or a neighbouring one moves, evenly distributed."""
    tips = data.v_template[list(data.tip_vertices)]
    joints = np.concatenate([data.joint_regressor @ data.v_template, tips])
    distance = np.linalg.norm(
        data.v_template - (joints[MODEL_TO_KEYPOINTS[k]] + offsets[k]), axis=1
    )
    bone = BONE_OF_KEYPOINT[k]
    bones = {bone, PARENTS[bone], *(i for i in range(16) if PARENTS[i] == bone)}
    mine = np.isin(data.skin_weights.argmax(1), list(bones))
    near = np.flatnonzero(mine & (distance < (PALM_REACH if k < 2 else REACH)))
    return near[farthest_points(data.v_template[near], CANDIDATES, int(distance[near].argmin()))]


def farthest_points(points: np.ndarray, count: int, first: int) -> np.ndarray:
    """Indices of points (P, 3), each the farthest from those before it (Gonzalez, "Clustering to
    minimize the maximum intercluster distance", 1985)."""
    chosen = [first]
    distance = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)
