"""A mesh at several resolutions, and paths along it: what a decoder on a mesh is made of.

    faces -> coarser and coarser meshes      quadric edge collapse (`mesh_collapse`)
          -> up-sampling between them        barycentric coordinates in the nearest coarse face
          -> spirals about each vertex       `mesh_spirals`

It is made of faces and rest positions alone, whichever hand model they are of, and made again
whenever a network is built: half a second for the open hand, so nothing is kept on disk that could
be of another mesh. The same mesh gives the same levels: there is no randomness, costs that
are alike but for rounding are taken for equal, and equal ones go by the vertices' numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree
from trimesh import triangles

from init_net.networks.mesh_collapse import collapsed
from init_net.networks.mesh_spirals import spirals

FACTOR = 4
"""Vertices of a level for each of the next coarser one, about (not published)."""


@dataclass(frozen=True)
class UpSampling:
    """A sparse matrix (V, W) of three entries a row: V vertices as points on the faces of a coarser
    mesh of W vertices.

    Attributes:
        vertices: (V, 3) int64 columns, of each row.
        weights: (V, 3) float64 in [0, 1], each row of sum 1.
    """

    vertices: np.ndarray
    weights: np.ndarray

    def __matmul__(self, coarse: np.ndarray) -> np.ndarray:
        """(V, ...) of (W, ...)."""
        found: np.ndarray = np.einsum("vk,vk...->v...", self.weights, coarse[self.vertices])
        return found

    def dense(self, count: int) -> np.ndarray:
        """(V, W) for W = `count`."""
        matrix = np.zeros((len(self.vertices), count))
        np.add.at(matrix, (np.arange(len(matrix))[:, None], self.vertices), self.weights)
        return matrix


@dataclass(frozen=True)
class MeshLevel:
    """A mesh.

    Attributes:
        vertices: (V, 3) float64 rest positions, metres.
        faces: (F, 3) int64.
        spirals: (V, L) int64 vertices about each vertex, itself first, see `mesh_spirals.spirals`.
    """

    vertices: np.ndarray
    faces: np.ndarray
    spirals: np.ndarray


@dataclass(frozen=True)
class MeshLevels:
    """A mesh at N resolutions.

    Attributes:
        meshes: N of them, from the coarsest to the mesh itself.
        ups: N - 1, from each of the meshes to the next finer one.
        kept: N int64 arrays, the numbers that the vertices of each have in the mesh itself.
    """

    meshes: tuple[MeshLevel, ...]
    ups: tuple[UpSampling, ...]
    kept: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls, vertices: np.ndarray, faces: np.ndarray, count: int, length: int, origin: np.ndarray
    ) -> MeshLevels:
        """Coarsen a mesh.

        Args:
            vertices: (V, 3) rest positions, metres, all of them in some face.
            faces: (F, 3).
            count: N, levels; each has a quarter of the vertices of the next, rounded up.
            length: of the spirals.
            origin: (3,) metres, a point to which spirals turn first, such as the wrist.

        Raises:
            InputError: `network.mesh_levels`: there are no so many levels of this mesh, because it
                has few vertices, or faces that do not make a surface.
        """
        meshes = [(np.asarray(vertices, np.float64), np.asarray(faces, np.int64))]
        numbers = [np.arange(len(vertices))]
        for _ in range(count - 1):
            points, corners = meshes[-1]
            kept, corners = collapsed(points, corners, -(-len(points) // FACTOR))
            meshes.append((points[kept], corners))
            numbers.append(numbers[-1][kept])
        meshes.reverse()
        levels = [MeshLevel(v, f, spirals(v, f, length, origin)) for v, f in meshes]
        return cls(
            tuple(levels),
            tuple(up_sampling(coarse, fine.vertices) for coarse, fine in pairwise(levels)),
            tuple(reversed(numbers)),
        )


def up_sampling(coarse: MeshLevel, points: np.ndarray) -> UpSampling:
    """Points (V, 3) as points on the faces of a mesh, each on that nearest to it.

    The nearest face is found exactly: it is no further away than the nearest vertex, so its centre
    is at most that far and the largest radius of a face away.
    """
    corners = coarse.vertices[coarse.faces]
    centres = corners.mean(1)
    radius = np.linalg.norm(corners - centres[:, None], axis=-1).max()
    away, _ = cKDTree(coarse.vertices).query(points)
    near = cKDTree(centres).query_ball_point(points, (away + radius) * (1 + 1e-9))
    point = np.repeat(np.arange(len(points)), [len(faces) for faces in near])
    face = np.concatenate([np.sort(faces) for faces in near]).astype(np.int64)
    places = triangles.closest_point(corners[face], points[point])
    # Faces that share the nearest point are alike but for rounding: the first of them is taken.
    distance = np.round(np.linalg.norm(places - points[point], axis=-1), 12)
    order = np.lexsort((face, distance, point))
    chosen = order[np.searchsorted(point[order], np.arange(len(points)))]
    weights = triangles.points_to_barycentric(corners[face[chosen]], places[chosen])
    weights = np.clip(weights, 0, None)
    weights /= weights.sum(1, keepdims=True)
    return UpSampling(coarse.faces[face[chosen]], weights)
