"""Where posed hands touch, as tables of one length for all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from fitter.contact import ContactTable, Surface, closed, contacts
from fitter.hand_models.tangent import TangentLayout
from fitter.hand_models.vertex_jacobian import SurfaceKinematics


@dataclass(frozen=True)
class ContactPoints:
    """N places for each of P pairs; a place without a contact has share 0.

    Attributes:
        vertex: (P, N) int64 of the first mesh.
        corners: (P, N, 3) int64 vertices of the second mesh, the triangle that it meets.
        barycentrics: (P, N, 3) of the nearest point in it.
        normal: (P, N, 3) unit vector along which the gap grows.
        gap: (P, N) float64 metres, negative inside.
        share: (P, N) float64 of its mesh's surface that the vertex stands for.
    """

    vertex: Tensor
    corners: Tensor
    barycentrics: Tensor
    normal: Tensor
    gap: Tensor
    share: Tensor

    @property
    def depth(self) -> Tensor:
        """(P,) metres of the deepest vertex inside, 0 where none is."""
        deep = torch.where(self.share > 0, -self.gap, 0.0)
        return torch.cat([deep, deep.new_zeros(len(deep), 1)], 1).amax(1)


@dataclass(frozen=True)
class ContactSurface:
    """A right-hand model's surface, closed at the wrist.

    Attributes:
        kinematics: of its vertices.
        faces: (F, 3) int64.
        shares: (V,) float64 of the surface that each vertex stands for, in the rest pose: the lid
            of the wrist, where the forearm is, counts for nothing.
        area: square metres of that surface.
    """

    kinematics: SurfaceKinematics
    faces: Tensor
    shares: Tensor
    area: float

    @classmethod
    def of(cls, kinematics: SurfaceKinematics, faces: Tensor) -> Self:
        """That of a model with an open or closed mesh (F, 3)."""
        rest = kinematics.v_template.double()
        a, b, c = (rest[faces[:, k]] for k in range(3))
        area = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 6
        shares = rest.new_zeros(len(rest)).index_add(0, faces.flatten(), area.repeat_interleave(3))
        area = float(shares.sum())
        return cls(kinematics, closed(faces, len(rest)), shares / area, area)

    @cached_property
    def layout(self) -> TangentLayout:
        """Of a hand's tangent vector."""
        joints = self.kinematics.skin_weights.shape[1]
        return TangentLayout(self.kinematics.shapedirs.shape[-1], joints - 1)

    def between(self, first: Tensor, second: Tensor, reach: float) -> ContactPoints:
        """Vertices of the first hands in the second or near them.

        Args:
            first: (P, V, 3) metres; only vertices count, so that they may be mirrored.
            second: (P, V, 3) metres, right hands, in the same frame.
            reach: metres outside the second within which a vertex is near.
        """
        found = contacts(Surface(first, self.faces), Surface(second, self.faces), reach)
        table = ContactTable.of(found).filled
        # A pair that is not finite has no contact, and no finite cost either.
        gap = torch.where(found.broken[:, None], torch.nan, table(found.gap))
        return ContactPoints(
            table(found.vertex),
            table(found.corners),
            table(found.barycentrics.to(second)),
            table(found.normal.to(second)),
            gap,
            table(self.shares[found.vertex]),
        )
