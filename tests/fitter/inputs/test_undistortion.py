"""Images, masks and positions without a lens's distortion, against the model that put it in."""

from collections import OrderedDict
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fitter.inputs import undistortion
from fitter.inputs.lens_rays import distorted, largest_radius
from fitter.inputs.rig_files import RigFile
from fitter.inputs.undistortion import Undistortion, undistorted_points
from fitter.inputs.view_files import (
    hand_without_distortion,
    mask_without_distortion,
    without_distortion,
)
from fitter.records import HandObservation
from fitter.rig import Rig, RigCamera
from tests.support.errors import raises
from tests.support.rig_folders import LENS, SIZE, seen, turning_rig, write_rig

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
    pincushion = replace(CAMERA, distortion=np.array([0.25, 0.0, 0.0, 0.0]))
    white = np.full((*SIZE[::-1], 3), 255, np.uint8)
    found, inside = (
        without_distortion(white, pincushion, "a.png"),
        Undistortion.of(pincushion, SIZE).inside,
    )
    assert inside is not None and 0.5 < inside.mean() < 0.999
    assert (found[inside] == 255).all()
    assert (found[~inside] < 255).any(-1).mean() > 0.95
    mask = mask_without_distortion(np.ones(SIZE[::-1], bool), pincushion)
    assert mask[inside].all() and (~mask[~inside]).mean() > 0.9


FOLDING = {
    # Distorted r grows until 1 - 0.9 r^2 or the like is zero.
    "a barrel": ([-0.3, 0, 0, 0, 0], 1 / np.sqrt(0.9)),
    "of few coefficients": ([-0.4, 0, 0.001, -0.001], 1 / np.sqrt(1.2)),
    # 1 + 3 k1 s + 5 k2 s^2 with k1 = -1/2, k2 = 1/20: s = (1.5 - sqrt(1.25)) / 0.5.
    "of two turns": ([-0.5, 0.05, 0, 0, 0], np.sqrt((1.5 - np.sqrt(1.25)) / 0.5)),
    # r / (1 + s) turns round at s = 1.
    "rational": ([0, 0, 0, 0, 0, 1.0, 0, 0], 1.0),
}


@pytest.mark.parametrize("case", FOLDING)
def test_beyond_where_a_lens_turns_round_nothing_is_seen(case):
    lens, radius = FOLDING[case]
    wide = replace(
        CAMERA, distortion=np.array(lens), intrinsics=CAMERA.intrinsics * [[0.5], [0.5], [1]]
    )
    wide.intrinsics[:2, 2] = np.array(SIZE) / 2
    assert largest_radius(wide.distortion) == pytest.approx(radius)
    rays = np.random.default_rng(0).uniform(-1.2, 1.2, (400, 2)) * radius
    points = np.column_stack([rays, np.ones(400)])
    still = replace(wide, rotation=np.eye(3), translation=np.zeros(3))
    found = undistorted_points(wide, seen(still, points))
    straight = rays * wide.intrinsics[[0, 1], [0, 1]] + wide.intrinsics[:2, 2]
    near = np.linalg.norm(rays, axis=1) < 0.9 * radius
    np.testing.assert_allclose(found[near], straight[near], atol=0.3)
    # Beyond, what is found is the nearer ray that comes out at the same place, or nothing.
    known = np.isfinite(found).all(1)
    again = (found - wide.intrinsics[:2, 2]) / wide.intrinsics[[0, 1], [0, 1]]
    assert (np.linalg.norm(again[known], axis=1) <= radius).all()
    corner = undistorted_points(wide, np.array([[1e4, 1e4]]))
    assert np.isnan(corner).all()


def test_pixels_beyond_where_a_lens_turns_round_are_outside_and_black():
    K = np.array([[150.0, 0, 160], [0, 150, 120], [0, 0, 1]])
    camera = replace(CAMERA, intrinsics=K, distortion=np.array([-0.3, 0, 0, 0, 0]))
    r = np.linalg.norm((grid() - K[:2, 2]) / 150, axis=1).reshape(SIZE[::-1])
    white = np.full((*SIZE[::-1], 3), 255, np.uint8)
    found, inside = without_distortion(white, camera, "a.png"), Undistortion.of(camera, SIZE).inside
    folded = 1 - 0.9 * r**2 <= 0
    assert folded.any() and inside is not None
    assert not inside[folded].any() and not found[folded].any()
    assert inside[1 - 0.9 * r**2 > 0.02].all()
    mask = mask_without_distortion(np.ones(SIZE[::-1], bool), camera)
    assert not mask[folded].any()


def test_keypoints_at_which_a_lens_shows_nothing_are_not_seen():
    camera = replace(CAMERA, distortion=np.array([-0.3, 0, 0, 0, 0]))
    points = np.random.default_rng(1).uniform(100, 200, (21, 2))
    points[4] = (-200, -200)
    hand = HandObservation(points, np.full(21, 0.7), "left", 1.0, 1.0)
    found = hand_without_distortion(hand, camera)
    assert found.confidence[4] == 0 and (np.delete(found.confidence, 4) == 0.7).all()
    np.testing.assert_array_equal(found.keypoints[4], points[4])
    with raises("view.beyond_lens", camera="a"):
        hand_without_distortion(replace(hand, keypoints=points - 1000), camera)


