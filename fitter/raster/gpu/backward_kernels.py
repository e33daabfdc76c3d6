"""Triton kernels of the backward pass: corners of faces, then vertices.

As in `fitter.raster.gpu.forward_kernels`: a grid of one dimension, float64. No two programs write
to one place and every sum has a fixed order, so gradients are the same from call to call.
"""

# Arguments of a kernel are pointers and numbers whose types Triton finds at each launch.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

from fitter.raster.gpu.forward_kernels import contains, cross, side_of, to_side


@triton.jit
def face_gradients(
    corners,
    boxes,
    face_index,
    transmittance,
    grad_barycentrics,
    grad_depth,
    grad_alpha,
    grad_corners,
    face_count,
    width,
    height,
    scale: tl.float64,
    sigma: tl.float64,
    cut: tl.float64,
    SURFACE: tl.constexpr,
    SOFT: tl.constexpr,
    FACES: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Gradient (B, F, 9) of the corners: each face sums over the pixels of its own box.

    No two programs write to one place, so the sum is the same each time. SURFACE asks for the part
    of barycentrics and depth, SOFT for that of the soft silhouette.

    Surface: with edge functions e_i, w_i = e_i / z_i, W = sum w, T = sum e the outputs are
    w_i / W and T / W. Silhouette: d alpha / d x_j = transmittance * D_j for x_j = s_j d_j^2 /
    sigma, because 1 - D_j cancels; d d^2 / d end follows from the nearest point's fixed share of
    the two ends (what the share itself would change is zero there).
    """
    blocks = tl.cdiv(face_count, FACES)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    face = (tl.program_id(0) % blocks) * FACES + tl.arange(0, FACES)
    live = face < face_count
    box = boxes + (image * face_count + face) * 4
    first_x = tl.load(box, mask=live, other=0)
    columns = tl.maximum(tl.load(box + 1, mask=live, other=-1) - first_x + 1, 0)
    first_y = tl.load(box + 2, mask=live, other=0)
    lines = tl.maximum(tl.load(box + 3, mask=live, other=-1) - first_y + 1, 0)
    pixels = columns * lines
    columns = tl.maximum(columns, 1)
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

    ux, uy, u_length, u_part = side_of(corner_bx, corner_by, corner_cx, corner_cy)
    vx, vy, v_length, v_part = side_of(corner_cx, corner_cy, corner_ax, corner_ay)
    wx, wy, w_length, w_part = side_of(corner_ax, corner_ay, corner_bx, corner_by)

    sum_ax = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_ay = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_az = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_bx = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_by = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_bz = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_cx = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_cy = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    sum_cz = tl.zeros([FACES, PIXELS], dtype=tl.float64)
    most = tl.max(pixels, axis=0)
    for start in range(0, most, PIXELS):
        number = start + tl.arange(0, PIXELS)
        there = number[None, :] < pixels[:, None]
        column = first_x[:, None] + number[None, :] % columns[:, None]
        line = first_y[:, None] + number[None, :] // columns[:, None]
        pixel = (image * height + line) * width + column
        x = column.to(tl.float64) + 0.5
        y = line.to(tl.float64) + 0.5
        ax = corner_ax - x
        ay = corner_ay - y
        bx = corner_bx - x
        by = corner_by - y
        cx = corner_cx - x
        cy = corner_cy - y
        e0 = cross(bx, by, cx, cy)
        e1 = cross(cx, cy, ax, ay)
        e2 = cross(ax, ay, bx, by)
        total = e0 + e1 + e2

        if SURFACE:
            own = there & (tl.load(face_index + pixel, mask=there, other=-1) == face[:, None])
            w0 = e0 / az
            w1 = e1 / bz
            w2 = e2 / cz
            weight = tl.where(own, w0 + w1 + w2, 1.0)
            gradient = grad_barycentrics + pixel * 3
            g0 = tl.load(gradient, mask=own, other=0.0).to(tl.float64)
            g1 = tl.load(gradient + 1, mask=own, other=0.0).to(tl.float64)
            g2 = tl.load(gradient + 2, mask=own, other=0.0).to(tl.float64)
            g_depth = tl.load(grad_depth + pixel, mask=own, other=0.0).to(tl.float64)
            common = (g0 * w0 + g1 * w1 + g2 * w2 + g_depth * total) / weight
            g_total = g_depth / weight
            g0 = tl.where(own, (g0 - common) / weight, 0.0)
            g1 = tl.where(own, (g1 - common) / weight, 0.0)
            g2 = tl.where(own, (g2 - common) / weight, 0.0)
            sum_az -= g0 * w0 / az
            sum_bz -= g1 * w1 / bz
            sum_cz -= g2 * w2 / cz
            g0 = g0 / az + g_total
            g1 = g1 / bz + g_total
            g2 = g2 / cz + g_total
            sum_ax += g2 * by - g1 * cy
            sum_ay += g1 * cx - g2 * bx
            sum_bx += g0 * cy - g2 * ay
            sum_by += g2 * ax - g0 * cx
            sum_cx += g1 * ay - g0 * by
            sum_cy += g0 * bx - g1 * ax

        if SOFT:
            inside = contains(ax, ay, bx, by, cx, cy, e0, e1, e2)
            to_u, u_foot = to_side(bx, by, ux, uy, u_length, u_part, e0)
            to_v, v_foot = to_side(cx, cy, vx, vy, v_length, v_part, e1)
            to_w, w_foot = to_side(ax, ay, wx, wy, w_length, w_part, e2)
            to_a = ax * ax + ay * ay
            to_b = bx * bx + by * by
            to_c = cx * cx + cy * cy
            nearest = tl.minimum(tl.minimum(to_u, to_v), tl.minimum(to_w, to_a))
            nearest = tl.minimum(nearest, tl.minimum(to_b, to_c))
            square = nearest * (scale * scale)
            share_outside = 1.0 / (1.0 + tl.exp(tl.minimum(square / sigma, 80.0)))
            share = tl.where(inside, 1.0 - share_outside, share_outside)
            counted = there & (inside | (share_outside >= cut))
            through = tl.load(transmittance + pixel, mask=counted, other=0.0)
            g_alpha = tl.load(grad_alpha + pixel, mask=counted, other=0.0).to(tl.float64)
            pull = g_alpha * through * share * (2.0 * scale * scale / sigma)
            pull = tl.where(counted, tl.where(inside, pull, -pull), 0.0)
            # The first that is nearest takes it all: sides (b, c), (c, a), (a, b), then corners.
            pull_u = tl.where(to_u == nearest, pull, 0.0)
            pull -= pull_u
            pull_v = tl.where(to_v == nearest, pull, 0.0)
            pull -= pull_v
            pull_w = tl.where(to_w == nearest, pull, 0.0)
            pull -= pull_w
            pull_a = tl.where(to_a == nearest, pull, 0.0)
            pull -= pull_a
            pull_b = tl.where(to_b == nearest, pull, 0.0)
            pull_c = pull - pull_b
            # From the pixel to the foot it is e / length^2 times the side's normal.
            pull_u *= e0 * u_part
            pull_v *= e1 * v_part
            pull_w *= e2 * w_part
            u_share = u_foot * u_part
            v_share = v_foot * v_part
            w_share = w_foot * w_part
            v_to_a = pull_v * v_share
            w_to_a = pull_w * (1.0 - w_share)
            w_to_b = pull_w * w_share
            u_to_b = pull_u * (1.0 - u_share)
            u_to_c = pull_u * u_share
            v_to_c = pull_v * (1.0 - v_share)
            sum_ax += v_to_a * vy + w_to_a * wy + pull_a * ax
            sum_ay -= v_to_a * vx + w_to_a * wx - pull_a * ay
            sum_bx += w_to_b * wy + u_to_b * uy + pull_b * bx
            sum_by -= w_to_b * wx + u_to_b * ux - pull_b * by
            sum_cx += u_to_c * uy + v_to_c * vy + pull_c * cx
            sum_cy -= u_to_c * ux + v_to_c * vx - pull_c * cy

    out = grad_corners + (image * face_count + face) * 9
    tl.store(out, tl.sum(sum_ax, axis=1), mask=live)
    tl.store(out + 1, tl.sum(sum_ay, axis=1), mask=live)
    tl.store(out + 2, tl.sum(sum_az, axis=1), mask=live)
    tl.store(out + 3, tl.sum(sum_bx, axis=1), mask=live)
    tl.store(out + 4, tl.sum(sum_by, axis=1), mask=live)
    tl.store(out + 5, tl.sum(sum_bz, axis=1), mask=live)
    tl.store(out + 6, tl.sum(sum_cx, axis=1), mask=live)
    tl.store(out + 7, tl.sum(sum_cy, axis=1), mask=live)
    tl.store(out + 8, tl.sum(sum_cz, axis=1), mask=live)


@triton.jit
def gather_vertices(
    grad_items,
    order,
    starts,
    grad_vertices,
    vertex_count,
    item_count,
    order_stride,
    starts_stride,
    DIMENSIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add to each vertex (B, V, 3) the gradients of the corners that use it, in a fixed order.

    Of `order`, the items sorted by their vertex, a vertex owns starts[v] to starts[v + 1].
    """
    blocks = tl.cdiv(vertex_count, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    vertex = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    live = vertex < vertex_count
    first = tl.load(starts + image * starts_stride + vertex, mask=live, other=0)
    degree = tl.load(starts + image * starts_stride + vertex + 1, mask=live, other=0) - first
    out = grad_vertices + (image * vertex_count + vertex) * 3
    x = tl.load(out, mask=live, other=0.0)
    y = tl.load(out + 1, mask=live, other=0.0)
    z = tl.load(out + 2, mask=live, other=0.0)
    most = tl.max(degree, axis=0)
    for step in range(0, most):
        used = live & (step < degree)
        item = tl.load(order + image * order_stride + first + step, mask=used, other=0)
        at = grad_items + (image * item_count + item) * DIMENSIONS
        x += tl.load(at, mask=used, other=0.0)
        y += tl.load(at + 1, mask=used, other=0.0)
        if DIMENSIONS == 3:
            z += tl.load(at + 2, mask=used, other=0.0)
    tl.store(out, x, mask=live)
    tl.store(out + 1, y, mask=live)
    tl.store(out + 2, z, mask=live)
