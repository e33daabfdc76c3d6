"""The rasteriser as Triton kernels: allocation, launches and the autograd rule.

Plan of a call. Faces are prepared once (corners in float64, boxes in pixels, empty where a face is
dropped). Each tile of pixels gets the list of the faces whose box touches it, in ascending order.
One program then renders one tile: blocks of faces against all of its pixels, the depth buffer in
registers. The backward pass turns it round: one program takes a few faces and sums over the pixels
of their boxes; a last kernel adds up, for every vertex, the corners that use it.

What follows from it
    Results and gradients are the same, bit for bit, from call to call: no atomic operation is used.
    Arithmetic is float64 in every kernel, without fused multiply-add, for float32 vertices too: the
    rules on shared edges and ties hold exactly, and values agree with the oracle to rounding. Where
    a GPU has few float64 units this costs time, not correctness.
    Nothing waits for the device, and no size depends on values. A tile's list has room for every
    face, so images are rendered in groups whose lists stay below `_LIST_BYTES`; only the lists do
    not grow with the batch. Kept for the backward pass are the face index and one float64 (soft)
    or int32 (edge) a pixel; the rest is computed again.

Triton comes with PyTorch's CUDA builds. With the variable TRITON_INTERPRET=1 in the environment
before Triton is first imported, the kernels run on CPU tensors in its interpreter, for tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from fitter.raster.gpu.backward_kernels import face_gradients, gather_vertices
from fitter.raster.gpu.edge_kernels import edge_gradients, outline_tile, prepare_edges
from fitter.raster.gpu.forward_kernels import list_by_tile, prepare_faces, render_tile
from fitter.raster.topology import MeshTopology
from fitter.raster.types import MAX_POSITION, Fragments, RasterSettings

_LIST_BYTES = 2**28
"""Memory for the lists of one group of images; one image's are made whatever they take."""


@dataclass(frozen=True)
class Blocks:
    """Sizes of the kernels' blocks, powers of two; they change speed alone.

    Attributes:
        tile: side of a tile in pixels.
        chunk: faces or edges that a tile takes at a time.
        items: faces, edges or vertices a program prepares.
        tiles: tiles whose lists one program makes, `items` boxes at a time.
        owners: faces or edges whose gradients one program sums.
        pixels: pixels of each that it takes at a time.
    """

    tile: int = 8
    chunk: int = 8
    items: int = 128
    tiles: int = 8
    owners: int = 4
    pixels: int = 32


def rasterize_gpu(
    vertices_screen: Tensor,
    topology: MeshTopology,
    image_size: tuple[int, int],
    settings: RasterSettings,
    blocks: Blocks | None = None,
) -> Fragments:
    """See `fitter.raster.rasterize`, which checks the arguments; same shapes, same rules.

    Args:
        vertices_screen, topology, image_size, settings: as there. Tensors on a CUDA device, or on
            the CPU in Triton's interpreter.
        blocks: sizes to launch the kernels with; None for those chosen here.

    Raises:
        ValueError: tensors that the kernels cannot reach.
    """
    _check_device(vertices_screen)
    edges = topology.edges if settings.silhouette == "edge" else None
    with torch.cuda.device_of(vertices_screen):
        face_index, barycentrics, depth, alpha, contour_edge = _Rasterize.apply(
            vertices_screen, topology.faces, edges, _Job(image_size, settings, blocks or Blocks())
        )
    return Fragments(face_index, barycentrics, depth, alpha, contour_edge)


def _check_device(vertices_screen: Tensor) -> None:
    compiled = isinstance(render_tile, triton.JITFunction)
    if compiled and vertices_screen.device.type != "cuda":
        raise ValueError(
            f"backend 'gpu' takes CUDA tensors, or CPU tensors where TRITON_INTERPRET=1 was set "
            f"before the start, got {vertices_screen.device}"
        )


@dataclass(frozen=True)
class _Job:
    """What every launch needs to know; sizes in pixels."""

    image_size: tuple[int, int]
    settings: RasterSettings
    blocks: Blocks

    @property
    def soft(self) -> bool:
        return self.settings.silhouette == "soft"

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles down and across."""
        return tuple(triton.cdiv(side, self.blocks.tile) for side in self.image_size)

    @property
    def scale(self) -> float:
        """Normalised device coordinates a pixel."""
        return 2.0 / min(self.image_size)

    @property
    def margin(self) -> float:
        """Pixels beyond a face's box in which it still counts for the soft silhouette."""
        if not self.soft:
            return 0.0
        lowest = math.log(1.0 / self.settings.cut - 1.0)
        # A millionth more than the exact distance, which the kernel tests again.
        exact = math.sqrt(self.settings.sigma * lowest) / self.scale
        return min(exact * (1.0 + 1e-6), MAX_POSITION)


