"""What `benchmarks/appearance.py` says of meshes: folds, and where they run into themselves."""

from __future__ import annotations

import numpy as np


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[:, faces]
    return np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])


def folded(vertices: np.ndarray, bare: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(B,) share of the faces that offsets have turned round."""
    turned = (_normals(vertices, faces) * _normals(bare, faces)).sum(-1) < 0
    return turned.mean(1)


def colliding(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(B,) share of the surface that lies inside the hand: of every fourth vertex, moved out by
    half a millimetre, whether the mesh winds around it.

    The winding number is the sum of the faces' solid angles over 4 pi (Jacobson, Kavan,
    Sorkine-Hornung, "Robust inside-outside segmentation", 2013; van Oosterom, Strackee, 1983).
    """
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, (slice(None), faces[:, corner]), _normals(vertices, faces))
    shown = np.unique(faces)  # NIMBLE has vertices of no face
    normals = normals[:, shown] / np.linalg.norm(normals[:, shown], axis=-1, keepdims=True)
    share = np.empty(len(vertices))
    for hand, points in enumerate((vertices[:, shown] + 0.0005 * normals)[:, ::4]):
        a, b, c = (vertices[hand, faces[:, k]] - points[:, None] for k in range(3))
        la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
        volume = (a * np.cross(b, c)).sum(-1)
        rest = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        share[hand] = (np.arctan2(volume, rest).sum(1) / (2 * np.pi) > 0.5).mean()
    return share
