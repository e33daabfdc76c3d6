"""The squared difference of an edge silhouette and a mask, with its Gauss-Newton model.

The same value as `fitter.energies.silhouette.squared_l2` of `Fragments.alpha`, for the
least-squares solver. Only pixels in the band along the outline move with the hand, and each of them
with the two ends of one contour edge (`fitter.raster.api`, "edge"), so the Jacobian has a row a
band pixel. On a CPU no such row is ever written: see `fitter.energies.contour_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
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
from fitter.energies.declare import least_squares
from fitter.energies.residuals import Quadratic
from fitter.energies.scene import SceneView
from fitter.hand_models.vertex_jacobian import SurfaceJacobian
from fitter.numba_kernels import for_each_image
from fitter.raster import Fragments, MeshTopology


class _Band(NamedTuple):
    """N places a hand for pixels of the band: flat index (B, N) and whether it holds one."""

    pixel: Tensor
    used: Tensor


@least_squares("silhouette_l2", "surface", "screen", "drawn", "view", by="tangent")
def contour_l2(
    surface: SurfaceJacobian,
    screen: Tensor,
    drawn: tuple[Fragments, MeshTopology, float],
    view: SceneView,
) -> Quadratic:
    """Mean over the image of ``weight (alpha - mask)^2`` (the square of Seeber et al. 3.2).

    Args:
        surface: vertices of B hands in the camera's frame and their derivatives.
        screen: (B, V, 3) the same vertices in pixels, and their depth.
        drawn: what `rasterize` made of `screen` with the edge silhouette, the topology, and the
            band in pixels.
        view: the masks, their weights and K.

    Returns:
        Value (B,), gradient (B, D) and Gauss-Newton Hessian (B, D, D) by the tangent vector of
        `fitter.hand_models.tangent`.
    """
    if screen.device.type == "cpu":
        return _contour_l2_compiled(surface, screen, drawn, view)
    return contour_l2_by_rows(surface, screen, drawn, view)


@dataclass(frozen=True)
class RowLimits:
    """How many rows of the Jacobian `contour_l2_by_rows` makes.

    Attributes:
        places: rows a hand; pixels of its band beyond that many take no part in the derivatives.
        at_once: rows of all hands together that are in memory at a time, unless a single hand has
            more. Of MANO in single precision a row takes 6.5 kB while it is made.
    """

    places: int
    at_once: int = 2**16

    @classmethod
    def of_band(cls, side: int, half_width: float) -> RowLimits:
        """Room for an outline six times as long as the image's side, both in pixels; that of an
        open hand that fills the image is about half of it."""
        return cls(min(side * side, ceil(6 * side * 2 * half_width)))


def contour_l2_by_rows(
    surface: SurfaceJacobian,
    screen: Tensor,
    drawn: tuple[Fragments, MeshTopology, float],
    view: SceneView,
    limits: RowLimits | None = None,
) -> Quadratic:
    """`contour_l2` with a row of the Jacobian for every pixel of the band, on any device.

    Args:
        surface, screen, drawn, view: see `contour_l2`.
        limits: None counts the pixels on a CPU; on a GPU, which the host would have to wait for, it
            is `RowLimits.of_band`.
    """
    fragments, topology, half_width = drawn
    alpha, contour_edge = _outline_of(fragments)
    batch, height, width = fragments.face_index.shape
    if limits is None:
        limits = RowLimits.of_band(max(height, width), half_width)
        if screen.device.type == "cpu":
            in_band = (contour_edge >= 0).flatten(1).sum(1)
            limits = replace(limits, places=max(in_band.tolist(), default=0))
    scale = 1 / (height * width)
    residual = (alpha - view.mask.to(screen.dtype)).flatten(1)
    weight = scale * view.mask_weight.to(screen.dtype).flatten(1)
    value = (weight * residual.square()).sum(1)
    size = surface.layout.size
    gradient, hessian = screen.new_zeros(batch, size), screen.new_zeros(batch, size, size)
    edge, inside = contour_edge.flatten(1), fragments.mask.flatten(1)
    step = max(1, limits.at_once // max(1, limits.places))
    for first in range(0, batch, step):
        some = slice(first, first + step)
        table = topology.edges if topology.edges.ndim == 2 else topology.edges[some]
        band = _band_pixels(edge[some], limits.places)
        outline = _EdgePixels(band, edge[some], inside[some], table, width, half_width)
        rows = _rows(surface.select(some), screen[some], outline, view.intrinsics[some])
        # A place that holds no pixel has weight 0 and whatever row.
        weighted = (2 * weight[some].gather(1, band.pixel) * band.used)[..., None] * rows
        beside = residual[some].gather(1, band.pixel)[..., None]
        gradient[some], hessian[some] = (weighted.mT @ beside)[..., 0], weighted.mT @ rows
    return Quadratic(value, gradient, hessian)


class _EdgePixels(NamedTuple):
    """Pixels of the band of B hands, what `Fragments` says of all pixels, (B, H * W), `edges` of
    the topology, the image's width and half the band's in pixels."""

    band: _Band
    edge: Tensor
    inside: Tensor
    edges: Tensor
    width: int
    half_width: float


def _rows(
    surface: SurfaceJacobian, screen: Tensor, outline: _EdgePixels, intrinsics: Tensor
) -> Tensor:
    """(B, N, D) derivatives of alpha at the pixels of the band by the tangent vector."""
    pixel, table = outline.band.pixel, outline.edges
    edge = outline.edge.gather(1, pixel).long().clamp_min(0)
    ends = table[edge] if table.ndim == 2 else table.gather(1, edge[..., None].expand(-1, -1, 4))
    ends = ends[..., :2]
    hand = torch.arange(len(ends), device=ends.device)[:, None, None]
    inside = outline.inside.gather(1, pixel)
    positions = screen[hand, ends]
    by_ends = _alpha_by_ends(positions[..., :2], pixel, inside, outline.width, outline.half_width)
    cotangents = _through_camera(by_ends, positions, intrinsics.to(screen.dtype))
    return surface.rows(ends, cotangents.nan_to_num())


def _contour_l2_compiled(
    surface: SurfaceJacobian,
    screen: Tensor,
    drawn: tuple[Fragments, MeshTopology, float],
    view: SceneView,
) -> Quadratic:
    """`contour_l2` by the Numba kernels, a hand a task."""
    fragments, topology, half_width = drawn
    batch, height, width = fragments.face_index.shape
    size = surface.layout.size
    value = np.empty(batch)
    gradient, hessian = np.zeros((batch, size)), np.zeros((batch, size, size))
    edges = _array(topology.edges)
    alpha, contour_edge = _outline_of(fragments)
    mask, weight = view.mask.to(screen.dtype), view.mask_weight.to(screen.dtype)
    images = (contour_edge, fragments.face_index, alpha, mask, weight)
    edge_index, face_index, covered, wanted, counts = (_array(image) for image in images)
    parts = [screen, *surface[1:6]]
    constants = surface.model
    change, posedirs = surface.local_change, constants.posedirs
    parts.append(screen.new_empty(batch, 0, 9, 3) if change is None else change)
    parts.append(view.intrinsics.to(screen.dtype))
    hands = [_array(part) for part in parts]
    model = SkinnedModel(
        shapedirs=_array(constants.shapedirs),
        skin_weights=_array(constants.skin_weights),
        carried=_array(constants.carried),
        posedirs=_array(screen.new_empty(0, 3, 0) if posedirs is None else posedirs),
        parents=np.array(constants.skeleton.parents),
    )

    def linearize(b: int) -> None:
        own = edges if edges.ndim == 2 else edges[b]
        outline = Outline(
            own, edge_index[b], face_index[b], covered[b], wanted[b], counts[b], half_width
        )
        hand = PosedHand(*(part[b] for part in hands))
        value[b] = linearize_outline(outline, hand, model, gradient[b], hessian[b])

    for_each_image(linearize, batch)
    scale = 1 / (height * width)
    return Quadratic(
        *(scale * torch.from_numpy(part).to(screen.dtype) for part in (value, gradient, hessian))
    )


def _outline_of(fragments: Fragments) -> tuple[Tensor, Tensor]:
    """`alpha` and `contour_edge` of an edge silhouette.

    Raises:
        ValueError: there is none.
    """
    if fragments.alpha is None or fragments.contour_edge is None:
        raise ValueError("expected fragments with an edge silhouette")
    return fragments.alpha, fragments.contour_edge


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _band_pixels(edge: Tensor, count: int) -> _Band:
    """The first `count` pixels of each hand at which `edge` (B, H * W) is not negative."""
    in_band = edge >= 0
    batch, pixels = in_band.shape
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