def _launch(kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
    """Run a kernel unless there is nothing to do: an empty grid is an error to the driver."""
    if programs:
        kernel[(programs,)](*arguments, enable_fp_fusion=False, **constants)


class _Rasterize(torch.autograd.Function):
    """(vertices, faces, edges or None, job) -> (face index, barycentrics, depth, alpha, edge)."""

    @staticmethod
    def forward(
        ctx: Any, vertices: Tensor, faces: Tensor, edges: Tensor | None, job: _Job
    ) -> tuple[Tensor | None, ...]:
        vertices, faces = vertices.contiguous(), faces.contiguous()
        edges = None if edges is None else edges.contiguous()
        face_index, barycentrics, depth, alpha, transmittance = _render(vertices, faces, job)
        contour_edge = None
        if edges is not None:
            contour_edge, alpha = _outline(vertices, edges, face_index, job)
        ctx.save_for_backward(vertices, faces, edges, face_index, transmittance, contour_edge)
        ctx.job = job
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(
            *(t for t in (face_index, contour_edge) if t is not None),
        )
        return face_index, barycentrics, depth, alpha, contour_edge

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        _face_index: None,
        grad_barycentrics: Tensor | None,
        grad_depth: Tensor | None,
        grad_alpha: Tensor | None,
        _contour_edge: None,
    ) -> tuple[Tensor | None, ...]:
        vertices, faces, edges, face_index, transmittance, contour_edge = ctx.saved_tensors
        gradients = torch.zeros_like(vertices, dtype=torch.float64)
        with torch.cuda.device_of(vertices):
            cotangents = (grad_barycentrics, grad_depth, grad_alpha if ctx.job.soft else None)
            if any(cotangent is not None for cotangent in cotangents):
                surface = (vertices, faces, face_index, transmittance)
                _add_face_gradients(gradients, surface, cotangents, ctx.job)
            if edges is not None and grad_alpha is not None:
                outline = (vertices, edges, face_index, contour_edge)
                _add_edge_gradients(gradients, outline, grad_alpha, ctx.job)
        return gradients.to(vertices.dtype), None, None, None


def _prepare(
    kernel: Any, vertices: Tensor, items: Tensor, fields: int, margin: float, job: _Job
) -> tuple[Tensor, Tensor]:
    """Positions (B, N, fields) float64 and boxes (B, N, 4) int32 of faces or edges."""
    batch, count, block = len(vertices), items.shape[-2], job.blocks.items
    positions = vertices.new_empty((batch, count, fields), dtype=torch.float64)
    boxes = vertices.new_empty((batch, count, 4), dtype=torch.int32)
    height, width = job.image_size
    _launch(
        kernel,
        batch * triton.cdiv(count, block),
        *(vertices, items, positions, boxes, vertices.shape[1], count),
        *(items.stride(0) if items.ndim == 3 else 0, width, height, job.settings.near, margin),
        BLOCK=block,
    )
    return positions, boxes


