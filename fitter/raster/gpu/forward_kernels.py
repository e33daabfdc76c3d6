"""Triton kernels of the visible surface and of the soft silhouette (rules: `fitter.raster.api`).

Every kernel's grid has one dimension: programs of one image stand together, images follow each
other. Arithmetic is float64 whatever the vertices' dtype, and must be compiled without fused
multiply-add (`enable_fp_fusion=False`): a fused edge function no longer changes its exact sign when
its two ends change places, and neighbouring faces would leave gaps.

Kept apart from `fitter.raster.gpu.autograd`, which allocates and launches, so that this file is
only arithmetic.
"""

# Arguments of a kernel are pointers and numbers whose types Triton finds at each launch.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

from fitter.raster import types

FARTHEST: tl.constexpr = tl.constexpr(types.MAX_POSITION)
SATURATED: tl.constexpr = tl.constexpr(types.SATURATED)
NO_FACE: tl.constexpr = tl.constexpr(2**31 - 1)


@triton.jit
def load_vertex(vertices, image, index, vertex_count, near: tl.float64):
    """x, y, z as float64 and whether they may be rendered; harmless numbers where they may not."""
    known = (index >= 0) & (index < vertex_count)
    at = vertices + (image * vertex_count + index) * 3
    x = tl.load(at, mask=known, other=0.0).to(tl.float64)
    y = tl.load(at + 1, mask=known, other=0.0).to(tl.float64)
    z = tl.load(at + 2, mask=known, other=0.0).to(tl.float64)
    # Comparisons that a NaN fails.
    usable = known & (z >= near) & (z < float("inf"))
    usable = usable & (tl.abs(x) <= FARTHEST) & (tl.abs(y) <= FARTHEST)
    return tl.where(usable, x, 0.0), tl.where(usable, y, 0.0), tl.where(usable, z, 1.0), usable


@triton.jit
def cross(ax, ay, bx, by):
    """Edge function of two points relative to the pixel; exactly antisymmetric in them."""
    return ax * by - bx * ay


@triton.jit
def contains(ax, ay, bx, by, cx, cy, e0, e1, e2):
    """Whether the origin is in a face with these corners relative to it; its border is inside.

    The box is asked for because edge functions of slivers may underflow to zero far away from them.
    """
    lowest = tl.minimum(tl.minimum(e0, e1), e2)
    highest = tl.maximum(tl.maximum(e0, e1), e2)
    left = tl.minimum(tl.minimum(ax, bx), cx) <= 0.0
    right = tl.maximum(tl.maximum(ax, bx), cx) >= 0.0
    above = tl.minimum(tl.minimum(ay, by), cy) <= 0.0
    below = tl.maximum(tl.maximum(ay, by), cy) >= 0.0
    in_box = left & right & above & below
    return in_box & ((lowest >= 0.0) | (highest <= 0.0)) & (e0 + e1 + e2 != 0.0)


@triton.jit
def signed_area(ax, ay, bx, by, cx, cy):
    """Twice the area of a triangle in the image; a face is dropped where it is zero."""
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@triton.jit
def side_of(ax, ay, bx, by):
    """A side as a vector, its squared length and the reciprocal of that; -1, 0 if it underflows."""
    dx = bx - ax
    dy = by - ay
    square = dx * dx + dy * dy
    usable = square > 0.0
    return dx, dy, tl.where(usable, square, -1.0), 1.0 / tl.where(usable, square, 1.0)


@triton.jit
def to_side(ax, ay, dx, dy, square, reciprocal, edge):
    """Squared distance from the origin to the line through a side, and the foot's place.

    The side starts at a, relative to the pixel; `edge` is its edge function. The place is given as
    a multiple of the squared length. Where it lies outside the side the distance is infinite.
    """
    foot = -(ax * dx + ay * dy)
    between = (foot >= 0.0) & (foot <= square)
    return tl.where(between, edge * edge * reciprocal, float("inf")), foot


@triton.jit
def store_box(boxes, mask, rendered, low_x, high_x, low_y, high_y, margin, width, height):
    """First and last column, first and last row whose centres may lie in a box widened by `margin`.

    Positions up to `FARTHEST` and as large a margin still fit into int32.
    """
    first_x = tl.maximum(tl.ceil(low_x - margin - 0.5).to(tl.int32), 0)
    last_x = tl.minimum(tl.floor(high_x + margin - 0.5).to(tl.int32), width - 1)
    first_y = tl.maximum(tl.ceil(low_y - margin - 0.5).to(tl.int32), 0)
    last_y = tl.minimum(tl.floor(high_y + margin - 0.5).to(tl.int32), height - 1)
    tl.store(boxes, first_x, mask=mask)
    tl.store(boxes + 1, tl.where(rendered, last_x, -1), mask=mask)
    tl.store(boxes + 2, first_y, mask=mask)
    tl.store(boxes + 3, tl.where(rendered, last_y, -1), mask=mask)


