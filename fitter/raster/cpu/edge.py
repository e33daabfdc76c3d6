"""Numba kernels of the edge silhouette: the contour edges' band around hard coverage.

Each works on one image. `corners` is (V, 3) float64, `edges` (E, 4) int64 as in `MeshTopology`.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.numba_kernels import compile_kernel
from fitter.raster.cpu.common import edge_function, pixel_range, usable_vertices
from fitter.raster.types import LOOK_BEYOND, ON_EDGE

TILE = 4
"""Pixels along a side of the squares that are asked first whether anything in them is empty."""


@compile_kernel
def contour_side(corners: np.ndarray, edges: np.ndarray, edge: int, usable: np.ndarray) -> int:
    """0 for an edge that is no contour; 1 where its faces have positive area, else -1."""
    i, j, first, second = edges[edge, 0], edges[edge, 1], edges[edge, 2], edges[edge, 3]
    if i < 0 or j < 0 or not (usable[i] and usable[j]):
        return 0
    ax, ay = corners[i, 0], corners[i, 1]
    bx, by = corners[j, 0] - ax, corners[j, 1] - ay
    # Signs of the faces' areas, 0 for a face that is dropped. They cancel where the faces lie on
    # either side of the edge, and no branch is taken on any one of them.
    signs = 0
    if first >= 0 and usable[first]:
        area0 = edge_function(bx, by, corners[first, 0] - ax, corners[first, 1] - ay)
        signs += int(area0 > 0.0) - int(area0 < 0.0)
    if second >= 0 and usable[second]:
        area1 = edge_function(bx, by, corners[second, 0] - ax, corners[second, 1] - ay)
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
    """The pixel that holds the point shows no face, or lies outside the image."""
    column, row = math.floor(x), math.floor(y)
    if column < 0 or row < 0 or column >= face_index.shape[1] or row >= face_index.shape[0]:
        return True
    return face_index[row, column] < 0


@compile_kernel
def _tiles_with_room(face_index: np.ndarray) -> np.ndarray:
    """For each square of `TILE` pixels a side whether one of its pixels shows no face."""
    height, width = face_index.shape
    room = np.zeros(((height - 1) // TILE + 1, (width - 1) // TILE + 1), dtype=np.bool_)
    for row in range(height):
        for column in range(width):
            if face_index[row, column] < 0:
                room[row // TILE, column // TILE] = True
    return room


@compile_kernel
def _has_room(
    room: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int]
) -> bool:
    """Whether a rectangle, first and last pixel each way, may hold a pixel without a face, or
    reaches the border of the image, beyond which there is none."""
    if rows[0] == 0 or columns[0] == 0 or rows[1] == size[0] - 1 or columns[1] == size[1] - 1:
        return True
    for row in range(rows[0] // TILE, rows[1] // TILE + 1):
        for column in range(columns[0] // TILE, columns[1] // TILE + 1):
            if room[row, column]:
                return True
    return False


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

    Images (H, W): `contour_edge` is preset to -1, `nearest` to the squared band.
    """
    height, width = face_index.shape
    room = _tiles_with_room(face_index)
    # As far as it is looked from an edge, in any case.
    reach = max(band, LOOK_BEYOND) + 1.0
    usable = usable_vertices(corners, near)
    for edge in range(edges.shape[0]):
        side = contour_side(corners, edges, edge, usable)
        if side == 0:
            continue
        i, j = edges[edge, 0], edges[edge, 1]
        ax, ay, bx, by = corners[i, 0], corners[i, 1], corners[j, 0], corners[j, 1]
        first_x, last_x = pixel_range(min(ax, bx) - band, max(ax, bx) + band, width)
        first_y, last_y = pixel_range(min(ay, by) - band, max(ay, by) + band, height)
        # Where a fold lies inside the hand, nothing near it is empty, and none of it counts.
        columns = pixel_range(min(ax, bx) - reach, max(ax, bx) + reach, width)
        rows = pixel_range(min(ay, by) - reach, max(ay, by) + reach, height)
        if not _has_room(room, rows, columns, (height, width)):
            continue
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
    """Write the smooth step of the signed distance, all images (H, W)."""
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
