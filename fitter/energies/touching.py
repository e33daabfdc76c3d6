"""Surfaces that may not be in each other, as energies: of a hand by itself, and for
Levenberg-Marquardt over two hands, or a hand and a thing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.contact import Contacts, ContactTable, HandParts, Surface, biweight, self_contacts
from fitter.contact import self_penetration as self_penetration_of
from fitter.energies.declare import energy, least_squares
from fitter.energies.residuals import Quadratic
from fitter.hand_models.vertex_jacobian import SurfaceJacobian


@dataclass(frozen=True)
class GapLoss:
    """What gaps cost.

    Attributes:
        reach: metres; None for penetration alone, ``gap^2`` inside and nothing outside. Else
            attraction of gaps outside up to `reach`, see `biweight`.
    """

    reach: float | None = None

    def __call__(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of gaps (N,) metres, and its weight rho' as of least squares: the derivative
        of the loss is ``2 weight gap``."""
        if self.reach is None:
            inside = (gap < 0).to(gap.dtype)
            return inside * gap.square(), inside
        return biweight(gap, self.reach)


def gap_quadratic(
    near: Contacts,
    first: SurfaceJacobian | None,
    second: SurfaceJacobian | None,
    loss: GapLoss = GapLoss(),
) -> Quadratic:
    """The losses of contacts summed for each of B pairs, over the number of the first's vertices.

    `penetration`'s form `squared` is this of `contacts` one way plus this of those the other way,
    likewise `attraction`. Gauss-Newton: of a gap's derivatives only the first count. All pairs take
    as long as the one with the most contacts.

    Args:
        near: from vertices of the first meshes to the second.
        first: how the vertices of the first move; None for a thing that does not.
        second: likewise; the same object as `first` for a hand in itself, whose tangent then counts
            once.
        loss: of a gap.

    Returns:
        float64, whatever the hands are: value (B,), gradient (B, D) and Hessian (B, D, D) by the
        tangent vectors of `fitter.hand_models.tangent`, those of the first and then those of the
        second. NaN for a broken pair.
    """
    value, weight = loss(near.gap)
    table = ContactTable.of(near)
    blocks = []
    normal = near.normal[:, None]
    if first is not None:
        blocks.append(_rows(first, near.vertex[:, None], normal, table))
    if second is not None:
        pull = -near.barycentrics[..., None] * normal
        rows = _rows(second, near.corners, pull, table)
        blocks = [blocks[0] + rows] if second is first else [*blocks, rows]
    rows = torch.cat(blocks, -1).double()
    share = 1 / near.vertices_count
    weighted = (2 * share * table.filled(weight))[..., None] * rows
    gradient = (weighted.mT @ table.filled(near.gap)[..., None])[..., 0]
    hessian = weighted.mT @ rows
    gradient = torch.where(near.broken[:, None], torch.nan, gradient)
    return Quadratic(share * near.sum(value), gradient, hessian)


@least_squares("self_penetration", "surface", "parts", by="tangent")
def self_quadratic(surface: SurfaceJacobian, parts: tuple[Tensor, HandParts]) -> Quadratic:
    """Fingers in each other and in the palm: ``sum depth^2 / V`` over the vertices that are inside
    another part of the hand, V their number in all; ours, not published.

    Args:
        surface: vertices of B hands and their derivatives.
        parts: closed faces (F, 3) of the hand model, and its parts.

    Returns:
        Value (B,), gradient (B, D) and Gauss-Newton Hessian (B, D, D) by the tangent vector of
        `fitter.hand_models.tangent`.
    """
    faces, own = parts
    near = self_contacts(Surface(surface.vertices, faces), own)
    return gap_quadratic(near, surface, surface)


@energy("self_penetration", "vertices", "parts")
def self_penetration(vertices: Tensor, parts: tuple[Tensor, HandParts]) -> Tensor:
    """Fingers in each other and in the palm: ``sum depth^2 / V`` over the vertices that are inside
    another part of the hand, V their number in all; ours, not published.

    Args:
        vertices: (B, V, 3) metres.
        parts: closed faces (F, 3) of the hand model, and its parts.

    Returns:
        (B,) metres squared.
    """
    faces, own = parts
    return self_penetration_of(Surface(vertices, faces), own)


def _rows(surface: SurfaceJacobian, vertices: Tensor, pull: Tensor, table: ContactTable) -> Tensor:
    """(B, N, D) derivatives of gaps by a hand's tangent vector, of the vertices (K, k) that they
    depend on and their derivatives (K, k, 3) by these."""
    cotangents = table.filled(pull.to(surface.vertices.dtype))
    return surface.rows(table.filled(vertices), cotangents)
