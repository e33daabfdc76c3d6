"""The rasteriser in plain PyTorch: the rules of `fitter.raster.api` written to be read.

It visits every pixel for every face, so it is for small meshes, small pictures and tests.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.raster.api import MAX_POSITION, Fragments, RasterSettings


def rasterize_reference(
    vertices_screen: Tensor, faces: Tensor, image_size: tuple[int, int], settings: RasterSettings
) -> Fragments:
    """See `fitter.raster.rasterize`, which checks the arguments; same shapes, same rules."""
    height, width = image_size
    batch = vertices_screen.shape[0]
    corners = vertices_screen.detach().double()[:, faces.long()]  # (B, F, 3, 3)
    keep = _drawable(corners, settings.near)
    pixel_y, pixel_x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5,
        torch.arange(width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )

    face_index = torch.full((batch, height, width), -1, dtype=torch.int32)
    depth = torch.full((batch, height, width), torch.inf, dtype=torch.float64)
    barycentrics = torch.zeros((batch, height, width, 3), dtype=torch.float64)
    for face in range(faces.shape[0]):
        a, b, c = (
            tuple(corners[:, face, k, axis, None, None] for axis in range(3)) for k in range(3)
        )
        edges = (
            _edge(b, c, pixel_x, pixel_y),
            _edge(c, a, pixel_x, pixel_y),
            _edge(a, b, pixel_x, pixel_y),
        )
        lowest = torch.minimum(torch.minimum(edges[0], edges[1]), edges[2])
        highest = torch.maximum(torch.maximum(edges[0], edges[1]), edges[2])
        total = edges[0] + edges[1] + edges[2]
        inside = keep[:, face, None, None] & ((lowest >= 0) | (highest <= 0)) & (total != 0)

        weights = (edges[0] / a[2], edges[1] / b[2], edges[2] / c[2])
        weight_sum = weights[0] + weights[1] + weights[2]
        face_depth = total / weight_sum
        # Strictly nearer, in ascending face order: equally near faces leave the lowest index.
        nearer = inside & (face_depth < depth)
        face_index = torch.where(nearer, face, face_index)
        depth = torch.where(nearer, face_depth, depth)
        face_barycentrics = torch.stack([w / weight_sum for w in weights], dim=-1)
        barycentrics = torch.where(nearer[..., None], face_barycentrics, barycentrics)

    dtype = vertices_screen.dtype
    depth = torch.where(face_index >= 0, depth, 0.0)
    return Fragments(face_index.to(torch.int32), barycentrics.to(dtype), depth.to(dtype))


def _drawable(corners: Tensor, near: float) -> Tensor:
    """(B, F) bool for corners (B, F, 3, 3): far enough, finite, of a size that can be computed."""
    a, b, c = corners.unbind(dim=2)
    area = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        c[..., 0] - a[..., 0]
    )
    in_range = (corners[..., :2].abs() <= MAX_POSITION).all(dim=-1)  # False for NaN
    far_enough = (corners[..., 2] >= near) & torch.isfinite(corners[..., 2])
    return (in_range & far_enough).all(dim=-1) & (area != 0)


def _edge(a: tuple[Tensor, ...], b: tuple[Tensor, ...], pixel_x: Tensor, pixel_y: Tensor) -> Tensor:
    """(B, H, W): twice the signed area of (a, b, pixel); exactly antisymmetric in a and b."""
    return (a[0] - pixel_x) * (b[1] - pixel_y) - (b[0] - pixel_x) * (a[1] - pixel_y)
