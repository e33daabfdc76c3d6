"""The square about a hand: camera, pixels, masks and neighbours, of right and of mirrored hands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fitter.fitting.crops
from fitter.camera import project
from fitter.fitting.crops import crop_hands
from fitter.records import HandCrop, HandObservation

WIDTH, HEIGHT, SIDE = 200, 150, 48
CROP = (SIDE, 1.5)
K = np.array([[180.0, 2.0, 104.0], [0.0, 176.0, 71.0], [0.0, 0.0, 1.0]])


def points(centre=(0.0, 0.0), seed=0):
    """(21, 3) metres, half a metre away."""
    generator = np.random.default_rng(seed)
    spread = generator.uniform(-0.05, 0.05, (21, 3))
    return spread + np.array([*centre, 0.5])


def seen(xyz, side="right", confidence=None):
    position = project(torch.from_numpy(xyz)[None], torch.from_numpy(K)[None])[0].numpy()
    confidence = np.full(21, 0.8) if confidence is None else confidence
    return HandObservation(position, confidence, side, 1.0, 1.0)


def ramp():
    """A picture whose red tells the column and whose green tells the row."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns, rows, np.full_like(rows, 90)], -1).astype(np.uint8)


def cropped(hands, mask=None) -> list[HandCrop]:
    return crop_hands(ramp(), K, hands, mask, CROP)


def centres():
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.stack([columns, rows], -1)


def in_picture(crop, hand, position):
    """Positions (..., 2) of a crop in the picture, by the map that takes the keypoints there."""
    x = np.polyfit(crop.keypoints[:, 0], hand.keypoints[:, 0], 1)
    y = np.polyfit(crop.keypoints[:, 1], hand.keypoints[:, 1], 1)
    return np.stack([np.polyval(x, position[..., 0]), np.polyval(y, position[..., 1])], -1)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.25, 0.1), (-2.0, 0.0)])
def test_k_projects_the_hand_onto_the_crops_keypoints(side, centre):
    """A left hand's crop is that of the mirrored world."""
    xyz = points(centre)
    (crop,) = cropped([seen(xyz, side)])
    mirrored = xyz * ((-1, 1, 1) if side == "left" else (1, 1, 1))
    found = project(torch.from_numpy(mirrored)[None], torch.from_numpy(crop.intrinsics)[None])
    np.testing.assert_allclose(found[0].numpy(), crop.keypoints, atol=1e-9)
    assert crop.intrinsics.dtype == np.float64
    # The margin is left free about the keypoints' box, the crop's middle is the box's.
    low, high = crop.keypoints.min(0), crop.keypoints.max(0)
    np.testing.assert_allclose((high - low).max(), SIDE / 1.5)
    np.testing.assert_allclose((low + high) / 2, SIDE / 2)


@pytest.mark.parametrize("side", ["right", "left"])
def test_pixels_lie_where_the_keypoints_do(side):
    hand = seen(points(), side)
    (crop,) = cropped([hand])
    place = in_picture(crop, hand, centres())
    # Red is the number of the column, whose centre lies half a pixel on.
    np.testing.assert_allclose(crop.pixels[..., :2], place - 0.5, atol=0.75)
    assert crop.pixels.dtype == np.uint8 and (crop.pixels[..., 2] == 90).all()
    assert crop.inside is None and (crop.inside_share == 1).all()
    step = np.diff(place[0, :, 0])
    assert (step < 0).all() if side == "left" else (step > 0).all()


@pytest.mark.parametrize("side", ["right", "left"])
def test_masks_are_resampled_by_area(side):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, :103] = True
    mask[:71] = False
    hand = seen(points(), side)
    (crop,) = cropped([hand], mask)
    place = in_picture(crop, hand, centres())
    pixel = abs(place[0, 1, 0] - place[0, 0, 0])
    by_column = np.clip((103 - place[..., 0]) / pixel + 0.5, 0, 1)
    by_row = np.clip((place[..., 1] - 71) / pixel + 0.5, 0, 1)
    given = crop.given_share
    assert given.dtype == np.float32 and given.shape == (SIDE, SIDE)
    assert np.abs(given - by_column * by_row).mean() < 0.005
    assert np.abs(given - by_column * by_row).max() < 0.6
    none = cropped([hand])[0]
    assert none.given is None and none.given_share is None


