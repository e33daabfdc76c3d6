"""Correspondences between vertices of one mesh and points of another: what penetration, attraction
and least squares are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from fitter.contact.found import Search, find
from fitter.contact.records import Surface


@dataclass(frozen=True)
class Contacts:
    """N vertices of B meshes, each with the nearest point on the surface of the other mesh.

    As a residual of least squares a contact is its gap, whose derivative by the vertex is the
    normal and by corner k of the triangle ``-barycentrics[k] * normal``.

    Attributes:
        pair: (N,) int64 which of the B pairs, ascending.
        vertex: (N,) int64 of the first mesh.
        corners: (N, 3) int64 vertices of the second mesh, the triangle that it meets.
        face: (N,) int64 that triangle.
        barycentrics: (N, 3) float64 of the nearest point in it.
        normal: (N, 3) float64 unit vector along which the gap grows.
        gap: (N,) float64 metres, negative inside; differentiable in both meshes' vertices.
        batch: B.
        vertices_count: V of the first mesh.
        broken: (B,) bool, a vertex of either mesh is not finite: nothing is known of that pair.
    """

    pair: Tensor
    vertex: Tensor
    corners: Tensor
    face: Tensor
    barycentrics: Tensor
    normal: Tensor
    gap: Tensor
    batch: int
    vertices_count: int
    broken: Tensor

    @property
    def inside(self) -> Tensor:
        """(N,) bool, which vertices are in the other mesh."""
        return self.gap < 0

    def where(self, chosen: Tensor) -> Contacts:
        """Those that are `chosen` (N,) bool."""
        rows = chosen.nonzero()[:, 0]
        names = ("pair", "vertex", "corners", "face", "barycentrics", "normal", "gap")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def sum(self, values: Tensor) -> Tensor:
        """(B,) sums of values (N,) of the contacts; NaN for a broken pair."""
        total = torch.zeros(self.batch, dtype=values.dtype, device=values.device)
        return torch.where(self.broken, torch.nan, total.index_add(0, self.pair, values))


@dataclass(frozen=True)
class ContactTable:
    """Contacts by pair, all pairs with as many places as the one with the most contacts.

    Attributes:
        row: (B, N) int64 which contact, 0 where there is none.
        used: (B, N) bool, whether there is one.
    """

    row: Tensor
    used: Tensor

    @classmethod
    def of(cls, near: Contacts) -> Self:
        """That of contacts, in their order."""
        count = torch.bincount(near.pair, minlength=near.batch)
        places = torch.arange(max(count.tolist(), default=0), device=count.device)
        row = (count.cumsum(0) - count)[:, None] + places
        used = places < count[:, None]
        return cls(torch.where(used, row, 0), used)

    def filled(self, values: Tensor) -> Tensor:
        """(B, N, ...) of values (K, ...) of the contacts; 0 where there is none."""
        if not len(values):
            return values.new_zeros(*self.row.shape, *values.shape[1:])
        used = self.used.view(*self.used.shape, *[1] * (values.ndim - 1))
        return torch.where(used, values[self.row], 0)


def contacts(first: Surface, second: Surface, reach: float, search: Search = find) -> Contacts:
    """The vertices of `first` that are inside `second` or no further than `reach` from it.

    Args:
        first: B meshes; only their vertices count.
        second: B closed meshes, of the same or of other triangles.
        reach: metres; 0 for the vertices inside alone.
        search: the compiled one or its twin.

    Raises:
        ValueError: a shape is another one.
        InputError: `contact.open`, the second meshes have an open edge.
    """
    vertices = first.vertices
    found = search(vertices, second, reach)
    pair, vertex = (found.face >= 0).nonzero(as_tuple=True)
    face = found.face[pair, vertex]
    barycentrics, normal = found.barycentrics[pair, vertex], found.normal[pair, vertex]
    corners = second.faces[face]
    closest = second.vertices[pair[:, None], corners].double()
    away = vertices[pair, vertex].double() - (barycentrics[..., None] * closest).sum(1)
    return Contacts(
        pair=pair,
        vertex=vertex,
        corners=corners,
        face=face,
        barycentrics=barycentrics,
        normal=normal,
        gap=(normal * away).sum(-1),
        batch=len(vertices),
        vertices_count=vertices.shape[1],
        broken=(found.face == -2).any(1),
    )
