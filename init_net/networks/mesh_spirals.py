"""Spirals: the vertices about each vertex of a mesh in a fixed order, and so many of them.

Gong et al. 2019, "SpiralNet++: A Fast and Highly Efficient Mesh Convolution Operator", section 3:
a vertex, then its neighbours counter-clockwise, then theirs, ring by ring, cut off at a length, so
that a convolution is one dense layer over the features along it. There each ring begins at random;
here the first ring begins at the neighbour from which the way along edges to one vertex of the mesh
is shortest (Bouritsas et al. 2019, "Neural 3D Morphable Models", section 3.2), so that neighbouring
spirals are turned alike and the same mesh has the same ones.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra


def spirals(vertices: np.ndarray, faces: np.ndarray, length: int, origin: np.ndarray) -> np.ndarray:
    """The spiral of every vertex.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) counter-clockwise seen from outside.
        length: L, vertices of a spiral.
        origin: (3,) metres; the vertex nearest to it is the one that spirals turn to first.

    Returns:
        (V, L) int64, itself first, each vertex once. Where a part of the mesh has fewer vertices
        than that, the spiral goes on with the vertex itself.
    """
    count = len(vertices)
    rings = ordered_neighbours(faces, count)
    away = _along_edges(vertices, rings, origin)
    found = np.empty((count, length), np.int64)
    for vertex in range(count):
        path = _spiral(vertex, rings, away, length)
        found[vertex] = path + [vertex] * (length - len(path))
    return found


def _spiral(vertex: int, rings: list[list[int]], away: np.ndarray, length: int) -> list[int]:
    """At most `length` vertices."""
    ring = rings[vertex]
    if ring:
        start = min(range(len(ring)), key=lambda place: (away[ring[place]], ring[place]))
        ring = ring[start:] + ring[:start]
    path, seen = [vertex], {vertex}
    while ring and len(path) < length:
        path += ring
        seen.update(ring)
        # The next ring in the order of this one: each of its vertices adds, counter-clockwise,
        # those of its own neighbours that are new, beginning behind one that is known.
        following: list[int] = []
        for inner in ring:
            around = rings[inner]
            known = [place for place, other in enumerate(around) if other in seen]
            first = (known[0] if known else 0) + 1
            for other in around[first:] + around[:first]:
                if other not in seen:
                    following.append(other)
                    seen.add(other)
        ring = following
    return path[:length]


def ordered_neighbours(faces: np.ndarray, count: int) -> list[list[int]]:
    """The neighbours of each of `count` vertices, counter-clockwise, those of a vertex of the
    border from one end of its faces to the other. Where faces do not make a surface, as many
    fans as there are follow each other, by their smallest vertices."""
    following: list[dict[int, list[int]]] = [{} for _ in range(count)]
    for a, b, c in np.asarray(faces).tolist():
        for vertex, first, second in ((a, b, c), (b, c, a), (c, a, b)):
            following[vertex].setdefault(first, []).append(second)
    return [_fans(after) for after in following]


def _fans(after: dict[int, list[int]]) -> list[int]:
    """Vertices in the order in which each is `after` the other, each once."""
    behind = {second for seconds in after.values() for second in seconds}
    order: list[int] = []
    known: set[int] = set()
    for start in [*sorted(after.keys() - behind), *sorted(after)]:
        here: int | None = start
        while here is not None and here not in known:
            order.append(here)
            known.add(here)
            here = next((other for other in after.get(here, ()) if other not in known), None)
    return order


def _along_edges(vertices: np.ndarray, rings: list[list[int]], origin: np.ndarray) -> np.ndarray:
    """(V,) metres along edges to the vertex nearest to `origin`, to a tenth of a micrometre."""
    ends = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    others = np.array([other for ring in rings for other in ring], np.int64)
    lengths = np.linalg.norm(vertices[ends] - vertices[others], axis=1)
    # An edge without a length would be none in a sparse matrix.
    graph = coo_matrix((np.maximum(lengths, 1e-9), (ends, others)), [len(rings)] * 2).tocsr()
    first = int(np.round(np.linalg.norm(vertices - origin, axis=1), 7).argmin())
    found: np.ndarray = np.round(dijkstra(graph, directed=False, indices=first), 7)
    return found
