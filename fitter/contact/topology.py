"""What the triangles of a mesh alone say: whether it is closed, and how an open one is closed."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from fitter.contact.edges import directed_edges, edge_uses, open_edges
from fitter.errors import InputError
from fitter.shapes import check_shapes


def closed(faces: Tensor | np.ndarray, vertices_count: int) -> Tensor:
    """Close the open loops of a mesh, such as a hand's wrist, each by a fan over its own vertices.

    A fan begins at the loop's lowest vertex from which no side of its triangles is an edge of the
    mesh already. No vertex is added: the lid moves with the hand.

    Args:
        faces: (F, 3) integer, wound alike; an array as fitted hands have it, too.
        vertices_count: V of the mesh.

    Returns:
        (F', 3) int64, `faces` first; a mesh without open edges as it is.

    Raises:
        InputError: `contact.faces` for an index that no vertex has; `contact.not_manifold` where
            faces are not wound alike, more than two share an edge, or loops meet in a vertex.
    """
    check_shapes(faces=(faces, ("F", 3)))
    if isinstance(faces, np.ndarray):  # of unsigned integers, of which PyTorch computes little
        faces = torch.from_numpy(faces.astype(np.int64))
    faces = faces.long()
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < vertices_count:
        raise InputError("contact.faces", vertices=vertices_count)
    edges = Counter(directed_edges(faces.cpu().numpy()))
    if any(count > 1 for count in edges.values()):
        raise InputError("contact.not_manifold")
    lids = [_fan(loop, edges) for loop in _loops(open_edges(edges))]
    return torch.cat([faces, *(torch.tensor(lid, device=faces.device) for lid in lids)])


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
