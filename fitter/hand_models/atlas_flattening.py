"""Charts laid flat, as rigid as possible, and checked to be one to one.

Levy, Petitjean, Ray, Maillot, "Least squares conformal maps for automatic texture atlas
generation", SIGGRAPH 2002, in the form of Desbrun, Meyer, Alliez, "Intrinsic parameterizations of
surface meshes", Eurographics 2002; Liu, Zhang, Xu, Gotsman, Gortler, "A local/global approach to
mesh parameterization", SGP 2008. The second starts from a projection or from the first. Neither
promises a map without folds or overlaps, so the result is looked at: `flattened` returns one that
is one to one, or None.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import block_array, coo_array, csc_array
from scipy.sparse.linalg import SuperLU, splu

from fitter.hand_models.atlas_charts import Chart

_RIGID_STEPS = 20
"""Steps of the local/global method; the stretch of a hand changes by less than 1 % after them."""

_FOLDED = 0.02
"""Least area of a flattened triangle as a share of what it was to be: below, it counts as folded,
since a texture would have no texels for it."""


def flattened(chart: Chart, positions: np.ndarray) -> np.ndarray | None:
    """Positions (P, 2) of a chart's points in the plane, in the unit of `positions`.

    Every triangle keeps its orientation and no two overlap.

    Args:
        chart: whose triangles have an area.
        positions: (V, 3) of the mesh's vertices.

    Returns:
        None where the chart is no disk, or none of the maps that are tried is one to one.
    """
    if not chart.is_disk:
        return None
    points = positions[chart.vertices]
    shape = triangles_in_plane(points[chart.corners])
    if len(chart.faces) == 1:
        flat = np.empty((3, 2))
        flat[chart.corners[0]] = shape[0]
        return flat
    rigid = _Rigid.of(chart, shape)
    for start in (_projected, _conformal):
        flat = rigid.map(start(chart, shape, points))
        if is_one_to_one(chart, flat, shape):
            return flat
    return None


def triangles_in_plane(corners: np.ndarray) -> np.ndarray:
    """(N, 3, 2) triangles (N, 3, 3) of the same shape in the plane, counter-clockwise."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = np.linalg.norm(first, axis=1)
    along = (first * second).sum(1) / length
    height = np.linalg.norm(np.cross(first, second), axis=1) / length
    flat = np.zeros((len(corners), 3, 2))
    flat[:, 1, 0], flat[:, 2, 0], flat[:, 2, 1] = length, along, height
    return flat


def signed_areas(triangles: np.ndarray) -> np.ndarray:
    """(N,) areas of triangles (N, 3, 2), positive where counter-clockwise."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def is_one_to_one(chart: Chart, flat: np.ndarray, shape: np.ndarray) -> bool:
    """Whether no triangle of a disk is folded over and its border does not cross itself.

    A map that keeps the orientation of every triangle covers each point as often as the border
    winds around it; a border that does not cross itself winds once around what is inside.
    """
    areas = signed_areas(flat[chart.corners])
    if not np.isfinite(flat).all() or (areas <= _FOLDED * signed_areas(shape)).any():
        return False
    return not _crosses_itself(flat[chart.border])


def _crosses_itself(segments: np.ndarray) -> bool:
    """Whether two segments (L, 2, 2) cross or touch, those with a common end left out."""
    start, end = segments[:, 0], segments[:, 1]

    def turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        u, v = b - a, c - a
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    one, other = np.triu_indices(len(segments), 1)
    shared = (
        (start[one] == end[other]).all(1)
        | (end[one] == start[other]).all(1)
        | (start[one] == start[other]).all(1)
        | (end[one] == end[other]).all(1)
    )
    one, other = one[~shared], other[~shared]
    p, q, r, s = start[one], end[one], start[other], end[other]
    apart = (turn(p, q, r) * turn(p, q, s) > 0) | (turn(r, s, p) * turn(r, s, q) > 0)
    # Collinear segments are apart where their boxes are.
    low, high = np.minimum(p, q), np.maximum(p, q)
    apart |= ((np.minimum(r, s) > high) | (np.maximum(r, s) < low)).any(1)
    return bool((~apart).any())


def _cotangents(shape: np.ndarray) -> np.ndarray:
    """(N, 3) cotangent of the angle at each corner of triangles (N, 3, 2)."""
    first = np.roll(shape, -1, axis=1) - shape
    second = np.roll(shape, 1, axis=1) - shape
    return (first * second).sum(2) / (2 * signed_areas(shape))[:, None]


def _laplacian(chart: Chart, cotangents: np.ndarray) -> csc_array:
    """(P, P) the cotangent Laplacian, of half the sum of weighted squared differences of edges."""
    count = len(chart.vertices)
    total = csc_array((count, count))
    for corner in range(3):
        a, b = chart.corners[:, (corner + 1) % 3], chart.corners[:, (corner + 2) % 3]
        weight = 0.5 * cotangents[:, corner]
        rows, columns = np.concatenate([a, b, a, b]), np.concatenate([b, a, a, b])
        values = np.concatenate([-weight, -weight, weight, weight])
        total = total + csc_array(coo_array((values, (rows, columns)), (count, count)))
    return total


def _projected(chart: Chart, shape: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, 2) the points (P, 3) on their own plane, seen from outside."""
    corners = points[chart.corners]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sum(0)
    axes = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][:2]
    if np.linalg.det(np.stack([*axes, normal])) < 0:
        axes = axes[::-1]
    return (points - points[0]) @ axes.T


