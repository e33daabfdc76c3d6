"""Where on the surface the texels of a hand model's texture lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from fitter.errors import InputError
from fitter.hand_models import Appearance, load_appearance
from fitter.hand_models.model_data import HandModelData
from fitter.raster import rasterize
from fitter.textures import numbers

FRINGE = 1.5
"""Texels around a chart that belong to it, too: a bilinear look-up at its border uses them, and
finds the same colour on both sides of a seam."""


@dataclass(frozen=True)
class TextureAtlas:
    """The surface points that the texels of a T x T texture show, of a model of either side.

    M texels show the surface: the charts with a fringe of `FRINGE` texels, where the plane of the
    nearest face goes on. The others show what the nearest of these shows.

    Attributes:
        size: T.
        texels: (M,) int64 place of each texel in the flattened texture, row 0 at the top.
        corners: (M, 3) int64 vertices of the face that the texel lies on.
        weights: (M, 3) float64 barycentrics in it, which a texel of the fringe has below 0.
        areas: (M,) float64 area of that face in the texture, texels.
        on_chart: (M,) bool, False for the fringe.
        shown: (T * T,) int64 which of the M texels each texel of the texture shows.
        faces: (F, 3) int64 of the right-hand model.
        appearance: the model's skin.
        vertex_count: V of the model.
    """

    size: int
    texels: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    areas: np.ndarray
    on_chart: np.ndarray
    shown: np.ndarray
    faces: np.ndarray
    appearance: Appearance
    vertex_count: int

    @classmethod
    def of(cls, data: HandModelData, size: int = 512, appearance: Appearance | None = None) -> Self:
        """Unfold a model.

        Args:
            data: of the right hand; the left one has the same atlas.
            size: T, texels along a side.
            appearance: the model's skin, if it is loaded.

        Raises:
            InputError: the model has no texture coordinates (`texture.no_uv`).
        """
        if data.uv is None or data.uv_faces is None:
            raise InputError("texture.no_uv", model=data.name)
        if size < 8:
            raise ValueError(f"expected a texture of at least 8 texels, got {size}")
        corners_uv = np.stack([data.uv[:, 0], 1 - data.uv[:, 1]], axis=-1) * size
        screen = np.concatenate([corners_uv, np.ones((len(corners_uv), 1))], axis=-1)
        faces = torch.from_numpy(data.uv_faces)
        fragments = rasterize(torch.from_numpy(screen)[None], faces, (size, size))
        face_index = fragments.face_index[0].numpy()
        distance, nearest = distance_transform_edt(face_index < 0, return_indices=True)
        row, column = np.nonzero(distance <= FRINGE)
        face = face_index[tuple(nearest[:, row, column])]
        weights, areas = _barycentrics(
            np.stack([column, row], axis=-1) + 0.5, corners_uv[data.uv_faces[face]]
        )
        number = np.full((size, size), -1)
        number[row, column] = np.arange(len(row))
        known = distance_transform_edt(number < 0, return_distances=False, return_indices=True)
        return cls(
            size=size,
            texels=row * size + column,
            corners=data.faces[face],
            weights=weights,
            areas=areas,
            on_chart=face_index[row, column] >= 0,
            shown=number[tuple(known)].ravel(),
            faces=data.faces,
            appearance=load_appearance(data) if appearance is None else appearance,
            vertex_count=len(data.v_template),
        )

    def at(self, attribute: np.ndarray) -> np.ndarray:
        """(M, C) values at the texels of an attribute (V, C) of the vertices."""
        return np.einsum("mk,mkc->mc", self.weights, attribute[self.corners])

    def texture(self, values: np.ndarray) -> np.ndarray:
        """(T, T, ...) texture of values (M, ...) of the texels that show the surface."""
        return values[self.shown].reshape(self.size, self.size, *values.shape[1:])

    def rows(self, texture: np.ndarray) -> np.ndarray:
        """(M, ...) values of the texels that show the surface, of a texture (T, T, ...)."""
        return texture.reshape(self.size**2, *texture.shape[2:])[self.texels]

    @cached_property
    def mean_logits(self) -> np.ndarray:
        """(M, 3) float32 logits of the mean skin."""
        return self._logits(np.zeros(self.appearance.count))

    @cached_property
    def component_logits(self) -> np.ndarray:
        """(N, M, 3) float32 change of the skin's logits for each coefficient of 1. A skin that is
        not linear in logits is taken as linear from its mean to one standard deviation."""
        steps = [self._logits(unit) - self.mean_logits for unit in np.eye(self.appearance.count)]
        return np.stack(steps)

    def skin(self, coefficients: np.ndarray) -> np.ndarray:
        """(M, 3) float64 reflectance of the skin of coefficients (N,), linear RGB."""
        steps = np.tensordot(coefficients, self.component_logits.astype(np.float64), 1)
        return numbers.sigmoid(self.mean_logits + steps)

    def _logits(self, coefficients: np.ndarray) -> np.ndarray:
        row = torch.from_numpy(coefficients).float()[None]
        colours = self.rows(self.appearance.maps(row, self.size).diffuse[0].numpy())
        return numbers.logit(colours.clip(1e-3, 0.999))


def _barycentrics(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N, 3) of points (N, 2) in triangles (N, 3, 2), and the triangles' areas (N,)."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]

    def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]

    area = cross(b - a, c - a)
    second, third = cross(points - a, c - a) / area, cross(b - a, points - a) / area
    return np.stack([1 - second - third, second, third], axis=-1), 0.5 * np.abs(area)
