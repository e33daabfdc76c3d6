"""NIMBLE's textures: diffuse colour, normals and highlights, each linear in 10 coefficients.

`clamp(mean + basis @ (std * alpha), 0, 1)` for each of three maps of 1024 x 1024 texels (Li et al.
2022, section 5). The diffuse map is in sRGB, and the file has its channels as blue, green, red,
which is how OpenCV writes them; here they are red, green, blue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fitter.errors import InputError
from fitter.hand_models.array_checks import ArrayChecks
from fitter.hand_models.assets import read_pickle
from fitter.hand_models.nimble.files import TEXTURE_COMPONENTS, TEXTURE_FILE, check_deviations

_EXPECTED = f"NIMBLE's textures ({TEXTURE_FILE})"
_MAPS = ("diffuse", "normal", "spec")
_KEYS = ("basis", "mean", "std")
_UNIT = (0.5, 1.5)
"""Between which a mean of unit normals is long: black and white are the root of 3, grey is 0."""


@dataclass(frozen=True)
class TextureSpace:
    """One map of T x T texels as a linear function of N coefficients of unit variance.

    Attributes:
        mean: (T, T, C), row 0 at the top, as `fitter.rendering.shading.sample_texture` takes it.
        components: (N, T, T, C) change for each unit of a coefficient.
    """

    mean: Tensor
    components: Tensor

    def __call__(self, coefficients: Tensor) -> Tensor:
        """(B, T, T, C) of coefficients (B, N), between 0 and 1; differentiable."""
        return linear_values(self.mean, self.components, coefficients).clamp(0, 1)

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same on a device or in a floating-point dtype."""
        return type(self)(self.mean.to(target), self.components.to(target))


@dataclass(frozen=True)
class NimbleTextures:
    """The three maps, float32, channels red, green, blue.

    Attributes:
        diffuse: skin colour in sRGB.
        normal: normals in the frame of the texture: x to the right, y up, z out of the skin, each
            n as (n + 1) / 2.
        specular: strength of the highlights.
        sha256: of the file.
    """

    diffuse: TextureSpace
    normal: TextureSpace
    specular: TextureSpace
    sha256: str

    @property
    def count(self) -> int:
        """N, the number of coefficients."""
        return len(self.diffuse.components)

    def image(self, coefficients: Tensor) -> Tensor:
        """(B, T, T, 9) diffuse, normal and specular maps of coefficients (B, N), as NIMBLE's
        layer gives them."""
        maps = (self.diffuse, self.normal, self.specular)
        return torch.cat([each(coefficients) for each in maps], dim=-1)

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same on a device or in a floating-point dtype."""
        diffuse, normal = self.diffuse.to(target), self.normal.to(target)
        return type(self)(diffuse, normal, self.specular.to(target), self.sha256)


def linear_values(mean: Tensor, components: Tensor, coefficients: Tensor) -> Tensor:
    """(B, ...) of a mean (...), components (N, ...) and coefficients (B, N).

    Raises:
        ValueError: the coefficients are not of that shape.
    """
    if coefficients.ndim != 2 or coefficients.shape[1] != len(components):
        raise ValueError(
            f"expected appearance coefficients of shape (B, {len(components)}), got "
            f"{tuple(coefficients.shape)}"
        )
    values = torch.addmm(mean.flatten(), coefficients, components.flatten(1))
    return values.view(len(coefficients), *mean.shape)


def read_textures(folder: Path) -> NimbleTextures:
    """Read NIMBLE's textures from its folder.

    Raises:
        InputError: the file is missing, unsafe or cut off; an array is missing, of another shape or
            not finite; or the mean normals do not point out of the skin.
    """
    path = folder / TEXTURE_FILE
    content, digest = read_pickle(path, _EXPECTED)
    checks = ArrayChecks(path, _EXPECTED, squeeze=True)
    checks.keys(content, _MAPS)
    diffuse, normal, specular = (_space(checks, name, content[name]) for name in _MAPS)
    return NimbleTextures(diffuse, _with_red_first(path, normal), specular, digest)


def _space(checks: ArrayChecks, name: str, content: Any) -> TextureSpace:
    if not isinstance(content, Mapping):
        raise InputError(
            "model.array_type",
            file=checks.file,
            numbers="a basis, a mean and deviations",
            array=name,
            found=type(content).__name__,
        )
    checks.keys({f"{name}.{key}": 0 for key in content}, [f"{name}.{k}" for k in _KEYS])
    mean = checks.array(f"{name}.mean", content["mean"], ("T T 3",))
    std = checks.array(f"{name}.std", content["std"], ("textures",))[:TEXTURE_COMPONENTS]
    basis = checks.array(f"{name}.basis", content["basis"], ("T T 3", "textures"))
    check_deviations(checks.file, f"{name}.std", std)
    side = math.isqrt(mean.size // 3)
    if not side or 3 * side * side != mean.size:
        raise InputError("nimble.square", file=checks.file, array=f"{name}.mean", found=mean.size)
    unit = basis[:, :TEXTURE_COMPONENTS].T.astype(np.float32) * std[:, None].astype(np.float32)
    shape = (side, side, 3)
    return TextureSpace(
        mean=torch.from_numpy(mean.astype(np.float32).reshape(shape)[..., ::-1].copy()),
        components=torch.from_numpy(unit.reshape(-1, *shape)[..., ::-1].copy()),
    )


def _with_red_first(path: Path, normal: TextureSpace) -> TextureSpace:
    """Normals as red, green, blue, whichever way the file has them.

    Nothing published says whether the normals are blue first too. They say it: skin is flat on
    average, so the mean of the channel that points outwards is far above those of the others.
    """
    # Nothing says what lies between the charts either, but it is no unit vector.
    length = (2 * normal.mean - 1).norm(dim=-1)
    mean = normal.mean[(length > _UNIT[0]) & (length < _UNIT[1])].mean(dim=0)
    outward = int(mean.argmax())
    others = mean[[k for k in range(3) if k != outward]]
    if outward == 1 or not mean[outward] > 0.6 or not bool((others - 0.5).abs().max() < 0.1):
        found = ", ".join(f"{value:.2f}" for value in mean.tolist())
        raise InputError("nimble.normal_map", file=path, found=found)
    if outward == 2:
        return normal
    return TextureSpace(normal.mean.flip(-1), normal.components.flip(-1))
