"""Numba kernels of the visible surface: a z-buffer, what is seen at each pixel, and its gradient.

Each works on one image. `corners` is (V, 3) float64, `faces` (F, 3) int64.
"""

from __future__ import annotations

import numpy as np

from fitter.numba_kernels import compile_kernel
from fitter.raster.cpu.common import area, edge_function, pixel_range, usable_vertices


@compile_kernel
def fill_depth(
    corners: np.ndarray,
    faces: np.ndarray,
    near: float,
    face_index: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Write the nearest face and its depth; images (H, W) preset to -1 and inf."""
    height, width = face_index.shape
    # The pixels that a face covers are noted first and looked at then: which of them it covers
    # cannot be foretold, so a branch on it would cost more than computing with them twice.
    rows = np.empty(height * width, dtype=np.int64)
    columns = np.empty(height * width, dtype=np.int64)
    usable = usable_vertices(corners, near)
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        # As `is_renderable`; its area is asked below, where a pixel is in the face's rectangle.
        if i < 0 or j < 0 or k < 0 or not (usable[i] and usable[j] and usable[k]):
            continue
        ax, ay, az = corners[i, 0], corners[i, 1], corners[i, 2]
        bx, by, bz = corners[j, 0], corners[j, 1], corners[j, 2]
        cx, cy, cz = corners[k, 0], corners[k, 1], corners[k, 2]
        first_x, last_x = pixel_range(min(ax, bx, cx), max(ax, bx, cx), width)
        first_y, last_y = pixel_range(min(ay, by, cy), max(ay, by, cy), height)
        if first_x > last_x or first_y > last_y or area(corners, i, j, k) == 0.0:
            continue
        count = 0
        for row in range(first_y, last_y + 1):
            y = row + 0.5
            for column in range(first_x, last_x + 1):
                x = column + 0.5
                e0 = edge_function(bx - x, by - y, cx - x, cy - y)
                e1 = edge_function(cx - x, cy - y, ax - x, ay - y)
                e2 = edge_function(ax - x, ay - y, bx - x, by - y)
                rows[count], columns[count] = row, column
                count += (min(e0, e1, e2) >= 0.0) | (max(e0, e1, e2) <= 0.0)
        for place in range(count):
            row, column = rows[place], columns[place]
            x, y = column + 0.5, row + 0.5
            e0 = edge_function(bx - x, by - y, cx - x, cy - y)
            e1 = edge_function(cx - x, cy - y, ax - x, ay - y)
            e2 = edge_function(ax - x, ay - y, bx - x, by - y)
            total = e0 + e1 + e2
            if total == 0.0:
                continue
            z = total / (e0 / az + e1 / bz + e2 / cz)
            if z < depth[row, column]:
                depth[row, column] = z
                face_index[row, column] = face


@compile_kernel
def fill_surface(
    corners: np.ndarray,
    faces: np.ndarray,
    face_index: np.ndarray,
    exact_depth: np.ndarray,
    barycentrics: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Write perspective-correct weights (H, W, 3), preset to 0, and depth (H, W) where seen."""
    height, width = face_index.shape
    for row in range(height):
        y = row + 0.5
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                depth[row, column] = 0.0
                continue
            depth[row, column] = exact_depth[row, column]
            x = column + 0.5
            i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
            ax, ay = corners[i, 0] - x, corners[i, 1] - y
            bx, by = corners[j, 0] - x, corners[j, 1] - y
            cx, cy = corners[k, 0] - x, corners[k, 1] - y
            w0 = edge_function(bx, by, cx, cy) / corners[i, 2]
            w1 = edge_function(cx, cy, ax, ay) / corners[j, 2]
            w2 = edge_function(ax, ay, bx, by) / corners[k, 2]
            weight_sum = w0 + w1 + w2
            barycentrics[row, column, 0] = w0 / weight_sum
            barycentrics[row, column, 1] = w1 / weight_sum
            barycentrics[row, column, 2] = w2 / weight_sum


@compile_kernel
def add_surface_gradient(
    corners: np.ndarray,
    faces: np.ndarray,
    face_index: np.ndarray,
    grad_barycentrics: np.ndarray,
    grad_depth: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Add the cotangents of `fill_surface` (H, W, 3), (H, W) to the vertices' (V, 3).

    With edge functions e, depths z, w_i = e_i / z_i, S = sum w and T = sum e, the outputs are
    barycentric_i = w_i / S and depth = T / S.
    """
    height, width = face_index.shape
    for row in range(height):
        y = row + 0.5
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                continue
            x = column + 0.5
            i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
            ax, ay, az = corners[i, 0] - x, corners[i, 1] - y, corners[i, 2]
            bx, by, bz = corners[j, 0] - x, corners[j, 1] - y, corners[j, 2]
            cx, cy, cz = corners[k, 0] - x, corners[k, 1] - y, corners[k, 2]
            e0 = edge_function(bx, by, cx, cy)
            e1 = edge_function(cx, cy, ax, ay)
            e2 = edge_function(ax, ay, bx, by)
            w0, w1, w2 = e0 / az, e1 / bz, e2 / cz
            inverse = 1.0 / (w0 + w1 + w2)
            g0 = float(grad_barycentrics[row, column, 0])
            g1 = float(grad_barycentrics[row, column, 1])
            g2 = float(grad_barycentrics[row, column, 2])
            from_depth = float(grad_depth[row, column])
            depth = (e0 + e1 + e2) * inverse
            common = (g0 * w0 + g1 * w1 + g2 * w2) * inverse + from_depth * depth
            # Cotangents of w_i, then of e_i and z_i.
            g0, g1, g2 = (g0 - common) * inverse, (g1 - common) * inverse, (g2 - common) * inverse
            gradient[i, 2] -= g0 * w0 / az
            gradient[j, 2] -= g1 * w1 / bz
            gradient[k, 2] -= g2 * w2 / cz
            from_depth *= inverse
            h0, h1, h2 = g0 / az + from_depth, g1 / bz + from_depth, g2 / cz + from_depth
            gradient[i, 0] += h2 * by - h1 * cy
            gradient[i, 1] += h1 * cx - h2 * bx
            gradient[j, 0] += h0 * cy - h2 * ay
            gradient[j, 1] += h2 * ax - h0 * cx
            gradient[k, 0] += h1 * ay - h0 * by
            gradient[k, 1] += h0 * bx - h1 * ax
