"""Light: eleven numbers, radiance, irradiance."""

import math

import numpy as np
import pytest
import torch

from fitter.rendering.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
)
from tests.support.shading_cases import DOUBLE, random, unit


def eleven_numbers(batch: int) -> torch.Tensor:
    return torch.cat([random(batch, 8, seed=5), unit(batch, seed=6) * 3], dim=1)


def test_eleven_numbers_are_those_of_the_paper():
    # S2HAND, section 3.2: L = (l^a, l_c^a, l^d, l_c^d, n^d).
    vector = torch.tensor([[0.5, 0.1, 0.2, 0.3, 2.0, 0.4, 0.5, 0.6, 0.0, 0.0, -4.0]], dtype=DOUBLE)
    light = AmbientDirectionalLight.of(vector)
    normals = torch.tensor([[[0.0, 0, -1], [0, 0, 1], [0, -0.8, -0.6]]], dtype=DOUBLE)
    ambient = 0.5 * np.array([0.1, 0.2, 0.3])
    direct = 2.0 * np.array([0.4, 0.5, 0.6])
    expected = torch.tensor(np.stack([ambient + direct, ambient, ambient + 0.6 * direct]))
    torch.testing.assert_close(light.irradiance(normals)[0], expected)
    with pytest.raises(ValueError, match=r"\(B, 11\)"):
        AmbientDirectionalLight.of(vector[0])


@pytest.mark.parametrize("shape", [(4,), (4, 7), (4, 3, 5)])
def test_lights_of_a_batch_are_those_of_each_alone(shape):
    normals = unit(*shape)
    vectors, harmonics = eleven_numbers(4), random(4, 9, 3, seed=7)
    together = AmbientDirectionalLight.of(vectors).irradiance(normals)
    spherical = SphericalHarmonicsLight(harmonics).irradiance(normals)
    assert together.shape == spherical.shape == (*shape, 3)
    for k in range(4):
        alone = AmbientDirectionalLight.of(vectors[k : k + 1]).irradiance(normals[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone)
        shared = SphericalHarmonicsLight(harmonics[k]).irradiance(normals[k])
        torch.testing.assert_close(spherical[k], shared)


def test_lights_are_differentiable():
    normals = unit(2, 3).requires_grad_()
    vectors, harmonics = eleven_numbers(2).requires_grad_(), random(2, 9, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v, n: AmbientDirectionalLight.of(v).irradiance(n), (vectors, normals)
    )
    assert torch.autograd.gradcheck(
        lambda c, n: SphericalHarmonicsLight(c).irradiance(n), (harmonics, normals)
    )


def test_light_of_radiance_one_from_everywhere_gives_one():
    light = SphericalHarmonicsLight.uniform(torch.ones(2, 3, dtype=DOUBLE))
    torch.testing.assert_close(light.irradiance(unit(2, 50)), torch.ones(2, 50, 3, dtype=DOUBLE))


def test_an_ambient_light_is_a_uniform_environment():
    vector = eleven_numbers(2)
    vector[:, 4] = 0
    normals = unit(2, 20)
    uniform = SphericalHarmonicsLight.uniform(vector[:, :1] * vector[:, 1:4])
    torch.testing.assert_close(
        AmbientDirectionalLight.of(vector).irradiance(normals), uniform.irradiance(normals)
    )


def test_what_a_directional_light_gives_all_surfaces_together():
    # Lambert: the mean of max(0, cosine) over all normals is 1/4.
    z = (torch.arange(2000, dtype=DOUBLE) + 0.5) / 1000 - 1
    angle = torch.arange(2000, dtype=DOUBLE) * math.pi * (1 + math.sqrt(5))
    ring = torch.sqrt(1 - z**2)
    normals = torch.stack([ring * torch.cos(angle), ring * torch.sin(angle), z], dim=-1)
    vector = torch.tensor([[0.0, 0, 0, 0, 1, 1, 1, 1, 0.3, -0.5, 0.4]], dtype=DOUBLE)
    mean = AmbientDirectionalLight.of(vector).irradiance(normals[None]).mean()
    assert float(mean) == pytest.approx(0.25, rel=1e-3)


def test_without_a_direction_or_a_normal_there_is_the_ambient_part():
    vector = eleven_numbers(1)
    vector[:, 8:] = 0
    vector.requires_grad_()
    ambient = (vector[:, :1] * vector[:, 1:4]).detach()
    light = AmbientDirectionalLight.of(vector).irradiance(unit(1, 5))
    torch.testing.assert_close(light, ambient[:, None].expand(1, 5, 3))
    (gradient,) = torch.autograd.grad(light.sum(), vector)
    assert torch.isfinite(gradient).all() and (gradient[0, 8:] == 0).all()
    lit = AmbientDirectionalLight.of(eleven_numbers(1)).irradiance(torch.zeros(1, 1, 3).double())
    torch.testing.assert_close(lit[0], ambient)


# Composition
