"""What is measured of synthetic hands: how deep fingers reach into each other, on meshes and not on
spheres, and whether a detector that has seen photographs finds them."""

from pathlib import Path

import numpy as np
import torch

from fitter.detection.detector import HandDetector
from fitter.records import ImageRecord
from fitter.rendering.shading import vertex_normals

OUTER = (2, 3, 5, 6, 8, 9, 11, 12, 15)
"""Joints of the outer phalanges: all but the first of the fingers, the last of the thumb."""
STEP = 0.0003
"""Metres in front of the skin from which it is looked whether a vertex is inside something."""


def winding(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Winding numbers (P,) of a closed mesh: sums of solid angles (van Oosterom and Strackee)."""
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    triple = (a * np.cross(b, c)).sum(2)
    rest = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    return np.arctan2(triple, rest).sum(1) / (2 * np.pi)


def penetration(model, vertices: np.ndarray) -> float:
    """Metres that an outer phalanx of a hand (V, 3) lies inside another finger or the palm.

    A vertex counts when a point just in front of it is inside the mesh; its depth is the distance
    to the nearest vertex that its finger does not move.
    """
    weights = model.data.skin_weights
    by_finger = np.stack([weights[:, 1 + 3 * k : 4 + 3 * k].sum(1) for k in range(5)], 1)
    normals = vertex_normals(torch.from_numpy(vertices)[None], model.faces)[0].numpy()
    deepest = 0.0
    for finger in range(5):
        joints = [j for j in OUTER if (j - 1) // 3 == finger]
        own = np.flatnonzero(weights[:, joints].max(1) > 0.6)
        others = np.flatnonzero(by_finger[:, finger] < 0.03)
        offset = vertices[own][:, None] - vertices[others]
        distance = np.linalg.norm(offset, axis=2)
        nearest = distance.argmin(1)
        rows = np.arange(len(own))
        behind = (offset[rows, nearest] * normals[others][nearest]).sum(1) < 0
        tried = np.flatnonzero(behind & (distance[rows, nearest] < 0.015))
        if len(tried) == 0:
            continue
        in_front = vertices[own[tried]] + STEP * normals[own[tried]]
        inside = tried[winding(in_front, vertices, model.data.faces) > 0.5]
        if len(inside):
            deepest = max(deepest, float(distance[inside, nearest[inside]].max()))
    return deepest


NEAR = 0.25
"""Mean distance of keypoints over the hand's extent up to which a find is the hand."""


def found_hands(batch) -> tuple[np.ndarray, np.ndarray]:
    """Of each picture of a batch: whether MediaPipe reports a hand, and whether it lies where the
    hand is."""
    found, placed = [], []
    with HandDetector() as detector:
        for row in range(len(batch.image)):
            pixels, K = batch.image[row].numpy(), batch.intrinsics[row].numpy()
            hands = detector.detect(ImageRecord("a", Path("a"), pixels, K, "given"))
            truth = batch.keypoints_2d[row].numpy()
            away = [np.linalg.norm(h.keypoints - truth, axis=1).mean() for h in hands]
            found.append(bool(away))
            placed.append(bool(away) and min(away) < NEAR * np.ptp(truth, axis=0).max())
    return np.array(found), np.array(placed)
