"""Unit vectors and the normals of meshes, batched and differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 3) of length 1; a zero vector stays zero and gets no gradient."""
    squared = (vectors * vectors).sum(dim=-1, keepdim=True)
    usable = squared > 0
    return torch.where(usable, vectors / torch.where(usable, squared, 1).sqrt(), 0)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals, each the area-weighted mean of the faces around a vertex.

    Args:
        vertices: (B, V, 3), any unit.
        faces: (F, 3) integer shared by the batch, or (B, F, 3) for one mesh per image, in which a
            row of -1 is no face; counter-clockwise seen from outside gives outward normals.

    Returns:
        (B, V, 3), same frame and dtype as the vertices; 0, without a gradient, where no face with
        an area touches.
    """
    triangles = faces.long()
    if triangles.ndim == 3:
        return _normals_of_different_meshes(vertices, triangles)
    # With the batch innermost a vertex is one long row, which is gathered and added at once.
    rows = vertices.permute(1, 2, 0).contiguous()
    a, b, c = (rows.index_select(0, triangles[:, k]) for k in range(3))
    # The cross product's length is twice the area, which makes the sum area-weighted.
    face_normals = torch.linalg.cross(b - a, c - a, dim=1)
    normals = torch.zeros_like(rows)
    for k in range(3):
        normals = normals.index_add(0, triangles[:, k], face_normals)
    return unit(normals.permute(2, 0, 1).contiguous())


def _normals_of_different_meshes(vertices: Tensor, triangles: Tensor) -> Tensor:
    """`vertex_normals` of meshes (B, F, 3): one mesh after the other in one long table."""
    batch, count = vertices.shape[:2]
    first = torch.arange(batch, device=triangles.device).view(-1, 1, 1) * count
    # A row of -1 becomes a face with one corner thrice, which has no area.
    rows = (triangles.clamp_min(0) + first).reshape(-1, 3)
    return vertex_normals(vertices.reshape(1, batch * count, 3), rows).view_as(vertices)
