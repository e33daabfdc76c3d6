"""Images, hands and masks that a lens took, in the camera without distortion."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from fitter.inputs.image_files import LocalFile
from fitter.inputs.lens_rays import WIDEST_ANGLE, distorted, largest_angle, rays_of
from fitter.inputs.taken_files import TakenFile
from fitter.inputs.through_lens import MOST_PIXELS, ThroughLens, straight_camera
from fitter.lens import Lens
from fitter.records import HandObservation
from tests.support.errors import raises

SIZE = (320, 240)
K = np.array([[150.0, 0, 163], [0, 155, 118], [0, 0, 1]])
LENSES = {
    "fisheye": Lens(K, "fisheye", np.array([0.03, -0.01, 0.004, -0.001]), SIZE),
    "equidistant": Lens(K * [[0.7], [0.7], [1]], "fisheye", np.zeros(4), SIZE),
    "barrel": Lens(K, "pinhole", np.array([-0.25, 0.06, 0.001, -0.001, 0.0]), SIZE),
    "pincushion": Lens(K * [[2], [2], [1]], "pinhole", np.array([0.2, 0, 0, 0]), (640, 480)),
    "rational": Lens(
        K, "pinhole", np.array([0.4, 0.02, 0.0004, 0.0001, 0.0, 0.8, 0.1, 0.002]), SIZE
    ),
}
LENSES["equidistant"].intrinsics[:2, 2] = 160, 120


def exact(lens, points):
    """(N, 2) pixels by the model's formula, of points (N, 3)."""
    x, y = (points[:, :2] / points[:, 2:]).T
    r = np.hypot(x, y)
    k = np.zeros(8)
    k[: len(lens.distortion)] = lens.distortion
    if lens.model == "fisheye":
        a = np.arctan(r)
        bent = a * (1 + k[0] * a**2 + k[1] * a**4 + k[2] * a**6 + k[3] * a**8)
        x, y = x * bent / r, y * bent / r
    else:
        s = r**2
        radial = (1 + k[0] * s + k[1] * s**2 + k[4] * s**3) / (
            1 + k[5] * s + k[6] * s**2 + k[7] * s**3
        )
        p1, p2 = k[2:4]
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x),
            y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y,
        )
    return np.stack([x, y], -1) * lens.intrinsics[[0, 1], [0, 1]] + lens.intrinsics[:2, 2]


def hand(keypoints, **known):
    return HandObservation(keypoints, np.ones(21), "right", side_score=1.0, score=1.0, **known)


@pytest.mark.parametrize("name", LENSES)
def test_rays_are_those_of_the_formula(name):
    lens = LENSES[name]
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (200, 3)) + [0, 0, 1.7]
    np.testing.assert_allclose(distorted(lens, points[:, :2] / points[:, 2:]), exact(lens, points))
    found = rays_of(lens, exact(lens, points))
    np.testing.assert_allclose(found, points[:, :2] / points[:, 2:], atol=1e-4)


def test_a_fisheyes_rays_end_where_it_turns_round_and_near_the_plane():
    turning = Lens(K, "fisheye", np.array([-0.3, 0, 0, 0]), SIZE)  # 1 - 0.9 a^2
    assert largest_angle(turning.distortion) == pytest.approx(np.sqrt(1 / 0.9))
    assert largest_angle(np.zeros(4)) == np.inf
    still = Lens(np.diag([100.0, 100, 1]), "fisheye", np.zeros(4), SIZE)
    angles = np.array([0.5, WIDEST_ANGLE - 0.01, WIDEST_ANGLE + 0.01, 1.6, 2.0])
    found = rays_of(still, np.column_stack([100 * angles, np.zeros(5)]))
    np.testing.assert_allclose(found[:2, 0], np.tan(angles[:2]), rtol=1e-4)
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize("name", LENSES)
def test_the_camera_without_distortion_shows_all_that_the_lens_does(name):
    lens = LENSES[name]
    camera = straight_camera(lens)
    width, height = lens.size
    x, y = np.meshgrid(np.linspace(0, width, 41), np.linspace(0, height, 31))
    rays = rays_of(lens, np.stack([x.ravel(), y.ravel()], -1))
    rays = rays[np.linalg.norm(rays, axis=1) < np.tan(np.radians(69))]
    places = rays * camera.intrinsics[[0, 1], [0, 1]] + camera.intrinsics[:2, 2]
    assert (
        len(rays) > 100 and (places > -1.5).all() and (places < np.array(camera.size) + 1.5).all()
    )
    most = 1.02 * MOST_PIXELS * width * height
    assert np.prod(camera.size) <= most
    if np.prod(camera.size) < 0.9 * MOST_PIXELS * width * height:
        np.testing.assert_array_equal(camera.intrinsics[:2, :2], lens.intrinsics[:2, :2])


