"""Numba kernels of the soft silhouette: faces are streamed, pixels keep one product each.

With x the exponent of a face at a pixel, 1 - D = 1 / (1 + exp(x)), so the reciprocal of the product
over faces is the product of 1 + exp(x): one exponential a pair and no division. The backward pass
computes the pairs again instead of storing them, and needs of the forward pass only that product.

Each kernel works on one image. `corners` is (V, 3) float64, `faces` (F, 3) int64. Images here
are wider by `LANES` columns: the innermost loops run over a multiple of `LANES` neighbouring pixels
and have no branches, so that the compiler turns them into vector instructions (measured: a third of
the time). That is why they are written out in line, with `_lower` and `_higher` for min and max,
which in Python's sense care for NaN.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.numba_kernels import compile_kernel, compile_sum
from fitter.raster.cpu.common import is_renderable, pixel_range

LANES = 8
_LARGEST = 20.0
"""exp(20) > 1 / SATURATED: an exponent above it saturates the pixel by itself."""
_REACH_MARGIN = 1e-6
"""Pixels added to the reach of a face against rounding; the cut itself decides."""
_SUMS = 12
_SCRATCH = 512
"""Pixels whose terms are gathered before they are summed up, at least."""


@compile_kernel
def _lower(a: float, b: float) -> float:
    return a if a < b else b


@compile_kernel
def _higher(a: float, b: float) -> float:
    return a if a > b else b


@compile_kernel
def _exp(x: float) -> float:
    """exp(x) for x in [-20, 20] to a relative 2e-10: Taylor's series of exp(x / 64), squared."""
    y = x * 0.015625
    power = y * (1.0 / 362880.0) + (1.0 / 40320.0)
    power = power * y + (1.0 / 5040.0)
    power = power * y + (1.0 / 720.0)
    power = power * y + (1.0 / 120.0)
    power = power * y + (1.0 / 24.0)
    power = power * y + (1.0 / 6.0)
    power = power * y + 0.5
    power = power * y + 1.0
    power = power * y + 1.0
    power *= power
    power *= power
    power *= power
    power *= power
    power *= power
    return power * power


@compile_kernel
def _side(sx: float, sy: float) -> tuple[float, float, float, float]:
    """A side as a vector, its squared length and the reciprocal; -1 and 0 if that is rounded to 0,
    which is longer than no side, so that only its ends are near."""
    length2 = sx * sx + sy * sy
    return (sx, sy, length2, 1.0 / length2) if length2 > 0.0 else (sx, sy, -1.0, 0.0)


