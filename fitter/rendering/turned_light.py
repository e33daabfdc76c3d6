"""One light, seen from cameras that are turned against each other."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from fitter.rendering.shading import SphericalHarmonicsLight

_DIRECTIONS = 32
"""More than the 9 harmonics have numbers, spread over the sphere."""


def turned_light(lighting: Tensor, rotation: Tensor) -> Tensor:
    """The same lights in the axes of cameras; differentiable in the lights.

    Args:
        lighting: (N, 11) S2HAND's numbers or (N, 27) spherical harmonics, see `SceneParams`, in the
            axes that `rotation` turns into the camera's.
        rotation: (N, 3, 3).

    Returns:
        The same shape.
    """
    if lighting.shape[-1] == 11:
        direction = (rotation.to(lighting) @ lighting[:, 8:, None])[..., 0]
        return torch.cat([lighting[:, :8], direction], -1)
    coefficients = lighting.unflatten(-1, (9, 3))
    return (_turn(rotation).to(lighting) @ coefficients).flatten(1)


def _turn(rotation: Tensor) -> Tensor:
    """(N, 9, 9) float64: what a turn makes of the coefficients of the harmonics.

    The irradiance on a normal n is that on ``R^T n`` before. Harmonics of degree 2 are closed under
    turns, so that the least-squares answer over many normals is exact.
    """
    normals, inverse = (table.to(rotation.device) for table in _tables())
    light = SphericalHarmonicsLight(torch.eye(9, dtype=torch.float64, device=rotation.device))
    return inverse @ light.irradiance(normals @ rotation.to(torch.float64))


@cache
def _tables() -> tuple[Tensor, Tensor]:
    """(M, 3) normals on a spiral over the sphere, and (9, M) from irradiance on them to
    coefficients."""
    place = torch.arange(_DIRECTIONS, dtype=torch.float64) + 0.5
    z = 1 - 2 * place / _DIRECTIONS
    angle = torch.pi * (1 + 5**0.5) * place
    radius = (1 - z.square()).sqrt()
    normals = torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)
    light = SphericalHarmonicsLight(torch.eye(9, dtype=torch.float64))
    return normals, torch.linalg.pinv(light.irradiance(normals))
