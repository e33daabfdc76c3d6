"""Energies that keep a free-form surface smooth and its vertices evenly spread.

Each returns one unweighted value a hand, (B,), differentiable in the vertices (B, V, 3). Vertices
are in metres; the unit in which Seeber et al. (RealisticHands, section 3.2) weigh these terms is
not published. The `*_change` energies are ours: they hold the surface to a reference, the hand
before its vertices were set free, because a hand at rest is neither flat nor evenly meshed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from fitter.energies.declare import energy

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class SurfaceGraph:
    """Which vertices and which faces of a mesh are neighbours; build it once with `of`.

    Rows of -1 and faces that name a vertex twice have no area and are left out.

    Attributes:
        faces: (F, 3) int64, those that are left.
        edges: (E, 2) int64, each once, lower vertex first, however many faces share it.
        degree: (V,) float64 number of neighbours of a vertex.
        adjacent_faces: (P, 2) int64 rows of `faces`: every two that share an edge, once for each
            edge they share. Where three faces meet these are three pairs; a border edge has none.
        same_winding: (P,) float64, 1 where the two faces are wound alike, -1 where one must be
            turned over for their normals to be compared.
    """

    faces: Tensor
    edges: Tensor
    degree: Tensor
    adjacent_faces: Tensor
    same_winding: Tensor

    @classmethod
    def of(cls, faces: Tensor, vertex_count: int) -> SurfaceGraph:
        """Find the neighbours.

        Args:
            faces: (F, 3) integer vertex indices.
            vertex_count: V; vertices that no face uses have no neighbours.

        Raises:
            ValueError: for another shape or an index that is too large.
        """
        if faces.ndim != 2 or faces.shape[-1] != 3 or faces.is_floating_point():
            raise ValueError(
                f"faces must be (F, 3) integers, got {faces.dtype} of shape {tuple(faces.shape)}"
            )
        faces = faces.long()
        a, b, c = faces.unbind(-1)
        faces = faces[(faces >= 0).all(-1) & (a != b) & (b != c) & (c != a)]
        if len(faces) and int(faces.max()) >= vertex_count:
            raise ValueError(
                f"faces must index {vertex_count} vertices, got index {int(faces.max())}"
            )
        half_edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        ends, order = half_edges.sort(dim=1)
        edges, edge_of = torch.unique(ends, dim=0, return_inverse=True)
        pairs, same_winding = _adjacent_faces(edge_of, order[:, 0])
        return cls(
            faces=faces,
            edges=edges,
            degree=torch.bincount(edges.flatten(), minlength=vertex_count).double(),
            adjacent_faces=pairs,
            same_winding=same_winding,
        )

    def to(self, device: torch.device | str) -> SurfaceGraph:
        """The same graph on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@energy("vertex_offset", "offsets")
def vertex_offset(offsets: Tensor) -> Tensor:
    """Seeber et al. eq. 2, left: ``L_v = ||dv||_2^2``, the sum over all vertices.

    Args:
        offsets: (B, V, 3) metres.

    Returns:
        (B,) metres squared.
    """
    return offsets.square().sum((1, 2))


@energy("edge_length", "vertices", "neighbours")
def edge_length(vertices: Tensor, graph: SurfaceGraph) -> Tensor:
    """Seeber et al. eq. 2, right: ``L_e = sum_v sum_{k in N(v)} ||v - k||_2^2``.

    Each edge counts twice, once from either end, as printed.

    Args:
        vertices: (B, V, 3) metres.
        graph: of the mesh.

    Returns:
        (B,) metres squared.
    """
    return 2 * _squared_lengths(vertices, graph).sum(0)


@energy("edge_length_change", "vertices", "bare_vertices", "neighbours")
def edge_length_change(vertices: Tensor, reference: Tensor, graph: SurfaceGraph) -> Tensor:
    """How far the lengths of edges are from a reference's; ours, not published:
    ``sum_v sum_{k in N(v)} (||v - k|| - ||v_ref - k_ref||)^2``.

    `edge_length` shrinks a hand; this
    does not, and is blind to motions that keep the surface's own shape. Each edge counts twice,
    as there.

    Args:
        vertices: (B, V, 3) metres.
        reference: (B, V, 3) or (1, V, 3) metres.
        graph: of the mesh.

    Returns:
        (B,) metres squared.
    """
    length = _root(_squared_lengths(vertices, graph))
    return 2 * (length - _root(_squared_lengths(reference, graph))).square().sum(0)


@energy("laplacian", "vertices", "neighbours")
def laplacian(vertices: Tensor, graph: SurfaceGraph) -> Tensor:
    """Seeber et al. eq. 3: ``L_lap = sum_v ||v - mean of its neighbours||_2^2``, uniform weights.

    A vertex without neighbours counts 0 (not published).

    Args:
        vertices: (B, V, 3) metres.
        graph: of the mesh.

    Returns:
        (B,) metres squared.
    """
    points = _rows(vertices)
    first, second = graph.edges.unbind(-1)
    difference = points.index_select(0, first) - points.index_select(0, second)
    total = torch.zeros_like(points).index_add(0, first, difference)
    total = total.index_add(0, second, difference, alpha=-1)
    degree = graph.degree.to(points.dtype).clamp_min(1)
    return (total / degree[:, None, None]).square().sum((0, 1))


