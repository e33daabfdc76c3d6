"""The skin's colour as a linear space: coefficients in, reflectance of texture or vertices out.

The space is one of logits: ``reflectance = sigmoid(mean + coefficients @ components)``. For dark
skin that is nearly the logarithm, in which melanin and blood are additive; it keeps every
reflectance between 0 and 1, smoothly and without clamping.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fitter.errors import InputError
from fitter.hand_models.assets import read_safetensors

APPEARANCE_FILE = "open_hand_appearance.safetensors"
APPEARANCE_PATH = Path(__file__).parent / "assets" / APPEARANCE_FILE
"""Written by `scripts/build_appearance.py`."""

TONES = 3
"""Components of a model without a basis of its own: as many as a colour has."""

_EXPECTED = "the open hand's appearance (.safetensors)"


@dataclass(frozen=True)
class SurfaceMaps:
    """What the surface of B hands is like, in their model's texture coordinates.

    All maps have T x T texels, row 0 at the top, as `fitter.rendering.shading.sample_texture`
    takes them.

    Attributes:
        diffuse: (B, T, T, 3) reflectance in linear RGB, in [0, 1].
        normal: (B, T, T, 3) normals of any length in the frame of the texture: x along u, y along
            v, z out of the skin; None where the mesh's own are all there is.
        specular: (B, T, T, 1 or 3) share of the light that is mirrored, in [0, 1]; None for none.
    """

    diffuse: Tensor
    normal: Tensor | None = None
    specular: Tensor | None = None


class Appearance(Protocol):
    """The skin of a hand model as a function of N coefficients of unit variance."""

    @property
    def count(self) -> int:
        """N, the number of coefficients."""

    @property
    def is_mapped(self) -> bool:
        """Whether it has normal or specular maps, which only show where pixels are shaded."""

    def vertex_colours(self, coefficients: Tensor) -> Tensor:
        """Reflectance (B, V, 3) in linear RGB, between 0 and 1, for coefficients (B, N)."""

    def maps(self, coefficients: Tensor, size: int | None = None) -> SurfaceMaps:
        """The maps for coefficients (B, N), `size` texels a side or as many as there are."""

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same on a device or in a floating-point dtype."""


