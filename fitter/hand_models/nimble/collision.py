"""Skin that has got into the muscles, and how it is moved out again.

A vertex of the skin is inside where a ray from it leaves the closed meshes of the muscles once more
than it enters them. Muscles may overlap: crossings are counted with their signs. Rays run along z
for all vertices, so that the faces each can meet are found by a grid over x and y; for the vertices
inside, rays run along their normals. `collision_reference` says the same by solid angles.

Everything is in one batch. Which vertices are inside, and which face a ray leaves through, are
decisions without a gradient; where a vertex is moved to is differentiable in skin and muscles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from fitter.normals import vertex_normals
from fitter.shapes import check_shapes

CLEARANCE = 0.002
"""Metres beyond the muscle's surface to which a vertex inside it is moved; 2 mm in the public
layer."""
OWN_SHARE = 0.7
"""Of a vertex's own displacement in the result; the rest is the mean of those around it."""

_CELLS = 64
"""Cells of the grid along each axis."""
_PAIRS = 2**22
"""Pairs of a ray and a face that are worked on at once."""


@dataclass(frozen=True)
class Columns:
    """A sparse matrix (N, N) by its columns.

    Attributes:
        start: (N + 1,) int64 where each column's entries begin in the others.
        row: (E,) int64; value: (E,).
    """

    start: Tensor
    row: Tensor
    value: Tensor

    @classmethod
    def of(cls, matrix: scipy.sparse.csr_matrix, dtype: torch.dtype) -> Columns:
        """Of a SciPy matrix."""
        by_column = matrix.tocsc()
        start, row = (
            torch.from_numpy(array.astype(np.int64))
            for array in (by_column.indptr, by_column.indices)
        )
        return cls(start, row, torch.from_numpy(by_column.data).to(dtype))

    def columns(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The entries of columns (K,): which of the K each is of, its row, its value."""
        first = self.start[chosen]
        count = self.start[chosen + 1] - first
        of = torch.repeat_interleave(count)
        within = torch.arange(len(of), device=of.device) - (count.cumsum(0) - count)[of]
        entry = first[of] + within
        return of, self.row[entry], self.value[entry]


@dataclass(frozen=True)
class Separation:
    """B hands whose skin was moved out of their muscles.

    Attributes:
        skin: (B, N, 3) metres, moved.
        depth: (B, N) metres along the normal from a vertex inside a muscle to where its ray leaves
            the muscles, before it was moved; 0 for all others, NaN for a hand that is not finite.
    """

    skin: Tensor
    depth: Tensor


def separate(
    skin: Tensor,
    skin_faces: Tensor,
    muscles: Tensor,
    muscle_faces: Tensor,
    smoothing: Columns,
    surface: Tensor,
) -> Separation:
    """Move skin out of muscles.

    Vertices inside move along their normals to `CLEARANCE` beyond the muscles: d of each vertex,
    0 of all others. The result is ``v + 0.7 d + 0.3 W d`` with the mean W of the vertices around,
    by distance along the skin. So a vertex deep inside is not moved out whole, and its neighbours
    move with it; repeating moves it further.

    A hand with a position that is not finite stays as it is, and the others do not notice.

    Args:
        skin: (B, N, 3) metres; skin_faces: (F, 3), counter-clockwise seen from outside.
        muscles: (B, M, 3) metres; muscle_faces: (G, 3) of closed meshes.
        smoothing: (N, N) W, rows of sum 1, see `smoothing_weights`.
        surface: (N,) bool, which vertices may move of themselves.

    Returns:
        See `Separation`; differentiable in `skin` and `muscles`.

    Raises:
        ValueError: a shape is another one.
    """
    check_shapes(
        skin=(skin, ("B", "N", 3)),
        skin_faces=(skin_faces, ("F", 3)),
        muscles=(muscles, ("B", "M", 3)),
        muscle_faces=(muscle_faces, ("G", 3)),
        surface=(surface, ("N",)),
    )
    both = [part.isfinite().flatten(1).all(1) for part in (skin, muscles)]
    finite = (both[0] & both[1]).nonzero()[:, 0]
    parts = (skin_faces, muscle_faces, smoothing, surface)
    if len(finite) == len(skin):
        return _separated(skin, muscles, *parts)
    apart = _separated(skin[finite], muscles[finite], *parts)
    return Separation(
        skin.index_copy(0, finite, apart.skin),
        torch.full_like(skin[..., 0], torch.nan).index_copy(0, finite, apart.depth),
    )


def _separated(
    skin: Tensor,
    muscles: Tensor,
    skin_faces: Tensor,
    muscle_faces: Tensor,
    smoothing: Columns,
    surface: Tensor,
) -> Separation:
    """`separate` of finite hands."""
    normals = vertex_normals(skin, skin_faces)
    candidates = surface & (normals.detach().square().sum(-1) > 0)
    inside = torch.zeros_like(candidates)
    inside[candidates] = _inside(skin, candidates, muscles, muscle_faces)
    hand, vertex = inside.nonzero(as_tuple=True)
    origins, directions = skin[hand, vertex], normals[hand, vertex]
    depth, met = exit_depths(origins, directions, hand, muscles, muscle_faces)
    moved = torch.where(met, depth + CLEARANCE, 0.0)[:, None] * directions
    step = torch.zeros_like(skin).index_put((hand, vertex), moved)
    # The few vertices that move are passed on to those around them: columns of W.
    place, receiver, share = smoothing.columns(vertex)
    passed = share.to(skin.dtype)[:, None] * moved[place]
    mean = torch.zeros_like(skin).index_put((hand[place], receiver), passed, accumulate=True)
    depths = torch.zeros_like(skin[..., 0]).index_put((hand, vertex), depth)
    return Separation(skin + OWN_SHARE * step + (1 - OWN_SHARE) * mean, depths)


def inside_meshes(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """Whether points are inside closed meshes.

    Args:
        points: (B, P, 3).
        vertices: (B, M, 3), faces (G, 3): one or several closed meshes, counter-clockwise seen from
            outside, which may overlap.

    Returns:
        (B, P) bool. A point on the surface may be either.
    """
    check_shapes(points=(points, ("B", "P", 3)), vertices=(vertices, ("B", "M", 3)))
    whole = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device)
    return _inside(points, whole, vertices, faces).view(points.shape[:2])


@torch.no_grad()
def _inside(points: Tensor, chosen: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """(K,) of the K points (B, P, 3) that `chosen` (B, P) marks, in their order."""
    hand, point = chosen.nonzero(as_tuple=True)
    origins = points[hand, point]
    winding = torch.zeros(len(origins), dtype=torch.int64, device=points.device)
    grid = _Grid.over(vertices, faces)
    for rays, triangles, owner in grid.candidates(hand, origins):
        corners = faces[triangles]
        placed = vertices[owner[:, None], corners] - origins[rays][:, None]
        sign, height = _crossings(placed, corners)
        winding.index_add_(0, rays, torch.where(height > 0, sign, 0))
    return winding > 0


def exit_depths(
    origins: Tensor, directions: Tensor, hand: Tensor, vertices: Tensor, faces: Tensor
) -> tuple[Tensor, Tensor]:
    """How far rays from inside closed meshes run until they are outside all of them.

    Of all crossings of a ray that is the nearest with no mesh around it on the far side. (The
    public layer takes whatever crossing comes last in its list.)

    Args:
        origins: (K, 3) inside; directions: (K, 3) unit; hand: (K,) which of the B meshes' is meant.
        vertices: (B, M, 3); faces: (G, 3).

    Returns:
        (K,) distances, differentiable in all positions, and (K,) bool whether the ray left at all;
        where it did not the distance is 0.
    """
    face, met = _exits(origins.detach(), directions.detach(), hand, vertices.detach(), faces)
    a, b, c = vertices[hand[:, None], faces[face]].unbind(1)
    normal = torch.linalg.cross(b - a, c - a, dim=1)
    along = (normal * directions).sum(-1)
    distance = (normal * (a - origins)).sum(-1) / torch.where(met, along, 1.0)
    return torch.where(met, distance, 0.0), met


@torch.no_grad()
def _exits(
    origins: Tensor, directions: Tensor, hand: Tensor, vertices: Tensor, faces: Tensor
) -> tuple[Tensor, Tensor]:
    """The face (K,) through which each ray leaves, and whether there is one."""
    count = len(origins)
    face = torch.zeros(count, dtype=torch.int64, device=origins.device)
    met = torch.zeros(count, dtype=torch.bool, device=origins.device)
    corners = vertices[:, faces]
    centres = corners.mean(dim=2)
    reaches = (corners - centres[:, :, None]).norm(dim=-1).amax(dim=-1)
    step = max(1, _PAIRS // max(1, len(faces)))
    for rows in _by_hand(hand, step):
        own = hand[rows[0]]
        # Distances from differences of squares are exact enough about the middle of the mesh.
        middle = centres[own].mean(dim=0)
        centre, reach = centres[own] - middle, reaches[own]
        origin, direction = origins[rows] - middle, directions[rows]
        along = direction @ centre.T - (origin * direction).sum(-1, keepdim=True)
        squared = origin.square().sum(-1, keepdim=True) - 2 * origin @ centre.T
        aside = squared + centre.square().sum(-1) - along.square()
        # Spheres around the faces; a little larger, for rounding.
        near = (aside <= 1.01 * reach.square() + 1e-9) & (along >= -reach)
        ray, triangle = near.nonzero(as_tuple=True)
        ray = rows[ray]
        corners = faces[triangle]
        placed = vertices[hand[ray][:, None], corners] - origins[ray][:, None]
        sign, height = _crossings(_ray_frame(placed, directions[ray]), corners)
        hit = (sign != 0) & (height > 0)
        found = _first_outside(ray[hit], triangle[hit], sign[hit], height[hit])
        face[found[0]], met[found[0]] = found[1], True
    return face, met


def _by_hand(hand: Tensor, most: int) -> list[Tensor]:
    """Rows of rays of one hand each, at most so many together."""
    order = torch.argsort(hand, stable=True)
    groups = order.split(torch.bincount(hand).tolist()) if len(hand) else ()
    return [rows for group in groups if len(group) for rows in group.split(most)]


def _first_outside(
    ray: Tensor, triangle: Tensor, sign: Tensor, height: Tensor
) -> tuple[Tensor, Tensor]:
    """Rays and the faces of their first crossings beyond which no mesh is around them.

    A ray ends outside, so beyond a crossing as many meshes are around it as later crossings leave
    in excess of those that enter.
    """
    order = torch.argsort(height, stable=True)
    order = order[torch.argsort(ray[order], stable=True)]
    ray, triangle, sign = ray[order], triangle[order], sign[order]
    total = sign.cumsum(0)
    last = torch.ones_like(ray, dtype=torch.bool)
    last[:-1] = ray[1:] != ray[:-1]
    # The sum at the end of each crossing's own ray.
    group = torch.cat([last.new_zeros(1), last[:-1]]).cumsum(0) if len(ray) else ray
    beyond = total[last][group] - total if len(ray) else total
    outside = (beyond <= 0) & (sign > 0)
    ray, triangle = ray[outside], triangle[outside]
    first = torch.ones_like(ray, dtype=torch.bool)
    first[1:] = ray[1:] != ray[:-1]
    return ray[first], triangle[first]


def _ray_frame(points: Tensor, directions: Tensor) -> Tensor:
    """Points (K, 3, 3) in frames whose third axes are unit directions (K, 3)."""
    least = directions.abs().argmin(dim=-1)
    helper = torch.nn.functional.one_hot(least, 3).to(directions)
    across = torch.nn.functional.normalize(torch.linalg.cross(directions, helper, dim=1), dim=1)
    frame = torch.stack([across, torch.linalg.cross(directions, across, dim=1), directions], 1)
    return torch.einsum("kij,kcj->kci", frame, points)


def _crossings(placed: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """How the z axis crosses triangles.

    Args:
        placed: (K, 3, 3) corners of triangles.
        corners: (K, 3) their vertices' numbers. Two triangles that share an edge compute on which
            side of it the axis is from the same numbers in the same order, so an axis through the
            edge crosses exactly one of them, or both, or none, as the surface does.

    Returns:
        (K,) int64: 1 where the axis leaves (it passes from the back to the front of the triangle),
        -1 where it enters, 0 where it misses; and (K,) the z of the crossing.
    """
    x, y, z = placed.unbind(-1)
    winding = torch.zeros(len(placed), dtype=torch.int64, device=placed.device)
    # The winding number of the triangle about the origin of x and y: edges that cross the x axis to
    # the right of it, upwards less downwards.
    for first, second in ((0, 1), (1, 2), (2, 0)):
        swap = corners[:, first] > corners[:, second]
        ax, bx = _ordered(x[:, first], x[:, second], swap)
        ay, by = _ordered(y[:, first], y[:, second], swap)
        side = ax * by - ay * bx
        below, above = y[:, first] <= 0, y[:, second] <= 0
        upward = below & ~above & (torch.where(swap, -side, side) > 0)
        downward = ~below & above & (torch.where(swap, -side, side) < 0)
        winding += upward.long() - downward.long()
    edge, other = placed[:, 1] - placed[:, 0], placed[:, 2] - placed[:, 0]
    normal = torch.linalg.cross(edge, other, dim=1)
    flat = normal[:, 2] == 0
    height = (normal * placed[:, 0]).sum(-1) / torch.where(flat, 1.0, normal[:, 2])
    return torch.where(flat, 0, winding), torch.where(flat, z.mean(-1), height)


def _ordered(first: Tensor, second: Tensor, swap: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(swap, second, first), torch.where(swap, first, second)


@dataclass(frozen=True)
class _Grid:
    """Faces of B meshes by the cells over x and y that their boxes touch.

    Attributes:
        low: (B, 2) corner and cell: (B, 2) size of the grids.
        start, count: (B * cells,) where a cell's faces are in `face`, and how many.
        face: (E,) faces, cell by cell.
        box: (B, F, 5) of each face: least x and y, largest x, y and z.
    """

    low: Tensor
    cell: Tensor
    start: Tensor
    count: Tensor
    face: Tensor
    box: Tensor

    @classmethod
    def over(cls, vertices: Tensor, faces: Tensor) -> _Grid:
        flat = vertices[..., :2]
        low, high = flat.amin(dim=1), flat.amax(dim=1)
        cell = (high - low).clamp_min(1e-9) / _CELLS
        corners = vertices[:, faces]
        least, most = corners.amin(dim=2), corners.amax(dim=2)
        first, last = _cells(least[..., :2], low, cell), _cells(most[..., :2], low, cell)
        width = (last - first + 1).flatten(0, 1)
        entries = width.prod(dim=-1)
        box = torch.repeat_interleave(entries)
        within = torch.arange(len(box), device=box.device) - (entries.cumsum(0) - entries)[box]
        corner = first.flatten(0, 1)[box]
        column = corner[:, 0] + within % width[box, 0]
        row = corner[:, 1] + within // width[box, 0]
        place = ((box // len(faces)) * _CELLS + row) * _CELLS + column
        count = torch.bincount(place, minlength=len(vertices) * _CELLS * _CELLS)
        order = torch.argsort(place, stable=True)
        boxes = torch.cat([least[..., :2], most], dim=-1)
        return cls(low, cell, count.cumsum(0) - count, count, (box % len(faces))[order], boxes)

    def candidates(self, hand: Tensor, points: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Pairs of points (K, 3) of hands (K,) and faces that a ray from them along z may meet: the
        numbers of points, of faces, and of the hands."""
        offset = (points[:, :2] - self.low[hand]) / self.cell[hand]
        over = ((offset >= 0) & (offset <= _CELLS)).all(dim=-1)
        column, row = offset.clamp(0, _CELLS - 1).long().unbind(-1)
        place = (hand * _CELLS + row) * _CELLS + column
        count = torch.where(over, self.count[place], 0)
        parts = []
        for rows in _portions(count):
            number = count[rows]
            ray = torch.repeat_interleave(number)
            within = torch.arange(len(ray), device=ray.device) - (number.cumsum(0) - number)[ray]
            ray = rows[ray]
            face, owner = self.face[self.start[place[ray]] + within], hand[ray]
            x, y, z = points[ray].unbind(1)
            left, lower, right, upper, top = self.box[owner, face].unbind(1)
            met = (left <= x) & (x <= right) & (lower <= y) & (y <= upper) & (z <= top)
            parts.append((ray[met], face[met], owner[met]))
        return parts


def _cells(points: Tensor, low: Tensor, cell: Tensor) -> Tensor:
    """Columns and rows (B, F, 2) of the cells that points (B, F, 2) are in."""
    return ((points - low[:, None]) / cell[:, None]).floor().clamp(0, _CELLS - 1).long()


def _portions(count: Tensor) -> list[Tensor]:
    """Rows in portions of about `_PAIRS` pairs."""
    portion = (count.cumsum(0) // _PAIRS).cpu()
    rows = torch.arange(len(count), device=count.device)
    return list(rows.split(torch.bincount(portion).tolist())) if len(count) else []
