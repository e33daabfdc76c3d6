"""What no picture has shown."""

import numpy as np
import pytest

from fitter.textures import HandTexture, fill_texture, uniform_texture
from fitter.textures.filling import fill, fit_skin, smooth_over
from tests.support.textured_hands import atlas, encoded, model


def palm_side() -> np.ndarray:
    """(M,) 1 for texels of the palm's side, 0 for others."""
    return (atlas().at(model().v_template.numpy())[:, 1] < 0).astype(np.float64)


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 0.8, atlas().appearance.count)


def test_the_other_side_is_that_of_a_skin_like_the_measured_one(person):
    at, skin, weight = atlas(), atlas().skin(person), palm_side()
    texture = fill(at, skin, weight)
    measured = at.rows(texture.weight) > 0
    np.testing.assert_array_equal(measured, weight > 0)
    np.testing.assert_allclose(at.rows(texture.colours)[measured], skin[measured], atol=0.01)
    mean = np.abs(encoded(at.skin(0 * person)) - encoded(skin))[~measured].mean()
    found = np.abs(encoded(at.rows(texture.colours)) - encoded(skin))[~measured].mean()
    assert found < 0.35 * mean


def test_coefficients_are_found_again_from_half_of_the_texels(person):
    found = fit_skin(atlas(), atlas().skin(person), palm_side())
    np.testing.assert_allclose(atlas().skin(found), atlas().skin(person), rtol=0.25)
    assert (fit_skin(atlas(), atlas().skin(person), 0 * palm_side()) == 0).all()


def test_there_is_no_step_at_the_border():
    at, weight = atlas(), palm_side()
    # Much lighter than any skin of the basis would be there.
    skin = at.skin(np.zeros(at.appearance.count))
    bright = np.clip(skin * 1.5, 0, 0.95)
    texture = at.rows(fill(at, bright, weight).colours)
    height = at.at(model().v_template.numpy())[:, 1]
    above, below = (height > 0) & (height < 0.002), (height < 0) & (height > -0.002)
    ratio = (texture / skin).mean(1)
    assert ratio[above].mean() == pytest.approx(ratio[below].mean(), abs=0.03)
    assert ratio[above].mean() > 1.4


def test_smooth_values_follow_the_measured_ones_and_fade(person):
    at, weight = atlas(), palm_side()
    values = smooth_over(at, np.full((len(weight), 3), 0.5), weight, 0.05)
    assert values.shape == (at.vertex_count, 3)
    height = model().v_template[:, 1].numpy()
    np.testing.assert_allclose(values[height < -0.008], 0.5, atol=0.03)
    assert values.max() < 0.51 and values.min() > 0
    assert values[np.argmax(height)].max() < 0.4


def test_the_other_hand_fills_what_this_one_has_not_shown(person):
    at, weight = atlas(), palm_side()
    skin = at.skin(person)
    spotted = skin.copy()
    spotted[::7] *= 0.5  # details that no basis has
    other = HandTexture(
        at.texture(spotted.astype(np.float32)), uniform_texture(at, (0, 0, 0)).weight
    )
    plain = fill(at, spotted, weight)
    filled = fill_texture(at, plain, other)
    np.testing.assert_array_equal(filled.weight, plain.weight)
    hidden = at.rows(plain.weight) == 0
    with_other = np.abs(at.rows(filled.colours) - spotted)[hidden].mean()
    assert with_other < 0.3 * np.abs(at.rows(plain.colours) - spotted)[hidden].mean()


def test_the_gutter_continues_the_charts():
    at = atlas()
    texture = fill(at, at.skin(np.zeros(at.appearance.count)), np.ones(len(at.texels)))
    gutter = np.ones(at.size**2, bool)
    gutter[at.texels] = False
    flat = texture.colours.reshape(-1, 3)
    np.testing.assert_array_equal(flat[gutter], flat[at.texels][at.shown[gutter]])
    assert (texture.weight.ravel()[gutter] == 0).all()
