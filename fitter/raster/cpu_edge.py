"""Numba kernels of the edge silhouette: the contour edges' band around hard coverage.

Each works on one picture. `corners` is (V, 3) float64, `edges` (E, 4) int64 as in `MeshTopology`.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.raster.api import LOOK_BEYOND, ON_EDGE
from fitter.raster.compiled import area, compile_kernel, is_usable, pixel_range


@compile_kernel
def contour_side(corners: np.ndarray, edges: np.ndarray, edge: int, near: float) -> int:
    """0 for an edge that is no contour; 1 where its faces have positive area, else -1."""
    i, j, first, second = edges[edge, 0], edges[edge, 1], edges[edge, 2], edges[edge, 3]
    if i < 0 or j < 0 or not (is_usable(corners, i, near) and is_usable(corners, j, near)):
        return 0
    # Signs of the faces' areas, 0 for a face that is not drawn. They cancel where the faces lie on
    # either side of the edge, and no branch is taken on any one of them.
    signs = 0
    if first >= 0 and is_usable(corners, first, near):
        area0 = area(corners, i, j, first)
        signs += int(area0 > 0.0) - int(area0 < 0.0)
    if second >= 0 and is_usable(corners, second, near):
        area1 = area(corners, i, j, second)
        signs += int(area1 > 0.0) - int(area1 < 0.0)
    return int(signs > 0) - int(signs < 0)


@compile_kernel
def _closest(corners: np.ndarray, i: int, j: int, x: float, y: float) -> tuple[float, float, float]:
    """Point of the segment from vertex i to j that is nearest to (x, y), and how far along."""
    ax, ay = corners[i, 0], corners[i, 1]
    ux, uy = corners[j, 0] - ax, corners[j, 1] - ay
    length2 = ux * ux + uy * uy
    share = ((x - ax) * ux + (y - ay) * uy) * (1.0 / length2 if length2 > 0.0 else 1.0)
    share = min(max(share, 0.0), 1.0)
    return ax + share * ux, ay + share * uy, share


@compile_kernel
def _is_empty(face_index: np.ndarray, x: float, y: float) -> bool:
    """The pixel that holds the point shows no face, or lies outside the picture."""
    column, row = math.floor(x), math.floor(y)
    if column < 0 or row < 0 or column >= face_index.shape[1] or row >= face_index.shape[0]:
        return True
    return face_index[row, column] < 0


@compile_kernel
def fill_contours(
    corners: np.ndarray,
    edges: np.ndarray,
    near: float,
    band: float,
    face_index: np.ndarray,
    contour_edge: np.ndarray,
    nearest: np.ndarray,
) -> None:
    """Write the nearest contour edge that counts and its squared distance.

    Pictures (H, W): `contour_edge` is preset to -1, `nearest` to the squared band.
    """
    height, width = face_index.shape
    for edge in range(edges.shape[0]):
        side = contour_side(corners, edges, edge, near)
        if side == 0:
            continue
        i, j = edges[edge, 0], edges[edge, 1]
        ax, ay, bx, by = corners[i, 0], corners[i, 1], corners[j, 0], corners[j, 1]
        first_x, last_x = pixel_range(min(ax, bx) - band, max(ax, bx) + band, width)
        first_y, last_y = pixel_range(min(ay, by) - band, max(ay, by) + band, height)
        for row in range(first_y, last_y + 1):
            y = row + 0.5
            for column in range(first_x, last_x + 1):
                x = column + 0.5
                cx, cy, _ = _closest(corners, i, j, x, y)
                dx, dy = cx - x, cy - y
                squared = dx * dx + dy * dy
                if not squared < nearest[row, column]:
                    continue
                if face_index[row, column] >= 0:
                    if squared > ON_EDGE * ON_EDGE:
                        length = math.sqrt(squared)
                    else:  # the outward normal: `side` says on which side the faces are
                        dx, dy = side * (by - ay), side * (ax - bx)
                        length = math.sqrt(dx * dx + dy * dy)
                    beyond_x = cx + LOOK_BEYOND * (dx / length)
                    beyond_y = cy + LOOK_BEYOND * (dy / length)
                    if not _is_empty(face_index, beyond_x, beyond_y):
                        continue
                nearest[row, column] = squared
                contour_edge[row, column] = edge


@compile_kernel
def fill_edge_alpha(
    face_index: np.ndarray,
    contour_edge: np.ndarray,
    nearest: np.ndarray,
    band: float,
    alpha: np.ndarray,
) -> None:
    """Write the smooth step of the signed distance, all pictures (H, W)."""
    height, width = face_index.shape
    for row in range(height):
        for column in range(width):
            shows = face_index[row, column] >= 0
            if contour_edge[row, column] < 0:
                alpha[row, column] = 1.0 if shows else 0.0
                continue
            distance = math.sqrt(nearest[row, column])
            t = min(max(((distance if shows else -distance) / band + 1.0) / 2.0, 0.0), 1.0)
            alpha[row, column] = t * t * (3.0 - 2.0 * t)


@compile_kernel
def add_edge_gradient(
    corners: np.ndarray,
    edges: np.ndarray,
    band: float,
    face_index: np.ndarray,
    contour_edge: np.ndarray,
    grad_alpha: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Add the cotangent of alpha (H, W) to the vertices' (V, 3)."""
    height, width = face_index.shape
    for row in range(height):
        y = row + 0.5
        for column in range(width):
            edge = contour_edge[row, column]
            if edge < 0:
                continue
            x = column + 0.5
            i, j = edges[edge, 0], edges[edge, 1]
            cx, cy, share = _closest(corners, i, j, x, y)
            dx, dy = cx - x, cy - y
            squared = dx * dx + dy * dy
            if squared <= ON_EDGE * ON_EDGE:
                continue
            distance = math.sqrt(squared)
            if face_index[row, column] < 0:
                distance = -distance
            t = min(max((distance / band + 1.0) / 2.0, 0.0), 1.0)
            slope = float(grad_alpha[row, column]) * 3.0 * t * (1.0 - t) / (band * distance)
            gradient[i, 0] += slope * (1.0 - share) * dx
            gradient[i, 1] += slope * (1.0 - share) * dy
            gradient[j, 0] += slope * share * dx
            gradient[j, 1] += slope * share * dy
