"""Numba kernels of the soft silhouette: faces are streamed, pixels keep one product each.

With x the exponent of a face at a pixel, 1 - D = 1 / (1 + exp(x)), so the reciprocal of the product
over faces is the product of 1 + exp(x): one exponential a pair and no division. The backward pass
computes the pairs again instead of storing them, and needs of the forward pass only that product.

Each kernel works on one picture. `corners` is (V, 3) float64, `faces` (F, 3) int64. Pictures of
their own are wider by `LANES` columns: the innermost loop always runs over `LANES` neighbouring
pixels, so that the compiler turns it into vector instructions.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.raster.compiled import (
    compile_kernel,
    compile_sum,
    edge_function,
    is_drawable,
    pixel_range,
)

LANES = 8
_LARGEST = 20.0
"""exp(20) > 1 / SATURATED: an exponent above it saturates the pixel by itself."""
_REACH_MARGIN = 1e-9
"""Pixels added to the reach of a face against rounding; the cut itself decides."""


@compile_kernel
def _exp(x: float) -> float:
    """exp(x) for x in [-20, 20] to a relative 2e-10, in operations that run on vectors."""
    y = x * 0.015625
    power = 1.0 + y * (1.0 / 9.0)
    power = 1.0 + y * (1.0 / 8.0) * power
    power = 1.0 + y * (1.0 / 7.0) * power
    power = 1.0 + y * (1.0 / 6.0) * power
    power = 1.0 + y * (1.0 / 5.0) * power
    power = 1.0 + y * (1.0 / 4.0) * power
    power = 1.0 + y * (1.0 / 3.0) * power
    power = 1.0 + y * (1.0 / 2.0) * power
    power = 1.0 + y * power
    power *= power
    power *= power
    power *= power
    power *= power
    power *= power
    return power * power


@compile_kernel
def _offset(
    ax: float, ay: float, ux: float, uy: float, inverse: float, x: float, y: float
) -> tuple[float, float, float]:
    """Nearest point of the side from a along u minus the pixel (x, y), and how far along it is."""
    share = ((x - ax) * ux + (y - ay) * uy) * inverse
    share = max(share, 0.0)
    share = min(share, 1.0)
    return (ax + share * ux) - x, (ay + share * uy) - y, share


@compile_kernel
def _is_inside(
    ax: float, ay: float, bx: float, by: float, cx: float, cy: float, x: float, y: float
) -> bool:
    """The edge functions at the pixel have no differing signs and are not all zero."""
    e0 = edge_function(bx - x, by - y, cx - x, cy - y)
    e1 = edge_function(cx - x, cy - y, ax - x, ay - y)
    e2 = edge_function(ax - x, ay - y, bx - x, by - y)
    low = min(min(e0, e1), e2)
    high = max(max(e0, e1), e2)
    return ((low >= 0.0) | (high <= 0.0)) & (e0 + e1 + e2 != 0.0)


@compile_kernel
def _inverse_length2(ux: float, uy: float) -> float:
    length2 = ux * ux + uy * uy
    return 1.0 / length2 if length2 > 0.0 else 1.0


@compile_kernel
def multiply_faces(
    corners: np.ndarray,
    faces: np.ndarray,
    near: float,
    scale: float,
    lowest: float,
    size: tuple[int, int],
    product: np.ndarray,
) -> None:
    """Multiply (H, W + LANES) pictures, preset to 1, by 1 + exp(x) of every face in reach.

    Args:
        corners: see above.
        faces: see above.
        near: metres.
        scale: exponent per squared pixel.
        lowest: exponent below which a face counts as 0.
        size: (H, W).
        product: written.
    """
    height, width = size
    reach = math.sqrt(-lowest / scale) + _REACH_MARGIN
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        if not is_drawable(corners, i, j, k, near):
            continue
        ax, ay = corners[i, 0], corners[i, 1]
        bx, by = corners[j, 0], corners[j, 1]
        cx, cy = corners[k, 0], corners[k, 1]
        low_x, high_x = min(ax, bx, cx), max(ax, bx, cx)
        low_y, high_y = min(ay, by, cy), max(ay, by, cy)
        first_x, last_x = pixel_range(low_x - reach, high_x + reach, width)
        first_y, last_y = pixel_range(low_y - reach, high_y + reach, height)
        ux, uy, vx, vy, wx, wy = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
        iu, iv, iw = _inverse_length2(ux, uy), _inverse_length2(vx, vy), _inverse_length2(wx, wy)
        for row in range(first_y, last_y + 1):
            y = row + 0.5
            row_in_box = (y >= low_y) & (y <= high_y)
            for block in range(first_x, last_x + 1, LANES):
                for lane in range(LANES):
                    x = block + lane + 0.5
                    dx, dy, _ = _offset(bx, by, ux, uy, iu, x, y)
                    squared = dx * dx + dy * dy
                    dx, dy, _ = _offset(cx, cy, vx, vy, iv, x, y)
                    squared = min(squared, dx * dx + dy * dy)
                    dx, dy, _ = _offset(ax, ay, wx, wy, iw, x, y)
                    squared = min(squared, dx * dx + dy * dy)
                    inside = _is_inside(ax, ay, bx, by, cx, cy, x, y) & row_in_box
                    inside = inside & (x >= low_x) & (x <= high_x)
                    exponent = squared * (scale if inside else -scale)
                    counts = inside | (exponent >= lowest)
                    power = _exp(min(max(exponent, lowest), _LARGEST))
                    product[row, block + lane] *= 1.0 + (power if counts else 0.0)


@compile_sum
def _face_gradient(
    a: tuple[float, float],
    b: tuple[float, float],
    c: tuple[float, float],
    box: tuple[int, int, int, int],
    scale: float,
    lowest: float,
    weight: np.ndarray,
) -> tuple[float, float, float, float, float, float]:
    """Sums over a face's pixels: the gradient of its corners, x and y of a, b, c."""
    (ax, ay), (bx, by), (cx, cy) = a, b, c
    first_x, last_x, first_y, last_y = box
    low_x, high_x = min(ax, bx, cx), max(ax, bx, cx)
    low_y, high_y = min(ay, by, cy), max(ay, by, cy)
    ux, uy, vx, vy, wx, wy = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
    iu, iv, iw = _inverse_length2(ux, uy), _inverse_length2(vx, vy), _inverse_length2(wx, wy)
    gax, gay, gbx, gby, gcx, gcy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for row in range(first_y, last_y + 1):
        y = row + 0.5
        row_in_box = (y >= low_y) & (y <= high_y)
        for block in range(first_x, last_x + 1, LANES):
            for lane in range(LANES):
                x = block + lane + 0.5
                dx, dy, share = _offset(bx, by, ux, uy, iu, x, y)
                squared = dx * dx + dy * dy
                at_b, at_c = 1.0 - share, share
                dx1, dy1, share1 = _offset(cx, cy, vx, vy, iv, x, y)
                squared1 = dx1 * dx1 + dy1 * dy1
                dx2, dy2, share2 = _offset(ax, ay, wx, wy, iw, x, y)
                squared2 = dx2 * dx2 + dy2 * dy2
                nearer = squared1 < squared
                squared = squared1 if nearer else squared
                dx, dy = (dx1 if nearer else dx), (dy1 if nearer else dy)
                at_b, at_c = (0.0 if nearer else at_b), (1.0 - share1 if nearer else at_c)
                nearer = squared2 < squared
                squared = squared2 if nearer else squared
                dx, dy = (dx2 if nearer else dx), (dy2 if nearer else dy)
                at_b, at_c = (share2 if nearer else at_b), (0.0 if nearer else at_c)
                inside = _is_inside(ax, ay, bx, by, cx, cy, x, y) & row_in_box
                inside = inside & (x >= low_x) & (x <= high_x)
                signed = scale if inside else -scale
                exponent = squared * signed
                counts = inside | (exponent >= lowest)
                power = _exp(min(max(exponent, lowest), _LARGEST))
                slope = weight[row, block + lane] * signed * (power / (1.0 + power))
                slope = slope if counts else 0.0
                dx, dy = slope * dx, slope * dy
                at_a = 1.0 - at_b - at_c
                gax += at_a * dx
                gay += at_a * dy
                gbx += at_b * dx
                gby += at_b * dy
                gcx += at_c * dx
                gcy += at_c * dy
    return 2.0 * gax, 2.0 * gay, 2.0 * gbx, 2.0 * gby, 2.0 * gcx, 2.0 * gcy


