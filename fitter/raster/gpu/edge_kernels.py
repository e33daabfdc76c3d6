"""Triton kernels of the edge silhouette (rules: `fitter.raster.api`).

As in `fitter.raster.gpu.forward_kernels`: a grid of one dimension, float64, no fused multiply-add.
Points
are computed in the image's frame, in the oracle's order of operations, because the rule looks up
a pixel at a computed position, which must not depend on rounding.
"""

# Arguments of a kernel are pointers and numbers whose types Triton finds at each launch.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

from fitter.raster import types
from fitter.raster.gpu.forward_kernels import load_vertex, signed_area, store_box

BEYOND: tl.constexpr = tl.constexpr(types.LOOK_BEYOND)
ON_EDGE: tl.constexpr = tl.constexpr(types.ON_EDGE)
NO_EDGE: tl.constexpr = tl.constexpr(2**31 - 1)


@triton.jit
def nearest_to(ax, ay, bx, by, x, y):
    """Nearest point to (x, y) on the segment from a to b, and its share of b in [0, 1]."""
    dx = bx - ax
    dy = by - ay
    square = dx * dx + dy * dy
    share = ((x - ax) * dx + (y - ay) * dy) * (1.0 / tl.where(square > 0.0, square, 1.0))
    share = tl.minimum(tl.maximum(share, 0.0), 1.0)
    return ax + share * dx, ay + share * dy, share


