"""Light and skin from the colours of texels."""

import numpy as np
import pytest
import torch

from fitter.rendering.fitted_light import light_of
from fitter.rendering.shading import SphericalHarmonicsLight
from fitter.textures.light import SkinSamples, fit_light
from tests.support.shading_cases import unit
from tests.support.textured_hands import LIGHT, atlas


def samples(coefficients: np.ndarray, light: SphericalHarmonicsLight, seed: int = 0):
    """Texels of a skin under a light, on the side of the sphere that looks at the camera."""
    at, generator = atlas(256), np.random.default_rng(seed)
    rows = generator.choice(len(at.texels), 3000, replace=False)
    normals = unit(len(rows), seed=seed).numpy()
    normals[:, 2] = -np.abs(normals[:, 2])
    lit = light.irradiance(torch.from_numpy(normals)).numpy()
    colours = at.skin(coefficients)[rows] * lit
    mean = at.mean_logits[rows].astype(np.float64)
    components = at.component_logits[:, rows].astype(np.float64)
    return SkinSamples(colours, normals, np.ones(len(rows)), mean, components)


def some_light() -> SphericalHarmonicsLight:
    values = torch.zeros(9, 3, dtype=torch.float64)
    values[0], values[1], values[2] = 3.2, torch.tensor([-0.8, -0.7, -0.6]), -1.0
    values[4] = 0.1
    return SphericalHarmonicsLight(values)


@pytest.fixture
def person() -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.7, atlas().appearance.count)


def test_what_light_and_skin_make_together_is_found(person):
    seen = samples(person, some_light())
    found = fit_light(seen)
    skin = 1 / (1 + np.exp(-(seen.mean + np.tensordot(found.coefficients, seen.components, 1))))
    np.testing.assert_allclose(skin * found.irradiance(seen.normals), seen.colours, rtol=0.15)


@pytest.mark.parametrize("tone", [-1.5, 2.0])
def test_light_skin_is_not_taken_for_bright_light_nor_dark_skin_for_dim_light(tone):
    coefficients = np.zeros(atlas().appearance.count)
    coefficients[0] = tone
    even = SphericalHarmonicsLight.uniform(torch.ones(1, 3, dtype=torch.float64)).coefficients[0]
    found = fit_light(samples(coefficients, SphericalHarmonicsLight(even)))
    skins = [atlas().skin(each).mean() for each in (0 * coefficients, coefficients)]
    seen = atlas().skin(found.coefficients).mean()
    # More than half of the way from the mean skin to the true one, in the logarithm.
    assert np.log(seen / skins[0]) / np.log(skins[1] / skins[0]) > 0.6


def test_light_is_found_of_a_skin_that_is_known(person):
    seen = samples(person, some_light())
    known = seen.mean + np.tensordot(person, seen.components, 1)
    found = fit_light(
        SkinSamples(seen.colours, seen.normals, seen.weights, known, seen.components[:0])
    )
    wanted = some_light().irradiance(torch.from_numpy(seen.normals)).numpy()
    np.testing.assert_allclose(found.irradiance(seen.normals), wanted, rtol=0.04)


def test_skin_is_found_under_a_light_that_is_known(person):
    seen = samples(person, some_light())
    found = fit_light(seen, some_light())
    skins = [atlas().skin(each) for each in (person, found.coefficients)]
    np.testing.assert_allclose(skins[1], skins[0], rtol=0.15)


def test_a_tenth_of_other_colours_does_little_harm(person):
    seen = samples(person, some_light())
    colours = seen.colours.copy()
    colours[::10] = [0.05, 0.1, 0.9]
    known = seen.mean + np.tensordot(person, seen.components, 1)
    spoiled = SkinSamples(colours, seen.normals, seen.weights, known, seen.components[:0])
    wanted = some_light().irradiance(torch.from_numpy(seen.normals)).numpy()
    np.testing.assert_allclose(fit_light(spoiled).irradiance(seen.normals), wanted, rtol=0.06)


@pytest.mark.parametrize("count", [11, 27])
def test_a_left_hands_light_is_mirrored(count):
    lighting = LIGHT if count == 11 else np.random.default_rng(1).normal(0, 1, 27)
    normals = unit(50).numpy()
    mirrored = torch.from_numpy(normals * [-1, 1, 1])
    right = light_of(lighting, "right").irradiance(torch.from_numpy(normals))
    torch.testing.assert_close(light_of(lighting, "left").irradiance(mirrored), right)


def test_another_number_of_coefficients_is_refused():
    with pytest.raises(ValueError, match="11 or 27"):
        light_of(np.zeros(9), "right")