@dataclass(frozen=True)
class AppearanceModel:
    """Mean and N components of the skin's diffuse reflectance, as logits of linear RGB.

    A coefficient of 1 is one standard deviation of the population the model was built from;
    coefficients of 0 are its mean.

    Attributes:
        texture_mean: (T, T, 3), row 0 at the top, as `fitter.rendering.shading.sample_texture`
        takes it. texture_components: (N, T, T, 3).
        vertex_mean: (V, 3).
        vertex_components: (N, V, 3).
    """

    texture_mean: Tensor
    texture_components: Tensor
    vertex_mean: Tensor
    vertex_components: Tensor

    @property
    def count(self) -> int:
        """N, the number of components."""
        return len(self.vertex_components)

    def texture(self, coefficients: Tensor) -> Tensor:
        """Reflectance (B, T, T, 3) in linear RGB, between 0 and 1, for coefficients (B, N)."""
        return _reflectance(self.texture_mean, self.texture_components, coefficients)

    @property
    def is_mapped(self) -> bool:
        """False: it has colours alone."""
        return False

    def maps(self, coefficients: Tensor, size: int | None = None) -> SurfaceMaps:
        """See `Appearance`; logits are resampled, not colours."""
        side = size or len(self.texture_mean)
        mean, components = self._resampled(side)
        return SurfaceMaps(_reflectance(mean, components, coefficients))

    def _resampled(self, side: int) -> tuple[Tensor, Tensor]:
        """Mean and components with another number of texels; kept, since the stages ask often."""
        found = self._sizes.get(side)
        if found is None:
            # Kept for whoever asks next, who may want gradients through them.
            with torch.inference_mode(False):
                found = self._sizes[side] = (
                    resized_texture(self.texture_mean[None], side)[0].contiguous(),
                    resized_texture(self.texture_components, side).contiguous(),
                )
        return found

    @cached_property
    def _sizes(self) -> dict[int, tuple[Tensor, Tensor]]:
        own = (self.texture_mean, self.texture_components)
        return {len(self.texture_mean): own}

    def vertex_colours(self, coefficients: Tensor) -> Tensor:
        """Reflectance (B, V, 3) in linear RGB, between 0 and 1, for coefficients (B, N)."""
        return _reflectance(self.vertex_mean, self.vertex_components, coefficients)

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same model on a device or in a floating-point dtype."""
        return type(self)(*(getattr(self, field.name).to(target) for field in fields(self)))


def retouched(reflectance: Tensor, change: Tensor) -> Tensor:
    """Reflectance whose logits are changed: ``sigmoid(logit(reflectance) + change)``.

    Args:
        reflectance: (...) in [0, 1]; at both ends it stays what it is.
        change: (...) of any size; 0 leaves a reflectance as it is.
    """
    return reflectance / (reflectance + (1 - reflectance) * torch.exp(-change))


def resized_texture(textures: Tensor, side: int) -> Tensor:
    """Textures (B, T, T, C) of `side` texels: means of what a texel covers where they get smaller,
    bilinear where they get larger."""
    images = textures.permute(0, 3, 1, 2)
    if side < images.shape[-1]:
        resized = functional.interpolate(images, size=(side, side), mode="area")
    else:
        resized = functional.interpolate(
            images, size=(side, side), mode="bilinear", align_corners=False
        )
    return resized.permute(0, 2, 3, 1)


def _reflectance(mean: Tensor, components: Tensor, coefficients: Tensor) -> Tensor:
    if coefficients.ndim != 2 or coefficients.shape[1] != len(components):
        raise ValueError(
            f"expected appearance coefficients of shape (B, {len(components)}), got "
            f"{tuple(coefficients.shape)}"
        )
    logits = torch.addmm(mean.flatten(), coefficients, components.flatten(1))
    return torch.sigmoid(logits).view(len(coefficients), *mean.shape)


def read_appearance(path: Path, dtype: torch.dtype = torch.float32) -> AppearanceModel:
    """Read an appearance from a file in the shipped one's layout.

    The file holds the used texels alone; `texel_rows` (T, T) says which of them each texel shows,
    the nearest one for texels that no face covers, so that no look-up bleeds across a seam.

    Raises:
        InputError: the file is missing, is no safetensors file, or its arrays do not fit together.
    """
    names = ("texel_rows", "texel_mean", "texel_components", "vertex_mean", "vertex_components")
    arrays, _ = read_safetensors(path, _EXPECTED, names)
    rows, *rest = (arrays[name] for name in names)
    texel_mean, texel_components, vertex_mean, vertex_components = (
        torch.from_numpy(array.astype(np.float64)).to(dtype) for array in rest
    )
    if rows.max() >= len(texel_mean):
        raise InputError(
            "appearance.texel",
            file=path,
            expected=_EXPECTED,
            texel=int(rows.max()),
            texels=len(texel_mean),
        )
    shown = torch.from_numpy(rows.astype(np.int64))
    return AppearanceModel(
        texture_mean=texel_mean[shown],
        texture_components=texel_components[:, shown],
        vertex_mean=vertex_mean,
        vertex_components=vertex_components,
    )


def uniform_appearance(vertex_count: int, dtype: torch.dtype = torch.float32) -> AppearanceModel:
    """Skin of one colour, for models without a basis: the open hand's mean colour and its tones.

    Mean and components are those of the open hand's mean over its vertices: the principal axes of
    the mean logit over the population, the first from dark to light. Its texture has one texel,
    which any texture coordinates hit.
    """
    full = read_appearance(APPEARANCE_PATH, torch.float64)
    steps = full.vertex_components.mean(dim=1)  # (N, 3), of a coefficient of 1
    variances, axes = torch.linalg.eigh(steps.T @ steps)
    tones = (variances.clamp_min(0).sqrt() * axes).T.flip(0)  # the largest first
    # The sign of an eigenvector is free: positive is lighter.
    tones = tones * torch.where(tones.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    mean, tones = full.vertex_mean.mean(dim=0).to(dtype), tones[:TONES].to(dtype)
    return AppearanceModel(
        texture_mean=mean.view(1, 1, 3),
        texture_components=tones.view(TONES, 1, 1, 3),
        vertex_mean=mean.repeat(vertex_count, 1),
        vertex_components=tones[:, None].repeat(1, vertex_count, 1),
    )