@energy("laplacian_change", "vertices", "bare_vertices", "neighbours")
def laplacian_change(vertices: Tensor, reference: Tensor, graph: SurfaceGraph) -> Tensor:
    """How far the Laplacian coordinates of eq. 3 are from a reference's; ours, not published:
    ``sum_v ||delta_v - delta_v of the reference||^2``.

    It is the Laplacian energy of the displacement: details of the reference stay as
    they are, what is added to it is smooth.

    Args:
        vertices: (B, V, 3) metres.
        reference: (B, V, 3) or (1, V, 3) metres, in the same pose and frame.
        graph: of the mesh.

    Returns:
        (B,) metres squared.
    """
    return laplacian(vertices - reference, graph)


@energy("normal_consistency", "vertices", "neighbours", "stage.normal_reduction")
def normal_consistency(
    vertices: Tensor, graph: SurfaceGraph, reduction: Reduction = "sum"
) -> Tensor:
    """Seeber et al. eq. 4: ``1 - n_l . n_r / (||n_l|| ||n_r||)`` of neighbouring faces.

    Printed for one pair; over all pairs it is summed, as eqs. 2 and 3 are (not published), or
    averaged. A face of no area has no normal and counts as perpendicular to its neighbours,
    with no gradient (not published).

    Args:
        vertices: (B, V, 3) metres.
        graph: of the mesh.
        reduction: over the pairs.

    Returns:
        (B,), each pair in [0, 2].
    """
    left, right = graph.adjacent_faces.unbind(-1)
    normals = _face_normals(vertices, graph)
    cosine = sum(n.index_select(0, left) * n.index_select(0, right) for n in normals)
    cosine = cosine * graph.same_winding.to(vertices.dtype)[:, None]
    return _reduce(1 - cosine, reduction)


@energy("normal_change", "vertices", "bare_vertices", "neighbours", "stage.normal_reduction")
def normal_change(
    vertices: Tensor, reference: Tensor, graph: SurfaceGraph, reduction: Reduction = "sum"
) -> Tensor:
    """``1 - n . n_ref`` over all faces, n their unit normals; ours, not published.

    `normal_consistency` flattens knuckles and creases; this keeps them.

    Args:
        vertices: (B, V, 3) metres.
        reference: (B, V, 3) or (1, V, 3) metres, in the same pose and frame.
        graph: of the mesh.
        reduction: over the faces.

    Returns:
        (B,), each face in [0, 2].
    """
    x, y, z = _face_normals(vertices, graph)
    x_ref, y_ref, z_ref = _face_normals(reference, graph)
    return _reduce(1 - (x * x_ref + y * y_ref + z * z_ref), reduction)


def _adjacent_faces(edge_of: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of faces that share an edge, from the edge (3 F,) and direction of each half-edge."""
    by_edge = torch.argsort(edge_of, stable=True)
    edge, way, face = edge_of[by_edge], direction[by_edge], by_edge // 3
    most = int(torch.bincount(edge).max()) if len(edge) else 0
    pairs = [face.new_zeros(0, 2)]
    winding = [torch.zeros(0, dtype=torch.float64, device=face.device)]
    for apart in range(1, most):
        shared = edge[apart:] == edge[:-apart]
        pairs.append(torch.stack([face[:-apart][shared], face[apart:][shared]], -1))
        # Faces wound alike run along the edge they share in opposite directions.
        opposite = (way[:-apart] != way[apart:])[shared]
        winding.append(2 * opposite.double() - 1)
    return torch.cat(pairs), torch.cat(winding)


def _rows(vertices: Tensor) -> Tensor:
    """(V, 3, B): looking up whole rows that hold the batch is far faster than (B, V, 3)."""
    return vertices.permute(1, 2, 0).contiguous()


def _squared_lengths(vertices: Tensor, graph: SurfaceGraph) -> Tensor:
    """(E, B) metres squared."""
    points = _rows(vertices)
    first, second = graph.edges.unbind(-1)
    return (points.index_select(0, first) - points.index_select(0, second)).square().sum(1)


def _root(squared: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0."""
    none = squared == 0
    return torch.where(none, 0, torch.where(none, 1, squared).sqrt())


def _face_normals(vertices: Tensor, graph: SurfaceGraph) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z (F, B) of the unit normals; 0, with no gradient, for a face of no area."""
    points = _rows(vertices)
    a, b, c = (points.index_select(0, corner) for corner in graph.faces.unbind(-1))
    (ux, uy, uz), (vx, vy, vz) = (b - a).unbind(1), (c - a).unbind(1)
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    squared = x.square() + y.square() + z.square()
    # Compared this way round so that NaN is not taken for zero.
    none = squared <= torch.finfo(squared.dtype).tiny
    length = torch.where(none, 1, squared).sqrt()
    x, y, z = (torch.where(none, 0, part) / length for part in (x, y, z))
    return x, y, z


def _reduce(terms: Tensor, reduction: Reduction) -> Tensor:
    """(B,) from terms (N, B); 0 where there are none."""
    if reduction == "sum":
        return terms.sum(0)
    if reduction == "mean":
        return terms.sum(0) / max(len(terms), 1)
    raise ValueError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
