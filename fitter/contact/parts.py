"""A hand's mesh in parts, one a bone, and which of them may not be in which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from fitter.contact.edges import cone, directed_edges, open_edges
from fitter.contact.records import Surface
from fitter.contact.reference import nearest_on
from fitter.contact.self_found import find_in_itself
from fitter.contact.topology import check_closed

_APART = 0.015
"""Metres along the skin between a vertex and what it is looked for in: nearer, as in the web
between two fingers, skin meets skin in every pose. Not published."""
_CLEAR = 0.005
"""Metres from a vertex to a lid of what it is looked for in: nearer, it may be on the wrong side of
that lid, which is no skin, in a hand of another shape. Not published."""


@dataclass(frozen=True)
class HandParts:
    """What the vertices of a hand are looked for in, for hands of one topology; build it with `of`.

    A vertex belongs to the bone that moves it most, a face to that which moves its corners most. A
    vertex is looked for in the faces of all bones but its own and the two or more that hang on it
    (its parent and its children), closed by lids where these were taken out.

    Attributes:
        lids: (L, 3) int64 over its vertices, of all bones' openings.
        bone: (V,) int64 the bone of each vertex; -1 for one that is not looked for.
        counted: (K, F + L) bool, which faces, and then lids, the vertices of a bone are looked for
            in.
    """

    lids: Tensor
    bone: Tensor
    counted: Tensor

    @classmethod
    def of(cls, faces: Tensor, rest: Tensor, weights: Tensor, parents: Sequence[int]) -> Self:
        """Take a hand model apart.

        Vertices that are near what they would be looked for in along the skin of the hand at rest,
        or near its lids, are not looked for, nor are those that are inside it at rest: a hand at
        rest has no contact with itself.

        Args:
            faces: (F, 3) of the closed mesh.
            rest: (V, 3) metres, the hand at rest.
            weights: (V, K) skinning weights.
            parents: (K,) the bone that each bone hangs on, negative for the first.

        Raises:
            InputError: `contact.open`, the mesh has an open edge.
        """
        check_closed(faces)
        triangles = faces.cpu().numpy()
        strength = weights.detach().double().cpu().numpy()
        bone = strength.argmax(axis=1)
        of_face = strength[triangles].sum(axis=1).argmax(axis=1)
        apart = ~_adjacent(parents)
        lids = [cone(_openings(triangles[apart[b][of_face]])) for b in range(len(parents))]
        owner = np.repeat(np.arange(len(lids)), [len(lid) for lid in lids])
        counted = np.concatenate(
            [apart[:, of_face], owner == np.arange(len(parents))[:, None]], axis=1
        )
        positions = rest.detach().double().cpu().numpy()
        near = _near(triangles, positions, bone, apart[:, of_face])
        near |= _near_lids(lids, positions, bone)
        flat = np.array([face for lid in lids for face in lid], np.int64).reshape(-1, 3)
        arrays = (flat, np.where(near, -1, bone), counted)
        parts = cls(*(torch.from_numpy(array).to(faces.device) for array in arrays))
        still = Surface(torch.from_numpy(positions)[None].to(faces.device), faces.long())
        inside = find_in_itself(still, parts).face[0] >= 0
        return replace(parts, bone=torch.where(inside, -1, parts.bone))

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return type(self)(*(part.to(device) for part in vars(self).values()))


def _adjacent(parents: Sequence[int]) -> np.ndarray:
    """(K, K) bool, bones that are one or of which one hangs on the other."""
    adjacent = np.eye(len(parents), dtype=bool)
    for bone, parent in enumerate(parents):
        if parent >= 0:
            adjacent[bone, parent] = adjacent[parent, bone] = True
    return adjacent


def _openings(faces: np.ndarray) -> list[tuple[int, int]]:
    return open_edges(Counter(directed_edges(faces)))


def _near(faces: np.ndarray, rest: np.ndarray, bone: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(V,) bool, vertices nearer than `_APART`, along edges, to faces that count for their bone."""
    edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)), axis=0)
    length = np.linalg.norm(rest[edges[:, 0]] - rest[edges[:, 1]], axis=1)
    # An edge of no length would be none.
    entries = (np.maximum(length, 1e-9), (edges[:, 0], edges[:, 1]))
    graph = scipy.sparse.csr_matrix(entries, shape=(len(rest), len(rest)))
    near = np.zeros(len(rest), bool)
    for b, of_bone in enumerate(counted):
        start = np.unique(faces[of_bone])
        if len(start):
            away = dijkstra(graph, directed=False, indices=start, min_only=True, limit=_APART)
            near |= (bone == b) & np.isfinite(away)
    return near


def _near_lids(
    lids: list[list[tuple[int, int, int]]], rest: np.ndarray, bone: np.ndarray
) -> np.ndarray:
    """(V,) bool, vertices nearer than `_CLEAR` to the lids of what they are looked for in."""
    points = torch.from_numpy(rest)
    near = np.zeros(len(rest), bool)
    for b, lid in enumerate(lids):
        rows = np.flatnonzero(bone == b)
        if lid and len(rows):
            squared = nearest_on(points[rows], points[torch.tensor(lid)])[2]
            near[rows] = squared.numpy() < _CLEAR**2
    return near
