"""The texture of one picture."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.textures import extract_texture
from tests.support.textured_hands import (
    LIGHT,
    SIZE,
    atlas,
    camera,
    chequered,
    encoded,
    posed,
    shoot,
)


@pytest.fixture(scope="module")
def palm():
    return shoot(chequered(), posed(palm=True)).view


def error(texture, least: float = 0.3) -> float:
    """Median difference from the true texture, sRGB in [0, 1], where much is measured."""
    at = atlas()
    sure = at.rows(texture.weight) > least
    assert sure.mean() > 0.05
    differences = encoded(at.rows(texture.colours)) - encoded(at.rows(chequered()))
    return float(np.median(np.abs(differences[sure]).mean(1)))


def test_the_measured_texels_are_those_of_the_hand(palm):
    texture = extract_texture(atlas(), palm)
    mean = atlas().texture(atlas().skin(np.zeros(atlas().appearance.count))).astype(np.float32)
    without = float(np.abs(encoded(mean) - encoded(chequered())).mean())
    assert error(texture) < 0.012 < 0.5 * without
    assert np.isfinite(texture.colours).all() and texture.colours.min() >= 0
    assert texture.colours.max() <= 1 and texture.weight.max() <= 1


def test_the_light_leaves_no_trace(palm):
    other = LIGHT.copy()
    other[8:] = [-0.7, 0.5, -0.8]
    first = extract_texture(atlas(), palm)
    second = extract_texture(atlas(), shoot(chequered(), posed(palm=True), light=other).view)
    both = np.minimum(first.weight, second.weight) > 0.3
    assert both.mean() > 0.03
    difference = np.abs(encoded(first.colours) - encoded(second.colours))[both]
    assert np.median(difference) < 0.012


def test_an_estimated_light_does_nearly_as_well(palm):
    texture = extract_texture(atlas(), replace(palm, lighting=None))
    known = extract_texture(atlas(), palm)
    sure = texture.weight > 0.3
    ratio = np.log(texture.colours[sure] / known.colours[sure])
    # A factor of each colour is open, the rest is not.
    assert np.abs(ratio - np.median(ratio, axis=0)).mean() < 0.06


@pytest.mark.parametrize("count", (11, 27))
@pytest.mark.parametrize("value", (0.0, np.nan))
@pytest.mark.parametrize("linear", (True, False))
def test_a_light_that_is_none_is_estimated(palm, count, value, linear):
    dark = replace(palm, lighting=np.full(count, value), linear_light=linear)
    found = extract_texture(atlas(), dark)
    estimated = extract_texture(atlas(), replace(palm, lighting=None))
    np.testing.assert_array_equal(found.colours, estimated.colours)
    np.testing.assert_array_equal(found.weight, estimated.weight)


def test_a_black_picture_gives_a_texture_of_numbers(palm):
    black = replace(palm, pixels=np.zeros_like(palm.pixels), lighting=None)
    found = extract_texture(atlas(), black)
    assert np.isfinite(found.colours).all() and np.isfinite(found.weight).all()


def test_a_left_hand_is_the_mirrored_right_one(palm):
    left = shoot(chequered(), posed(palm=True), side="left").view
    assert left.side == "left" and (left.pixels == palm.pixels[:, ::-1]).all()
    wanted, found = extract_texture(atlas(), palm), extract_texture(atlas(), left)
    # Where the two are rounded to pixels differently a border may be a pixel nearer.
    assert np.abs(found.weight - wanted.weight).mean() < 0.004
    np.testing.assert_allclose(found.colours, wanted.colours, atol=0.08)
    assert np.abs(found.colours - wanted.colours).mean() < 0.001


def test_a_light_that_multiplies_encoded_colours_is_divided_by_there():
    view = shoot(chequered(), posed(palm=True), linear_light=False).view
    assert error(extract_texture(atlas(), replace(view, linear_light=False))) < 0.015
    assert error(extract_texture(atlas(), view)) > 0.03


def test_a_thing_that_is_no_skin_counts_little(palm):
    pixels = palm.pixels.copy()
    middle = slice(SIZE // 2 - 12, SIZE // 2 + 12)
    pixels[middle, middle] = [30, 60, 220]
    at = atlas()
    with_ring = extract_texture(at, replace(palm, pixels=pixels))
    free = extract_texture(at, palm)
    place = at.at(palm.vertices) @ camera().T
    in_ring = (np.abs(place[:, :2] / place[:, 2:] - SIZE / 2) < 10).all(1)
    in_ring &= at.rows(free.weight) > 0.3
    assert in_ring.sum() > 50 and (at.rows(with_ring.weight)[in_ring] < 0.02).all()
    # The filling under it is skin.
    ring = at.rows(with_ring.colours)[in_ring]
    assert (ring[:, 0] > ring[:, 2]).all()


def test_nothing_seen_is_the_mean_skin(palm):
    texture = extract_texture(atlas(), replace(palm, vertices=palm.vertices + [9.0, 0, 0]))
    assert not texture.measured.any()
    mean = atlas().texture(atlas().skin(np.zeros(atlas().appearance.count)))
    np.testing.assert_allclose(texture.colours, mean, atol=1e-5)
