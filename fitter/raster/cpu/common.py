"""Numba's home: how kernels are compiled, and what all of them compute alike.

Numba compiles a kernel again when its own file changed. After a change here or of a constant in
`fitter.raster.api`, delete the `.nbi` files in `__pycache__`.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.numba_kernels import compile_kernel
from fitter.raster.types import MAX_POSITION


@compile_kernel
def edge_function(ax: float, ay: float, bx: float, by: float) -> float:
    """Edge function of a and b given relative to the pixel; exactly antisymmetric in them."""
    return ax * by - bx * ay


@compile_kernel
def area(corners: np.ndarray, i: int, j: int, k: int) -> float:
    """Twice the signed area in the image of the vertices i, j, k of `corners` (V, 3)."""
    ax, ay = corners[i, 0], corners[i, 1]
    return (corners[j, 0] - ax) * (corners[k, 1] - ay) - (corners[j, 1] - ay) * (corners[k, 0] - ax)


@compile_kernel
def is_usable(corners: np.ndarray, i: int, near: float) -> bool:
    """A vertex is far enough, finite, and of a size that can be computed with."""
    # Written so that a NaN fails it.
    return (
        corners[i, 2] >= near
        and corners[i, 2] < math.inf
        and abs(corners[i, 0]) <= MAX_POSITION
        and abs(corners[i, 1]) <= MAX_POSITION
    )


@compile_kernel
def usable_vertices(corners: np.ndarray, near: float) -> np.ndarray:
    """(V,) bool, see `is_usable`; asked once a vertex and not once an edge and face."""
    usable = np.empty(len(corners), dtype=np.bool_)
    for vertex in range(len(corners)):
        usable[vertex] = is_usable(corners, vertex, near)
    return usable


@compile_kernel
def is_renderable(corners: np.ndarray, i: int, j: int, k: int, near: float) -> bool:
    """A face exists (no index is negative) and is not dropped."""
    return (
        i >= 0
        and j >= 0
        and k >= 0
        and is_usable(corners, i, near)
        and is_usable(corners, j, near)
        and is_usable(corners, k, near)
        and area(corners, i, j, k) != 0.0
    )


@compile_kernel
def pixel_range(low: float, high: float, count: int) -> tuple[int, int]:
    """First and last of `count` pixels whose centre lies in [low, high]; clamped to the image."""
    return max(0, math.ceil(low - 0.5)), min(count - 1, math.floor(high - 0.5))