@pytest.mark.parametrize("side", ["right", "left"])
def test_beyond_the_picture_it_is_black_and_outside(side):
    """The hand lies on the picture's right border."""
    hand = seen(points((0.26, 0.0)), side)
    (crop,) = cropped([hand], np.ones((HEIGHT, WIDTH), bool))
    place = in_picture(crop, hand, centres())
    within = (place[..., 0] < WIDTH - 1) & (place[..., 0] > 1)
    beyond = place[..., 0] > WIDTH + 1
    assert beyond.any() and within.any()
    assert crop.pixels[beyond].max() == 0 and crop.inside[beyond].max() == 0
    assert crop.given[beyond].max() == 0
    assert (crop.inside[within] == 255).all() and (crop.inside_share[within] == 1).all()
    assert crop.given_share[within].min() > 0.99
    # A mirrored hand's missing part is on the left.
    half = slice(0, SIDE // 3) if side == "left" else slice(-SIDE // 3, None)
    assert beyond[:, half].any() and not beyond[:, ::-1][:, half].any()


def test_a_hand_wholly_outside_has_a_crop_of_nothing():
    (crop,) = cropped([seen(points((-2.0, 0.0)))], np.ones((HEIGHT, WIDTH), bool))
    assert crop.pixels.max() == 0 and crop.inside.max() == 0 and crop.given.max() == 0


@pytest.mark.parametrize("centre", [(0.05, 0.0), (0.26, 0.0)])
def test_shares_are_kept_in_255ths_and_on_their_side_of_one_half(centre, monkeypatch):
    hand, mask = seen(points(centre)), np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    exact = []
    for name in ("inside_image", "resample_mask"):
        function = getattr(fitter.fitting.crops, name)

        def kept(*arguments, function=function):
            exact.append(function(*arguments))
            return exact[-1]

        monkeypatch.setattr(fitter.fitting.crops, name, kept)
    (crop,) = cropped([hand], mask)
    for share, expected in zip((crop.inside_share, crop.given_share), exact, strict=True):
        np.testing.assert_allclose(share, expected[0], rtol=0, atol=0.5001 / 255)
        np.testing.assert_array_equal(share > 0.5, expected[0] > 0.5)
    halves = np.array([0, 0.25, 0.5, 0.5 + 1e-6, 1], np.float32)
    assert fitter.fitting.crops._in_255ths(halves).tolist() == [0, 64, 127, 128, 255]


def test_a_hand_at_128_pixels_is_kept_in_65_kilobytes():
    mask = np.ones((HEIGHT, WIDTH), bool)
    (crop,) = crop_hands(ramp(), K, [seen(points())], mask, (128, 1.5))
    arrays = [value for value in vars(crop).values() if value is not None]
    assert sum(array.nbytes for array in arrays) < 67_000
    # None of them is a view that keeps a larger array alive.
    assert all(array.base is None or array.base.nbytes < 1000 + array.nbytes for array in arrays)


@pytest.mark.parametrize("side", ["right", "left"])
def test_other_hands_keypoints_are_in_the_same_crop(side):
    """Unseen ones are NaN; the other hand's own side does not matter."""
    confidence = np.where(np.arange(21) % 4 == 1, 0.0, 0.9)
    own = seen(points(), side)
    other = seen(points((0.1, 0.02), seed=1), "left", confidence)
    third = seen(points((-0.1, 0.0), seed=2))
    first, second, _ = cropped([own, other, third])
    assert first.others.shape == (2, 21, 2)
    hidden = confidence == 0
    assert np.isnan(first.others[0, hidden]).all()
    found = in_picture(first, own, first.others[0, ~hidden])
    np.testing.assert_allclose(found, other.keypoints[~hidden], atol=1e-6)
    np.testing.assert_allclose(in_picture(first, own, first.others[1]), third.keypoints, atol=1e-6)
    np.testing.assert_allclose(
        in_picture(second, other, second.others[0]), own.keypoints, atol=1e-6
    )
    assert cropped([own])[0].others.shape == (0, 21, 2)


def test_a_mirrored_picture_gives_the_mirrored_hands_crop():
    hand = seen(points((0.05, 0.0)))
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    (right,) = crop_hands(ramp(), K, [hand], mask, CROP)
    mirror = np.array([WIDTH, 0])
    flipped = HandObservation(np.abs(mirror - hand.keypoints), hand.confidence, "left", 1.0, 1.0)
    camera = K * [[1, -1, 1], [1, 1, 1], [1, 1, 1]]
    camera[0, 2] = WIDTH - K[0, 2]
    (left,) = crop_hands(
        np.ascontiguousarray(ramp()[:, ::-1]), camera, [flipped], mask[:, ::-1], CROP
    )
    np.testing.assert_allclose(left.keypoints, right.keypoints, atol=1e-9)
    np.testing.assert_allclose(left.intrinsics, right.intrinsics, atol=1e-9)
    np.testing.assert_array_equal(left.inside_share, right.inside_share)
    np.testing.assert_allclose(left.given_share, right.given_share, atol=0.05)
    # OpenCV places samples to 1/32 of a pixel.
    assert np.abs(left.pixels.astype(int) - right.pixels).max() <= 2


def test_hands_that_cannot_be_cropped_leave_their_neighbours():
    good = seen(points())
    bad = HandObservation(good.keypoints.copy(), np.ones(21), "right", 1.0, 1.0)
    bad.keypoints[3] = np.nan
    unseen = HandObservation(np.full((21, 2), np.nan), np.zeros(21), "left", 1.0, 1.0)
    alone, first, second = cropped([good, bad, unseen])
    assert first is None and second is None
    np.testing.assert_array_equal(alone.pixels, cropped([good])[0].pixels)
    assert np.isnan(alone.others[1]).all()


@pytest.mark.parametrize("far", [1e5, 1e7, 1e12])
def test_a_keypoint_far_away_costs_no_memory(far):
    """A square as wide as many pictures is mostly black."""
    hand = seen(points())
    hand.keypoints[5] = far
    (crop,) = cropped([hand], np.ones((HEIGHT, WIDTH), bool))
    assert crop.pixels.shape == (SIDE, SIDE, 3)
    assert crop.inside_share.sum() < 1 and crop.given_share.sum() < 4
