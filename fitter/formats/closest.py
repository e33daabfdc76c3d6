"""The nearest points of a triangle mesh of faces that are small beside the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

_CANDIDATES = 12
"""Faces that are looked at, those with the nearest centres. On the open hand 12 find the nearest
face of all for every vertex of MANO; the search among all takes a hundred times as long."""

_FLAT = 1e-12
"""Squared sine of a corner below which a triangle is a line and its plane is noise."""


@dataclass(frozen=True)
class ClosestPoints:
    """For each of P points the nearest one of a surface.

    Attributes:
        points: (P, 3) on the surface.
        normals: (P, 3) unit normals of their faces, outward.
        at_edge: (P,) bool: it lies on the surface's border, so what is nearest may have been cut
            off.
    """

    points: np.ndarray
    normals: np.ndarray
    at_edge: np.ndarray


class Surface:
    """A triangle mesh that is asked for nearest points."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        """Take a mesh.

        Args:
            vertices: (V, 3).
            faces: (F, 3), counter-clockwise seen from outside.
        """
        self._corners = vertices[faces]
        a, b, c = self._corners.transpose(1, 0, 2)
        normals = np.cross(b - a, c - a)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        self._normals = normals / np.where(lengths > 0, lengths, 1)
        self._tree = cKDTree(self._corners.mean(axis=1))
        self._border = _border_edges(faces)

    def closest(self, points: np.ndarray) -> ClosestPoints:
        """The nearest points of the surface to points (P, 3)."""
        count = min(_CANDIDATES, len(self._corners))
        near = self._tree.query(points, count)[1].reshape(len(points), count)
        shares = closest_on_triangles(points[:, None], self._corners[near])
        found = (shares[..., None] * self._corners[near]).sum(axis=2)
        best = np.linalg.norm(found - points[:, None], axis=-1).argmin(axis=1)
        rows = np.arange(len(points))
        faces = near[rows, best]
        # A point is on the edge opposite to the corner that it has no share of.
        opposite = shares[rows, best] <= 0
        return ClosestPoints(
            points=found[rows, best],
            normals=self._normals[faces],
            at_edge=(opposite & self._border[faces]).any(axis=1),
        )


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric coordinates of the points of triangles that are nearest to points.

    The point of the plane where that lies inside, else the best point of the three sides.

    Args:
        points: (..., 3), broadcast against the triangles.
        corners: (..., 3, 3).

    Returns:
        (..., 3), not negative, sum 1.
    """
    a, ab = corners[..., 0, :], corners[..., 1, :] - corners[..., 0, :]
    ac, ap = corners[..., 2, :] - a, points - a
    # The normal equations of the plane's two coordinates.
    aa, bb, cross = (ab * ab).sum(-1), (ac * ac).sum(-1), (ab * ac).sum(-1)
    pb, pc = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = aa * bb - cross**2
    has_area = area > _FLAT * aa * bb
    scale = np.where(has_area, area, 1)
    second, third = (bb * pb - cross * pc) / scale, (aa * pc - cross * pb) / scale
    inside = np.stack([1 - second - third, second, third], axis=-1)
    is_inside = has_area & (inside >= 0).all(axis=-1)
    sides = [_closest_on_side(points, corners, side) for side in range(3)]
    found = np.stack(sides, axis=-2)
    distances = np.linalg.norm(
        np.einsum("...sk,...kc->...sc", found, corners) - points[..., None, :], axis=-1
    )
    best = np.take_along_axis(found, distances.argmin(axis=-1)[..., None, None], axis=-2)
    return np.where(is_inside[..., None], inside, best[..., 0, :])


def _closest_on_side(points: np.ndarray, corners: np.ndarray, side: int) -> np.ndarray:
    """Barycentric coordinates (..., 3) of the nearest points of the side opposite to a corner."""
    start, end = (side + 1) % 3, (side + 2) % 3
    along = corners[..., end, :] - corners[..., start, :]
    length = (along * along).sum(-1)
    share = ((points - corners[..., start, :]) * along).sum(-1) / np.where(length > 0, length, 1)
    share = share.clip(0, 1)
    found = np.zeros((*share.shape, 3))
    found[..., start], found[..., end] = 1 - share, share
    return found


def _border_edges(faces: np.ndarray) -> np.ndarray:
    """(F, 3) bool: whether the edge opposite to each corner belongs to one face alone."""
    edges = np.sort(np.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], 1), axis=-1)
    _, places, counts = np.unique(
        edges.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True
    )
    return (counts[places.ravel()] == 1).reshape(-1, 3)
