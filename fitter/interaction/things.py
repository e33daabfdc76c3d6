"""Known things that hands touch: they stay where they are, and hands are kept out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.interaction import InteractionConfig
from fitter.contact import PosedObject, Surface, contacts
from fitter.hand_models.vertex_jacobian import SurfaceJacobian
from fitter.interaction.contact_points import ContactPoints, ContactSurface
from fitter.interaction.coupling import GroupSum, to_other
from fitter.interaction.pair_terms import contact_weights
from fitter.raster import MeshTopology, rasterize


@dataclass(frozen=True)
class ThingByHand:
    """A thing and a hand of a group that may touch it.

    Attributes:
        group: number of the group; hand: place of the hand in it.
        surface: of the thing, (1, V, 3), in the hand's own frame: mirrored for a left one.
        shares: (V,) of a hand's surface, what each vertex of the thing stands for.
    """

    group: int
    hand: int
    surface: Surface
    shares: Tensor

    @classmethod
    def of(
        cls, thing: PosedObject, group: int, hand: int, left: bool, like: ContactSurface
    ) -> Self:
        """A thing in the picture's camera, by a left hand or a right one."""
        shares = like.shares
        vertices = torch.as_tensor(thing.vertices, dtype=torch.float64, device=shares.device)
        faces = torch.as_tensor(np.ascontiguousarray(thing.mesh.faces), device=shares.device)
        a, b, c = (vertices[faces[:, k]] for k in range(3))
        area = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 6
        of_vertex = shares.new_zeros(len(vertices))
        of_vertex = of_vertex.index_add(0, faces.flatten(), area.repeat_interleave(3))
        own = to_other(torch.tensor([left], device=shares.device), vertices[None])
        # A mirrored mesh is wound the other way round.
        surface = Surface(own, faces.flip(1) if left else faces)
        return cls(group, hand, surface, of_vertex / like.area)

    def contact(
        self, posed: SurfaceJacobian, surface: ContactSurface, reach: float
    ) -> tuple[ContactPoints, ContactPoints]:
        """The hand's vertices in the thing or near it, and the thing's in the hand or near it."""
        hand = Surface(posed.vertices.double(), surface.faces)
        inward = surface.tables(contacts(hand, self.surface, reach), posed.vertices, surface.shares)
        outward = surface.tables(contacts(self.surface, hand, reach), posed.vertices, self.shares)
        return inward, outward

    def add_to(
        self,
        total: GroupSum,
        posed: SurfaceJacobian,
        surface: ContactSurface,
        config: InteractionConfig,
    ) -> None:
        """Add what the thing says of a hand, posed, to the sum of all groups."""
        inward, outward = self.contact(posed, surface, config.attraction_reach)
        toward = [
            posed.rows(inward.vertex[..., None], inward.normal[:, :, None]),
            posed.rows(
                outward.corners, -outward.barycentrics[..., None] * outward.normal[:, :, None]
            ),
        ]
        hand = torch.tensor([self.group * total.count + self.hand], device=inward.gap.device)
        for points, by in zip((inward, outward), toward, strict=True):
            value, weight = contact_weights(points, config)
            total.add_alone(hand, value, points.gap, weight, by.to(points.gap))

    def hides(self, own: Tensor, intrinsics: Tensor, side: int) -> Tensor:
        """(S, S) bool: pixels of the hand's crop in which the thing stands in front of the hand.

        Args:
            own: (S, S) depth of the hand, or of its nearest pixel beside it; infinite for none.
            intrinsics: (3, 3) K of the crop.
            side: S.
        """
        vertices = self.surface.vertices.to(intrinsics)
        screen = torch.cat([project(vertices, intrinsics[None]), vertices[..., 2:]], -1)
        drawn = rasterize(screen, MeshTopology(self.surface.faces), (side, side))
        return (drawn.mask & (drawn.depth < own))[0]


def thing_boxes(things: Sequence[PosedObject], K: np.ndarray) -> np.ndarray:
    """(T, 4) x0, y0, x1, y1 of things in an image of K (3, 3), pixels; NaN for one that reaches
    behind the camera."""
    boxes = np.full((len(things), 4), np.nan)
    for row, thing in enumerate(things):
        points = thing.vertices @ K.T
        if (points[:, 2] > 0).all():
            seen = points[:, :2] / points[:, 2:]
            boxes[row] = np.concatenate([seen.min(0), seen.max(0)])
    return boxes
