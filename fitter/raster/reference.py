"""The rasteriser in plain PyTorch: the rules of `fitter.raster.api` written to be read.

It visits every pixel for every face, so it is for small meshes, small images and tests. What is
discrete (which face a pixel shows, which contour edge is nearest) is found first, without
derivatives; what depends on it smoothly is then written in terms of the vertices, and automatic
differentiation does the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from fitter.raster.topology import MeshTopology
from fitter.raster.types import (
    LOOK_BEYOND,
    MAX_POSITION,
    ON_EDGE,
    SATURATED,
    Fragments,
    RasterSettings,
)

_PAIRS = 2**17
"""Pixel-face pairs worked on at once: bounds the memory, changes nothing else."""


def rasterize_reference(
    vertices_screen: Tensor,
    topology: MeshTopology,
    image_size: tuple[int, int],
    settings: RasterSettings,
) -> Fragments:
    """See `fitter.raster.rasterize`, which checks the arguments; same shapes, same rules."""
    dtype = vertices_screen.dtype
    vertices = vertices_screen.double()
    faces = topology.faces.long().expand(len(vertices), -1, 3)
    corners = _gather(vertices, faces)
    keep = (faces >= 0).all(dim=-1) & _renderable(corners.detach(), settings.near)
    # Dropped faces become a harmless triangle: what is not rendered must not differentiate to NaN.
    corners = torch.where(keep[..., None, None], corners, corners.new_tensor(_HARMLESS))
    pixels = pixel_centres(image_size, vertices.device)

    face_index = _visible_faces(corners.detach(), keep, pixels)
    barycentrics, depth = _surface(corners, face_index, pixels)
    alpha = contour_edge = None
    if settings.silhouette == "soft":
        alpha = _soft_alpha(corners, keep, pixels, settings).to(dtype)
    elif settings.silhouette == "edge":
        edges = topology.edges.expand(len(vertices), -1, 4)
        contour_edge = _nearest_contour(vertices.detach(), edges, face_index, pixels, settings)
        alpha = _edge_alpha(vertices, edges, contour_edge, face_index, pixels, settings).to(dtype)
    return Fragments(face_index, barycentrics.to(dtype), depth.to(dtype), alpha, contour_edge)


_HARMLESS = ((0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0))


def pixel_centres(image_size: tuple[int, int], device: torch.device) -> Tensor:
    """(H, W, 2) float64: x and y of every pixel's centre."""
    rows, columns = (torch.arange(n, dtype=torch.float64, device=device) + 0.5 for n in image_size)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)


def _gather(vertices: Tensor, rows: Tensor) -> Tensor:
    """(B, N, K, 3): the vertices (B, V, 3) that (B, N, K) names; zeros for -1."""
    padded = torch.cat([vertices, vertices.new_zeros(len(vertices), 1, 3)], dim=1)
    image = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    return padded[image, rows]  # row -1 is the last, the zeros


def _renderable(corners: Tensor, near: float) -> Tensor:
    """(B, F) bool for corners (B, F, 3, 3): far enough, finite, of a size that can be computed."""
    in_range = (corners[..., :2].abs() <= MAX_POSITION).all(dim=-1)  # False for NaN
    far_enough = (corners[..., 2] >= near) & torch.isfinite(corners[..., 2])
    return (in_range & far_enough).all(dim=-1) & (_area(*corners.unbind(dim=2)) != 0)


def _area(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Twice the signed area of triangles with corners (..., 2+)."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        c[..., 0] - a[..., 0]
    )


