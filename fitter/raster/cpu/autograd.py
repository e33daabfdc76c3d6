"""The rasteriser as Numba kernels, with its autograd rule.

One image is one task. The kernels release the interpreter's lock, so a batch runs on as many
threads as PyTorch is told to use (`torch.set_num_threads`), and the result does not depend on
their number. Numba's own thread pool is left alone because it may not be entered from two Python
threads at once. Memory is O(pixels) per image and nothing is kept per pixel and face.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fitter.numba_kernels import compile_kernel, for_each_image
from fitter.raster.cpu.edge import add_edge_gradient, fill_contours, fill_edge_alpha
from fitter.raster.cpu.soft import LANES, add_soft_gradient, multiply_faces
from fitter.raster.cpu.surface import add_surface_gradient, fill_depth, fill_surface
from fitter.raster.topology import MeshTopology
from fitter.raster.types import SATURATED, Fragments, RasterSettings

__all__ = ["compile_kernel", "for_each_image", "rasterize_cpu"]


def rasterize_cpu(
    vertices_screen: Tensor,
    topology: MeshTopology,
    image_size: tuple[int, int],
    settings: RasterSettings,
) -> Fragments:
    """See `fitter.raster.rasterize`, which checks the arguments; same shapes, same rules."""
    return Fragments(*_Rasterize.apply(vertices_screen, topology, image_size, settings))


class _Rasterize(torch.autograd.Function):
    """Vertices to the fields of `Fragments`, in their order."""

    @staticmethod
    def forward(
        ctx: Any,
        vertices: Tensor,
        topology: MeshTopology,
        image_size: tuple[int, int],
        settings: RasterSettings,
    ) -> tuple[Tensor | None, ...]:
        batch, (height, width) = len(vertices), image_size
        shape, dtype = (batch, height, width), vertices.detach().numpy().dtype
        corners = _corners(vertices)
        faces = _per_image(topology.faces)
        edges = _per_image(topology.edges) if settings.silhouette == "edge" else None
        face_index = np.full(shape, -1, dtype=np.int32)
        barycentrics = np.zeros((*shape, 3), dtype=dtype)
        depth = np.empty(shape, dtype=dtype)
        alpha = None if settings.silhouette == "none" else np.empty(shape, dtype=dtype)
        remainder = np.empty(shape, dtype=dtype) if settings.silhouette == "soft" else None
        contour_edge = None if edges is None else np.full(shape, -1, dtype=np.int32)

        def render(b: int) -> None:
            exact_depth = np.full(image_size, np.inf)
            fill_depth(corners[b], faces(b), settings.near, face_index[b], exact_depth)
            fill_surface(
                corners[b], faces(b), face_index[b], exact_depth, barycentrics[b], depth[b]
            )
            if remainder is not None and alpha is not None:
                product = np.ones((height, width + LANES))
                multiply_faces(
                    corners[b], faces(b), settings.near, _exponent(image_size, settings),
                    image_size, product,
                )  # fmt: skip
                remaining = 1.0 / product[:, :width]
                remaining[remaining < SATURATED] = 0.0
                remainder[b] = remaining
                alpha[b] = 1.0 - remaining
            elif contour_edge is not None and edges is not None and alpha is not None:
                nearest = np.full(image_size, settings.band**2)
                fill_contours(
                    corners[b], edges(b), settings.near, settings.band, face_index[b],
                    contour_edge[b], nearest,
                )  # fmt: skip
                fill_edge_alpha(face_index[b], contour_edge[b], nearest, settings.band, alpha[b])

        for_each_image(render, batch)
        outputs = [
            None if array is None else torch.from_numpy(array)
            for array in (face_index, barycentrics, depth, alpha, contour_edge)
        ]
        ctx.topology, ctx.image_size, ctx.settings = topology, image_size, settings
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(t for t in (outputs[0], outputs[4]) if t is not None))
        # What remains of the background, not alpha: 1 - alpha would lose its digits.
        kept = None if remainder is None else torch.from_numpy(remainder)
        ctx.save_for_backward(vertices, outputs[0], outputs[4], kept)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        vertices, face_index, contour_edge, remainder = ctx.saved_tensors
        topology, settings = ctx.topology, ctx.settings
        height, width = ctx.image_size
        _, grad_barycentrics, grad_depth, grad_alpha, _ = map(_array, cotangents)
        corners = _corners(vertices)
        faces = _per_image(topology.faces)
        edges = _per_image(topology.edges) if settings.silhouette == "edge" else None
        gradient = np.zeros(corners.shape)
        shown = face_index.numpy()
        if grad_barycentrics is None and grad_depth is not None:
            grad_barycentrics = np.zeros((*shown.shape, 3), dtype=grad_depth.dtype)
        elif grad_depth is None and grad_barycentrics is not None:
            grad_depth = np.zeros(shown.shape, dtype=grad_barycentrics.dtype)

        def differentiate(b: int) -> None:
            if grad_depth is not None and grad_barycentrics is not None:
                add_surface_gradient(
                    corners[b], faces(b), shown[b], grad_barycentrics[b], grad_depth[b], gradient[b]
                )
            if grad_alpha is None:
                return
            if remainder is not None:
                weight = np.zeros((height, width + LANES))
                np.multiply(remainder[b].numpy(), grad_alpha[b], out=weight[:, :width])
                add_soft_gradient(
                    corners[b], faces(b), settings.near, _exponent(ctx.image_size, settings),
                    ctx.image_size, weight, gradient[b],
                )  # fmt: skip
            elif contour_edge is not None and edges is not None:
                add_edge_gradient(
                    corners[b], edges(b), settings.band, shown[b], contour_edge[b].numpy(),
                    grad_alpha[b], gradient[b],
                )  # fmt: skip

        for_each_image(differentiate, len(vertices))
        return torch.from_numpy(gradient).to(vertices.dtype), None, None, None


def _corners(vertices: Tensor) -> np.ndarray:
    return np.ascontiguousarray(vertices.detach().numpy(), dtype=np.float64)


def _array(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().contiguous().numpy()


def _per_image(table: Tensor) -> Callable[[int], np.ndarray]:
    """The rows of an image's own table, or of the one that all share."""
    array = np.ascontiguousarray(table.numpy(), dtype=np.int64)
    return (lambda _: array) if array.ndim == 2 else array.__getitem__


def _exponent(image_size: tuple[int, int], settings: RasterSettings) -> tuple[float, float]:
    """The soft exponent per squared pixel, and that below which a face counts as 0."""
    scale = (2.0 / min(image_size)) ** 2 / settings.sigma
    return scale, math.log(settings.cut / (1.0 - settings.cut))
