"""Which texels of a texture lie side by side on a hand, across its seams too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from fitter.hand_models.atlas_charts import charts, common_edges
from fitter.hand_models.model_data import HandModelData
from fitter.raster import rasterize

_REACH = 1.5
"""Texels beyond a chart that are still looked up: those around its outermost points."""


@dataclass(frozen=True)
class TexelGraph:
    """Neighbours among the T x T texels that a hand shows.

    Attributes:
        pairs: (N, 2) int64 places of two texels in the flattened texture, each pair once.
        used: (T, T) bool: the texels that the surface shows, those around its charts included.
    """

    pairs: Tensor
    used: Tensor

    @classmethod
    def of(cls, data: HandModelData, size: int) -> TexelGraph:
        """The texels of a model with texture coordinates.

        Raises:
            ValueError: it has none.
        """
        if data.uv is None or data.uv_faces is None:
            raise ValueError(f"{data.name} has no texture coordinates")
        chart = _charts_of_texels(data.uv, data.uv_faces, size)
        place = np.arange(size * size).reshape(size, size)
        pairs = [_across_seams(data, size)]
        for axis in (0, 1):
            here, there = (np.delete(chart, end, axis) for end in (-1, 0))
            joined = (here == there) & (here >= 0)
            first, second = (np.delete(place, end, axis)[joined] for end in (-1, 0))
            pairs.append(np.stack([first, second], 1))
        found = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
        found = found[found[:, 0] != found[:, 1]]
        return cls(torch.from_numpy(found), torch.from_numpy(chart >= 0))

    def to(self, device: torch.device) -> TexelGraph:
        """The same on a device."""
        return TexelGraph(self.pairs.to(device), self.used.to(device))


def _charts_of_texels(uv: np.ndarray, uv_faces: np.ndarray, size: int) -> np.ndarray:
    """(T, T) number of the chart that each texel shows, -1 for none."""
    of_face = np.zeros(len(uv_faces), int)
    for number, chart in enumerate(charts(uv_faces, np.zeros(len(uv_faces), int))):
        of_face[chart.faces] = number
    # Texel centres are pixel centres of a picture of the atlas, whose rows begin at the top.
    corners = np.column_stack([uv[:, 0] * size, (1 - uv[:, 1]) * size, np.ones(len(uv))])
    seen = rasterize(torch.from_numpy(corners)[None], torch.from_numpy(uv_faces), (size, size))
    face = seen.face_index[0].numpy()
    distance, (row, column) = distance_transform_edt(face < 0, return_indices=True)
    return np.where(distance <= _REACH, of_face[face[row, column]], -1)


def _across_seams(data: HandModelData, size: int) -> np.ndarray:
    """(N, 2) texels that show the same point of an edge from its two sides."""
    assert data.uv is not None and data.uv_faces is not None
    edges = np.array(common_edges(data.faces), dtype=np.int64).reshape(-1, 4)
    face, other, own, its = edges.T
    # The edge runs the other way round in its other face.
    first = data.uv_faces[face[:, None], np.stack([own, (own + 1) % 3], 1)]
    second = data.uv_faces[other[:, None], np.stack([(its + 1) % 3, its], 1)]
    seams = (first != second).any(1)
    one, two = data.uv[first[seams]], data.uv[second[seams]]
    length = np.linalg.norm(one[:, 1] - one[:, 0], axis=1).max(initial=0.0)
    share = np.linspace(0, 1, 2 * int(np.ceil(length * size)) + 1)[:, None, None]
    places = []
    for ends in (one, two):
        points = (1 - share) * ends[:, 0] + share * ends[:, 1]
        column, row = (
            np.clip(np.floor(x * size), 0, size - 1).astype(np.int64)
            for x in (points[..., 0], 1 - points[..., 1])
        )
        places.append((row * size + column).ravel())
    return np.stack(places, 1)
