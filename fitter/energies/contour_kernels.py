"""Numba kernels of the contour energy: value, gradient and Gauss-Newton Hessian of one hand.

The readable twin is `fitter.energies.contour.contour_l2_by_rows`. All pixels of a contour edge move
with the same two vertices, so they are summed up first, into 2x2 matrices in the picture, and only
these sums meet the derivatives of the vertices, which are computed for the vertices of the outline
alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fitter.numba_kernels import compile_kernel, compile_sum

LEAST_DISTANCE = 1e-9
"""Pixels; no direction leads away from an edge that is nearer."""


class PosedHand(NamedTuple):
    """One hand of `fitter.hand_models.vertex_jacobian.SurfaceJacobian`, and its camera.

    Attributes:
        screen: (V, 3) pixels, and depth in metres.
        rest, bones, shifts, joints, turns: as there.
        local_change: (R, 9, 3) as there; (0, 9, 3) without pose blend shapes.
        intrinsics: (3, 3) K in pixels.
    """

    screen: np.ndarray
    rest: np.ndarray
    bones: np.ndarray
    shifts: np.ndarray
    joints: np.ndarray
    turns: np.ndarray
    local_change: np.ndarray
    intrinsics: np.ndarray


class SkinnedModel(NamedTuple):
    """What all hands share, see `fitter.hand_models.vertex_jacobian.SurfaceKinematics`;
    `posedirs` (0, 3, 0) where the model has none, `parents` (M,) int64 of the skeleton's joints."""

    shapedirs: np.ndarray
    skin_weights: np.ndarray
    carried: np.ndarray
    posedirs: np.ndarray
    parents: np.ndarray


class Outline(NamedTuple):
    """One picture: what was drawn, and what is seen.

    Attributes:
        edges: (E, 4) of `MeshTopology`.
        contour_edge: (H, W) of `Fragments`.
        face_index: (H, W) of `Fragments`.
        alpha, mask, weight: (H, W).
        half_width: of the band, pixels.
    """

    edges: np.ndarray
    contour_edge: np.ndarray
    face_index: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    half_width: float


@compile_sum
def weighted_squares(alpha: np.ndarray, mask: np.ndarray, weight: np.ndarray) -> float:
    """Sum of ``weight (alpha - mask)^2`` over a picture."""
    total = 0.0
    for row in range(alpha.shape[0]):
        for column in range(alpha.shape[1]):
            residual = alpha[row, column] - mask[row, column]
            total += weight[row, column] * residual * residual
    return total


