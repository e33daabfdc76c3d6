"""Numba kernels: where points are to a closed mesh; the readable twin is `contact.reference`.

Whether a point is inside is said by the winding number of the mesh about it, a whole number, which
is counted along the ray from the point along z: every face that the ray leaves through adds one,
every face that it enters through takes one off. Faces that share an edge decide on which side of it
the ray is by the same arithmetic, so that no ray slips between them. The faces that a ray can meet
are those of its cell in a grid over x and y. The nearest triangle is found in a tree of boxes over
the faces in Morton order (Lauterbach et al., "Fast BVH construction on GPUs", 2009), halved at each
node.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.numba_kernels import compile_kernel

_CELLS = 48
"""Of the grid along x and y."""
_LEAF = 4
"""Faces in a leaf of the tree."""
_FLAT = 1e-14
"""Squared area of a triangle of no area, over the fourth power of its longest side."""
_ON_SURFACE = 1e-10
"""Metres; so near the surface its own normal is the direction to it, which rounding would spoil."""


@compile_kernel
def grid_columns(vertices: np.ndarray, faces: np.ndarray) -> tuple:
    """The faces (F, 3) by the cells of a grid over x and y that their boxes touch: its corner (2,),
    cells per metre (2,), where each cell's faces start (cells^2 + 1,), and these."""
    low, per_metre = np.empty(2), np.empty(2)
    for axis in range(2):
        low[axis] = vertices[:, axis].min()
        per_metre[axis] = _CELLS / max(vertices[:, axis].max() - low[axis], 1e-9)
    span = np.empty((len(faces), 4), np.int64)
    start = np.zeros(_CELLS * _CELLS + 1, np.int64)
    for f in range(len(faces)):
        i, j, k = faces[f]
        for axis in range(2):
            a, b, c = vertices[i, axis], vertices[j, axis], vertices[k, axis]
            span[f, axis] = _cell(min(a, b, c), low[axis], per_metre[axis])
            span[f, 2 + axis] = _cell(max(a, b, c), low[axis], per_metre[axis])
        for row in range(span[f, 1], span[f, 3] + 1):
            for column in range(span[f, 0], span[f, 2] + 1):
                start[row * _CELLS + column + 1] += 1
    start = np.cumsum(start)
    place, item = start[:-1].copy(), np.empty(start[-1], np.int64)
    for f in range(len(faces)):
        for row in range(span[f, 1], span[f, 3] + 1):
            for column in range(span[f, 0], span[f, 2] + 1):
                cell = row * _CELLS + column
                item[place[cell]] = f
                place[cell] += 1
    return low, per_metre, start, item


@compile_kernel
def _cell(position: float, low: float, per_metre: float) -> int:
    return min(_CELLS - 1, max(0, math.floor((position - low) * per_metre)))


@compile_kernel
def column_of(point: np.ndarray, low: np.ndarray, per_metre: np.ndarray) -> int:
    """The cell above and below a point, -1 beside the grid."""
    for axis in range(2):
        offset = (point[axis] - low[axis]) * per_metre[axis]
        # A cell's width of room for rounding at the rim.
        if not -1.0 <= offset <= _CELLS + 1.0:
            return -1
    column = _cell(point[0], low[0], per_metre[0])
    return _cell(point[1], low[1], per_metre[1]) * _CELLS + column


