"""The frame of a normal map at each vertex, as glTF's TANGENT has it."""

from __future__ import annotations

import numpy as np

from fitter.formats.hand_asset import Corners


def tangents(vertices: np.ndarray, normals: np.ndarray, corners: Corners) -> np.ndarray:
    """Tangents of a mesh that has texture coordinates.

    Args:
        vertices: (V, 3) metres.
        normals: (V, 3) of length 1.
        corners: how its vertices are split at seams.

    Returns:
        (C, 4) float32: a unit vector along u at right angles to the normal, the mean over the
        faces around weighted by their areas, and the sign with which the normal crossed with it
        points along v, up in the picture.
    """
    if corners.uv is None:
        raise ValueError("expected texture coordinates, found none")
    triangles = vertices[corners.vertices][corners.faces]
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    uv = corners.uv[corners.faces]
    (du_a, dv_a), (du_b, dv_b) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    area = du_a * dv_b - du_b * dv_a
    scale = np.where(area == 0, 0, 1 / np.where(area == 0, 1, area))[:, None]
    # Solved for the directions in which u and v grow: a = du_a U + dv_a V, and so for b.
    along_u = scale * (dv_b[:, None] * a - dv_a[:, None] * b)
    along_v = scale * (du_a[:, None] * b - du_b[:, None] * a)
    size = np.linalg.norm(np.cross(a, b), axis=1)[:, None]
    sums = np.zeros((2, len(corners.vertices), 3))
    for total, along in zip(sums, (along_u, along_v), strict=True):
        length = np.linalg.norm(along, axis=1, keepdims=True)
        unit = size * along / np.where(length > 0, length, 1)
        for corner in range(3):
            np.add.at(total, corners.faces[:, corner], unit)
    normal = normals[corners.vertices]
    flat = sums[0] - (sums[0] * normal).sum(axis=1, keepdims=True) * normal
    lost = np.linalg.norm(flat, axis=1) < 1e-12
    # Where no face says where u grows, any direction at right angles to the normal will do.
    flat[lost] = np.cross(normal[lost], np.eye(3)[np.abs(normal[lost]).argmin(axis=1)])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    signs = np.where((np.cross(normal, flat) * sums[1]).sum(axis=1) < 0, -1.0, 1.0)
    return np.concatenate([flat, signs[:, None]], axis=1).astype(np.float32)
