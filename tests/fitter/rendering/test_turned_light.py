"""A light in the rig's frame and the same in a camera's."""

from __future__ import annotations

import pytest
import torch

from fitter.rendering.shading import AmbientDirectionalLight, SphericalHarmonicsLight
from fitter.rendering.turned_light import turned_light
from fitter.rotations import roma


@pytest.mark.parametrize("count", [11, 27])
def test_a_turned_surface_under_the_turned_light_is_as_bright(count) -> None:
    generator = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    unit = torch.nn.functional.normalize
    rotation = roma.unitquat_to_rotmat(unit(normal(5, 4), dim=-1))
    lighting, normals = normal(5, count).abs(), unit(normal(5, 7, 3), dim=-1)

    def irradiance(numbers: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        if count == 11:
            return AmbientDirectionalLight.of(numbers).irradiance(faces)
        return SphericalHarmonicsLight(numbers.unflatten(-1, (9, 3))).irradiance(faces)

    found = irradiance(turned_light(lighting, rotation), normals @ rotation.mT)
    torch.testing.assert_close(found, irradiance(lighting, normals), rtol=1e-9, atol=1e-9)