@compile_kernel
def crossing(point: np.ndarray, vertices: np.ndarray, face: np.ndarray) -> int:
    """1 where the ray from a point along z leaves through a face, -1 where it enters, else 0."""
    px, py, pz = point[0], point[1], point[2]
    i, j, k = face[0], face[1], face[2]
    top = max(vertices[i, 2], vertices[j, 2], vertices[k, 2])
    if top < pz:
        return 0
    winding = 0
    for corner in range(3):
        first, second = face[corner], face[(corner + 1) % 3]
        ay, by = vertices[first, 1] - py, vertices[second, 1] - py
        below, above = ay <= 0.0, by <= 0.0
        if below == above:
            continue
        ax, bx = vertices[first, 0] - px, vertices[second, 0] - px
        # The same numbers in the same order for both faces of the edge.
        side = bx * ay - ax * by if first > second else ax * by - bx * ay
        if first > second:
            side = -side
        if below and side > 0.0:
            winding += 1
        elif above and side < 0.0:
            winding -= 1
    if winding == 0:
        return 0
    ax, ay, az = vertices[i, 0] - px, vertices[i, 1] - py, vertices[i, 2] - pz
    ux, uy, uz = vertices[j, 0] - px - ax, vertices[j, 1] - py - ay, vertices[j, 2] - pz - az
    vx, vy, vz = vertices[k, 0] - px - ax, vertices[k, 1] - py - ay, vertices[k, 2] - pz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    if nz == 0.0:
        return 0
    bottom = min(vertices[i, 2], vertices[j, 2], vertices[k, 2])
    height = (nx * ax + ny * ay + nz * az) / nz
    # The quotient of a face that stands almost upright may be anything; its crossing is within it.
    height = min(max(height, bottom - pz), top - pz)
    return winding if height > 0.0 else 0


@compile_kernel
def fill_inside(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, inside: np.ndarray
) -> None:
    """Which points (P, 3) are inside a closed mesh, into (P,) bool."""
    low, per_metre, start, item = grid_columns(vertices, faces)
    for p in range(len(points)):
        cell = column_of(points[p], low, per_metre)
        winding = 0
        if cell >= 0:
            for place in range(start[cell], start[cell + 1]):
                winding += crossing(points[p], vertices, faces[item[place]])
        inside[p] = winding > 0


@compile_kernel
def box_tree(vertices: np.ndarray, faces: np.ndarray) -> tuple:
    """A full binary tree of boxes over faces (F, 3): the order (F,) of the faces in the leaves; of
    each in that order a corner and the two edges from it (F, 9); the boxes (2 L, 6), low and high
    corner. Children of node n are 2 n and 2 n + 1, leaves are L to 2 L - 1."""
    order = _morton_order(vertices, faces)
    leaves = 1
    while leaves * _LEAF < len(faces):
        leaves *= 2
    boxes = np.empty((2 * leaves, 6))
    boxes[:, :3], boxes[:, 3:] = np.inf, -np.inf
    packed = np.empty((len(faces), 9))
    for place in range(len(faces)):
        node, face = leaves + place * leaves // len(faces), order[place]
        for axis in range(3):
            a = vertices[faces[face, 0], axis]
            b, c = vertices[faces[face, 1], axis], vertices[faces[face, 2], axis]
            packed[place, axis], packed[place, 3 + axis] = a, b - a
            packed[place, 6 + axis] = c - a
            boxes[node, axis] = min(boxes[node, axis], a, b, c)
            boxes[node, 3 + axis] = max(boxes[node, 3 + axis], a, b, c)
    for node in range(leaves - 1, 0, -1):
        for axis in range(3):
            boxes[node, axis] = min(boxes[2 * node, axis], boxes[2 * node + 1, axis])
            boxes[node, 3 + axis] = max(boxes[2 * node, 3 + axis], boxes[2 * node + 1, 3 + axis])
    return order, packed, boxes


