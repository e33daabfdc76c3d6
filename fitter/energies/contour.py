"""The squared difference of an edge silhouette and a mask, with its Gauss-Newton model.

The same value as `fitter.energies.silhouette.squared_l2` of `Fragments.alpha`, for the
least-squares solver. Only pixels in the band along the outline move with the hand, and each of them
with the two ends of one contour edge (`fitter.raster.api`, "edge"), so the Jacobian has a row a
band pixel. On a CPU no such row is ever written: see `fitter.energies.contour_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fitter.energies.contour_kernels import (
    Outline,
    PosedHand,
    SkinnedModel,
    linearize_outline,
)
from fitter.energies.residuals import Quadratic
from fitter.hand_models.surface_kinematics import SurfaceJacobian
from fitter.raster import Fragments, MeshTopology
from fitter.raster.cpu import for_each_picture
from fitter.records import TensorBatch


@dataclass(frozen=True)
class MaskTargets(TensorBatch):
    """What is known of the outlines of B hands.

    Attributes:
        mask: (B, S, S) in [0, 1], the share of each pixel that the hand covers.
        weight: (B, S, S) at least 0, how far to trust the mask there.
        intrinsics: (B, 3, 3) K in pixels of the mask.
    """

    mask: Tensor
    weight: Tensor
    intrinsics: Tensor


class _Band(NamedTuple):
    """N places a hand for pixels of the band: flat index (B, N) and whether it holds one."""

    pixel: Tensor
    used: Tensor


def contour_l2(
    surface: SurfaceJacobian,
    screen: Tensor,
    drawn: tuple[Fragments, MeshTopology, float],
    targets: MaskTargets,
) -> Quadratic:
    """Mean over the picture of ``weight (alpha - mask)^2`` (the square of Seeber et al. 3.2).

    Args:
        surface: vertices of B hands in the camera's frame and their derivatives.
        screen: (B, V, 3) the same vertices in pixels, and their depth.
        drawn: what `rasterize` made of `screen` with the edge silhouette, the topology, and the
            band in pixels.
        targets: the masks.

    Returns:
        Value (B,), gradient (B, D) and Gauss-Newton Hessian (B, D, D) by the tangent vector of
        `fitter.hand_models.kinematics`.
    """
    if screen.device.type == "cpu":
        return _contour_l2_compiled(surface, screen, drawn, targets)
    return contour_l2_by_rows(surface, screen, drawn, targets)


def contour_l2_by_rows(
    surface: SurfaceJacobian,
    screen: Tensor,
    drawn: tuple[Fragments, MeshTopology, float],
    targets: MaskTargets,
) -> Quadratic:
    """`contour_l2` with a row of the Jacobian for every pixel of the band, on any device."""
    fragments, topology, half_width = drawn
    batch, height, width = fragments.face_index.shape
    scale = 1 / (height * width)
    mask, weight = targets.mask.to(screen.dtype), targets.weight.to(screen.dtype)
    residual = (fragments.alpha - mask).flatten(1)
    weight = weight.flatten(1)
    value = scale * (weight * residual.square()).sum(1)

    band = _band_pixels(fragments)
    edge = fragments.contour_edge.flatten(1).gather(1, band.pixel).long().clamp_min(0)
    table = topology.edges
    ends = table[edge] if table.ndim == 2 else table.gather(1, edge[..., None].expand(-1, -1, 4))
    ends = ends[..., :2]
    hand = torch.arange(batch, device=ends.device)[:, None, None]
    inside = fragments.mask.flatten(1).gather(1, band.pixel)
    by_ends = _alpha_by_ends(screen[hand, ends, :2], band.pixel, inside, width, half_width)
    cotangents = _through_camera(by_ends, screen[hand, ends], targets.intrinsics)
    # A place that holds no pixel has weight 0 and whatever row.
    mass = weight.gather(1, band.pixel) * band.used * scale
    rows = surface.rows(ends, cotangents.nan_to_num())
    weighted = (2 * mass)[..., None] * rows
    gradient = (weighted.mT @ residual.gather(1, band.pixel)[..., None])[..., 0]
    return Quadratic(value, gradient, weighted.mT @ rows)


def _contour_l2_compiled(
    surface: SurfaceJacobian,
    screen: Tensor,
    drawn: tuple[Fragments, MeshTopology, float],
    targets: MaskTargets,
) -> Quadratic:
    """`contour_l2` by the Numba kernels, a hand a task."""
    fragments, topology, half_width = drawn
    batch, height, width = fragments.face_index.shape
    shapes = surface.shifts.shape[-1] - 1
    value = np.empty(batch)
    gradient, hessian = np.zeros((batch, 51 + shapes)), np.zeros((batch, 51 + shapes, 51 + shapes))
    edges = _array(topology.edges)
    drawn_parts = [fragments.contour_edge, fragments.face_index, fragments.alpha]
    seen_parts = [targets.mask.to(screen.dtype), targets.weight.to(screen.dtype)]
    pictures = [_array(part) for part in drawn_parts + seen_parts]
    parts = [screen, *surface[1:6]]
    constants = surface.model
    change, posedirs = surface.local_change, constants.posedirs
    parts.append(screen.new_empty(batch, 0, 9, 3) if change is None else change)
    parts.append(targets.intrinsics.to(screen.dtype))
    hands = [_array(part) for part in parts]
    model = SkinnedModel(
        shapedirs=_array(constants.shapedirs),
        skin_weights=_array(constants.skin_weights),
        carried=_array(constants.carried),
        posedirs=_array(screen.new_empty(0, 3, 135) if posedirs is None else posedirs),
    )

    def linearize(b: int) -> None:
        outline = Outline(
            edges if edges.ndim == 2 else edges[b], *(part[b] for part in pictures), half_width
        )
        hand = PosedHand(*(part[b] for part in hands))
        value[b] = linearize_outline(outline, hand, model, gradient[b], hessian[b])

    for_each_picture(linearize, batch)
    scale = 1 / (height * width)
    return Quadratic(
        *(scale * torch.from_numpy(part).to(screen.dtype) for part in (value, gradient, hessian))
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _band_pixels(fragments: Fragments) -> _Band:
    in_band = fragments.contour_edge.flatten(1) >= 0
    batch, pixels = in_band.shape
    side = max(fragments.face_index.shape[1:])
    # On a GPU a fixed number of places, enough for outlines eight sides long in a band of two
    # pixels, spares the wait for their count.
    count = int(in_band.sum(1).max()) if in_band.device.type == "cpu" else min(pixels, 16 * side)
    place = torch.where(in_band, in_band.cumsum(1) - 1, count).clamp_max(count)
    pixel = place.new_zeros(batch, count + 1)
    numbers = torch.arange(pixels, device=place.device).expand(batch, -1)
    pixel.scatter_(1, place, numbers)
    used = torch.arange(count, device=place.device) < in_band.sum(1, keepdim=True)
    return _Band(torch.where(used, pixel[:, :count], 0), used)


def _alpha_by_ends(
    ends: Tensor, pixel: Tensor, inside: Tensor, width: int, half_width: float
) -> Tensor:
    """(B, N, 2, 2) derivatives of alpha by the positions (B, N, 2, 2) of an edge's two ends; the
    formulas of `fitter.raster.api`, "edge"."""
    column, row = pixel % width, pixel // width
    centre = torch.stack([column, row], -1).to(ends.dtype) + 0.5
    start, along = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]
    length = along.square().sum(-1)
    share = ((centre - start) * along).sum(-1) / length.clamp_min(1e-12)
    share = share.clamp(0, 1)
    away = centre - (start + share[..., None] * along)
    distance = away.norm(dim=-1)
    sign = torch.where(inside, 1.0, -1.0).to(ends)
    t = ((sign * distance / half_width + 1) / 2).clamp(0, 1)
    slope = 3 * t * (1 - t) / half_width
    # x = sign |p - c|, so dx/dc = -sign (p - c) / |p - c|.
    by_point = (-sign * slope / distance.clamp_min(1e-9))[..., None] * away
    return torch.stack([1 - share, share], -1)[..., None] * by_point[..., None, :]


def _through_camera(by_position: Tensor, screen: Tensor, intrinsics: Tensor) -> Tensor:
    """Derivatives (B, N, 2, 3) by points in the camera's frame, of those by their positions in
    pixels (B, N, 2, 2); `screen` (B, N, 2, 3) is where the points are seen, and their depth."""
    depth = screen[..., 2:]
    linear = by_position @ intrinsics[:, None, :2, :2]
    # With u = K_2 p / z: du/dz = (principal point - u) / z.
    principal = intrinsics[:, None, None, :2, 2]
    toward = (by_position * (principal - screen[..., :2])).sum(-1, keepdim=True)
    return torch.cat([linear, toward], -1) / depth