def test_the_maps_of_any_number_of_cameras_are_kept():
    cameras = [replace(CAMERA, distortion=np.array([0.01 * (n + 1), 0, 0, 0])) for n in range(20)]
    first = [Undistortion.of(camera, SIZE) for camera in cameras]
    assert all(Undistortion.of(c, SIZE) is made for c, made in zip(cameras, first, strict=True))


def test_no_more_maps_are_kept_than_there_is_memory_for(monkeypatch):
    monkeypatch.setattr(undistortion, "_maps", OrderedDict())
    cameras = [replace(CAMERA, distortion=np.array([0.01 * (n + 1), 0, 0, 0])) for n in range(4)]
    each = Undistortion.of(cameras[0], SIZE).bytes
    monkeypatch.setattr(undistortion, "_KEPT_BYTES", 2 * each + each // 2)
    made = [Undistortion.of(camera, SIZE) for camera in cameras]
    assert len(undistortion._maps) == 2
    assert Undistortion.of(cameras[3], SIZE) is made[3]
    assert Undistortion.of(cameras[0], SIZE) is not made[0]


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


def test_a_rigs_fisheye_is_straightened_by_its_own_model(tmp_path):
    K, lens = CAMERA.intrinsics, np.array([0.03, -0.01, 0.004, -0.001])
    still = replace(CAMERA, rotation=np.eye(3), translation=np.zeros(3))
    rig = Rig((replace(still, distortion=lens, model="fisheye"),))
    (camera,) = RigFile.open(write_rig(tmp_path / "rig.json", rig)).rig.cameras
    assert (camera.model, camera.distortion.tolist()) == ("fisheye", lens.tolist())
    rays = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    r = np.linalg.norm(rays, axis=1, keepdims=True)
    a = np.arctan(r)
    bent = rays * a * (1 + lens[0] * a**2 + lens[1] * a**4 + lens[2] * a**6 + lens[3] * a**8) / r
    focal, middle = K[[0, 1], [0, 1]], K[:2, 2]
    found = undistorted_points(camera, bent * focal + middle)
    np.testing.assert_allclose(found, rays * focal + middle, atol=1e-3)
    # Without coefficients a fisheye bends all the same.
    assert Undistortion.of(replace(camera, distortion=np.zeros(4)), SIZE) is not None
    with raises("lens.model", found="omni"):
        RigFile.open(write_rig(tmp_path / "rig.json", rig, a={"model": "omni"}))
    with raises("rig.distortion", found=5):
        RigFile.open(write_rig(tmp_path / "rig.json", rig, a={"distortion": [0.1] * 5}))


def test_labels_are_those_of_the_nearest_pixels_by_one_remap(monkeypatch):
    """However many there are: a palette has 256."""
    matrix, lens = np.array([[90.0, 0, 48], [0, 90, 32], [0, 0, 1]]), np.array([-0.2, 0.05, 0, 0])
    camera = RigCamera("a", matrix, np.eye(3), np.zeros(3), lens, (96, 64))
    found = Undistortion.of(camera, (96, 64))
    labels = np.random.default_rng(0).integers(0, 700, (64, 96)).astype(np.uint16)
    remaps, remap = [], cv2.remap
    monkeypatch.setattr(cv2, "remap", lambda *a, **b: remaps.append(1) or remap(*a, **b))
    straight = found.mask(labels)
    assert len(remaps) == 1 and straight.dtype == np.uint16
    x, y = np.meshgrid(np.arange(0.5, 96), np.arange(0.5, 64))
    rays = (np.stack([x, y], -1).reshape(-1, 2) - matrix[:2, 2]) / 90
    place = distorted(camera, rays).reshape(64, 96, 2)
    column, row = np.moveaxis(np.floor(place).astype(int), -1, 0)
    known = (column >= 0) & (column < 96) & (row >= 0) & (row < 64)
    wanted = np.where(known, labels[row.clip(0, 63), column.clip(0, 95)], 0)
    # OpenCV rounds places to 32nds of a pixel.
    apart = (np.abs(place - np.round(place)) > 1 / 32).all(-1)
    assert apart.mean() > 0.8 and (straight > 0).mean() > 0.8
    np.testing.assert_array_equal(straight[apart], wanted[apart])


def test_labels_are_undistorted_as_a_mask_is():
    matrix, lens = np.array([[90.0, 0, 48], [0, 90, 32], [0, 0, 1]]), np.array([-0.2, 0.05, 0, 0])
    camera = RigCamera("a", matrix, np.eye(3), np.zeros(3), lens, (96, 64))
    found = Undistortion.of(camera, (96, 64))
    labels = np.zeros((64, 96), np.uint16)
    labels[10:30, 10:40], labels[25:60, 50:90] = 3, 700
    straight = found.mask(labels)
    assert set(np.unique(straight)) == {0, 3, 700}
    # But for corners, of which a mask has what half a pixel's area shows.
    assert all(((straight == n) != found.mask(labels == n)).sum() <= 4 for n in (3, 700))