@compile_kernel
def outline_parts(outline: Outline, vertex_place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges (n,) and the vertices (m,) of the outline; `vertex_place` (V,) is preset to -1 and
    receives each vertex's place in that list."""
    contour_edge, edges = outline.contour_edge, outline.edges
    met = np.zeros(len(edges), dtype=np.bool_)
    count = 0
    for row in range(contour_edge.shape[0]):
        for column in range(contour_edge.shape[1]):
            edge = contour_edge[row, column]
            if edge >= 0 and not met[edge]:
                met[edge] = True
                count += 1
    own_edges, vertices = np.empty(count, dtype=np.int64), np.empty(2 * count, dtype=np.int64)
    edge_count, vertex_count = 0, 0
    for edge in range(len(edges)):
        if not met[edge]:
            continue
        own_edges[edge_count] = edge
        edge_count += 1
        for end in range(2):
            vertex = edges[edge, end]
            if vertex_place[vertex] < 0:
                vertex_place[vertex] = vertex_count
                vertices[vertex_count] = vertex
                vertex_count += 1
    return own_edges, vertices[:vertex_count]


@compile_kernel
def sum_pixels(
    outline: Outline,
    screen: np.ndarray,
    vertex_place: np.ndarray,
    slopes: np.ndarray,
    at_vertices: np.ndarray,
    at_edges: np.ndarray,
) -> None:
    """Add up the derivatives of ``sum weight (alpha - mask)^2`` by the vertices' positions.

    Args:
        outline: the picture.
        screen: (V, 3) pixels.
        vertex_place: (V,) place of each vertex in the outline.
        slopes: (m, 2) gradient.
        at_vertices: (m, 3) entries xx, xy, yy of each vertex's own block of the Hessian.
        at_edges: (E, 3) the same of the block between the ends of each edge, which is symmetric.
    """
    half_width, contour_edge = outline.half_width, outline.contour_edge
    for row in range(contour_edge.shape[0]):
        for column in range(contour_edge.shape[1]):
            edge, weight = contour_edge[row, column], float(outline.weight[row, column])
            if edge < 0 or weight == 0.0:
                continue
            i, j = outline.edges[edge, 0], outline.edges[edge, 1]
            x, y = column + 0.5 - screen[i, 0], row + 0.5 - screen[i, 1]
            ux, uy = screen[j, 0] - screen[i, 0], screen[j, 1] - screen[i, 1]
            share = (x * ux + y * uy) / max(ux * ux + uy * uy, 1e-12)
            share = min(max(share, 0.0), 1.0)
            x, y = x - share * ux, y - share * uy
            distance = math.sqrt(x * x + y * y)
            sign = 1.0 if outline.face_index[row, column] >= 0 else -1.0
            t = min(max((sign * distance / half_width + 1.0) / 2.0, 0.0), 1.0)
            slope = -sign * 3.0 * t * (1.0 - t) / (half_width * max(distance, LEAST_DISTANCE))
            x, y = slope * x, slope * y
            residual = float(outline.alpha[row, column]) - outline.mask[row, column]
            at_edges[edge, 0] += 2.0 * weight * share * (1.0 - share) * x * x
            at_edges[edge, 1] += 2.0 * weight * share * (1.0 - share) * x * y
            at_edges[edge, 2] += 2.0 * weight * share * (1.0 - share) * y * y
            for vertex, part in ((i, 1.0 - share), (j, share)):
                place = vertex_place[vertex]
                slopes[place, 0] += 2.0 * weight * residual * part * x
                slopes[place, 1] += 2.0 * weight * residual * part * y
                at_vertices[place, 0] += 2.0 * weight * part * part * x * x
                at_vertices[place, 1] += 2.0 * weight * part * part * x * y
                at_vertices[place, 2] += 2.0 * weight * part * part * y * y


@compile_kernel
def add_blend_shapes(
    hand: PosedHand, model: SkinnedModel, vertex: int, blended: np.ndarray, rows: np.ndarray
) -> None:
    """Add to the derivatives (2, D) of a vertex what moves it in the rest pose: shape and pose.

    `blended` (3, 3) is the mean of its bones' rotations.
    """
    shapes = hand.shifts.shape[2] - 1
    first_pose = 6 + shapes
    pull = np.empty(3)
    for axis in range(2):
        for c in range(3):
            pull[c] = (
                rows[axis, 3] * blended[0, c]
                + rows[axis, 4] * blended[1, c]
                + rows[axis, 5] * blended[2, c]
            )
            for shape in range(shapes):
                rows[axis, 6 + shape] += pull[c] * model.shapedirs[vertex, c, shape]
        for joint in range(len(hand.local_change)):
            by_pose = rows[axis, first_pose + 3 * joint : first_pose + 3 * joint + 3]
            for entry in range(9):
                place = 9 * joint + entry
                moved = pull[0] * model.posedirs[vertex, 0, place]
                moved += pull[1] * model.posedirs[vertex, 1, place]
                moved += pull[2] * model.posedirs[vertex, 2, place]
                for k in range(3):
                    by_pose[k] += moved * hand.local_change[joint, entry, k]


@compile_kernel
def fill_vertex_rows(
    hand: PosedHand, model: SkinnedModel, vertex: int, rows: np.ndarray, room: np.ndarray
) -> None:
    """Write the derivatives (2, D) of a vertex's position in the picture by the tangent vector.

    The formulas are those of `SurfaceJacobian.rows`; `room` (M, 3) is scratch.
    """
    shapes, joints = hand.shifts.shape[2] - 1, len(model.parents)
    # Of the joint after the root.
    first_pose = 6 + shapes
    depth = hand.screen[vertex, 2]
    rows[:] = 0.0
    for axis in range(2):
        # With u = K_2 p / z: du/dz = (principal point - u) / z.
        rows[axis, 3] = hand.intrinsics[axis, 0] / depth
        rows[axis, 4] = hand.intrinsics[axis, 1] / depth
        rows[axis, 5] = (hand.intrinsics[axis, 2] - hand.screen[vertex, axis]) / depth
    room[:] = 0.0
    blended = np.zeros((3, 3))
    for bone in range(joints):
        weight = model.skin_weights[vertex, bone]
        if weight == 0.0:
            continue
        for r in range(3):
            taken = hand.shifts[bone, r, 0]
            for c in range(3):
                blended[r, c] += weight * hand.bones[bone, r, c]
                taken += hand.bones[bone, r, c] * hand.rest[vertex, c]
            joint = bone
            while joint >= 0:
                room[joint, r] += weight * taken
                joint = model.parents[joint]
            for axis in range(2):
                pull = weight * rows[axis, 3 + r]
                for shape in range(shapes):
                    rows[axis, 6 + shape] += pull * hand.shifts[bone, r, 1 + shape]
    for joint in range(joints):
        carried = model.carried[vertex, joint]
        if carried == 0.0:
            continue
        x = room[joint, 0] - carried * hand.joints[joint, 0]
        y = room[joint, 1] - carried * hand.joints[joint, 1]
        z = room[joint, 2] - carried * hand.joints[joint, 2]
        first = 0 if joint == 0 else first_pose + 3 * (joint - 1)
        for axis in range(2):
            px, py, pz = rows[axis, 3], rows[axis, 4], rows[axis, 5]
            tx, ty, tz = y * pz - z * py, z * px - x * pz, x * py - y * px
            for c in range(3):
                turns = hand.turns[joint]
                rows[axis, first + c] = tx * turns[0, c] + ty * turns[1, c] + tz * turns[2, c]
    add_blend_shapes(hand, model, vertex, blended, rows)


@compile_kernel
def add_pulled(block: np.ndarray, rows: np.ndarray, pulled: np.ndarray) -> None:
    """Add a symmetric matrix, entries xx, xy, yy in `block`, times `rows` (2, D) to `pulled`."""
    xx, xy, yy = block[0], block[1], block[2]
    by_x, by_y, pulled_x, pulled_y = rows[0], rows[1], pulled[0], pulled[1]
    for k in range(len(by_x)):
        pulled_x[k] += xx * by_x[k] + xy * by_y[k]
        pulled_y[k] += xy * by_x[k] + yy * by_y[k]


@compile_kernel
def add_products(rows: np.ndarray, pulled: np.ndarray, hessian: np.ndarray) -> None:
    """Add the sum over m vertices of ``rows^T pulled``, a symmetric matrix, to `hessian` (D, D);
    both are (m, 2, D)."""
    size = rows.shape[2]
    for vertex in range(rows.shape[0]):
        for i in range(size):
            x, y = rows[vertex, 0, i], rows[vertex, 1, i]
            # A vertex follows one finger or two: most of its entries are zero.
            if x == 0.0 and y == 0.0:
                continue
            sums, by_x, by_y = hessian[i, i:], pulled[vertex, 0, i:], pulled[vertex, 1, i:]
            for k in range(len(sums)):
                sums[k] += x * by_x[k] + y * by_y[k]
    for i in range(size):
        for k in range(i):
            hessian[i, k] = hessian[k, i]


@compile_kernel
def linearize_outline(
    outline: Outline,
    hand: PosedHand,
    model: SkinnedModel,
    gradient: np.ndarray,
    hessian: np.ndarray,
) -> float:
    """Sum of ``weight (alpha - mask)^2`` over the picture, with its gradient (D,) and Gauss-Newton
    Hessian (D, D), both preset to 0, by the tangent vector."""
    value = weighted_squares(outline.alpha, outline.mask, outline.weight)
    vertex_place = np.full(len(hand.screen), -1)
    own_edges, vertices = outline_parts(outline, vertex_place)
    count, size = len(vertices), len(gradient)
    slopes, at_vertices = np.zeros((count, 2)), np.zeros((count, 3))
    at_edges = np.zeros((len(outline.edges), 3))
    sum_pixels(outline, hand.screen, vertex_place, slopes, at_vertices, at_edges)

    rows, pulled = np.empty((count, 2, size)), np.zeros((count, 2, size))
    room = np.empty((len(model.parents), 3))
    for place in range(count):
        fill_vertex_rows(hand, model, vertices[place], rows[place], room)
        add_pulled(at_vertices[place], rows[place], pulled[place])
        by_x, by_y = rows[place, 0], rows[place, 1]
        for k in range(len(gradient)):
            gradient[k] += slopes[place, 0] * by_x[k] + slopes[place, 1] * by_y[k]
    for edge in own_edges:
        i, j = vertex_place[outline.edges[edge, 0]], vertex_place[outline.edges[edge, 1]]
        add_pulled(at_edges[edge], rows[j], pulled[i])
        add_pulled(at_edges[edge], rows[i], pulled[j])
    add_products(rows, pulled, hessian)
    return value
