"""What the triangles of a mesh alone say: whether it is closed, and how an open one is closed."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from fitter.errors import InputError
from fitter.shapes import check_shapes


def closed(faces: Tensor, vertices_count: int) -> Tensor:
    """Close the open loops of a mesh, such as a hand's wrist, each by a fan over its own vertices.

    A fan begins at the loop's lowest vertex from which no side of its triangles is an edge of the
    mesh already. No vertex is added: the lid moves with the hand.

    Args:
        faces: (F, 3) integer, wound alike.
        vertices_count: V of the mesh.

    Returns:
        (F', 3) int64, `faces` first; a mesh without open edges as it is.

    Raises:
        InputError: `contact.faces` for an index that no vertex has; `contact.not_manifold` where
            faces are not wound alike, more than two share an edge, or loops meet in a vertex.
    """
    check_shapes(faces=(faces, ("F", 3)))
    faces = faces.long()
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < vertices_count:
        raise InputError("contact.faces", vertices=vertices_count)
    edges = Counter(directed_edges(faces.cpu().numpy()))
    if any(count > 1 for count in edges.values()):
        raise InputError("contact.not_manifold")
    lids = [_fan(loop, edges) for loop in _loops(open_edges(edges))]
    return torch.cat([faces, *(torch.tensor(lid, device=faces.device) for lid in lids)])


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


def check_closed(faces: Tensor) -> None:
    """Refuse a mesh with open edges, which has no inside.

    Raises:
        InputError: `contact.open`.
    """
    count = _open_count(faces.detach().cpu().contiguous().numpy().astype(np.int64).tobytes())
    if count:
        raise InputError("contact.open", edges=count)


@lru_cache(maxsize=64)
def _open_count(faces: bytes) -> int:
    _, balance = edge_uses(np.frombuffer(faces, np.int64).reshape(-1, 3))
    return int(np.abs(balance).sum())


def _loops(edges: list[tuple[int, int]]) -> list[list[int]]:
    """Open edges in loops, each from its lowest vertex on."""
    after = dict(edges)
    if len(after) < len(edges) or len(set(after.values())) < len(edges):
        raise InputError("contact.not_manifold")  # loops meet
    loops = []
    for first in sorted(after):
        loop, vertex = [], first
        while vertex in after:
            loop.append(vertex)
            vertex = after.pop(vertex)
        if loop:
            loops.append(loop)
    return loops


def _fan(loop: list[int], edges: Counter[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Triangles against the sense of a loop of open edges."""
    for start in sorted(range(len(loop)), key=loop.__getitem__):
        apex, *others = loop[start:] + loop[:start]
        chords = [(apex, other) for other in others[1:-1]]
        if not any(edge in edges or edge[::-1] in edges for edge in chords):
            return [(apex, b, a) for a, b in pairwise(others)]
    raise InputError("contact.not_manifold")


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
