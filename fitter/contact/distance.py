"""Exact signed distances of points to closed meshes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fitter.contact.found import Found, check, find
from fitter.contact.records import SignedDistance, Surface
from fitter.contact.reference import find_reference


def signed_distance(points: Tensor, surface: Surface) -> SignedDistance:
    """How far points are from closed meshes, negative inside.

    A point is inside where the mesh goes around it at least once, which stays right where a hand's
    surface runs into itself, as in the creases of a bent palm. The distance is that to the nearest
    triangle, one in such a crease included.

    The derivatives are exact wherever the nearest point is unique, with the barycentrics held: by
    the point the unit vector away from the surface, by the corners of the triangle that vector
    times minus the barycentrics. On the surface they are those of the triangle's plane; on a
    triangle of no area they are 0. There are no second derivatives.

    On a CPU a batch runs on as many threads as PyTorch is told to use; what it costs is in
    docs/interaction.md. Elsewhere `signed_distance_reference` does the same work.

    Args:
        points: (B, P, 3) metres.
        surface: B closed meshes.

    Returns:
        In the dtype of `points`; computed in float64.

    Raises:
        ValueError: a shape is another one.
        InputError: `contact.open`, the meshes have an open edge; see `closed`.
    """
    return _measured(points, surface, find(points, surface, math.inf))


def signed_distance_reference(points: Tensor, surface: Surface) -> SignedDistance:
    """The readable twin of `signed_distance`, every point against every face, on any device."""
    check(points, surface)
    return _measured(points, surface, find_reference(points, surface, math.inf))


def _measured(points: Tensor, surface: Surface, found: Found) -> SignedDistance:
    """The distances that a search has found, differentiable."""
    known = found.face >= 0
    mesh = torch.arange(len(points), device=points.device)[:, None, None]
    if len(surface.faces):
        corners = surface.faces[found.face.clamp_min(0)]
        placed = surface.vertices[mesh, corners].double()
        closest = (found.barycentrics[..., None] * placed).sum(-2)
    else:
        closest = torch.full(points.shape, torch.nan, dtype=torch.float64, device=points.device)
    distance = (found.normal * (points.double() - closest)).sum(-1)
    return SignedDistance(
        torch.where(known, distance, torch.nan).to(points.dtype),
        torch.where(known[..., None], closest, torch.nan).to(points.dtype),
        found.face.clamp_min(-1),
        torch.where(known[..., None], found.barycentrics, torch.nan).to(points.dtype),
    )
