"""Known objects beside hands: a hand is not in them, and it touches what it nearly touches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from fitter.contact import PosedObject, Surface, attraction, contacts, penetration
from fitter.energies.declare import energy, least_squares
from fitter.energies.residuals import Quadratic
from fitter.energies.touching import GapLoss, gap_quadratic
from fitter.hand_models.vertex_jacobian import SurfaceJacobian


@dataclass(frozen=True)
class KnownObjects:
    """The objects that B hands may touch, each as the right hand sees it.

    Attributes:
        surfaces: of each hand those of its image, each a batch of one, float64; none for most.
        faces: (F, 3) int64 of the hands, closed.
        draws: of each of the surfaces, whether it draws the hand to it.
    """

    surfaces: tuple[tuple[Surface, ...], ...]
    faces: Tensor
    draws: tuple[tuple[bool, ...], ...]

    @classmethod
    def of(
        cls, objects: Sequence[Sequence[PosedObject]], is_left: Sequence[bool], faces: Tensor
    ) -> Self:
        """Those of B hands.

        Args:
            objects: of each hand's image, in its camera.
            is_left: whether each is a left hand, which the fit sees mirrored.
            faces: (F, 3) int64 of the hands, closed.
        """
        rows = [(own, left) for own, left in zip(objects, is_left, strict=True)]
        surfaces = tuple(
            tuple(_surface(posed, left, faces.device) for posed in own) for own, left in rows
        )
        sides = [("left" if left else "right", own) for own, left in rows]
        draws = tuple(tuple(each.hand in (None, side) for each in own) for side, own in sides)
        return cls(surfaces, faces, draws)

    def __getitem__(self, index: Tensor) -> Self:
        """Those of the hands at `index` (n,)."""
        places = index.tolist()
        return replace(
            self,
            surfaces=tuple(self.surfaces[k] for k in places),
            draws=tuple(self.draws[k] for k in places),
        )

    @property
    def drawing(self) -> Self:
        """Those that draw the hands to them."""
        kept = [[k for k, drawn in enumerate(own) if drawn] for own in self.draws]
        surfaces = tuple(
            tuple(own[k] for k in places) for own, places in zip(self.surfaces, kept, strict=True)
        )
        return replace(self, surfaces=surfaces, draws=tuple((True,) * len(own) for own in kept))

    def in_unit(self, metres: float) -> Self:
        """With lengths in a unit of so many metres."""
        if metres == 1:
            return self
        return replace(
            self,
            surfaces=tuple(
                tuple(Surface(one.vertices / metres, one.faces) for one in own)
                for own in self.surfaces
            ),
        )

    def total(self, vertices: Tensor, of_pair: Callable[[Surface, Surface], Tensor]) -> Tensor:
        """(B,) sums over each hand's objects; 0 for a hand without any.

        Args:
            vertices: (B, V, 3) of the hands.
            of_pair: of a batch of one hand and one object, (1,).
        """
        sums = []
        for k, own in enumerate(self.surfaces):
            hand = Surface(vertices[k : k + 1], self.faces)
            found = [of_pair(hand, thing).to(vertices.dtype) for thing in own]
            # The hand's own vertices times 0 keep the derivative of a hand without objects.
            sums.append(torch.stack(found).sum(0) if found else 0 * vertices[k].sum()[None])
        return torch.cat(sums)

    def quadratic(self, surface: SurfaceJacobian, loss: GapLoss) -> Quadratic:
        """The loss of the gaps between hands and their objects, both ways, see `gap_quadratic`.

        Args:
            surface: vertices of the B hands and their derivatives.
            loss: of a gap.
        """
        count, size = len(surface.vertices), surface.layout.size
        like = surface.vertices.double()
        total = Quadratic(*(like.new_zeros(count, *[size] * order) for order in range(3)))
        reach = loss.reach or 0.0
        for k, own in enumerate(self.surfaces):
            moved = surface.select(slice(k, k + 1))
            hand = Surface(moved.vertices, self.faces)
            for thing in own:
                parts = (
                    gap_quadratic(contacts(hand, thing, reach), moved, None, loss),
                    gap_quadratic(contacts(thing, hand, reach), None, moved, loss),
                )
                for part in parts:
                    for whole, added in zip(total, part, strict=True):
                        whole[k] += added[0]
        return total


def _surface(posed: PosedObject, is_left: bool, device: torch.device) -> Surface:
    vertices, faces = posed.vertices, posed.mesh.faces
    if is_left:  # a mirror turns triangles inside out
        vertices, faces = vertices * [-1.0, 1.0, 1.0], faces[:, ::-1]
    return Surface(
        torch.from_numpy(vertices)[None].to(device),
        torch.from_numpy(np.ascontiguousarray(faces)).to(device),
    )


@energy("object_penetration", "vertices", "objects")
def object_penetration(vertices: Tensor, objects: KnownObjects) -> Tensor:
    """The hand in known objects: mean distance to the surface of the hand's vertices inside an
    object, plus that of the object's vertices inside the hand, summed over objects (Yu et al.,
    CVPR 2023, eq. 6). For lm ``sum depth^2 / V`` of both, V the number of a mesh's vertices.

    Args:
        vertices: (B, V, 3).
        objects: of each hand's image.

    Returns:
        (B,) in the unit of the vertices; 0 for a hand without objects.
    """
    return objects.total(vertices, penetration)


@energy("object_attraction", "vertices", "objects", "contact_reach")
def object_attraction(vertices: Tensor, objects: KnownObjects, reach: float) -> Tensor:
    """The hand near known objects: ``-(r^2 / 6) (1 - (gap / r)^2)^3`` of the gaps up to
    `contact_reach` r, summed over V, the number of a mesh's vertices, both ways and over objects;
    ours, not published. It is Tukey's biweight (Beaton and Tukey, 1974), less its largest value.

    Args:
        vertices: (B, V, 3).
        objects: of each hand's image.
        reach: in the unit of the vertices.

    Returns:
        (B,) in the square of that unit, 0 or less; see `fitter.contact.attraction`.
    """
    return objects.drawing.total(vertices, lambda hand, thing: attraction(hand, thing, reach))


@least_squares("object_penetration", "surface", "objects", by="tangent")
def penetration_quadratic(surface: SurfaceJacobian, objects: KnownObjects) -> Quadratic:
    """``sum depth^2 / V`` of hands in known objects, both ways, for Levenberg-Marquardt.

    Args:
        surface: vertices of B hands and their derivatives.
        objects: of each hand's image.

    Returns:
        Value (B,), gradient (B, D) and Gauss-Newton Hessian (B, D, D).
    """
    return objects.quadratic(surface, GapLoss())


@least_squares("object_attraction", "surface", "objects", "contact_reach", by="tangent")
def attraction_quadratic(
    surface: SurfaceJacobian, objects: KnownObjects, reach: float
) -> Quadratic:
    """`object_attraction` for Levenberg-Marquardt, metres.

    Args:
        surface: vertices of B hands and their derivatives.
        objects: of each hand's image.
        reach: metres.

    Returns:
        Value (B,), gradient (B, D) and Gauss-Newton Hessian (B, D, D).
    """
    return objects.drawing.quadratic(surface, GapLoss(reach))