@compile_kernel
def _morton_order(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) faces along a curve that fills space, by the sums of their corners."""
    low = np.empty(3)
    widest = 0.0
    for axis in range(3):
        low[axis] = vertices[:, axis].min()
        widest = max(widest, vertices[:, axis].max() - low[axis])
    scale = 1023.0 / (3.0 * max(widest, 1e-9))
    codes = np.empty(len(faces), np.int64)
    for f in range(len(faces)):
        code = 0
        for axis in range(3):
            total = 0.0
            for corner in range(3):
                total += vertices[faces[f, corner], axis] - low[axis]
            code |= _spread(int(total * scale)) << axis
        # Behind it the face's number, so that the order of equal codes is known, too.
        codes[f] = code * len(faces) + f
    return np.argsort(codes)


@compile_kernel
def _first_place(leaf: int, count: int, leaves: int) -> int:
    """The first place of a leaf: places are spread over all leaves evenly."""
    return -((-leaf * count) // leaves)


@compile_kernel
def _spread(number: int) -> int:
    """The ten bits of a number, two places free after each."""
    spread = 0
    for bit in range(10):
        spread |= ((number >> bit) & 1) << (3 * bit)
    return spread


@compile_kernel
def _box_distance(px: float, py: float, pz: float, boxes: np.ndarray, node: int) -> float:
    """Square of the distance to a box."""
    x = max(boxes[node, 0] - px, px - boxes[node, 3], 0.0)
    y = max(boxes[node, 1] - py, py - boxes[node, 4], 0.0)
    z = max(boxes[node, 2] - pz, pz - boxes[node, 5], 0.0)
    return x * x + y * y + z * z


@compile_kernel
def on_triangle(px: float, py: float, pz: float, packed: np.ndarray, place: int) -> tuple:
    """Square of the distance to a triangle of a tree, and second and third barycentric of its
    nearest point.

    Ericson, "Real-time collision detection", 2005, section 5.1.5, by Voronoi regions; of a triangle
    of no area only the edges count.
    """
    ux, uy, uz = packed[place, 3], packed[place, 4], packed[place, 5]
    vx, vy, vz = packed[place, 6], packed[place, 7], packed[place, 8]
    wx, wy, wz = px - packed[place, 0], py - packed[place, 1], pz - packed[place, 2]
    uu, uv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz
    vv = vx * vx + vy * vy + vz * vz
    d1, d2 = ux * wx + uy * wy + uz * wz, vx * wx + vy * wy + vz * wz
    d3, d4, d5, d6 = d1 - uu, d2 - uv, d1 - uv, d2 - vv
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    area = uu * vv - uv * uv  # the square of twice it
    second, third = 0.0, 0.0
    if not area > _FLAT * max(uu, vv) * max(uu, vv):
        second, third = _on_edges(d1, d2, uu, uv, vv)
    elif d1 <= 0.0 and d2 <= 0.0:
        pass
    elif d3 >= 0.0 and d4 <= d3:
        second = 1.0
    elif d6 >= 0.0 and d5 <= d6:
        third = 1.0
    elif vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        second = d1 / (d1 - d3)
    elif vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        third = d2 / (d2 - d6)
    elif va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        third = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        second = 1.0 - third
    else:
        second, third = vb / (va + vb + vc), vc / (va + vb + vc)
    x = wx - second * ux - third * vx
    y = wy - second * uy - third * vy
    z = wz - second * uz - third * vz
    return x * x + y * y + z * z, second, third


@compile_kernel
def _on_edges(d1: float, d2: float, uu: float, uv: float, vv: float) -> tuple:
    """Second and third barycentric of the nearest point on the edges u, v and v - u from a corner,
    by the products of these with each other and with the point, d1 and d2."""
    along_u = min(1.0, max(0.0, d1 / uu)) if uu > 0.0 else 0.0
    along_v = min(1.0, max(0.0, d2 / vv)) if vv > 0.0 else 0.0
    across = uu - 2.0 * uv + vv
    along = min(1.0, max(0.0, (d2 - d1 + uu - uv) / across)) if across > 0.0 else 0.0
    least, second, third = np.inf, 0.0, 0.0
    for s, t in ((along_u, 0.0), (0.0, along_v), (1.0 - along, along)):
        # The square of the distance, less that of the corner.
        squared = s * (s * uu - 2.0 * d1) + t * (t * vv - 2.0 * d2) + 2.0 * s * t * uv
        if squared < least:
            least, second, third = squared, s, t
    return second, third


@compile_kernel
def nearest_face(
    point: np.ndarray, tree: tuple, usable: np.ndarray, reach: float, guess: int, stack: tuple
) -> tuple:
    """The nearest face that is `usable` (F,) and no further than `reach`: its place in the tree, -1
    for none, and its second and third barycentric; of equally near ones the first.

    `guess` is the place of a face that may be near, -1 for none: it spares work and changes
    nothing. `stack` (64,) int64 and float64 is room to work in.
    """
    order, packed, boxes = tree
    nodes, distances = stack
    px, py, pz = point[0], point[1], point[2]
    leaves = len(boxes) // 2
    best, found, second, third = reach * reach, -1, 0.0, 0.0
    if guess >= 0 and usable[order[guess]]:
        squared, u, v = on_triangle(px, py, pz, packed, guess)
        if squared <= best:
            best, found, second, third = squared, guess, u, v
    nodes[0], distances[0], depth = 1, 0.0, 1
    while depth > 0:
        depth -= 1
        node = nodes[depth]
        if distances[depth] > best:
            continue
        if node < leaves:
            near, far = 2 * node, 2 * node + 1
            one = _box_distance(px, py, pz, boxes, near)
            other = _box_distance(px, py, pz, boxes, far)
            if other < one:
                near, far, one, other = far, near, other, one
            if other <= best:
                nodes[depth], distances[depth] = far, other
                depth += 1
            if one <= best:
                nodes[depth], distances[depth] = near, one
                depth += 1
            continue
        leaf = node - leaves
        end = _first_place(leaf + 1, len(order), leaves)
        for place in range(_first_place(leaf, len(order), leaves), end):
            if not usable[order[place]]:
                continue
            squared, u, v = on_triangle(px, py, pz, packed, place)
            if squared < best or (squared == best and (found < 0 or order[place] < order[found])):
                best, found, second, third = squared, place, u, v
    return found, second, third


@compile_kernel
def direction_to(
    point: np.ndarray, vertices: np.ndarray, face: np.ndarray, weights: np.ndarray, inside: bool,
    normal: np.ndarray,
) -> None:  # fmt: skip
    """The gradient of the signed distance: the unit vector away from the nearest point, towards it
    from inside; on the surface the face's normal, nothing where that has no area."""
    squared = 0.0
    for axis in range(3):
        normal[axis] = point[axis]
        for corner in range(3):
            normal[axis] -= weights[corner] * vertices[face[corner], axis]
        squared += normal[axis] * normal[axis]
    sign = -1.0 if inside else 1.0
    if squared <= _ON_SURFACE * _ON_SURFACE:
        sign, squared = 1.0, 0.0
        for axis in range(3):
            b, c = (axis + 1) % 3, (axis + 2) % 3
            i, j, k = face[0], face[1], face[2]
            ub, uc = vertices[j, b] - vertices[i, b], vertices[j, c] - vertices[i, c]
            vb, vc = vertices[k, b] - vertices[i, b], vertices[k, c] - vertices[i, c]
            normal[axis] = ub * vc - uc * vb
            squared += normal[axis] * normal[axis]
    length = math.sqrt(squared)
    for axis in range(3):
        normal[axis] = sign * normal[axis] / length if length > 0.0 else 0.0


@compile_kernel
def fill_nearest(
    points: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    reach: float,
    found: tuple,
) -> None:
    """The nearest face of every point (P, 3) that is inside a closed mesh or no further than
    `reach` from it.

    Into `found`: faces (P,), which stay for the others, barycentrics (P, 3) and directions (P, 3).
    """
    face, weights, normal = found
    inside = np.empty(len(points), np.bool_)
    fill_inside(points, vertices, faces, inside)
    if reach == 0.0 and not inside.any():
        return
    tree, usable = box_tree(vertices, faces), np.ones(len(faces), np.bool_)
    stack, guess = (np.empty(64, np.int64), np.empty(64)), -1
    for p in range(len(points)):
        limit = np.inf if inside[p] else reach
        if limit == 0.0:
            continue
        place, second, third = nearest_face(points[p], tree, usable, limit, guess, stack)
        if place < 0:
            continue
        guess, f = place, tree[0][place]
        face[p] = f
        weights[p, 0], weights[p, 1], weights[p, 2] = 1.0 - second - third, second, third
        direction_to(points[p], vertices, faces[f], weights[p], inside[p], normal[p])
