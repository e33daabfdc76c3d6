"""A hand's skin in its light, as colours of the picture: what `appearance` overlays show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitter.raster.types import Fragments
from fitter.rendering.shading import interpolate, srgb_from_linear, texture_colours


@dataclass(frozen=True)
class SkinTexture:
    """Colours of a skin in the atlas of its model.

    Attributes:
        colours: (T, T, 3) float32 diffuse reflectance, linear RGB, row 0 at the top.
        uv: (A, 2) float32 texture coordinates, v up, see `fitter.rendering.shading.sample_texture`.
        uv_faces: (F, 3) integer rows of `uv`, in the order of the hand's faces.
    """

    colours: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray


@dataclass(frozen=True)
class Skin:
    """Reflectance and light of a hand's surface.

    Attributes:
        reflectance: (V, 3) float32 diffuse reflectance at the vertices.
        irradiance: (V, 3) float32 light that reaches them; white in white light is 1.
        linear: reflectance and light are linear and their product is encoded as sRGB; without it
            the product is the picture's value as it is (`refine.linear_light`).
        texture: takes the place of `reflectance` where the hand has one. Its colours are linear,
            whatever `linear` is.
    """

    reflectance: np.ndarray
    irradiance: np.ndarray
    linear: bool = True
    texture: SkinTexture | None = None

    def at_vertices(self) -> np.ndarray:
        """(V, 3) float32 RGB in 0-255 of the vertices, without the texture."""
        return self._encoded(torch.from_numpy(self.reflectance * self.irradiance)).numpy()

    def at_pixels(self, fragments: Fragments, faces: Tensor) -> np.ndarray:
        """(H, W, 3) float32 RGB in 0-255 of the visible surface, 0 where there is none.

        Args:
            fragments: of one image of this hand alone.
            faces: (F, 3) int64 of the hand.
        """
        texture = self.texture
        if texture is None:
            lit = torch.from_numpy(self.reflectance * self.irradiance)
            return self._encoded(interpolate(fragments, faces, lit)[0]).numpy()
        light = interpolate(fragments, faces, torch.from_numpy(self.irradiance))[0]
        uv, uv_faces = torch.from_numpy(texture.uv), torch.from_numpy(texture.uv_faces).long()
        colours = texture_colours(fragments, uv, uv_faces, torch.from_numpy(texture.colours))[0]
        if not self.linear:
            colours = srgb_from_linear(colours)
        return self._encoded(colours * light).numpy()

    def _encoded(self, lit: Tensor) -> Tensor:
        values = srgb_from_linear(lit) if self.linear else lit
        return (255 * values).clamp(0, 255).float()
