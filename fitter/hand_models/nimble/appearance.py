"""NIMBLE's skin as the fit and the renderer take it: maps in linear light, colours at vertices."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fitter.colours import linear_from_srgb
from fitter.hand_models.appearance import SurfaceMaps, resized_texture
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.nimble.textures import NimbleTextures, TextureSpace

MIRRORED = 0.08
"""Share of the light that skin of specular value 1 mirrors when it falls straight on it: what
"specular" is in the renderer that NIMBLE's authors name, Blender, and in the model it has this from
(Burley, "Physically-based shading at Disney", SIGGRAPH 2012). Skin's 0.028 is 0.35."""


class NimbleAppearance:
    """An `Appearance` of NIMBLE's textures.

    NIMBLE's own definition is kept: values are linear in the coefficients and clamped to [0, 1] as
    the file has them, in sRGB; light then falls on them in linear RGB. Where they are clamped there
    is no gradient.
    """

    def __init__(self, textures: NimbleTextures, vertex_space: TextureSpace) -> None:
        """Take textures, and the diffuse colours (1, V, 3) at the vertices; see `of`."""
        self.textures, self.vertex_space = textures, vertex_space

    @classmethod
    def of(cls, textures: NimbleTextures, data: HandModelData) -> NimbleAppearance:
        """Of a model with texture coordinates; vertices have the colours of their texels."""
        assert data.uv is not None and data.uv_faces is not None
        seen, place = np.unique(data.faces, return_index=True)
        uv = torch.from_numpy(data.uv[data.uv_faces.ravel()[place]]).float()
        maps = torch.cat([textures.diffuse.mean[None], textures.diffuse.components])
        grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], dim=-1)[None, None]
        sampled = [
            functional.grid_sample(
                each.permute(2, 0, 1)[None], grid, padding_mode="border", align_corners=False
            )[0, :, 0].T
            for each in maps
        ]
        shown = torch.stack(sampled)
        # Vertices of no face have no texture coordinates, and are never seen.
        values = shown.mean(dim=1, keepdim=True).repeat(1, len(data.v_template), 1)
        values[:, torch.from_numpy(seen)] = shown
        return cls(textures, TextureSpace(values[0, None], values[1:, None]))

    @property
    def count(self) -> int:
        """N, the number of coefficients."""
        return self.textures.count

    @property
    def is_mapped(self) -> bool:
        """True: NIMBLE has maps of normals and highlights."""
        return True

    def vertex_colours(self, coefficients: Tensor) -> Tensor:
        """Reflectance (B, V, 3) in linear RGB, between 0 and 1, for coefficients (B, N)."""
        return linear_from_srgb(self.vertex_space(coefficients)[:, 0])

    def maps(self, coefficients: Tensor, size: int | None = None) -> SurfaceMaps:
        """The three maps for coefficients (B, N), `size` texels a side or as many as there are."""
        diffuse, normal, specular = self.spaces(size)
        return SurfaceMaps(
            diffuse=linear_from_srgb(diffuse(coefficients)),
            normal=2 * normal(coefficients) - 1,
            specular=MIRRORED * specular(coefficients),
        )

    def to(self, target: torch.device | torch.dtype | str) -> NimbleAppearance:
        """The same on a device or in a floating-point dtype; itself where it is that already."""
        mean = self.textures.diffuse.mean
        if mean.to(target) is mean:
            return self
        return type(self)(self.textures.to(target), self.vertex_space.to(target))

    def spaces(self, size: int | None = None) -> tuple[TextureSpace, ...]:
        """Diffuse, normal and specular with `size` texels a side, or as many as there are; kept,
        since the stages ask often."""
        side = size or len(self.textures.diffuse.mean)
        if side not in self._sizes:
            # Kept for whoever asks next, who may want gradients through them.
            with torch.inference_mode(False):
                self._sizes[side] = tuple(_resized(each, side) for each in self._own)
        return self._sizes[side]

    @property
    def _own(self) -> tuple[TextureSpace, ...]:
        return self.textures.diffuse, self.textures.normal, self.textures.specular

    @cached_property
    def _sizes(self) -> dict[int, tuple[TextureSpace, ...]]:
        return {len(self.textures.diffuse.mean): self._own}


def _resized(space: TextureSpace, side: int) -> TextureSpace:
    return TextureSpace(
        resized_texture(space.mean[None], side)[0].contiguous(),
        resized_texture(space.components, side).contiguous(),
    )
