"""Windows of a picture: positions there and back, and their images beside SciPy's resampling."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from fitter.detection.hand_windows import hand_filling, hand_window
from fitter.detection.networks.litert import LiteRtNetworks
from fitter.detection.own_networks import OwnNetworks
from fitter.detection.palms import palm_window
from fitter.detection.windows import Picture, Window
from tests.support.drawn_hands import observed, shape

WINDOWS = [
    Window(np.array([40.0, 30.0]), 48.0),
    Window(np.array([33.3, 41.7]), 50.0, 0.7),
    Window(np.array([20.0, 20.0]), 90.0, -2.1, mirrored=True),
    Window(np.array([70.0, 10.0]), 30.0, 3.0),
]


def smooth(height=60, width=80) -> np.ndarray:
    """A picture of long waves, which linear interpolation follows."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(0.21 * x + 0.13 * y + k) + np.cos(0.17 * y - 0.05 * x * k) for k in range(3)]
    return np.uint8(np.clip(128 + 60 * np.stack(waves, axis=2), 0, 255))


def by_scipy(picture, window, pixels, mode) -> np.ndarray:
    """The window's image by another library, pixel by pixel through `points_to_picture`."""
    rows, columns = np.mgrid[:pixels, :pixels]
    places = window.points_to_picture(np.stack([columns, rows], axis=2).astype(float), pixels)
    sampled = [
        map_coordinates(
            picture[..., c].astype(float), places[..., ::-1].transpose(2, 0, 1) - 0.5,
            order=1, mode=mode, cval=0.0,
        )
        for c in range(3)
    ]  # fmt: skip
    return np.stack(sampled, axis=2)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("repeats", [False, True])
def test_images_are_those_of_another_resampling(window, repeats):
    picture = smooth()
    (image,) = Picture(picture).cut([window], 64, repeats=repeats)
    expected = by_scipy(picture, window, 64, "nearest" if repeats else "grid-constant")
    # OpenCV counts in 32ths of a pixel.
    assert np.abs(image - expected).mean() < 0.7
    assert np.percentile(np.abs(image - expected), 99) < 8


def test_a_reduced_window_is_a_mean_and_makes_up_no_pattern():
    """Stripes of single pixels are grey from afar; every third pixel of them would be stripes."""
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:, ::2] = 255
    (image,) = Picture(picture).cut([Window(np.array([256.0, 256.0]), 500.0)], 64)
    assert np.abs(image[2:-2, 2:-2].astype(int) - 127).max() <= 1
    # Where it is halved first, positions stay: a smooth picture looks the same either way.
    wide = smooth(600, 800)[::1]
    wide = np.repeat(np.repeat(smooth(60, 80), 10, 0), 10, 1)
    window = Window(np.array([400.0, 300.0]), 500.0)
    (reduced,) = Picture(wide).cut([window], 50)
    (whole,) = Picture(smooth(60, 80)).cut([Window(np.array([40.0, 30.0]), 50.0)], 50)
    shift = reduced[5:-5, 5:-5].astype(int) - whole[5:-5, 5:-5]
    assert np.abs(shift.mean()) < 0.5


@pytest.mark.parametrize("window", WINDOWS)
def test_positions_go_there_and_back(window):
    points = np.random.default_rng(0).uniform(-50, 150, (5, 3, 2))
    there = window.points_from_picture(points, 224)
    np.testing.assert_allclose(window.points_to_picture(there, 224), points, atol=1e-9)
    matrix = window.matrix(224)
    np.testing.assert_allclose(there @ matrix[:, :2].T + matrix[:, 2], points, atol=1e-9)


def test_a_mirrored_window_shows_the_mirrored_picture():
    picture = smooth()
    window = Window(np.array([41.0, 30.0]), 50.0, 0.4, mirrored=True)
    (image,) = Picture(picture).cut([window], 50)
    # What lies at x of the picture lies at width - x of the mirrored one.
    there = Window(np.array([80 - 41.0, 30.0]), 50.0, -0.4)
    (expected,) = Picture(picture[:, ::-1]).cut([there], 50)
    assert np.abs(image.astype(int) - expected).max() <= 8


