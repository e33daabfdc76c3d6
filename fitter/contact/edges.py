"""How the triangles of a mesh share their edges; NumPy alone, so that who reads a mesh from a file
loads no PyTorch."""

from __future__ import annotations

from collections import Counter

import numpy as np


def directed_edges(faces: np.ndarray) -> list[tuple[int, int]]:
    """The three edges (3 F) of each triangle (F, 3), in its sense of rotation; those of triangles
    that name a vertex twice left out."""
    faces = np.asarray(faces)
    whole = faces[(faces != faces[:, [1, 2, 0]]).all(axis=1)]
    pairs = np.stack([whole, whole[:, [1, 2, 0]]], axis=-1).reshape(-1, 2)
    return [(a, b) for a, b in pairs.tolist()]


def open_edges(edges: Counter[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that are run along more often one way than the other, once for each time."""
    excess = ((edge, count - edges.get(edge[::-1], 0)) for edge, count in edges.items())
    return [edge for edge, more in excess for _ in range(more)]


def edge_uses(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How triangles (F, 3) share their E edges, those of triangles that name a vertex twice left
    out: (E,) how many run along each, and (E,) how many more do so one way than the other,
    negative for from its higher vertex to its lower one. A mesh is closed where that is 0."""
    ends = np.asarray(faces, np.int64)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    whole = (ends[:, 0] != ends[:, 1]).reshape(-1, 3).all(axis=1)
    ends = ends[np.repeat(whole, 3)]
    low, high = ends.min(axis=1), ends.max(axis=1)
    count = int(high.max(initial=0)) + 1
    _, edge, uses = np.unique(low * count + high, return_inverse=True, return_counts=True)
    ways = np.where(ends[:, 0] == low, 1.0, -1.0)
    return uses, np.bincount(edge.reshape(-1), ways, len(uses)).astype(np.int64)


def cone(edges: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Triangles from all open edges of a mesh to one vertex of each of its openings: with them it
    is closed, whatever the edges are like."""
    apex = _components(edges)
    return [(apex[a], b, a) for a, b in edges if apex[a] not in (a, b)]


def _components(edges: list[tuple[int, int]]) -> dict[int, int]:
    """For every vertex the lowest that edges lead to from it."""
    lowest = {vertex: vertex for edge in edges for vertex in edge}

    def root(vertex: int) -> int:
        while lowest[vertex] != vertex:
            vertex = lowest[vertex]
        return vertex

    for a, b in edges:
        first, second = sorted((root(a), root(b)))
        lowest[second] = first
    return {vertex: root(vertex) for vertex in lowest}