def _edge_functions(corners: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edge functions (...) of corners (..., 3, 3) at pixels (..., 2), opposite a, b and c."""
    a, b, c = _from_pixel(corners, pixels)

    def edge(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        return a[0] * b[1] - b[0] * a[1]

    return edge(b, c), edge(c, a), edge(a, b)


def _from_pixel(corners: Tensor, pixels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """x and y (...) of the corners (..., 3, 3) relative to pixels (..., 2)."""
    x, y = pixels.unbind(dim=-1)
    return [(corners[..., k, 0] - x, corners[..., k, 1] - y) for k in range(3)]


def _inside(corners: Tensor, edges: tuple[Tensor, Tensor, Tensor], pixels: Tensor) -> Tensor:
    """(...) bool from corners (..., 3, 3), their edge functions, pixels (..., 2)."""
    lowest = torch.minimum(torch.minimum(edges[0], edges[1]), edges[2])
    highest = torch.maximum(torch.maximum(edges[0], edges[1]), edges[2])
    inside = ((lowest >= 0) | (highest <= 0)) & (edges[0] + edges[1] + edges[2] != 0)
    for axis in (0, 1):
        place, ends = pixels[..., axis], corners[..., axis]
        inside = inside & (ends.amin(dim=-1) <= place) & (place <= ends.amax(dim=-1))
    return inside


def _chunks(corners: Tensor, pixels: Tensor) -> range:
    per_face = max(1, len(corners) * pixels.shape[0] * pixels.shape[1])
    return range(0, corners.shape[1], max(1, _PAIRS // per_face))


def _visible_faces(corners: Tensor, keep: Tensor, pixels: Tensor) -> Tensor:
    """(B, H, W) int32: the nearest face, of equally near ones the first, -1 for none."""
    size = (len(corners), *pixels.shape[:2])
    nearest = corners.new_full(size, torch.inf)
    face_index = torch.full(size, -1, dtype=torch.int64, device=corners.device)
    starts = _chunks(corners, pixels)
    for start in starts:
        part = corners[:, start : start + starts.step, None, None]
        edges = _edge_functions(part, pixels)
        weights = [edge / part[..., k, 2] for k, edge in enumerate(edges)]
        depth = (edges[0] + edges[1] + edges[2]) / (weights[0] + weights[1] + weights[2])
        rendered = keep[:, start : start + starts.step, None, None]
        depth = torch.where(rendered & _inside(part, edges, pixels), depth, torch.inf)
        lowest = depth.amin(dim=1)
        place = torch.arange(start, start + depth.shape[1], device=corners.device)
        is_lowest = depth == lowest[:, None]
        first = torch.where(is_lowest, place[:, None, None], corners.shape[1]).amin(dim=1)
        nearer = lowest < nearest
        face_index = torch.where(nearer, first, face_index)
        nearest = torch.where(nearer, lowest, nearest)
    return face_index.int()


def _surface(corners: Tensor, face_index: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentrics (B, H, W, 3) and depth (B, H, W) of the faces that are seen."""
    seen = face_index >= 0
    image, row, column = torch.nonzero(seen, as_tuple=True)
    visible = corners[image, face_index[seen].long()]  # (N, 3, 3)
    edges = torch.stack(_edge_functions(visible, pixels[row, column]), dim=-1)
    weights = edges / visible[..., 2]
    weight_sum = weights.sum(dim=-1, keepdim=True)
    barycentrics = corners.new_zeros((*face_index.shape, 3))
    depth = corners.new_zeros(face_index.shape)
    barycentrics = barycentrics.index_put((image, row, column), weights / weight_sum)
    return barycentrics, depth.index_put(
        (image, row, column), edges.sum(dim=-1) / weight_sum[..., 0]
    )


def _closest_on_segment(a: Tensor, b: Tensor, pixels: Tensor) -> Tensor:
    """(..., 2): the point of the segment from a to b (..., 2) that is nearest to the pixel."""
    along = b - a
    length2 = (along * along).sum(dim=-1)
    share = ((pixels - a) * along).sum(dim=-1) * (1.0 / torch.where(length2 > 0, length2, 1.0))
    return a + share.clamp(0.0, 1.0)[..., None] * along


def _soft_alpha(corners: Tensor, keep: Tensor, pixels: Tensor, settings: RasterSettings) -> Tensor:
    """(B, H, W): 1 - prod_j (1 - D_j), the product as a sum of logarithms."""
    # A pixel in normalised device coordinates, squared.
    scale = (2.0 / min(pixels.shape[:2])) ** 2 / settings.sigma
    lowest = torch.logit(torch.tensor(settings.cut, dtype=torch.float64)).item()

    def log_product(part: Tensor, rendered: Tensor) -> Tensor:
        part = part[:, :, None, None]
        edges = _edge_functions(part, pixels)
        inside = _inside(part, edges, pixels)
        nearest, *others = _squared_distances(part, edges, pixels)
        for squared in others:  # of equally near ones the first is kept, and differentiated
            nearest = torch.where(squared < nearest, squared, nearest)
        exponent = torch.where(inside, nearest, -nearest) * scale
        counts = rendered[:, :, None, None] & (inside | (exponent >= lowest))
        # logsigmoid(-x) is log(1 - D).
        terms = logsigmoid(-torch.where(counts, exponent, 0.0))
        return torch.where(counts, terms, 0.0).sum(dim=1)

    total = corners.new_zeros((len(corners), *pixels.shape[:2]))
    starts = _chunks(corners, pixels)
    for start in starts:
        stop = start + starts.step
        total = total + checkpoint(
            log_product, corners[:, start:stop], keep[:, start:stop], use_reentrant=False
        )
    product = torch.exp(total)
    return 1.0 - torch.where(product < SATURATED, 0.0, product)


def _squared_distances(
    corners: Tensor, edges: tuple[Tensor, Tensor, Tensor], pixels: Tensor
) -> list[Tensor]:
    """Six (...), from a pixel (..., 2) to a face's sides, then to its corners (..., 3, 3).

    The distance to the line through a side is the edge function by the side's length; it is
    infinite here where the foot of the perpendicular lies outside the side.
    """
    offsets = _from_pixel(corners, pixels)
    sides = []
    for edge, start, stop in zip(edges, (1, 2, 0), (2, 0, 1), strict=True):
        along_x = corners[..., stop, 0] - corners[..., start, 0]
        along_y = corners[..., stop, 1] - corners[..., start, 1]
        length2 = along_x**2 + along_y**2
        foot = -(offsets[start][0] * along_x + offsets[start][1] * along_y)
        between = (foot >= 0) & (foot <= length2) & (length2 > 0)
        perpendicular = edge * edge * (1.0 / torch.where(length2 > 0, length2, 1.0))
        sides.append(torch.where(between, perpendicular, torch.inf))
    return [*sides, *(x * x + y * y for x, y in offsets)]


def _nearest_contour(
    vertices: Tensor, edges: Tensor, face_index: Tensor, pixels: Tensor, settings: RasterSettings
) -> Tensor:
    """(B, H, W) int32: the nearest contour edge that counts, -1 for none within the band."""
    is_contour, outward = _contours(vertices, edges, settings.near)
    shows = face_index >= 0
    image = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    nearest = vertices.new_full(face_index.shape, settings.band**2)
    contour_edge = torch.full_like(face_index, -1)
    for row in torch.nonzero(is_contour.any(dim=0))[:, 0].tolist():
        a, b = _gather(vertices, edges[:, row : row + 1, :2])[:, 0, :, None, None, :2].unbind(1)
        point = _closest_on_segment(a, b, pixels)
        offset = point - pixels
        squared = (offset * offset).sum(dim=-1)
        normal = outward[:, row, None, None].expand_as(offset)
        unit = torch.where(
            (squared > ON_EDGE**2)[..., None], offset / squared.sqrt()[..., None], normal
        )
        beyond = torch.floor(point + LOOK_BEYOND * unit)
        x, y = beyond.unbind(dim=-1)
        within = (x >= 0) & (x < pixels.shape[1]) & (y >= 0) & (y < pixels.shape[0])
        x, y = (torch.where(within, place, 0.0).long() for place in (x, y))
        empty_beyond = ~(within & shows[image, y, x])
        counts = is_contour[:, row, None, None] & (~shows | empty_beyond)
        nearer = counts & (squared < nearest)
        contour_edge = torch.where(nearer, row, contour_edge)
        nearest = torch.where(nearer, squared, nearest)
    return contour_edge.int()


def _contours(vertices: Tensor, edges: Tensor, near: float) -> tuple[Tensor, Tensor]:
    """Which edges (B, E) are contours, and their unit normals (B, E, 2) away from their faces."""
    ends = _gather(vertices, edges[..., :2])
    thirds = _gather(vertices, edges[..., 2:])
    rendered, side = [], []
    for k in (0, 1):
        triangle = torch.cat([ends, thirds[:, :, k : k + 1]], dim=2)
        exists = (edges[..., [0, 1, 2 + k]] >= 0).all(dim=-1)
        rendered.append(exists & _renderable(triangle, near))
        side.append(_area(*triangle.unbind(dim=2)) > 0)
    is_contour = torch.where(
        rendered[0] & rendered[1], side[0] == side[1], rendered[0] | rendered[1]
    )
    along = ends[:, :, 1, :2] - ends[:, :, 0, :2]
    left = torch.where(rendered[0], side[0], side[1])
    right = torch.stack([along[..., 1], -along[..., 0]], dim=-1)
    outward = torch.where(left[..., None], right, -right)
    # Not `norm`: the look-up's position takes the kernels' order of operations.
    return is_contour, outward / (outward * outward).sum(dim=-1, keepdim=True).sqrt()


def _edge_alpha(
    vertices: Tensor,
    edges: Tensor,
    contour_edge: Tensor,
    face_index: Tensor,
    pixels: Tensor,
    settings: RasterSettings,
) -> Tensor:
    """(B, H, W): the smooth step of the signed distance to the chosen edges."""
    shows = face_index >= 0
    image, row, column = torch.nonzero(contour_edge >= 0, as_tuple=True)
    chosen = edges[image, contour_edge[image, row, column].long()]
    a, b = (vertices[image, chosen[:, k], :2] for k in (0, 1))
    offset = _closest_on_segment(a, b, pixels[row, column]) - pixels[row, column]
    squared = (offset * offset).sum(dim=-1)
    # On the edge the rule asks for no derivative; the root has none at 0.
    distance = torch.where(squared > ON_EDGE**2, squared, squared.detach() + 1.0).sqrt()
    distance = torch.where(squared > ON_EDGE**2, distance, squared.detach().sqrt())
    signed = torch.where(shows[image, row, column], distance, -distance)
    t = ((signed / settings.band + 1.0) / 2.0).clamp(0.0, 1.0)
    return shows.to(vertices.dtype).index_put((image, row, column), t * t * (3.0 - 2.0 * t))