def _groups(batch: int, count: int, job: _Job) -> list[slice]:
    """Images whose lists are made together."""
    down, across = job.tiles
    size = max(1, _LIST_BYTES // max(1, 4 * down * across * count))
    return [slice(start, min(start + size, batch)) for start in range(0, batch, size)]


def _lists(boxes: Tensor, job: _Job) -> tuple[Tensor, Tensor]:
    """For boxes (B, N, 4): rows by tile (B, tiles, N), and how many of them are used (B, tiles)."""
    (batch, count), (down, across) = boxes.shape[:2], job.tiles
    tiles, blocks = down * across, job.blocks
    lists = boxes.new_empty((batch, tiles, count))
    counts = boxes.new_empty((batch, tiles))
    _launch(
        list_by_tile,
        batch * triton.cdiv(tiles, blocks.tiles),
        *(boxes, lists, counts, count, across, tiles),
        TILE=blocks.tile,
        TILES=blocks.tiles,
        CHUNK=blocks.items,
    )
    return lists, counts


def _render(
    vertices: Tensor, faces: Tensor, job: _Job
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Face index, barycentrics, depth and, for the soft silhouette, alpha and 1 - alpha."""
    batch, (height, width), (down, across) = len(vertices), job.image_size, job.tiles
    settings, blocks, size = job.settings, job.blocks, (len(vertices), *job.image_size)
    corners, boxes = _prepare(prepare_faces, vertices, faces, 9, job.margin, job)
    face_index = boxes.new_empty(size)
    barycentrics = vertices.new_empty((*size, 3))
    depth = vertices.new_empty(size)
    alpha = vertices.new_empty(size) if job.soft else None
    transmittance = corners.new_empty(size) if job.soft else None
    for part in _groups(batch, faces.shape[-2], job):
        lists, counts = _lists(boxes[part], job)
        outputs = (face_index, barycentrics, depth, alpha, transmittance)
        _launch(
            render_tile,
            len(counts) * down * across,
            *(corners[part], lists, counts),
            *(None if output is None else output[part] for output in outputs),
            *(faces.shape[-2], across, down * across, width, height),
            *(job.scale, settings.sigma, settings.cut),
            SOFT=job.soft,
            TILE=blocks.tile,
            CHUNK=blocks.chunk,
        )
    return face_index, barycentrics, depth, alpha, transmittance


def _outline(
    vertices: Tensor, edges: Tensor, face_index: Tensor, job: _Job
) -> tuple[Tensor, Tensor]:
    """The contour edge that each pixel takes its alpha from, and alpha."""
    batch, (height, width), (down, across) = len(vertices), job.image_size, job.tiles
    band, blocks = job.settings.band, job.blocks
    ends, boxes = _prepare(prepare_edges, vertices, edges, 6, band, job)
    contour_edge = torch.empty_like(face_index)
    alpha = vertices.new_empty(face_index.shape)
    for part in _groups(batch, edges.shape[-2], job):
        lists, counts = _lists(boxes[part], job)
        _launch(
            outline_tile,
            len(counts) * down * across,
            *(ends[part], lists, counts, face_index[part], contour_edge[part], alpha[part]),
            *(edges.shape[-2], across, down * across, width, height, band),
            TILE=blocks.tile,
            CHUNK=blocks.chunk,
        )
    return contour_edge, alpha


def _add_face_gradients(
    gradients: Tensor,
    saved: tuple[Tensor, Tensor, Tensor, Tensor | None],
    cotangents: tuple[Tensor | None, ...],
    job: _Job,
) -> None:
    """Add to (B, V, 3) what barycentrics, depth and the soft alpha ask for."""
    vertices, faces, face_index, transmittance = saved
    to_barycentrics, to_depth, to_alpha = (
        None if cotangent is None else cotangent.contiguous() for cotangent in cotangents
    )
    surface = to_barycentrics is not None or to_depth is not None
    if surface and to_barycentrics is None:
        to_barycentrics = vertices.new_zeros((*face_index.shape, 3))
    if surface and to_depth is None:
        to_depth = vertices.new_zeros(face_index.shape)
    corners, boxes = _prepare(prepare_faces, vertices, faces, 9, job.margin, job)
    to_corners = torch.empty_like(corners)
    (height, width), settings, blocks = job.image_size, job.settings, job.blocks
    count = faces.shape[-2]
    _launch(
        face_gradients,
        len(vertices) * triton.cdiv(count, blocks.owners),
        *(corners, boxes, face_index, transmittance, to_barycentrics, to_depth, to_alpha),
        *(to_corners, count, width, height, job.scale, settings.sigma, settings.cut),
        SURFACE=surface,
        SOFT=to_alpha is not None,
        FACES=blocks.owners,
        PIXELS=blocks.pixels,
    )
    _gather(gradients, to_corners, faces, job)


def _add_edge_gradients(
    gradients: Tensor, saved: tuple[Tensor, ...], grad_alpha: Tensor, job: _Job
) -> None:
    """Add to (B, V, 3) what the edge silhouette asks for."""
    vertices, edges, face_index, contour_edge = saved
    ends, boxes = _prepare(prepare_edges, vertices, edges, 6, job.settings.band, job)
    count, blocks, (height, width) = edges.shape[-2], job.blocks, job.image_size
    to_ends = ends.new_empty((len(vertices), count, 4))
    _launch(
        edge_gradients,
        len(vertices) * triton.cdiv(count, blocks.owners),
        *(ends, boxes, face_index, contour_edge, grad_alpha.contiguous(), to_ends),
        *(count, width, height, job.settings.band),
        EDGES=blocks.owners,
        PIXELS=blocks.pixels,
    )
    _gather(gradients, to_ends, edges[..., :2], job)


def _gather(gradients: Tensor, to_corners: Tensor, rows: Tensor, job: _Job) -> None:
    """Add to (B, V, 3) the gradients (B, N, K * D) of the corners that rows (B or none, N, K) name.

    Corners are sorted by vertex, stably, so that each vertex adds up its own in a fixed order.
    """
    batch, count = gradients.shape[:2]
    keys = rows.reshape(*rows.shape[:-2], -1).to(torch.int64)
    corner_count = keys.shape[-1]
    if corner_count == 0:
        return
    ranked, order = torch.sort(keys, dim=-1, stable=True)
    ids = torch.arange(count + 1, device=keys.device).expand(*keys.shape[:-1], count + 1)
    starts = torch.searchsorted(ranked, ids.contiguous())
    block = job.blocks.items
    _launch(
        gather_vertices,
        batch * triton.cdiv(count, block),
        *(to_corners, order, starts, gradients, count, corner_count),
        *((order.stride(0), starts.stride(0)) if keys.ndim == 2 else (0, 0)),
        DIMENSIONS=to_corners[0].numel() // corner_count if batch else 3,
        BLOCK=block,
    )