@compile_kernel
def add_soft_gradient(
    corners: np.ndarray,
    faces: np.ndarray,
    near: float,
    scale: float,
    lowest: float,
    size: tuple[int, int],
    weight: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Add the cotangent of alpha to the vertices' (V, 3).

    `weight` (H, W + LANES) is that cotangent times the product over faces of 1 - D, and 0 in the
    additional columns: the derivative of alpha by the exponent x of a face is that product times D.
    """
    height, width = size
    reach = math.sqrt(-lowest / scale) + _REACH_MARGIN
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        if not is_drawable(corners, i, j, k, near):
            continue
        a = (corners[i, 0], corners[i, 1])
        b = (corners[j, 0], corners[j, 1])
        c = (corners[k, 0], corners[k, 1])
        first_x, last_x = pixel_range(
            min(a[0], b[0], c[0]) - reach, max(a[0], b[0], c[0]) + reach, width
        )
        first_y, last_y = pixel_range(
            min(a[1], b[1], c[1]) - reach, max(a[1], b[1], c[1]) + reach, height
        )
        if first_x > last_x or first_y > last_y:
            continue
        box = (first_x, last_x, first_y, last_y)
        gax, gay, gbx, gby, gcx, gcy = _face_gradient(a, b, c, box, scale, lowest, weight)
        gradient[i, 0] += gax
        gradient[i, 1] += gay
        gradient[j, 0] += gbx
        gradient[j, 1] += gby
        gradient[k, 0] += gcx
        gradient[k, 1] += gcy
