"""Images, masks and positions without a lens's distortion, against the model that put it in."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.inputs.undistortion import Undistortion, undistorted_points
from fitter.inputs.view_files import (
    hand_without_distortion,
    mask_without_distortion,
    without_distortion,
)
from fitter.records import HandObservation
from tests.support.errors import raises
from tests.support.rig_folders import LENS, SIZE, seen, turning_rig

CAMERA = turning_rig(["a"], LENS).cameras[0]
PINHOLE = replace(CAMERA, distortion=np.zeros(0))


def grid(step: float = 1.0) -> np.ndarray:
    """(N, 2) centres of every pixel."""
    x, y = np.meshgrid(np.arange(0.5, SIZE[0], step), np.arange(0.5, SIZE[1], step))
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def scene(points: np.ndarray) -> np.ndarray:
    """What a camera without distortion sees at positions (N, 2): (N,) in [40, 210], smooth."""
    return 125 + 85 * np.sin(points[:, 0] / 23) * np.cos(points[:, 1] / 17)


def test_positions_come_back_from_where_the_lens_put_them():
    rng = np.random.default_rng(0)
    points = np.column_stack([0.2 * rng.standard_normal((50, 2)), 0.5 + rng.random(50)])
    distorted, straight = seen(CAMERA, points), seen(PINHOLE, points)
    assert np.abs(distorted - straight).max() > 2
    np.testing.assert_allclose(undistorted_points(CAMERA, distorted), straight, atol=1e-4)
    assert undistorted_points(PINHOLE, straight) is straight


def test_an_image_shows_what_a_camera_without_distortion_sees():
    values = scene(undistorted_points(CAMERA, grid())).reshape(SIZE[::-1])
    taken = np.repeat(np.rint(values).astype(np.uint8)[..., None], 3, axis=2)
    found = without_distortion(taken, CAMERA, "a.png")
    wanted = scene(grid()).reshape(SIZE[::-1])
    inside = Undistortion.of(CAMERA, SIZE).inside
    # A pixel beside where it should be, even half a one, would be off by up to 2.5.
    assert np.abs(found[..., 0] - wanted)[inside].max() < 1.2
    assert np.abs(found[..., 0] - wanted)[inside].mean() < 0.4


def test_what_the_lens_does_not_show_is_black_and_outside():
    barrel = replace(CAMERA, distortion=np.array([0.25, 0.0, 0.0, 0.0]))
    white = np.full((*SIZE[::-1], 3), 255, np.uint8)
    found, inside = without_distortion(white, barrel, "a.png"), Undistortion.of(barrel, SIZE).inside
    assert inside is not None and 0.5 < inside.mean() < 0.999
    assert (found[inside] == 255).all()
    assert (found[~inside] < 255).any(-1).mean() > 0.95
    mask = mask_without_distortion(np.ones(SIZE[::-1], bool), barrel)
    assert mask[inside].all() and (~mask[~inside]).mean() > 0.9


def test_without_distortion_nothing_is_touched():
    image = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    zeros = replace(CAMERA, distortion=np.zeros(5))
    for camera in (PINHOLE, zeros):
        assert without_distortion(image, camera, "a.png") is image
        assert Undistortion.of(camera, SIZE) is None


def test_an_image_of_another_size_is_refused():
    image = np.zeros((100, 100, 3), np.uint8)
    with raises("view.size", file="a.png", camera="a", expected=SIZE, found=(100, 100)):
        without_distortion(image, CAMERA, "a.png")
    without_distortion(image, replace(CAMERA, size=None), "a.png")


@pytest.mark.parametrize("unseen", [0, 20])
def test_keypoints_that_were_not_seen_stay(unseen):
    points = np.random.default_rng(1).uniform(20, 200, (21, 2))
    confidence = np.ones(21)
    confidence[unseen] = 0
    hand = HandObservation(points, confidence, "left", 1.0, 1.0)
    moved = hand_without_distortion(hand, CAMERA).keypoints
    np.testing.assert_array_equal(moved[unseen], points[unseen])
    others = np.delete(np.arange(21), unseen)
    wanted = undistorted_points(CAMERA, points)[others]
    np.testing.assert_allclose(moved[others], wanted, atol=1e-9)
