"""A hand's skin in its light, as colours of the picture: what `appearance` overlays show.

Arrays are NumPy's, so that they go to other processes as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models.appearance import SurfaceMaps
from fitter.raster.types import Fragments
from fitter.rendering.fitted_light import light_of
from fitter.rendering.shading import interpolate, srgb_from_linear
from fitter.rendering.textured import Surface, TexturedFaces, shade


@dataclass(frozen=True)
class VertexSkin:
    """Reflectance and light at the vertices of a hand, as stages draw it that have no texture.

    Attributes:
        reflectance: (V, 3) float32 diffuse reflectance at the vertices.
        irradiance: (V, 3) float32 light that reaches them; white in white light is 1.
        linear: reflectance and light are linear and their product is encoded as sRGB; without it
            the product is the picture's value as it is (`refine.linear_light`).
    """

    reflectance: np.ndarray
    irradiance: np.ndarray
    linear: bool = True

    def at_pixels(self, fragments: Fragments, faces: Tensor) -> np.ndarray:
        """(H, W, 3) float32 RGB in 0-255 of the visible surface, 0 where there is none.

        Args:
            fragments: of one image of this hand alone.
            faces: (F, 3) int64 of the hand.
        """
        lit = torch.from_numpy(self.reflectance * self.irradiance)
        return _encoded(interpolate(fragments, faces, lit)[0], self.linear)


@dataclass(frozen=True)
class TexturedSkin:
    """A hand's textures, shaded at every pixel as the stages do it.

    Attributes:
        vertices: (V, 3) float32 metres, in the camera that the light belongs to. A view from
            elsewhere shows the light and the highlights that this camera saw.
        uv: (A, 2) float32 texture coordinates, v up.
        uv_faces: (F, 3) integer rows of `uv`, in the order of the hand's faces.
        lighting: (11,) or (27,) of the hand, see `fitter.rendering.fitted_light.light_of`.
        side: of the hand.
        diffuse: (T, T, 3) float32 reflectance, linear RGB, whatever `linear` is; row 0 at the top.
        normal: (T, T, 3) float32 or None, see `SurfaceMaps`.
        specular: (T, T, 1 or 3) float32 or None, see `SurfaceMaps`.
        added: (V, 3) float32 colours at the vertices that are added to the texture's, or None.
        linear: as in `VertexSkin`.
    """

    vertices: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    lighting: np.ndarray
    side: str
    diffuse: np.ndarray
    normal: np.ndarray | None = None
    specular: np.ndarray | None = None
    added: np.ndarray | None = None
    linear: bool = True

    def at_pixels(self, fragments: Fragments, faces: Tensor) -> np.ndarray:
        """See `VertexSkin.at_pixels`."""
        diffuse, normal, specular, added = (
            None if values is None else torch.from_numpy(values)[None].double()
            for values in (self.diffuse, self.normal, self.specular, self.added)
        )
        assert diffuse is not None
        uv, uv_faces = torch.from_numpy(self.uv).double(), torch.from_numpy(self.uv_faces).long()
        surface = Surface(
            mesh=TexturedFaces(faces, uv, uv_faces),
            vertices=torch.from_numpy(self.vertices)[None].double(),
            maps=SurfaceMaps(diffuse, normal, specular),
            added=added,
            linear=self.linear,
        )
        return _encoded(
            shade(surface, fragments, light_of(self.lighting, self.side))[0], self.linear
        )


Skin = VertexSkin | TexturedSkin


def _encoded(lit: Tensor, linear: bool) -> np.ndarray:
    values = srgb_from_linear(lit) if linear else lit
    return (255 * values).clamp(0, 255).float().numpy()