@triton.jit
def prepare_faces(
    vertices,
    faces,
    corners,
    boxes,
    vertex_count,
    face_count,
    faces_stride,
    width,
    height,
    near: tl.float64,
    margin: tl.float64,
    BLOCK: tl.constexpr,
):
    """Corners (B, F, 9) as float64 and boxes (B, F, 4) in pixels; an dropped face's box is empty.

    `faces_stride` is the distance between two images' faces, 0 when they share them.
    """
    blocks = tl.cdiv(face_count, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    face = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    live = face < face_count
    row = faces + image * faces_stride + face * 3
    i = tl.load(row, mask=live, other=-1).to(tl.int64)
    j = tl.load(row + 1, mask=live, other=-1).to(tl.int64)
    k = tl.load(row + 2, mask=live, other=-1).to(tl.int64)
    ax, ay, az, a_usable = load_vertex(vertices, image, i, vertex_count, near)
    bx, by, bz, b_usable = load_vertex(vertices, image, j, vertex_count, near)
    cx, cy, cz, c_usable = load_vertex(vertices, image, k, vertex_count, near)
    rendered = a_usable & b_usable & c_usable & (signed_area(ax, ay, bx, by, cx, cy) != 0.0)
    out = corners + (image * face_count + face) * 9
    tl.store(out, ax, mask=live)
    tl.store(out + 1, ay, mask=live)
    tl.store(out + 2, az, mask=live)
    tl.store(out + 3, bx, mask=live)
    tl.store(out + 4, by, mask=live)
    tl.store(out + 5, bz, mask=live)
    tl.store(out + 6, cx, mask=live)
    tl.store(out + 7, cy, mask=live)
    tl.store(out + 8, cz, mask=live)
    store_box(
        boxes + (image * face_count + face) * 4,
        live,
        rendered,
        tl.minimum(tl.minimum(ax, bx), cx),
        tl.maximum(tl.maximum(ax, bx), cx),
        tl.minimum(tl.minimum(ay, by), cy),
        tl.maximum(tl.maximum(ay, by), cy),
        margin,
        width,
        height,
    )


@triton.jit
def list_by_tile(
    boxes,
    lists,
    counts,
    count,
    tiles_x,
    tiles,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """For each tile of TILE x TILE pixels the boxes that touch it, in ascending order.

    `lists` is (B, tiles, count) with `counts` (B, tiles) entries used. The order is the rows' own,
    so that lowest indices come first in every later loop and nothing depends on timing.
    """
    blocks = tl.cdiv(tiles, TILES)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    tile = (tl.program_id(0) % blocks) * TILES + tl.arange(0, TILES)
    left = (tile % tiles_x) * TILE
    top = (tile // tiles_x) * TILE
    exists = tile < tiles
    row = lists + (image * tiles + tile) * count
    found = tl.zeros([TILES], dtype=tl.int32)
    for start in range(0, count, CHUNK):
        item = start + tl.arange(0, CHUNK)
        live = item < count
        box = boxes + (image * count + item) * 4
        first_x = tl.load(box, mask=live, other=0)
        last_x = tl.load(box + 1, mask=live, other=-1)
        first_y = tl.load(box + 2, mask=live, other=0)
        last_y = tl.load(box + 3, mask=live, other=-1)
        across = (first_x[None, :] < left[:, None] + TILE) & (last_x[None, :] >= left[:, None])
        down = (first_y[None, :] < top[:, None] + TILE) & (last_y[None, :] >= top[:, None])
        hit = across & down & exists[:, None]
        one = hit.to(tl.int32)
        place = found[:, None] + tl.cumsum(one, axis=1) - one
        entry = item[None, :] + tl.zeros([TILES, CHUNK], dtype=tl.int32)
        tl.store(row[:, None] + place, entry, mask=hit)
        found += tl.sum(one, axis=1)
    tl.store(counts + image * tiles + tile, found, mask=exists)


@triton.jit
def render_tile(
    corners,
    lists,
    counts,
    face_index,
    barycentrics,
    depth,
    alpha,
    transmittance,
    face_count,
    tiles_x,
    tiles,
    width,
    height,
    scale: tl.float64,
    sigma: tl.float64,
    cut: tl.float64,
    SOFT: tl.constexpr,
    TILE: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The nearest face of every pixel of one tile and, if SOFT, the soft silhouette.

    `scale` is normalised device coordinates a pixel. `transmittance` is the product over faces of
    1 - D_j, float64, 0 below SATURATED; the backward pass needs it exactly where alpha is near 1.
    """
    image = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    spot = tl.arange(0, TILE * TILE)
    column = (tile % tiles_x) * TILE + spot % TILE
    line = (tile // tiles_x) * TILE + spot // TILE
    seen = (column < width) & (line < height)
    x = column.to(tl.float64) + 0.5
    y = line.to(tl.float64) + 0.5

    depth_here = tl.full([TILE * TILE], float("inf"), dtype=tl.float64)
    face_here = tl.full([TILE * TILE], -1, dtype=tl.int32)
    product = tl.full([CHUNK, TILE * TILE], 1.0, dtype=tl.float64)
    row = lists + (image * tiles + tile) * face_count
    used = tl.load(counts + image * tiles + tile)
    for start in range(0, used, CHUNK):
        slot = start + tl.arange(0, CHUNK)
        live = slot < used
        face = tl.load(row + slot, mask=live, other=0)
        at = corners + (image * face_count + face) * 9
        corner_ax = tl.load(at, mask=live, other=0.0)[:, None]
        corner_ay = tl.load(at + 1, mask=live, other=0.0)[:, None]
        az = tl.load(at + 2, mask=live, other=1.0)[:, None]
        corner_bx = tl.load(at + 3, mask=live, other=0.0)[:, None]
        corner_by = tl.load(at + 4, mask=live, other=0.0)[:, None]
        bz = tl.load(at + 5, mask=live, other=1.0)[:, None]
        corner_cx = tl.load(at + 6, mask=live, other=0.0)[:, None]
        corner_cy = tl.load(at + 7, mask=live, other=0.0)[:, None]
        cz = tl.load(at + 8, mask=live, other=1.0)[:, None]
        ax = corner_ax - x[None, :]
        ay = corner_ay - y[None, :]
        bx = corner_bx - x[None, :]
        by = corner_by - y[None, :]
        cx = corner_cx - x[None, :]
        cy = corner_cy - y[None, :]
        e0 = cross(bx, by, cx, cy)
        e1 = cross(cx, cy, ax, ay)
        e2 = cross(ax, ay, bx, by)
        total = e0 + e1 + e2
        inside = live[:, None] & contains(ax, ay, bx, by, cx, cy, e0, e1, e2)
        weight = tl.where(inside, e0 / az + e1 / bz + e2 / cz, 1.0)
        z = tl.where(inside, total / weight, float("inf"))

        nearest = tl.min(z, axis=0)
        candidate = tl.where(inside & (z == nearest[None, :]), face[:, None], NO_FACE)
        first = tl.min(candidate, axis=0)
        # Strictly nearer, in ascending face order: equally near faces leave the lowest index.
        nearer = nearest < depth_here
        face_here = tl.where(nearer, first, face_here)
        depth_here = tl.where(nearer, nearest, depth_here)

        if SOFT:
            ux, uy, u_length, u_part = side_of(corner_bx, corner_by, corner_cx, corner_cy)
            vx, vy, v_length, v_part = side_of(corner_cx, corner_cy, corner_ax, corner_ay)
            wx, wy, w_length, w_part = side_of(corner_ax, corner_ay, corner_bx, corner_by)
            square, _ = to_side(bx, by, ux, uy, u_length, u_part, e0)
            other, _ = to_side(cx, cy, vx, vy, v_length, v_part, e1)
            square = tl.minimum(square, other)
            other, _ = to_side(ax, ay, wx, wy, w_length, w_part, e2)
            square = tl.minimum(square, other)
            square = tl.minimum(square, ax * ax + ay * ay)
            square = tl.minimum(tl.minimum(square, bx * bx + by * by), cx * cx + cy * cy)
            square *= scale * scale
            # exp(80) is far beyond SATURATED and far from overflow.
            growth = tl.exp(tl.minimum(square / sigma, 80.0))
            share_outside = 1.0 / (1.0 + growth)
            rest = tl.where(inside, share_outside, 1.0 - share_outside)
            counts_here = live[:, None] & (inside | (share_outside >= cut))
            product *= tl.where(counts_here, rest, 1.0)

    visible = seen & (face_here >= 0)
    at = corners + (image * face_count + tl.where(visible, face_here, 0)) * 9
    ax = tl.load(at, mask=visible, other=0.0) - x
    ay = tl.load(at + 1, mask=visible, other=0.0) - y
    bx = tl.load(at + 3, mask=visible, other=0.0) - x
    by = tl.load(at + 4, mask=visible, other=0.0) - y
    cx = tl.load(at + 6, mask=visible, other=0.0) - x
    cy = tl.load(at + 7, mask=visible, other=0.0) - y
    w0 = cross(bx, by, cx, cy) / tl.load(at + 2, mask=visible, other=1.0)
    w1 = cross(cx, cy, ax, ay) / tl.load(at + 5, mask=visible, other=1.0)
    w2 = cross(ax, ay, bx, by) / tl.load(at + 8, mask=visible, other=1.0)
    weight = tl.where(visible, w0 + w1 + w2, 1.0)
    pixel = (image * height + line) * width + column
    tl.store(face_index + pixel, face_here, mask=seen)
    tl.store(depth + pixel, tl.where(visible, depth_here, 0.0), mask=seen)
    tl.store(barycentrics + pixel * 3, tl.where(visible, w0 / weight, 0.0), mask=seen)
    tl.store(barycentrics + pixel * 3 + 1, tl.where(visible, w1 / weight, 0.0), mask=seen)
    tl.store(barycentrics + pixel * 3 + 2, tl.where(visible, w2 / weight, 0.0), mask=seen)
    if SOFT:
        # The product over the chunk's rows as a sum of logarithms: exp(-745) is the least float64.
        through = tl.exp(tl.sum(tl.log(tl.maximum(product, 1e-300)), axis=0))
        through = tl.where(through < SATURATED, 0.0, through)
        tl.store(transmittance + pixel, through, mask=seen)
        tl.store(alpha + pixel, 1.0 - through, mask=seen)