@pytest.mark.parametrize("name", LENSES)
def test_pixels_are_where_the_rays_are(name):
    """A smooth pattern of the ray's direction, painted as lens and pinhole see it."""
    lens = LENSES[name]
    through = ThroughLens.of(lens)

    def pattern(rays):
        near = np.nan_to_num(rays)
        angle = np.arctan(np.linalg.norm(near, axis=-1, keepdims=True))
        return 125 + 80 * np.sin(6 * angle[..., 0]) * np.cos(2 * near[..., 0])

    def grid(size):
        x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
        return np.stack([x.ravel(), y.ravel()], -1)

    taken = pattern(rays_of(lens, grid(lens.size))).reshape(lens.size[::-1])
    taken = np.repeat(np.rint(taken).astype(np.uint8)[..., None], 3, axis=2)
    camera = through.straight
    straight = (grid(camera.size) - camera.intrinsics[:2, 2]) / camera.intrinsics[[0, 1], [0, 1]]
    wanted = pattern(straight).reshape(camera.size[::-1])
    found = through.pixels(taken, "a.jpg")[..., 0]
    inside = through.undistortion.inside
    inside = np.ones(found.shape, bool) if inside is None else inside
    near = np.linalg.norm(straight, axis=1).reshape(found.shape) < 1.5
    assert np.abs(found - wanted)[inside & near].mean() < 1.0
    assert np.abs(found - wanted)[inside & near].max() < 6
    mask = through.mask(np.ones(lens.size[::-1], bool))
    assert mask[inside & cv2.erode(inside.astype(np.uint8), np.ones((5, 5))).astype(bool)].all()


def test_an_image_of_another_size_is_none_of_the_lens():
    through = ThroughLens.of(LENSES["barrel"])
    with raises("hand.other_image", expected=SIZE, found=(240, 320)):
        through.pixels(np.zeros((320, 240, 3), np.uint8), "a.jpg")


@pytest.mark.parametrize("name", LENSES)
def test_a_hand_is_where_a_pinhole_sees_it(name):
    lens = LENSES[name]
    points = np.random.default_rng(1).uniform(-0.05, 0.05, (21, 3)) + [0.25, 0.1, 0.6]
    depth = points[:, 2] - points[0, 2]
    through = ThroughLens.of(lens)
    seen = exact(lens, points)
    found = through.hand(hand(seen, relative_depth=depth))
    pinhole = points @ through.straight.intrinsics.T
    np.testing.assert_allclose(found.keypoints, pinhole[:, :2] / pinhole[:, 2:], atol=0.02)
    # Depth keeps its ratio to the length of what is at the hand: that of its area, rooted.
    area = [np.sqrt(np.linalg.det(np.cov(part.T))) for part in (seen, found.keypoints)]
    ratio = found.relative_depth[1] / depth[1]
    assert ratio == pytest.approx(np.sqrt(area[1] / area[0]), rel=0.03)


def test_keypoints_beyond_the_lens_are_not_seen_and_a_hand_of_none_is_none():
    lens = LENSES["equidistant"]
    places = np.full((21, 2), 150.0)
    places[5] = (5000, 0)
    found = ThroughLens.of(lens).hand(hand(places))
    assert found.confidence[5] == 0 and found.confidence.sum() == 20
    assert np.isfinite(found.keypoints).all()
    assert ThroughLens.of(lens).hand(hand(np.full((21, 2), 5000.0))) is None


def test_a_lens_of_which_no_ray_arrives_is_refused():
    lens = replace(LENSES["barrel"], intrinsics=K + [[0, 0, 9e4], [0, 0, 0], [0, 0, 0]])
    with raises("lens.aside"):
        straight_camera(lens)


def test_a_file_as_results_have_it_knows_what_the_lens_showed(tmp_path):
    """And what of that its transparency shows, and when it was taken."""
    through = ThroughLens.of(LENSES["equidistant"])
    pixels = np.full((SIZE[1], SIZE[0], 4), 255, np.uint8)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "a.png")
    pixels[:, : SIZE[0] // 2, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    taken = TakenFile(LocalFile(tmp_path / "a.png"), through)
    shown = through.undistortion.inside
    assert shown is not None and 0.2 < shown.mean() < 1
    read = taken.picture()
    np.testing.assert_array_equal(read.inside, shown)
    np.testing.assert_array_equal(taken.inside(through.straight.size), shown)
    np.testing.assert_array_equal(read.pixels, taken.read()[0])
    assert read.exif == taken.read()[1]
    half = TakenFile(LocalFile(tmp_path / "half.png"), through).picture().inside
    left = through.straight.intrinsics[0, 2] - 2
    assert not half[:, : int(left)].any() and (half <= shown).all() and half.any()
    frame = TakenFile(TimedFile(tmp_path / "a.png"), through)
    assert taken.time is None and frame.time == 1.5


class TimedFile(LocalFile):
    """As a frame of a video is."""

    time = 1.5
