"""What the silhouettes need to know of a mesh besides its faces: which faces share an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class MeshTopology:
    """The faces of a batch of meshes; their edges are computed once, at first use.

    Attributes:
        faces: (F, 3) integer vertex indices shared by the batch, or (B, F, 3) for one mesh a
            image; a row of -1 is no face (meshes with fewer faces are filled up with them).
    """

    faces: Tensor

    @cached_property
    def index_range(self) -> tuple[int, int]:
        """Lowest and highest vertex index; (0, -1) without a face. Waits for the device once."""
        faces = self.faces[(self.faces != -1).any(-1)]
        return (int(faces.min()), int(faces.max())) if faces.numel() else (0, -1)

    @cached_property
    def edges(self) -> Tensor:
        """(E, 4) or (B, E, 4) int64: an edge's two vertices, lower first, and the third vertices
        of the two faces that meet there.

        The last is -1 on a border. Where more than two faces meet, every pair of consecutive ones
        has a row, and so has the last one alone, as a border. Filling rows are -1 throughout.
        """
        if self.faces.ndim == 2:
            return _edges(self.faces)
        per_mesh = [_edges(faces) for faces in self.faces]
        most = max((len(edges) for edges in per_mesh), default=0)
        filled = self.faces.new_full((len(per_mesh), most, 4), -1, dtype=torch.int64)
        for row, edges in zip(filled, per_mesh, strict=True):
            row[: len(edges)] = edges
        return filled


def _edges(faces: Tensor) -> Tensor:
    faces = faces.long()
    faces = faces[(faces >= 0).all(-1)]
    if len(faces) == 0:
        return faces.new_full((0, 4), -1)
    ends = torch.cat([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]]).sort(dim=1).values
    third = faces.T.reshape(-1)
    # Half-edges of one edge stand side by side after sorting, in ascending order of their faces.
    key = ends[:, 0] * (int(faces.max()) + 1) + ends[:, 1]
    order = torch.argsort(key, stable=True)
    key, ends, third = key[order], ends[order], third[order]
    follows = torch.zeros_like(key, dtype=torch.bool)
    follows[1:] = key[1:] == key[:-1]
    has_next = torch.zeros_like(follows)
    has_next[:-1] = follows[1:]
    other = torch.where(has_next, third.roll(-1), -1)
    # A pair is one row; the second of exactly two half-edges needs none of its own.
    paired_before = follows & ~has_next
    group = torch.cumsum(~follows, 0) - 1
    size = torch.bincount(group)[group]
    keep = ~(paired_before & (size == 2))
    return torch.cat([ends, third[:, None], other[:, None]], 1)[keep]


def stack_meshes(
    vertices: Sequence[Tensor], faces: Sequence[Tensor]
) -> tuple[Tensor, MeshTopology]:
    """Meshes of different topology as one batch.

    Args:
        vertices: B tensors (V_b, 3).
        faces: B tensors (F_b, 3).

    Returns:
        (B, V, 3) vertices, filled up with zeros that no face uses, and the topology.
    """
    points = torch.nn.utils.rnn.pad_sequence(list(vertices), batch_first=True)
    rows = torch.nn.utils.rnn.pad_sequence(list(faces), batch_first=True, padding_value=-1)
    return points, MeshTopology(rows)