@compile_kernel
def _box(
    corners: np.ndarray, face: np.ndarray, reach: float, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """First column, columns (a multiple of `LANES`), first and last row within reach of a face."""
    a, b, c = corners[face[0]], corners[face[1]], corners[face[2]]
    low_x, high_x = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
    low_y, high_y = min(a[1], b[1], c[1]), max(a[1], b[1], c[1])
    first_x, last_x = pixel_range(low_x - reach, high_x + reach, size[1])
    first_y, last_y = pixel_range(low_y - reach, high_y + reach, size[0])
    return first_x, max(0, (last_x - first_x) // LANES + 1) * LANES, first_y, last_y


@compile_kernel
def multiply_faces(
    corners: np.ndarray,
    faces: np.ndarray,
    near: float,
    exponent: tuple[float, float],
    size: tuple[int, int],
    product: np.ndarray,
) -> None:
    """Multiply the image by 1 + exp(x) of every face in reach.

    Args:
        corners: see above.
        faces: see above.
        near: metres.
        exponent: per squared pixel, and the least that counts outside a face.
        size: (H, W).
        product: (H, W + LANES), preset to 1.
    """
    reach = math.sqrt(-exponent[1] / exponent[0]) + _REACH_MARGIN
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        if is_renderable(corners, i, j, k, near):
            column, count, first_y, last_y = _box(corners, faces[face], reach, size)
            for row in range(first_y, last_y + 1):
                _multiply_row(
                    (corners[i, 0], corners[i, 1]),
                    (corners[j, 0], corners[j, 1]),
                    (corners[k, 0], corners[k, 1]),
                    exponent,
                    (column + 0.5, row + 0.5),
                    product[row, column : column + count],
                )


@compile_kernel
def _multiply_row(
    a: tuple[float, float],
    b: tuple[float, float],
    c: tuple[float, float],
    exponent: tuple[float, float],
    start: tuple[float, float],
    product: np.ndarray,
) -> None:
    (ax, ay), (bx, by), (cx, cy) = a, b, c
    (scale, lowest), (first, y) = exponent, start
    ux, uy, uu, iu = _side(cx - bx, cy - by)
    vx, vy, vv, iv = _side(ax - cx, ay - cy)
    wx, wy, ww, iw = _side(bx - ax, by - ay)
    low_x, high_x = min(ax, bx, cx), max(ax, bx, cx)
    if y < min(ay, by, cy) or y > max(ay, by, cy):
        low_x, high_x = math.inf, -math.inf  # no pixel of this row is in the face's box
    ay, by, cy = ay - y, by - y, cy - y
    for lane in range(product.shape[0]):
        x = first + lane
        ax_, bx_, cx_ = ax - x, bx - x, cx - x
        e0 = bx_ * cy - cx_ * by
        e1 = cx_ * ay - ax_ * cy
        e2 = ax_ * by - bx_ * ay
        # Where the perpendicular's foot lies on a side, as a multiple of its squared length.
        t0 = -(bx_ * ux + by * uy)
        t1 = -(cx_ * vx + cy * vy)
        t2 = -(ax_ * wx + ay * wy)
        d0 = e0 * e0 * iu if (t0 >= 0.0) & (t0 <= uu) else math.inf
        d1 = e1 * e1 * iv if (t1 >= 0.0) & (t1 <= vv) else math.inf
        d2 = e2 * e2 * iw if (t2 >= 0.0) & (t2 <= ww) else math.inf
        corner = _lower(_lower(ax_ * ax_ + ay * ay, bx_ * bx_ + by * by), cx_ * cx_ + cy * cy)
        squared = _lower(_lower(_lower(d0, d1), d2), corner)
        same_sign = (_lower(_lower(e0, e1), e2) >= 0.0) | (_higher(_higher(e0, e1), e2) <= 0.0)
        inside = same_sign & (e0 + e1 + e2 != 0.0) & (x >= low_x) & (x <= high_x)
        power = squared * (scale if inside else -scale)
        counts = inside | (power >= lowest)
        power = _exp(_higher(_lower(power, _LARGEST), lowest))
        product[lane] *= 1.0 + (power if counts else 0.0)


@compile_kernel
def add_soft_gradient(
    corners: np.ndarray,
    faces: np.ndarray,
    near: float,
    exponent: tuple[float, float],
    size: tuple[int, int],
    weight: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Add the cotangent of alpha to the vertices' (V, 3).

    `weight` (H, W + LANES) is that cotangent times the product over faces of 1 - D, and 0 in the
    additional columns: the derivative of alpha by the exponent x of a face is that product times D.
    """
    reach = math.sqrt(-exponent[1] / exponent[0]) + _REACH_MARGIN
    scratch = np.empty(_SUMS * max(_SCRATCH, size[1] + LANES))
    sums = np.empty(_SUMS)
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        if not is_renderable(corners, i, j, k, near):
            continue
        a = (corners[i, 0], corners[i, 1])
        b = (corners[j, 0], corners[j, 1])
        c = (corners[k, 0], corners[k, 1])
        column, count, first_y, last_y = _box(corners, faces[face], reach, size)
        if count == 0:
            continue
        sums[:] = 0.0
        rows = len(scratch) // (_SUMS * count)
        terms = scratch[: rows * _SUMS * count].reshape((rows, _SUMS, count))
        filled = 0
        for row in range(first_y, last_y + 1):
            at, part = (column + 0.5, row + 0.5), weight[row, column : column + count]
            _differentiate_row(a, b, c, exponent, at, part, terms[filled])
            filled += 1
            if filled == rows:
                _add_up(terms, sums)
                filled = 0
        _add_up(terms[:filled], sums)
        for end in range(3):
            # The corners that follow in the face's order, for the side opposite to this one.
            start, stop = faces[face, (end + 1) % 3], faces[face, (end + 2) % 3]
            sx, sy, _, inverse = _side(
                corners[stop, 0] - corners[start, 0], corners[stop, 1] - corners[start, 1]
            )
            to_stop = 2.0 * inverse * inverse * sums[2 * end + 1]
            to_start = 2.0 * inverse * sums[2 * end] - to_stop
            gradient[start, 0] += to_start * sy
            gradient[start, 1] -= to_start * sx
            gradient[stop, 0] += to_stop * sy
            gradient[stop, 1] -= to_stop * sx
            gradient[faces[face, end], 0] += 2.0 * sums[6 + 2 * end]
            gradient[faces[face, end], 1] += 2.0 * sums[7 + 2 * end]


@compile_kernel
def _differentiate_row(
    a: tuple[float, float],
    b: tuple[float, float],
    c: tuple[float, float],
    exponent: tuple[float, float],
    start: tuple[float, float],
    weight: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Write what is summed over a face's pixels into (12, pixels).

    With m the cotangent of the squared distance: where a side is nearest, m e and m e t, e being
    its edge function and t the place of the foot (the vector from the pixel to the foot is
    e / length^2 times the side's normal); where corner a is nearest, m (a - pixel); 0 elsewhere.
    """
    (ax, ay), (bx, by), (cx, cy) = a, b, c
    (scale, lowest), (first, y) = exponent, start
    ux, uy, uu, iu = _side(cx - bx, cy - by)
    vx, vy, vv, iv = _side(ax - cx, ay - cy)
    wx, wy, ww, iw = _side(bx - ax, by - ay)
    low_x, high_x = min(ax, bx, cx), max(ax, bx, cx)
    if y < min(ay, by, cy) or y > max(ay, by, cy):
        low_x, high_x = math.inf, -math.inf
    ay, by, cy = ay - y, by - y, cy - y
    for lane in range(weight.shape[0]):
        x = first + lane
        ax_, bx_, cx_ = ax - x, bx - x, cx - x
        e0 = bx_ * cy - cx_ * by
        e1 = cx_ * ay - ax_ * cy
        e2 = ax_ * by - bx_ * ay
        t0 = -(bx_ * ux + by * uy)
        t1 = -(cx_ * vx + cy * vy)
        t2 = -(ax_ * wx + ay * wy)
        d0 = e0 * e0 * iu if (t0 >= 0.0) & (t0 <= uu) else math.inf
        d1 = e1 * e1 * iv if (t1 >= 0.0) & (t1 <= vv) else math.inf
        d2 = e2 * e2 * iw if (t2 >= 0.0) & (t2 <= ww) else math.inf
        da, db, dc = ax_ * ax_ + ay * ay, bx_ * bx_ + by * by, cx_ * cx_ + cy * cy
        squared = _lower(_lower(_lower(d0, d1), d2), _lower(_lower(da, db), dc))
        same_sign = (_lower(_lower(e0, e1), e2) >= 0.0) | (_higher(_higher(e0, e1), e2) <= 0.0)
        inside = same_sign & (e0 + e1 + e2 != 0.0) & (x >= low_x) & (x <= high_x)
        signed = scale if inside else -scale
        power = squared * signed
        counts = inside | (power >= lowest)
        power = _exp(_higher(_lower(power, _LARGEST), lowest))
        rest = weight[lane] * signed * (power / (1.0 + power))
        # The first that is nearest takes it all.
        rest = rest if counts else 0.0
        m0 = rest if d0 == squared else 0.0
        rest = rest - m0
        m1 = rest if d1 == squared else 0.0
        rest = rest - m1
        m2 = rest if d2 == squared else 0.0
        rest = rest - m2
        ma = rest if da == squared else 0.0
        rest = rest - ma
        mb = rest if db == squared else 0.0
        mc = rest - mb
        terms[0, lane] = m0 * e0
        terms[1, lane] = m0 * e0 * t0
        terms[2, lane] = m1 * e1
        terms[3, lane] = m1 * e1 * t1
        terms[4, lane] = m2 * e2
        terms[5, lane] = m2 * e2 * t2
        terms[6, lane] = ma * ax_
        terms[7, lane] = ma * ay
        terms[8, lane] = mb * bx_
        terms[9, lane] = mb * by
        terms[10, lane] = mc * cx_
        terms[11, lane] = mc * cy


@compile_sum
def _add_up(terms: np.ndarray, sums: np.ndarray) -> None:
    for k in range(_SUMS):
        total = 0.0
        for row in range(terms.shape[0]):
            for place in range(terms.shape[2]):
                total += terms[row, k, place]
        sums[k] += total
