"""Where on the surface the texels of a hand model's texture lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

from fitter.errors import InputError
from fitter.hand_models.appearance import AppearanceModel, load_appearance
from fitter.hand_models.model_data import HandModelData
from fitter.raster import rasterize

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
    """

    size: int
    texels: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    areas: np.ndarray
    on_chart: np.ndarray
    shown: np.ndarray
    faces: np.ndarray
    appearance: AppearanceModel

    @classmethod
    def of(cls, data: HandModelData, size: int = 512) -> Self:
        """Unfold a model.

        Args:
            data: of the right hand; the left one has the same atlas.
            size: T, texels along a side.

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
            appearance=load_appearance(data, torch.float32),
        )

    @property
    def vertex_count(self) -> int:
        """V of the model."""
        return len(self.appearance.vertex_mean)

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
        return self._resampled(self.appearance.texture_mean[None])[0]

    def component_logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, R, 3) float32 components of the skin at R of the texels."""
        components = self.appearance.texture_components
        return np.stack([self._resampled(each[None], rows)[0] for each in components])

    def skin(self, coefficients: np.ndarray) -> np.ndarray:
        """(M, 3) float64 reflectance of the skin of coefficients (N,), linear RGB."""
        mixed = np.tensordot(coefficients, self.appearance.texture_components.numpy(), 1)
        step = self._resampled(torch.from_numpy(mixed.astype(np.float32))[None])[0]
        return 1 / (1 + np.exp(-(self.mean_logits + step).astype(np.float64)))

    def _resampled(self, logits: torch.Tensor, rows: np.ndarray | None = None) -> np.ndarray:
        """Textures (B, S, S, 3) of logits at the texels that show the surface: (B, M, 3)."""
        texels = self.texels if rows is None else self.texels[rows]
        fine = functional.interpolate(
            logits.permute(0, 3, 1, 2),
            size=(self.size, self.size),
            mode="bilinear",
            align_corners=False,
            antialias=len(logits[0]) > self.size,
        )
        return fine.flatten(2)[:, :, texels].transpose(1, 2).numpy()


def _barycentrics(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N, 3) of points (N, 2) in triangles (N, 3, 2), and the triangles' areas (N,)."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]

    def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]

    area = cross(b - a, c - a)
    second, third = cross(points - a, c - a) / area, cross(b - a, points - a) / area
    return np.stack([1 - second - third, second, third], axis=-1), 0.5 * np.abs(area)
