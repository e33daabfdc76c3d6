"""What the networks are shown of grey, dark, overexposed and red-blue swapped pictures."""

import cv2
import numpy as np
import pytest
from PIL import Image

from fitter.detection.appearance import (
    BRIGHTEST,
    SMOOTHED,
    other_appearances,
    seen_by_networks,
)
from tests.support.paths import ROOT

PICTURES = sorted((ROOT / "examples").glob("*.jpg"))


def pixels_of(path):
    return np.asarray(Image.open(path).convert("RGB"))


def grey(pixels):
    return np.repeat(pixels.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_in_colour_and_light_is_left_as_it_is(path):
    pixels = pixels_of(path)
    assert seen_by_networks(pixels) is pixels


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_grey_picture_has_the_colours_of_skin_and_keeps_its_order(path):
    pixels = grey(pixels_of(path))
    looks = [seen_by_networks(pixels), *other_appearances(pixels)][:4]
    for seen in looks:
        red, green, blue = seen.astype(int).transpose(2, 0, 1)
        assert (red >= green).all() and (green >= blue).all()
        order = np.argsort(pixels[..., 0], axis=None, kind="stable")
        assert all((np.diff(channel.ravel()[order]) >= 0).all() for channel in (red, green, blue))
    assert len({seen.tobytes() for seen in looks}) == 4


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_dark_picture_is_stretched_whatever_made_it_dark(path):
    pixels = pixels_of(path)
    seen = seen_by_networks(np.round(pixels * 0.1).astype(np.uint8)).astype(float)
    lit = np.minimum(pixels * (255 / np.percentile(pixels, BRIGHTEST)), 255)
    smooth = cv2.GaussianBlur(lit, (0, 0), SMOOTHED)
    # Half a value was lost to rounding, which is some steps now; smoothing makes it less.
    step = 255 / (0.1 * np.percentile(pixels, BRIGHTEST))
    assert np.abs(seen - smooth).max() <= step
    assert np.abs(seen - smooth).mean() < 0.4 * step


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_lamp_in_a_dark_picture_does_not_decide(path):
    pixels = np.round(pixels_of(path) * 0.08).astype(np.uint8)
    pixels[20:100, 20:140] = 255  # 3 %
    seen = next(other_appearances(pixels))
    bright = np.percentile(seen[200:], 90)
    assert bright > 200 and (seen[40:80, 40:120] == 255).all()
    # In the light of day nothing is changed for one.
    assert not list(other_appearances(pixels_of(path)))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_swapped_channels_are_swapped_back_and_right_ones_are_not(path):
    pixels = pixels_of(path)
    others = list(other_appearances(np.ascontiguousarray(pixels[..., ::-1])))
    assert any((other == pixels).all() for other in others)
    assert not any((other == pixels[..., ::-1]).all() for other in other_appearances(pixels))


def test_an_overexposed_picture_is_darkened_and_keeps_its_order():
    ramp = np.minimum(np.arange(0, 512), 255).astype(np.uint8)
    colour = np.array([1.0, 0.8, 0.6])
    pixels = np.broadcast_to((ramp[:, None] * colour).astype(np.uint8), (8, 512, 3))
    (seen,) = other_appearances(pixels)
    assert (seen <= pixels).all() and (seen < pixels).any(axis=(0, 1)).all()
    assert (np.diff(seen[0].astype(int), axis=0) >= 0).all()
    assert seen[0, -1, 0] == 255
    # A grey one is tried in other colours first.
    grey = np.broadcast_to(ramp[None, :, None], (8, 512, 3))
    *_, darkened = other_appearances(grey)
    assert (darkened <= grey).all() and (darkened[0, 128] < grey[0, 128]).all()


@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (1, 1), (3, 5)])
@pytest.mark.parametrize("value", [0, 40, 255])
def test_pictures_of_a_row_or_of_one_value_are_taken(shape, value):
    pixels = np.full((*shape, 3), value, np.uint8)
    assert seen_by_networks(pixels).shape == pixels.shape
    assert all(other.shape == pixels.shape for other in other_appearances(pixels))