def test_images_do_not_depend_on_others_cut_before():
    window = WINDOWS[1]
    picture = Picture(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    (first,) = picture.cut([window], 64)
    picture.cut([Window(np.array([200.0, 150.0]), 400.0)], 20)
    both = picture.cut([*WINDOWS, window], 64)
    np.testing.assert_array_equal(both[-1], first)
    np.testing.assert_array_equal(both[1], first)
    assert picture.cut([], 64).shape == (0, 64, 64, 3)


class TestDegenerate:
    """Windows and pictures that show nothing: an answer, and numbers that are numbers."""

    @pytest.fixture(scope="class")
    @staticmethod
    def own():
        return OwnNetworks(LiteRtNetworks(), 0.5)

    def test_a_window_outside_of_the_picture_is_black(self, own):
        far = Window(np.array([-900.0, 4000.0]), 50.0, 1.0)
        picture = Picture(np.full((30, 40, 3), 200, np.uint8))
        assert not picture.cut([far], 64).any()
        assert own.find(picture, [far]) == [[]]
        (hand,) = own.hands(picture, [far])
        assert np.isfinite(hand.keypoints).all() and hand.score < 0.5

    @pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
    def test_pictures_of_a_pixel_or_a_row(self, own, size):
        pixels = np.full((*size, 3), 90, np.uint8)
        assert own.find(Picture(pixels), [Window.whole(pixels)]) == [[]]

    @pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
    def test_windows_of_any_size(self, own, size):
        picture = Picture(smooth())
        (hand,) = own.hands(picture, [Window(np.array([40.0, 30.0]), size)])
        assert np.isfinite(hand.keypoints).all() and np.isfinite(hand.relative_depth).all()

    def test_a_hand_in_one_point_has_a_window(self, own):
        point = np.tile([17.0, 25.0], (21, 1))
        hand = observed(point, 0.9)
        window = hand_window(hand, mirrored=True)
        assert window.size == 2.0 and np.isfinite(window.matrix(224)).all()
        again = own.follow(Picture(smooth()), [hand], mirrored=True)
        assert len(again) == 1 and (again[0] is None or np.isfinite(again[0].keypoints).all())
        empty = palm_window(np.array([17.0, 25, 17, 25]), point[:7])
        assert empty.size == 0.0 and np.isfinite(empty.matrix(224)).all()

    def test_no_hands_and_no_windows(self, own):
        picture = Picture(smooth())
        assert own.find(picture, []) == [] and own.follow(picture, [], mirrored=False) == []


def test_a_hand_goes_through_a_window_and_back():
    hand = observed(shape(60, (40, 30)), 0.9)
    hand.relative_depth[:] = np.arange(21)
    hand.relative_xyz[:] = np.random.default_rng(0).normal(size=(21, 3))
    window = Window(np.array([33.0, 44.0]), 80.0, 0.6, mirrored=True)
    there = window.from_picture(hand, 224)
    assert there.side == "left"
    back = window.to_picture(there, 224)
    np.testing.assert_allclose(back.keypoints, hand.keypoints)
    assert back.side == hand.side
    np.testing.assert_allclose(back.relative_depth, hand.relative_depth * 80 / 224)
    np.testing.assert_allclose(back.relative_xyz[:, 2], hand.relative_xyz[:, 2])
    lengths = [np.linalg.norm(h.relative_xyz, axis=1) for h in (back, hand)]
    np.testing.assert_allclose(*lengths)


@pytest.mark.parametrize("turn", np.linspace(-3, 3, 7))
@pytest.mark.parametrize("size", [20.0, 224.0, 5000.0])
def test_a_hand_drawn_for_a_window_calls_for_that_window(turn, size):
    window = Window(np.array([130.0, -20.0]), size, turn)
    again = hand_window(hand_filling(window), mirrored=False)
    np.testing.assert_allclose(again.centre, window.centre, atol=1e-6 * size)
    assert again.size == pytest.approx(window.size, rel=1e-9)
    np.testing.assert_allclose(again.axes, window.axes, atol=1e-9)
