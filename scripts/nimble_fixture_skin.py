"""The skin of the NIMBLE fixture: the open hand's, subdivided and decimated to a given size.

Each face of the open hand is divided into four at the middles of its edges, which leaves the
surface as it is, and vertices are taken away again, the least noticed first, until the wanted
number is left. A vertex goes by moving it into a neighbour (half-edge collapse), so all that are
left are vertices of the divided mesh, and whatever is linear in the open hand's vertices stays so.
A closed surface without handles has four faces less than twice its vertices: of 4,994 vertices,
9,984 faces.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from fitter.hand_models import HandModelData

LENGTH_SHARE = 0.01
"""Of an edge's squared length in the cost of its collapse, beside the squared distance by which
the surface moves: it keeps triangles of like size where the surface is flat."""
FLATTEST = 0.2
"""Cosine of the largest angle that a face may turn by when a vertex goes."""


@dataclass(frozen=True)
class Skin:
    """A closed mesh whose V vertices are combinations of the open hand's.

    Attributes:
        combination: (V, 1670) rows of sum 1.
        faces: (F, 3) vertices; uv: (T, 2); uv_faces: (F, 3) rows of `uv`.
    """

    combination: scipy.sparse.csr_matrix
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray

    @classmethod
    def of(cls, data: HandModelData) -> Skin:
        """The open hand's own."""
        assert data.uv is not None and data.uv_faces is not None
        count = len(data.v_template)
        return cls(scipy.sparse.identity(count, format="csr"), data.faces, data.uv, data.uv_faces)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values (V, ...) of values (1670, ...) of the open hand's vertices."""
        return (self.combination @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])


def sized_skin(data: HandModelData, vertices: int, kept: tuple[int, ...]) -> Skin:
    """The open hand's surface with a given number of vertices.

    Args:
        data: the open hand.
        vertices: how many.
        kept: vertices of the open hand that stay.
    """
    skin = Skin.of(data)
    while len(skin.combination.indptr) - 1 < vertices:
        skin = _subdivided(skin)
    return _Decimation(skin, skin(data.v_template), set(kept)).down_to(vertices)


def place_of(skin: Skin, vertices: tuple[int, ...]) -> list[int]:
    """Where vertices of the open hand are in a skin that has kept them."""
    columns = skin.combination[:, list(vertices)].toarray()
    return [int(row) for row in columns.argmax(axis=0)]


def closest_on_faces(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest faces (P,) to points (P, 3) and the barycentric coordinates (P, 3) there, among
    the 24 faces with the nearest centres."""
    corners = vertices[faces]
    _, near = cKDTree(corners.mean(axis=1)).query(points, k=min(24, len(faces)))
    a, b, c = (corners[near][:, :, k] for k in range(3))
    ab, ac, ap = b - a, c - a, points[:, None] - a
    gram = np.stack([_dot(ab, ab), _dot(ab, ac), _dot(ac, ac)], -1)
    right = np.stack([_dot(ab, ap), _dot(ac, ap)], -1)
    determinant = np.maximum(gram[..., 0] * gram[..., 2] - gram[..., 1] ** 2, 1e-30)
    v = (gram[..., 2] * right[..., 0] - gram[..., 1] * right[..., 1]) / determinant
    w = (gram[..., 0] * right[..., 1] - gram[..., 1] * right[..., 0]) / determinant
    # Clamping is not the exact nearest point beyond an edge; there the next face is nearer.
    inside = np.clip(np.stack([1 - v - w, v, w], -1), 0, None)
    inside /= inside.sum(-1, keepdims=True)
    placed = np.einsum("pkc,pkcd->pkd", inside, corners[near])
    best = np.linalg.norm(placed - points[:, None], axis=-1).argmin(axis=1)
    row = np.arange(len(points))
    return near[row, best], inside[row, best]


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals of a mesh, outward."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def sampled(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(15 F, 3) points of a grid over each face."""
    shares = [(a, b, 4 - a - b) for a in range(5) for b in range(5 - a)]
    return (np.array(shares) / 4 @ points[faces]).reshape(-1, 3)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1)


def _subdivided(skin: Skin) -> Skin:
    """Each face in four."""
    count = len(skin.combination.indptr) - 1
    faces, edges = _divided(skin.faces, count)
    uv_faces, uv_edges = _divided(skin.uv_faces, len(skin.uv))
    middles = 0.5 * (skin.combination[edges[:, 0]] + skin.combination[edges[:, 1]])
    return Skin(
        scipy.sparse.vstack([skin.combination, middles], format="csr"),
        faces,
        np.concatenate([skin.uv, skin.uv[uv_edges].mean(axis=1)]),
        uv_faces,
    )


