"""Distances inside a mesh on a grid, as Yu et al. have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fitter.contact.found import find
from fitter.contact.records import Surface

_PADDING = 0.1
"""Of a box's longest side, added at both ends of each side; not published."""


@dataclass(frozen=True)
class DistanceGrid:
    """How deep in a mesh points are, sampled on cells^3 points over its box and interpolated.

    Yu et al., "Overcoming the Trade-off Between Accuracy and Plausibility in 3D Hand Shape
    Reconstruction", CVPR 2023, section 3.4, eq. 5: ``phi = -min(SDF, 0)`` at each cell, so that
    phi is positive inside and 0 outside. Their box is not published: here it is each mesh's own,
    padded, its sides along the axes, and phi is exact at the cells' centres.

    Attributes:
        depth: (B, cells, cells, cells) float64 metres, phi at the centres, along x, y and z; NaN
            for a mesh that is not finite. A constant.
        low: (B, 3) float64 metres, the box's lower corner. It moves with the mean of the mesh's
            vertices, so that phi is differentiable in where the mesh is, but not in its shape.
        cell: (B, 3) float64 metres, sides of a cell.
    """

    depth: Tensor
    low: Tensor
    cell: Tensor

    @classmethod
    def of(cls, surface: Surface, cells: int = 32) -> Self:
        """Sample B closed meshes.

        Args:
            surface: of them.
            cells: along each axis, at least 2; 32 in the paper.

        Raises:
            ValueError: fewer cells.
            InputError: `contact.open`, see `signed_distance`.
        """
        if cells < 2:
            raise ValueError(f"expected at least 2 cells, found {cells}")
        vertices = surface.vertices.double()
        still = vertices.detach()
        low, high = still.amin(1), still.amax(1)
        padding = _PADDING * (high - low).amax(-1, keepdim=True)
        low, high = low - padding, high + padding
        cell = (high - low) / cells
        steps = torch.arange(cells, dtype=torch.float64, device=still.device) + 0.5
        x, y, z = (low[..., None] + cell[..., None] * steps).unbind(1)
        x, y, z = torch.broadcast_tensors(
            x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]
        )
        points = torch.stack([x, y, z], -1).flatten(1, 3)
        centre = vertices.mean(1)
        return cls(_depths(points, surface).view_as(x), low + centre - centre.detach(), cell)

    def inside_depth(self, points: Tensor) -> Tensor:
        """phi (B, P) of eq. 5 at points (B, P, 3), trilinear; 0 beyond the box.

        NaN of a point or a mesh that is not finite. Differentiable in the points and in where the
        meshes are; in the dtype of `points`.
        """
        # NaN would reach, as 0 * NaN, whatever the points of finite pairs share with others.
        whole = self.depth.isfinite().flatten(1).all(1) & self.low.isfinite().all(-1)
        known = points.isfinite().all(-1) & whole[:, None]
        depth = torch.where(whole[:, None, None, None], self.depth, 0.0)
        low, cell = (torch.where(whole[:, None], of, 1.0) for of in (self.low, self.cell))
        away = torch.where(known[..., None], points.double(), low[:, None]) - low[:, None]
        place = away / cell[:, None] - 0.5
        # Of the sampler's axes the first is the last of the volume's.
        scaled = 2 * place.flip(-1) / (depth.shape[1] - 1) - 1
        sampled = torch.nn.functional.grid_sample(
            depth[:, None], scaled[:, :, None, None], align_corners=True
        )
        return torch.where(known, sampled[:, 0, :, 0, 0], torch.nan).to(points.dtype)


def _depths(points: Tensor, surface: Surface) -> Tensor:
    """(B, N) exact depth of points inside, 0 outside, NaN of a mesh that is not finite."""
    found = find(points, surface, 0.0)
    depth = torch.zeros(points.shape[:2], dtype=torch.float64, device=points.device)
    mesh, point = (found.face >= 0).nonzero(as_tuple=True)
    corners = surface.vertices.detach()[mesh[:, None], surface.faces[found.face[mesh, point]]]
    closest = (found.barycentrics[mesh, point][..., None] * corners.double()).sum(1)
    depth[mesh, point] = (points[mesh, point] - closest).norm(dim=-1)
    return torch.where(found.face == -2, torch.nan, depth)