def _conformal(chart: Chart, shape: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, 2) the least squares conformal map, two far points of the border held in place."""
    count, border = len(points), chart.border
    laplacian = _laplacian(chart, _cotangents(shape))
    # The area as a quadratic form of x and y: 1/2 sum of x_a y_b - x_b y_a along the border.
    a, b = border[:, 0], border[:, 1]
    half = np.full(len(a), 0.5)
    area = coo_array(
        (np.concatenate([half, -half]), (np.concatenate([a, b]), np.concatenate([b, a]))),
        (count, count),
    )
    matrix = csc_array(block_array([[laplacian, -area], [-area.T, laplacian]]))
    ends = _far_apart(points, np.unique(border))
    held = np.concatenate([ends, ends + count])
    fixed = np.array([0.0, np.linalg.norm(points[ends[0]] - points[ends[1]]), 0.0, 0.0])
    free = np.setdiff1d(np.arange(2 * count), held)
    right = -(matrix[:, held] @ fixed)[free]
    solution = np.empty(2 * count)
    solution[held] = fixed
    solution[free] = splu(csc_array(matrix[free][:, free])).solve(right)
    return solution.reshape(2, count).T


def _far_apart(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(2,) two rows far from each other: the farthest from the first, and the farthest from it."""
    one = among[np.argmax(np.linalg.norm(points[among] - points[among[0]], axis=1))]
    other = among[np.argmax(np.linalg.norm(points[among] - points[one], axis=1))]
    return np.array([one, other])


@dataclass(frozen=True)
class _Rigid:
    """The map of Liu et al.: triangles turn, then points follow them.

    Attributes:
        start, end: (N, 3) rows of the points of the triangles' edges, edge k opposite to corner k.
        edges: (N, 3, 2) the edges in the triangles' own planes, times half a cotangent.
        solver: the factors of the Laplacian without the first point, which stays at (0, 0).
    """

    start: np.ndarray
    end: np.ndarray
    edges: np.ndarray
    solver: SuperLU

    @classmethod
    def of(cls, chart: Chart, shape: np.ndarray) -> _Rigid:
        """For triangles of the shapes (N, 3, 2)."""
        cotangents = _cotangents(shape)
        edges = np.roll(shape, 1, axis=1) - np.roll(shape, -1, axis=1)
        return cls(
            np.roll(chart.corners, -1, axis=1),
            np.roll(chart.corners, 1, axis=1),
            0.5 * cotangents[..., None] * edges,
            splu(csc_array(_laplacian(chart, cotangents)[1:][:, 1:])),
        )

    def map(self, flat: np.ndarray) -> np.ndarray:
        """(P, 2) after `_RIGID_STEPS` steps from a start (P, 2)."""
        rows = np.concatenate([self.end.ravel(), self.start.ravel()])
        for _ in range(_RIGID_STEPS):
            covariance = (flat[self.end] - flat[self.start]).transpose(0, 2, 1) @ self.edges
            turned = (self.edges @ _rotations(covariance).transpose(0, 2, 1)).reshape(-1, 2)
            turned = np.concatenate([turned, -turned])
            right = [np.bincount(rows, turned[:, k], len(flat)) for k in range(2)]
            flat = np.zeros_like(flat)
            flat[1:] = self.solver.solve(np.stack(right, 1)[1:])
        return flat


def _rotations(matrices: np.ndarray) -> np.ndarray:
    """(N, 2, 2) the rotations nearest to matrices (N, 2, 2)."""
    cosine = matrices[:, 0, 0] + matrices[:, 1, 1]
    sine = matrices[:, 1, 0] - matrices[:, 0, 1]
    length = np.hypot(cosine, sine)
    safe = np.where(length > 0, length, 1)
    cosine, sine = np.where(length > 0, cosine, 1) / safe, sine / safe
    return np.stack([cosine, -sine, sine, cosine], 1).reshape(-1, 2, 2)