@triton.jit
def prepare_edges(
    vertices,
    edges,
    ends,
    boxes,
    vertex_count,
    edge_count,
    edges_stride,
    width,
    height,
    near: tl.float64,
    band: tl.float64,
    BLOCK: tl.constexpr,
):
    """Ends (B, E, 6) as float64, a normal outward with them, and boxes (B, E, 4) widened by band.

    The box of an edge that is no contour is empty. `ends` holds a, b and the unit normal away from
    the first of the edge's faces that is rendered.
    """
    blocks = tl.cdiv(edge_count, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    edge = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    live = edge < edge_count
    row = edges + image * edges_stride + edge * 4
    i = tl.load(row, mask=live, other=-1).to(tl.int64)
    j = tl.load(row + 1, mask=live, other=-1).to(tl.int64)
    k = tl.load(row + 2, mask=live, other=-1).to(tl.int64)
    m = tl.load(row + 3, mask=live, other=-1).to(tl.int64)
    ax, ay, _az, a_usable = load_vertex(vertices, image, i, vertex_count, near)
    bx, by, _bz, b_usable = load_vertex(vertices, image, j, vertex_count, near)
    cx, cy, _cz, c_usable = load_vertex(vertices, image, k, vertex_count, near)
    dx, dy, _dz, d_usable = load_vertex(vertices, image, m, vertex_count, near)
    area = signed_area(ax, ay, bx, by, cx, cy)
    other_area = signed_area(ax, ay, bx, by, dx, dy)
    rendered = a_usable & b_usable & c_usable & (area != 0.0)
    other_rendered = a_usable & b_usable & d_usable & (other_area != 0.0)
    same_side = (area > 0.0) == (other_area > 0.0)
    contour = tl.where(rendered & other_rendered, same_side, rendered | other_rendered)

    left = tl.where(rendered, area > 0.0, other_area > 0.0)
    normal_x = tl.where(left, by - ay, ay - by)
    normal_y = tl.where(left, ax - bx, bx - ax)
    length = tl.sqrt(normal_x * normal_x + normal_y * normal_y)
    length = tl.where(length > 0.0, length, 1.0)
    out = ends + (image * edge_count + edge) * 6
    tl.store(out, ax, mask=live)
    tl.store(out + 1, ay, mask=live)
    tl.store(out + 2, bx, mask=live)
    tl.store(out + 3, by, mask=live)
    tl.store(out + 4, normal_x / length, mask=live)
    tl.store(out + 5, normal_y / length, mask=live)
    store_box(
        boxes + (image * edge_count + edge) * 4,
        live,
        contour,
        tl.minimum(ax, bx),
        tl.maximum(ax, bx),
        tl.minimum(ay, by),
        tl.maximum(ay, by),
        band,
        width,
        height,
    )


@triton.jit
def outline_tile(
    ends,
    lists,
    counts,
    face_index,
    contour_edge,
    alpha,
    edge_count,
    tiles_x,
    tiles,
    width,
    height,
    band: tl.float64,
    TILE: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The nearest contour edge that counts at every pixel of one tile, and alpha."""
    image = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    spot = tl.arange(0, TILE * TILE)
    column = (tile % tiles_x) * TILE + spot % TILE
    line = (tile // tiles_x) * TILE + spot // TILE
    seen = (column < width) & (line < height)
    pixel = (image * height + line) * width + column
    shows = tl.load(face_index + pixel, mask=seen, other=-1) >= 0
    x = column.to(tl.float64)[None, :] + 0.5
    y = line.to(tl.float64)[None, :] + 0.5

    square_here = tl.zeros([TILE * TILE], dtype=tl.float64) + band * band
    edge_here = tl.full([TILE * TILE], -1, dtype=tl.int32)
    row = lists + (image * tiles + tile) * edge_count
    used = tl.load(counts + image * tiles + tile)
    for start in range(0, used, CHUNK):
        slot = start + tl.arange(0, CHUNK)
        live = slot < used
        edge = tl.load(row + slot, mask=live, other=0)
        at = ends + (image * edge_count + edge) * 6
        ax = tl.load(at, mask=live, other=0.0)[:, None]
        ay = tl.load(at + 1, mask=live, other=0.0)[:, None]
        bx = tl.load(at + 2, mask=live, other=0.0)[:, None]
        by = tl.load(at + 3, mask=live, other=0.0)[:, None]
        normal_x = tl.load(at + 4, mask=live, other=0.0)[:, None]
        normal_y = tl.load(at + 5, mask=live, other=0.0)[:, None]
        nearest_x, nearest_y, _ = nearest_to(ax, ay, bx, by, x, y)
        offset_x = nearest_x - x
        offset_y = nearest_y - y
        square = offset_x * offset_x + offset_y * offset_y
        candidate = live[:, None] & seen[None, :] & (square < square_here[None, :])

        apart = square > ON_EDGE * ON_EDGE
        length = tl.sqrt(tl.where(apart, square, 1.0))
        look_x = tl.floor(nearest_x + BEYOND * tl.where(apart, offset_x / length, normal_x))
        look_y = tl.floor(nearest_y + BEYOND * tl.where(apart, offset_y / length, normal_y))
        within = (look_x >= 0.0) & (look_x < width) & (look_y >= 0.0) & (look_y < height)
        asked = candidate & shows[None, :] & within
        look_column = tl.where(asked, look_x, 0.0).to(tl.int32)
        look_line = tl.where(asked, look_y, 0.0).to(tl.int32)
        look = face_index + (image * height + look_line) * width + look_column
        covered = asked & (tl.load(look, mask=asked, other=-1) >= 0)
        square = tl.where(candidate & (covered == 0), square, float("inf"))

        nearest = tl.min(square, axis=0)
        winner = tl.where(square == nearest[None, :], edge[:, None], NO_EDGE)
        first = tl.min(winner, axis=0)
        # Strictly nearer, in ascending order: equally near edges leave the lowest row.
        nearer = nearest < square_here
        edge_here = tl.where(nearer, first, edge_here)
        square_here = tl.where(nearer, nearest, square_here)

    distance = tl.sqrt(square_here)
    step = (tl.where(shows, distance, -distance) / band + 1.0) / 2.0
    step = tl.minimum(tl.maximum(step, 0.0), 1.0)
    hard = tl.where(shows, 1.0, 0.0)
    value = tl.where(edge_here >= 0, step * step * (3.0 - 2.0 * step), hard)
    tl.store(contour_edge + pixel, edge_here, mask=seen)
    tl.store(alpha + pixel, value, mask=seen)


@triton.jit
def edge_gradients(
    ends,
    boxes,
    face_index,
    contour_edge,
    grad_alpha,
    grad_ends,
    edge_count,
    width,
    height,
    band: tl.float64,
    EDGES: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Gradient (B, E, 4) of the ends: each contour edge sums over the pixels that chose it.

    With x = +-|c - p| and t = (x / band + 1) / 2, d alpha / d x = 3 t (1 - t) / band; c moves with
    the ends by their fixed shares, because moving along the edge does not change |c - p|.
    """
    blocks = tl.cdiv(edge_count, EDGES)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    edge = (tl.program_id(0) % blocks) * EDGES + tl.arange(0, EDGES)
    live = edge < edge_count
    box = boxes + (image * edge_count + edge) * 4
    first_x = tl.load(box, mask=live, other=0)
    columns = tl.maximum(tl.load(box + 1, mask=live, other=-1) - first_x + 1, 0)
    first_y = tl.load(box + 2, mask=live, other=0)
    lines = tl.maximum(tl.load(box + 3, mask=live, other=-1) - first_y + 1, 0)
    pixels = columns * lines
    columns = tl.maximum(columns, 1)
    at = ends + (image * edge_count + edge) * 6
    ax = tl.load(at, mask=live, other=0.0)[:, None]
    ay = tl.load(at + 1, mask=live, other=0.0)[:, None]
    bx = tl.load(at + 2, mask=live, other=0.0)[:, None]
    by = tl.load(at + 3, mask=live, other=0.0)[:, None]

    sum_ax = tl.zeros([EDGES, PIXELS], dtype=tl.float64)
    sum_ay = tl.zeros([EDGES, PIXELS], dtype=tl.float64)
    sum_bx = tl.zeros([EDGES, PIXELS], dtype=tl.float64)
    sum_by = tl.zeros([EDGES, PIXELS], dtype=tl.float64)
    most = tl.max(pixels, axis=0)
    for start in range(0, most, PIXELS):
        number = start + tl.arange(0, PIXELS)
        there = number[None, :] < pixels[:, None]
        column = first_x[:, None] + number[None, :] % columns[:, None]
        line = first_y[:, None] + number[None, :] // columns[:, None]
        pixel = (image * height + line) * width + column
        own = there & (tl.load(contour_edge + pixel, mask=there, other=-1) == edge[:, None])
        shows = tl.load(face_index + pixel, mask=own, other=-1) >= 0
        gradient = tl.load(grad_alpha + pixel, mask=own, other=0.0).to(tl.float64)
        x = column.to(tl.float64) + 0.5
        y = line.to(tl.float64) + 0.5
        nearest_x, nearest_y, share = nearest_to(ax, ay, bx, by, x, y)
        offset_x = nearest_x - x
        offset_y = nearest_y - y
        square = offset_x * offset_x + offset_y * offset_y
        apart = square > ON_EDGE * ON_EDGE
        distance = tl.sqrt(tl.where(apart, square, 1.0))
        inward = tl.where(shows, 1.0, -1.0)
        step = (inward * distance / band + 1.0) / 2.0
        step = tl.minimum(tl.maximum(step, 0.0), 1.0)
        pull = gradient * inward * 3.0 * step * (1.0 - step) / (band * distance)
        pull = tl.where(own & apart, pull, 0.0)
        sum_ax += pull * (1.0 - share) * offset_x
        sum_ay += pull * (1.0 - share) * offset_y
        sum_bx += pull * share * offset_x
        sum_by += pull * share * offset_y

    out = grad_ends + (image * edge_count + edge) * 4
    tl.store(out, tl.sum(sum_ax, axis=1), mask=live)
    tl.store(out + 1, tl.sum(sum_ay, axis=1), mask=live)
    tl.store(out + 2, tl.sum(sum_bx, axis=1), mask=live)
    tl.store(out + 3, tl.sum(sum_by, axis=1), mask=live)
