"""The rasteriser as a Numba kernel: a z-buffer over faces, then barycentrics of what is seen.

One picture is one task. The kernel releases the interpreter's lock, so a batch runs on as many
threads as PyTorch is told to use (`torch.set_num_threads`), and the result does not depend on
their number. Numba's own thread pool is left alone because it may not be entered from two Python
threads at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch
from torch import Tensor

from fitter.raster.api import MAX_POSITION, Fragments, RasterSettings


def compile_kernel(function: Callable) -> Callable:
    """Numba's nopython compiler, keeping the machine code on disk where a place can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache can files be written
        return numba.njit(nogil=True)(function)


@compile_kernel
def _edge(ax: float, ay: float, bx: float, by: float) -> float:
    """Edge function of a and b given relative to the pixel; exactly antisymmetric in them."""
    return ax * by - bx * ay


@compile_kernel
def _fill_depth(
    corners: np.ndarray,
    faces: np.ndarray,
    near: float,
    face_index: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Write the nearest face and its depth; vertices (V, 3), pictures (H, W) preset to -1, inf."""
    height, width = face_index.shape
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = corners[i, 0], corners[i, 1], corners[i, 2]
        bx, by, bz = corners[j, 0], corners[j, 1], corners[j, 2]
        cx, cy, cz = corners[k, 0], corners[k, 1], corners[k, 2]
        # Written so that a NaN fails it.
        if not (az >= near and bz >= near and cz >= near and max(az, bz, cz) < math.inf):
            continue
        if not (
            abs(ax) <= MAX_POSITION
            and abs(ay) <= MAX_POSITION
            and abs(bx) <= MAX_POSITION
            and abs(by) <= MAX_POSITION
            and abs(cx) <= MAX_POSITION
            and abs(cy) <= MAX_POSITION
        ):
            continue
        if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) == 0.0:
            continue
        # Pixel centres from the first at or right of the box's left side to the last inside it.
        first_x = max(0, math.ceil(min(ax, bx, cx) - 0.5))
        last_x = min(width - 1, math.floor(max(ax, bx, cx) - 0.5))
        first_y = max(0, math.ceil(min(ay, by, cy) - 0.5))
        last_y = min(height - 1, math.floor(max(ay, by, cy) - 0.5))
        for row in range(first_y, last_y + 1):
            y = row + 0.5
            ay_, by_, cy_ = ay - y, by - y, cy - y
            for column in range(first_x, last_x + 1):
                x = column + 0.5
                ax_, bx_, cx_ = ax - x, bx - x, cx - x
                e0 = _edge(bx_, by_, cx_, cy_)
                e1 = _edge(cx_, cy_, ax_, ay_)
                e2 = _edge(ax_, ay_, bx_, by_)
                if not (
                    (e0 >= 0.0 and e1 >= 0.0 and e2 >= 0.0)
                    or (e0 <= 0.0 and e1 <= 0.0 and e2 <= 0.0)
                ):
                    continue
                total = e0 + e1 + e2
                if total == 0.0:
                    continue
                z = total / (e0 / az + e1 / bz + e2 / cz)
                if z < depth[row, column]:
                    depth[row, column] = z
                    face_index[row, column] = face


@compile_kernel
def _fill_barycentrics(
    corners: np.ndarray, faces: np.ndarray, face_index: np.ndarray, barycentrics: np.ndarray
) -> None:
    """Write the perspective-correct weights of the visible faces into (H, W, 3)."""
    height, width = face_index.shape
    for row in range(height):
        y = row + 0.5
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                continue
            x = column + 0.5
            i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
            ax, ay = corners[i, 0] - x, corners[i, 1] - y
            bx, by = corners[j, 0] - x, corners[j, 1] - y
            cx, cy = corners[k, 0] - x, corners[k, 1] - y
            w0 = _edge(bx, by, cx, cy) / corners[i, 2]
            w1 = _edge(cx, cy, ax, ay) / corners[j, 2]
            w2 = _edge(ax, ay, bx, by) / corners[k, 2]
            weight_sum = w0 + w1 + w2
            barycentrics[row, column, 0] = w0 / weight_sum
            barycentrics[row, column, 1] = w1 / weight_sum
            barycentrics[row, column, 2] = w2 / weight_sum


def rasterize_cpu(
    vertices_screen: Tensor, faces: Tensor, image_size: tuple[int, int], settings: RasterSettings
) -> Fragments:
    """See `fitter.raster.rasterize`, which checks the arguments; same shapes, same rules."""
    batch, (height, width) = vertices_screen.shape[0], image_size
    dtype = vertices_screen.detach().numpy().dtype
    corners = np.ascontiguousarray(vertices_screen.detach().numpy(), dtype=np.float64)
    faces_array = np.ascontiguousarray(faces.numpy(), dtype=np.int64)
    face_index = np.full((batch, height, width), -1, dtype=np.int32)
    depth = np.empty((batch, height, width), dtype=dtype)
    barycentrics = np.zeros((batch, height, width, 3), dtype=dtype)

    def draw(index: int) -> None:
        exact_depth = np.full((height, width), np.inf)
        _fill_depth(corners[index], faces_array, settings.near, face_index[index], exact_depth)
        _fill_barycentrics(corners[index], faces_array, face_index[index], barycentrics[index])
        depth[index] = np.where(face_index[index] >= 0, exact_depth, 0.0)

    threads = min(batch, torch.get_num_threads())
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, range(batch)))
    else:
        for index in range(batch):
            draw(index)
    return Fragments(
        torch.from_numpy(face_index), torch.from_numpy(barycentrics), torch.from_numpy(depth)
    )