def _divided(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces (4 F, 3) and the edges (E, 2) whose middles are vertices `count` and on."""
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, of_side = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = (count + of_side.reshape(-1, 3)).T
    a, b, c = faces.T
    parts = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return np.stack([np.stack(part, -1) for part in parts], 1).reshape(-1, 3), edges


class _Decimation:
    """Takes vertices away from a closed mesh one after the other."""

    def __init__(self, skin: Skin, points: np.ndarray, kept: set[int]) -> None:
        self.skin, self.points, self.kept = skin, points, kept
        self.faces = {row: list(face) for row, face in enumerate(skin.faces.tolist())}
        self.uv_faces = {row: list(face) for row, face in enumerate(skin.uv_faces.tolist())}
        self.around: list[set[int]] = [set() for _ in points]
        for row, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(row)
        self.quadrics = self._quadrics()
        self.version = [0] * len(points)

    def down_to(self, count: int) -> Skin:
        """Collapse until `count` vertices are left."""
        left = len(self.points)
        heap: list[tuple[float, int, int, int, int]] = []
        for vertex in range(len(self.points)):
            self._offer(heap, vertex)
        while left > count:
            _, vertex, target, *versions = heapq.heappop(heap)
            if versions != [self.version[vertex], self.version[target]]:
                continue
            if not self._collapse(vertex, target):
                continue
            left -= 1
            for changed in self._neighbours(target) | {target}:
                self.version[changed] += 1
            for changed in sorted(self._neighbours(target) | {target}):
                self._offer(heap, changed)
        return self._packed()

    def _quadrics(self) -> np.ndarray:
        """(V, 4, 4) of Garland and Heckbert 1997: squared distance to the planes of the faces
        around each vertex."""
        a, b, c = (self.points[self.skin.faces[:, k]] for k in range(3))
        normals = np.cross(b - a, c - a)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        planes = np.concatenate([normals, -_dot(normals, a)[:, None]], axis=1)
        quadrics = np.zeros((len(self.points), 4, 4))
        for corner in range(3):
            np.add.at(quadrics, self.skin.faces[:, corner], planes[:, :, None] * planes[:, None])
        return quadrics

    def _neighbours(self, vertex: int) -> set[int]:
        return {v for row in self.around[vertex] for v in self.faces[row]} - {vertex}

    def _offer(self, heap: list, vertex: int) -> None:
        """Put the collapses of a vertex into its neighbours on the heap."""
        if vertex in self.kept or not self.around[vertex]:
            return
        for target in sorted(self._neighbours(vertex)):
            place = np.append(self.points[target], 1)
            error = place @ (self.quadrics[vertex] + self.quadrics[target]) @ place
            apart = self.points[target] - self.points[vertex]
            cost = float(max(error, 0) + LENGTH_SHARE * apart @ apart)
            heapq.heappush(heap, (cost, vertex, target, self.version[vertex], self.version[target]))

    def _collapse(self, vertex: int, target: int) -> bool:
        """Move a vertex into its neighbour, where the mesh stays closed, smooth and unwrapped."""
        between = self.around[vertex] & self.around[target]
        shared = self._neighbours(vertex) & self._neighbours(target)
        if len(between) != 2 or len(shared) != 2:
            return False
        # On a seam a vertex has one row of coordinates on each side; each goes over to the
        # target's row on that side, which the two faces at the edge tell.
        row_of = {
            self.uv_faces[row][self.faces[row].index(vertex)]:
            self.uv_faces[row][self.faces[row].index(target)]
            for row in between
        }  # fmt: skip
        rest = self.around[vertex] - between
        moved: dict[int, tuple[list[int], list[int]]] = {}
        for row in rest:
            corner = self.faces[row].index(vertex)
            if self.uv_faces[row][corner] not in row_of:
                return False
            face, uv_face = list(self.faces[row]), list(self.uv_faces[row])
            face[corner], uv_face[corner] = target, row_of[uv_face[corner]]
            if not self._turns_little(self.faces[row], face):
                return False
            moved[row] = face, uv_face
        for row in between:
            for corner in self.faces.pop(row):
                self.around[corner].discard(row)
            del self.uv_faces[row]
        for row, (face, uv_face) in moved.items():
            self.faces[row], self.uv_faces[row] = face, uv_face
            self.around[target].add(row)
        self.around[vertex] = set()
        self.quadrics[target] += self.quadrics[vertex]
        return True

    def _turns_little(self, before: list[int], after: list[int]) -> bool:
        old, new = (np.cross(*(self.points[f[1:]] - self.points[f[0]])) for f in (before, after))
        return bool(old @ new > FLATTEST * np.sqrt((old @ old) * (new @ new)))

    def _packed(self) -> Skin:
        rows = sorted(self.faces)
        faces = np.array([self.faces[row] for row in rows])
        uv_faces = np.array([self.uv_faces[row] for row in rows])
        vertices, faces = np.unique(faces, return_inverse=True)
        used, uv_faces = np.unique(uv_faces, return_inverse=True)
        return replace(
            self.skin,
            combination=self.skin.combination[vertices],
            faces=faces.reshape(-1, 3),
            uv=self.skin.uv[used],
            uv_faces=uv_faces.reshape(-1, 3),
        )
