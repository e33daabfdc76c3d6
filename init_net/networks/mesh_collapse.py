"""Coarser meshes by quadric edge collapse, on some of a mesh's own vertices.

Garland and Heckbert 1997, "Surface Simplification Using Quadric Error Metrics": each vertex has the
sum of the squared distances to the planes of its faces (section 5.1), here weighted by their areas;
an edge's cost is that of the sums of both ends where its vertex comes to lie; the cheapest edge
collapses first (section 4.1). Borders are held by planes through them at right angles to their
faces (section 6). A vertex comes to lie on the other end of the edge, not between them, so that the
coarse mesh has vertices of the fine one. An edge collapses only where the surface stays one: its
ends share two neighbours, or one at a border (the link condition), and no face turns over.

Libraries that simplify meshes place vertices anew, know no costs that are alike but for rounding,
or need a compiler: levels of a decoder have to be the same wherever its weights are loaded.
"""

from __future__ import annotations

import heapq
from math import sqrt
from operator import add
from typing import TypeAlias

import numpy as np

from fitter.errors import InputError

_BORDER_WEIGHT = 10.0
"""Of a border's planes against those of faces (not published)."""

_LEAST_COSINE = 0.2
"""Between the normals of a face before and after: it may turn, but not over (not published)."""

_DIGITS = 9
"""Significant digits of a cost: what differs less differs by rounding."""

_NO_COST = 1e-18
"""Square metres times square metres below which a cost is rounding: a square centimetre, a tenth
of a micrometre from its plane."""

_Vector: TypeAlias = tuple[float, float, float]

_Quadric: TypeAlias = tuple[float, ...]
"""The ten different elements of a symmetric 4 x 4 matrix, row by row."""

_NOTHING: _Quadric = (0.0,) * 10


