"""The readable twin of `fitter.contact.kernels`: every point against every face, on any device.

Inside is where the winding number is above a half: the sum of the faces' signed solid angles over
4 pi (Jacobson et al., "Robust inside-outside segmentation using generalized winding numbers", 2013,
eq. 5; the angle is that of Van Oosterom and Strackee, "The solid angle of a plane triangle", 1983).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fitter.contact.found import Found, nothing_found
from fitter.contact.records import Surface

_PAIRS = 2**20
"""Points times faces that are in memory at once."""
_ON_SURFACE = 1e-10
"""Metres, as in the kernels."""


@torch.no_grad()
def find_reference(points: Tensor, surface: Surface, reach: float) -> Found:
    """See `fitter.contact.found.find`, which checks the arguments."""
    found, finite = nothing_found(points, surface)
    faces = surface.faces
    for mesh in range(len(points)):
        rows = finite[mesh].nonzero()[:, 0]
        if not len(rows) or not len(faces):
            continue
        vertices = surface.vertices[mesh].double()
        corners = vertices[faces]
        for part in rows.split(max(1, _PAIRS // len(faces))):
            own = points[mesh, part].double()
            face, weights, squared = nearest_on(own, corners)
            inside = winding_numbers(own, corners) > 0.5
            near = inside | ((squared <= reach**2) & (reach > 0))
            away = own - (weights[..., None] * corners[face]).sum(1)
            normal = direction_to(away, squared, inside, corners[face])
            found.face[mesh, part] = torch.where(near, face, -1)
            found.barycentrics[mesh, part] = torch.where(near[:, None], weights, 0.0)
            found.normal[mesh, part] = torch.where(near[:, None], normal, 0.0)
    return found


def winding_numbers(points: Tensor, corners: Tensor) -> Tensor:
    """(P,) how often closed meshes go around points (P, 3); corners (F, 3, 3) of their faces."""
    a, b, c = (corners - points[:, None, None]).unbind(2)
    la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
    numerator = (a * torch.linalg.cross(b, c)).sum(-1)
    denominator = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return 2 * torch.atan2(numerator, denominator).sum(1) / (4 * math.pi)


def nearest_on(points: Tensor, corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest of the triangles with these corners (F, 3, 3) to points (P, 3).

    Of each triangle the nearest point is the foot of the perpendicular where that is within, else
    the nearest on one of the three edges.

    Returns:
        (P,) the triangle, the first of equally near ones; (P, 3) barycentrics; (P,) the square of
        the distance.
    """
    best: list[Tensor] = []
    weights: list[Tensor] = []
    for first in range(3):
        start, end = corners[:, first], corners[:, (first + 1) % 3]
        along = end - start
        length = along.square().sum(-1)
        share = ((points[:, None] - start) * along).sum(-1)
        share = (share / torch.where(length > 0, length, 1.0)).clamp(0, 1)
        at = torch.zeros(*share.shape, 3, dtype=points.dtype, device=points.device)
        at[..., first], at[..., (first + 1) % 3] = 1 - share, share
        weights.append(at)
        best.append((points[:, None] - start - share[..., None] * along).square().sum(-1))
    at, squared = _foot(points, corners)
    weights.append(at)
    best.append(squared)
    squared, which = torch.stack(best).min(0)
    nearest, face = squared.min(1)
    chosen = which.gather(1, face[:, None])[:, 0]
    rows = torch.arange(len(points), device=points.device)
    return face, torch.stack(weights)[chosen, rows, face], nearest


def _foot(points: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentrics (P, F, 3) of the foot of the perpendicular from points to triangles, and the
    square of its length, infinite where the foot is beside the triangle."""
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = torch.linalg.cross(u, v)
    area = normal.square().sum(-1)
    flat = area <= 1e-14 * torch.maximum(u.square().sum(-1), v.square().sum(-1)).square()
    area = torch.where(flat, 1.0, area)
    offset = points[:, None] - a
    second = (torch.linalg.cross(offset, v.expand_as(offset)) * normal).sum(-1) / area
    third = (torch.linalg.cross(u.expand_as(offset), offset) * normal).sum(-1) / area
    weights = torch.stack([1 - second - third, second, third], -1)
    within = (weights >= 0).all(-1) & ~flat
    squared = (offset * normal).sum(-1).square() / area
    return weights, torch.where(within, squared, torch.inf)


def direction_to(away: Tensor, squared: Tensor, inside: Tensor, corners: Tensor) -> Tensor:
    """(P, 3) gradient of the signed distance, see the kernel `direction_to`."""
    a, b, c = corners.unbind(1)
    face = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-300)
    outward = torch.nn.functional.normalize(away, dim=-1, eps=1e-300)
    outward = torch.where(inside[:, None], -outward, outward)
    return torch.where((squared <= _ON_SURFACE**2)[:, None], face, outward)
