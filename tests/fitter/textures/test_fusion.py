"""One texture of several pictures."""

import itertools

import numpy as np
import pytest
import torch

from fitter.rendering.shading import vertex_normals
from fitter.textures import FusionOptions, HandTexture, TextureFusion, uniform_texture
from tests.support.textured_hands import atlas, chequered, encoded, model


def noisy(seed: int, gain: float = 1.0, share: float = 0.7) -> HandTexture:
    """The chequered hand as one picture might show it: noise, and parts that are not seen."""
    at, generator = atlas(), np.random.default_rng(seed)
    rows = at.rows(chequered()) * gain * np.exp(generator.normal(0, 0.05, (len(at.texels), 3)))
    weight = generator.uniform(0.3, 1, len(at.texels)) * (generator.random(len(rows)) < share)
    certain = np.zeros(at.size**2, np.float32)
    certain[at.texels] = weight
    colours = at.texture(rows.clip(0.001, 0.98).astype(np.float32))
    return HandTexture(colours, certain.reshape(at.size, at.size))


def fused(textures, **options) -> HandTexture:
    fusion = TextureFusion(atlas(), FusionOptions(**options))
    for texture in textures:
        fusion.add(texture)
    assert fusion.pictures == len(textures)
    return fusion.result()


def error(texture: HandTexture) -> float:
    at = atlas()
    known = at.rows(texture.weight) > 0
    difference = encoded(at.rows(texture.colours)) - encoded(at.rows(chequered()))
    return float(np.sqrt((difference[known] ** 2).mean()))


def test_more_pictures_are_better():
    textures = [noisy(seed, share=1.0) for seed in range(16)]
    one, four, all_of_them = (error(fused(textures[:n])) for n in (1, 4, 16))
    assert four < 0.6 * one and all_of_them < 0.35 * one


def test_what_is_measured_and_how_surely_adds_up():
    textures = [noisy(seed, share=0.3) for seed in range(3)]
    total = sum(each.weight for each in textures)
    result = fused(textures, outlier=1e9)
    np.testing.assert_allclose(result.weight, total, rtol=1e-5)
    np.testing.assert_array_equal(result.measured, total > 0)


def test_the_order_hardly_matters():
    textures = [noisy(seed) for seed in range(5)]
    first = fused(textures)
    for order in itertools.islice(itertools.permutations(textures), 1, 40, 13):
        other = fused(order)
        assert np.abs(first.colours - other.colours).mean() < 0.002


@pytest.mark.parametrize("place", [1, 2, 5])
def test_one_outlier_does_little_harm(place):
    textures = [noisy(seed, share=1.0) for seed in range(6)]
    clean = error(fused(textures))
    spoiled = uniform_texture(atlas(), (0.9, 0.9, 0.9))
    textures[place] = spoiled
    options = {"align_gain": False}
    robust, plain = (
        error(fused(textures, **options)),
        error(fused(textures, outlier=1e9, **options)),
    )
    assert robust < 3.5 * clean < 8 * clean < plain


def test_pictures_of_other_brightness_are_brought_together():
    gains = [1.0, 1.4, 0.7, 1.2]
    textures = [noisy(seed, gain) for seed, gain in enumerate(gains)]
    fused_by_gain = fused(textures)
    # The result has the mean brightness of the pictures.
    middle = np.exp(np.mean(np.log(gains)))
    at = atlas()
    known = at.rows(fused_by_gain.weight) > 0
    ratio = at.rows(fused_by_gain.colours)[known] / at.rows(chequered())[known]
    assert np.median(ratio) == pytest.approx(middle, rel=0.03)
    assert (
        np.std(np.log(ratio))
        < 0.05
        < np.std(
            np.log(
                at.rows(fused(textures, align_gain=False).colours)[known]
                / at.rows(chequered())[known]
            )
        )
    )


def plain() -> np.ndarray:
    """(T, T, 3) the mean skin."""
    return atlas().texture(atlas().skin(np.zeros(atlas().appearance.count)).astype(np.float32))


def of_one_side(palm: bool, gain: float) -> HandTexture:
    """What a picture of the palm, or of the back, shows: no texel that the other one shows."""
    at, data = atlas(), model().data
    corners = torch.from_numpy(data.v_template)[None], torch.from_numpy(data.faces)
    out_of_back = at.at(vertex_normals(*corners)[0].numpy())[:, 1]
    certain = np.zeros(at.size**2, np.float32)
    certain[at.texels] = out_of_back < -0.3 if palm else out_of_back > 0.3
    return HandTexture(plain() * np.float32(gain), certain.reshape(at.size, at.size))


@pytest.mark.parametrize("palm_first", [True, False])
def test_palm_and_back_come_to_one_brightness_though_they_share_no_texel(palm_first):
    gains = {True: 0.6, False: 1.5}
    textures = [of_one_side(palm, gains[palm]) for palm in (palm_first, not palm_first)]
    at, ratios = atlas(), []
    assert not np.logical_and(*(each.measured for each in textures)).any()
    for align in (True, False):
        found = np.log(at.rows(fused(textures, align_gain=align).colours / plain()))
        first, second = (np.median(found[at.rows(each.measured)]) for each in textures)
        ratios.append(abs(first - second))
    assert ratios[1] == pytest.approx(np.log(1.5 / 0.6), abs=0.05)
    assert ratios[0] < 0.25 * ratios[1]


def test_a_skin_that_is_not_quite_the_fitted_one_keeps_its_back():
    textures = [of_one_side(palm, gain) for palm, gain in ((True, 1.0), (False, 1.05))]
    at = atlas()
    found = np.log(at.rows(fused(textures).colours / plain()))
    first, second = (np.median(found[at.rows(each.measured)]) for each in textures)
    assert second - first > 0.5 * np.log(1.05)


def test_exponential_smoothing_averages_with_the_previous():
    first, second = (uniform_texture(atlas(), (g, g, g)) for g in (0.2, 0.5))
    result = fused([first, second], method="exponential", rate=0.5, align_gain=False)
    mean = 0.5 * (encoded(np.array([0.2]))[0] + encoded(np.array([0.5]))[0])
    np.testing.assert_allclose(encoded(atlas().rows(result.colours)), mean, atol=4e-3)


@pytest.mark.parametrize("method", ["robust_mean", "exponential"])
def test_a_state_that_was_written_goes_on_to_the_same_bits(method):
    textures = [noisy(seed) for seed in range(4)]
    whole = TextureFusion(atlas(), FusionOptions(method))
    for texture in textures:
        whole.add(texture)
    parts, sizes = TextureFusion(atlas(), FusionOptions(method)), set()
    for texture in textures:
        parts = TextureFusion.from_bytes(atlas(), parts.to_bytes())
        parts.add(texture)
        sizes.add(len(parts.to_bytes()))
    assert parts.to_bytes() == whole.to_bytes() and parts.options == whole.options
    np.testing.assert_array_equal(parts.result().colours, whole.result().colours)
    assert len(sizes) == 1  # memory does not grow with the pictures


def test_a_state_that_is_none_is_refused():
    state = TextureFusion(atlas()).to_bytes()
    for bad in (b"", b"nothing", state[: len(state) // 2]):
        with pytest.raises(ValueError, match="expected the state"):
            TextureFusion.from_bytes(atlas(), bad)
    with pytest.raises(ValueError, match="does not fit"):
        TextureFusion.from_bytes(atlas(256), state)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="128 texels, got 256"):
        TextureFusion(atlas()).add(uniform_texture(atlas(256), (0.5, 0.4, 0.3)))