def collapsed(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A mesh on fewer of its vertices.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) counter-clockwise seen from outside.
        count: W, how many are to be left.

    Returns:
        (W,) ascending numbers of the vertices that are left, and (F', 3) faces among them.

    Raises:
        InputError: `network.mesh_levels`: more are left when no edge can collapse any more.
    """
    mesh = _Mesh(np.asarray(vertices, np.float64), np.asarray(faces))
    left = len(mesh.around)
    while left > count and mesh.queue:
        left -= mesh.step()
    if left > count:
        raise InputError("network.mesh_levels", expected=count, found=left, vertices=len(vertices))
    kept = np.array(sorted(mesh.around))
    places = np.full(len(vertices), -1)
    places[kept] = np.arange(len(kept))
    return kept, places[np.array([mesh.faces[number] for number in sorted(mesh.faces)])]


class _Mesh:
    """A mesh that gets coarser. Numbers are Python's own: arrays of three cost ten times as much.

    Attributes:
        points: V of them.
        faces: number -> corners.
        around: vertex -> numbers of its faces.
        quadrics: vertex -> sum of ``area p p^T`` over planes p = (n, d), n x + d = 0.
        queue: (cost, from, to) of edges, some of them of a mesh that is gone.
        costs: (from, to) -> its cost in the mesh as it is.
        waiting: edges that could not collapse when it was their turn.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.points: list[_Vector] = [(x, y, z) for x, y, z in vertices.tolist()]
        self.faces = {n: tuple(face) for n, face in enumerate(faces.tolist())}
        self.around: dict[int, set[int]] = {}
        for number, face in self.faces.items():
            for vertex in face:
                self.around.setdefault(vertex, set()).add(number)
        self.quadrics = dict.fromkeys(self.around, _NOTHING)
        self._add_faces()
        self._add_borders()
        self.queue: list[tuple[float, int, int]] = []
        self.costs: dict[tuple[int, int], float] = {}
        self.waiting: set[tuple[int, int]] = set()
        for vertex in sorted(self.around):
            self._offer(vertex, self._neighbours(vertex))

    def _add_faces(self) -> None:
        for face in self.faces.values():
            normal = self._normal(face)
            self._add_plane(normal, face, _length(normal) / 2)

    def _add_borders(self) -> None:
        edges: dict[tuple[int, int], list[int]] = {}
        for number, face in self.faces.items():
            a, b, c = sorted(face)
            for edge in ((a, b), (a, c), (b, c)):
                edges.setdefault(edge, []).append(number)
        for (a, b), numbers in edges.items():
            if len(numbers) == 1:
                along = _between(self.points[a], self.points[b])
                across = _cross(along, self._normal(self.faces[numbers[0]]))
                self._add_plane(across, (a, b), _BORDER_WEIGHT * _dot(along, along))

    def _add_plane(self, normal: _Vector, corners: tuple[int, ...], weight: float) -> None:
        """The plane at right angles to a vector of any length through the first of some vertices,
        to the quadrics of all of them."""
        length = _length(normal)
        if length == 0:
            return
        x, y, z = (value / length for value in normal)
        plane = (x, y, z, -_dot((x, y, z), self.points[corners[0]]))
        own = tuple(weight * plane[i] * plane[j] for i in range(4) for j in range(i, 4))
        for vertex in corners:
            self.quadrics[vertex] = _sum(self.quadrics[vertex], own)

    def _normal(self, face: tuple[int, ...]) -> _Vector:
        """Of a face, of twice its area."""
        a, b, c = (self.points[vertex] for vertex in face)
        return _cross(_between(a, b), _between(a, c))

    def _neighbours(self, vertex: int) -> set[int]:
        return {other for n in self.around[vertex] for other in self.faces[n]} - {vertex}

    def _offer(self, vertex: int, neighbours: set[int]) -> None:
        """Put the edges from a vertex in the queue, in both directions."""
        for other in sorted(neighbours):
            both = _sum(self.quadrics[vertex], self.quadrics[other])
            for edge in ((vertex, other), (other, vertex)):
                cost = _cost(both, self.points[edge[1]])
                if self.costs.get(edge) != cost or edge in self.waiting:
                    self.costs[edge] = cost
                    self.waiting.discard(edge)
                    heapq.heappush(self.queue, (cost, *edge))

    def step(self) -> int:
        """Take the cheapest edge off the queue; 1 if it collapsed, else 0."""
        cost, gone, stays = heapq.heappop(self.queue)
        # Where faces make no surface, edges may be left of vertices that are gone.
        if self.costs.get((gone, stays)) != cost or not {gone, stays} <= self.around.keys():
            return 0
        if not self._may_go(gone, stays):
            self.waiting.add((gone, stays))
            return 0
        neighbours = self._neighbours(gone)
        self._collapse(gone, stays)
        for other in neighbours:
            for edge in ((gone, other), (other, gone)):
                self.costs.pop(edge, None)
                self.waiting.discard(edge)
        self.quadrics[stays] = _sum(self.quadrics[stays], self.quadrics.pop(gone))
        self._offer(stays, self._neighbours(stays))
        # What could not collapse about the faces that changed may do so now.
        for vertex in sorted(neighbours - {stays}):
            for other in sorted(self._neighbours(vertex)):
                for edge in ((vertex, other), (other, vertex)):
                    if edge in self.waiting:
                        self.waiting.discard(edge)
                        heapq.heappush(self.queue, (self.costs[edge], *edge))
        return 1

    def _collapse(self, gone: int, stays: int) -> None:
        for number in self.around.pop(gone):
            face = self.faces.pop(number)
            for vertex in face:
                if vertex != gone:
                    self.around[vertex].discard(number)
            if stays not in face:
                moved = tuple(stays if vertex == gone else vertex for vertex in face)
                self.faces[number] = moved
                for vertex in moved:
                    self.around[vertex].add(number)

    def _may_go(self, gone: int, stays: int) -> bool:
        """Whether the surface stays one, and no vertex loses its last face."""
        first, second = self._neighbours(gone), self._neighbours(stays)
        common = self.around[gone] & self.around[stays]
        shared = first & second
        if not 1 <= len(common) <= 2 or len(shared) != len(common):
            return False
        # A vertex of the border goes along it: else the border would move inwards, or two of them
        # would meet.
        if self._is_at_border(gone) and len(common) != 1:
            return False
        # Each of the shared loses a face: of the last tetrahedron, or of the last triangles of a
        # sheet, none may go.
        if any(len(self.around[v]) <= (1 if self._is_at_border(v) else 3) for v in shared):
            return False
        return all(self._keeps_side(n, gone, stays) for n in self.around[gone] - common)

    def _is_at_border(self, vertex: int) -> bool:
        return len(self._neighbours(vertex)) != len(self.around[vertex])

    def _keeps_side(self, number: int, gone: int, stays: int) -> bool:
        face = self.faces[number]
        before = self._normal(face)
        after = self._normal(tuple(stays if vertex == gone else vertex for vertex in face))
        lengths = _length(before) * _length(after)
        return lengths > 0 and _dot(before, after) >= _LEAST_COSINE * lengths


def _cost(quadric: _Quadric, point: _Vector) -> float:
    """``v^T Q v`` of v = (x, y, z, 1), section 4.1, to `_DIGITS` significant digits; where the
    surroundings are flat it is 0 but for rounding."""
    a, b, c, d, e, f, g, h, i, j = quadric
    x, y, z = point
    value = a * x * x + e * y * y + h * z * z + j
    value += 2 * (b * x * y + c * x * z + f * y * z + d * x + g * y + i * z)
    return 0.0 if abs(value) < _NO_COST else float(f"{value:.{_DIGITS - 1}e}")


def _sum(first: _Quadric, second: _Quadric) -> _Quadric:
    return tuple(map(add, first, second))


def _between(start: _Vector, end: _Vector) -> _Vector:
    return end[0] - start[0], end[1] - start[1], end[2] - start[2]


def _cross(a: _Vector, b: _Vector) -> _Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _dot(a: _Vector, b: _Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _length(vector: _Vector) -> float:
    return sqrt(_dot(vector, vector))
