"""Finding hands on drawn ones: geometry, sides, duplicates and searches."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.detection.same_hand import drop_duplicates, unordered_distance
from fitter.detection.windows import Window
from tests.support.drawn_hands import (
    DrawnHands,
    canvas,
    draw,
    drawn_detector,
    expected_xyz,
    observed,
    record,
    shape,
    wedge,
)
from tests.support.errors import raises


def assert_placed(hand, keypoints):
    """Single discs are read to half a pixel; their mean would show a tenth of a pixel's shift."""
    error = hand.keypoints - keypoints
    assert np.abs(error).max() < 0.5
    assert np.abs(error.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("side", ["right", "left"])
def test_both_looks_agree_in_the_pictures_frame(drawn, side):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints, side)
    wedge(picture, keypoints)
    (hand,) = drawn_detector().detect(record(picture))
    assert drawn.looks == 2
    assert hand.side == side
    assert_placed(hand, keypoints)
    assert hand.confidence.min() > 0.95
    np.testing.assert_allclose(hand.relative_xyz, expected_xyz(keypoints), atol=5e-4)
    depth = 0.5 * (keypoints[:, 1] - keypoints[0, 1])
    np.testing.assert_allclose(hand.relative_depth, depth, atol=0.5)


def test_confidence_falls_with_disagreement(drawn, monkeypatch):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)
    wedge(picture, keypoints)
    means = []
    for blur in (0.0, 2.0, 6.0):
        monkeypatch.setattr(drawn, "blur", blur)
        means.append(drawn_detector().detect(record(picture))[0].confidence.mean())
    assert means[0] > means[1] > means[2]


def test_without_a_second_look_the_score_is_the_confidence(drawn):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)
    (hand,) = drawn_detector(second_pass=False).detect(record(picture))
    assert drawn.looks == 1
    assert (hand.confidence == hand.score).all()


def test_a_hand_the_second_look_misses_is_doubted(drawn, monkeypatch):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)
    monkeypatch.setattr(DrawnHands, "look_again", lambda *_: None)
    (hand,) = drawn_detector().detect(record(picture))
    assert hand.score == pytest.approx(0.45)
    assert hand.confidence.max() == pytest.approx(0.45)


@pytest.mark.parametrize("place", [(320, 400), (2140, 840), (1280, 600)])
def test_a_hand_too_small_at_first_is_found_by_the_search(drawn, place):
    keypoints = shape(150, place)
    picture = canvas(2400, 1000)
    draw(picture, keypoints)
    assert drawn_detector(search="fast").detect(record(picture)) == []
    (hand,) = drawn_detector().detect(record(picture))
    assert_placed(hand, keypoints)


def test_a_second_hand_is_searched_beside_a_small_one(drawn):
    picture = canvas(1200, 900)
    small, smaller = shape(150, (400, 600)), shape(110, (1000, 300))
    draw(picture, small, "right")
    draw(picture, smaller, "left")
    wedge(picture, small)
    wedge(picture, smaller)
    assert len(drawn_detector(max_hands=1).detect(record(picture))) == 1
    hands = drawn_detector(max_hands=2).detect(record(picture))
    assert sorted(hand.side for hand in hands) == ["left", "right"]
    left = next(hand for hand in hands if hand.side == "left")
    assert_placed(left, smaller)


def test_a_huge_picture_gives_positions_in_its_own_pixels(drawn):
    keypoints = shape(1500, (1800, 2200))
    picture = canvas(4000, 2600)
    draw(picture, keypoints)
    (hand,) = drawn_detector().detect(record(picture))
    assert np.abs(hand.keypoints - keypoints).max() < 2.0
    assert hand.relative_depth[12] == pytest.approx(0.5 * (keypoints[12, 1] - 2200), rel=0.01)


def test_keypoints_outside_the_picture_are_distrusted(drawn, monkeypatch):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)

    look = DrawnHands.look

    def shifted(self, pixels):
        hands = look(self, pixels)
        for hand in hands:
            hand.keypoints[4] = (-5.0, 50.0)
        return hands

    monkeypatch.setattr(DrawnHands, "look", shifted)
    (hand,) = drawn_detector(second_pass=False).detect(record(picture))
    assert hand.confidence[4] == pytest.approx(0.1 * hand.score)
    assert (np.delete(hand.confidence, 4) == hand.score).all()


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_hand_found_twice_is_kept_once(side):
    points = shape(100)
    better, worse = observed(points, 0.9), observed(points + np.array([8.0, -5.0]), 0.8, side)
    assert drop_duplicates([worse, better]) == [better]


def test_one_hand_found_under_both_sides_with_swapped_fingers_is_kept_once():
    points = shape(100)
    swapped = points[[0, *(4 * f + j for f in (5, 4, 3, 2, 1) for j in (-3, -2, -1, 0))]]
    better, worse = observed(points, 0.9), observed(swapped + 1.0, 0.8, "left")
    assert drop_duplicates([better, worse]) == [better]


@pytest.mark.parametrize("degrees", [60, 90, 135, 180])
def test_two_hands_in_one_box_both_stay(degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = shape(100) - shape(100).mean(axis=0)
    first, second = observed(points, 0.9), observed(points @ turn.T, 0.8)
    assert drop_duplicates([first, second]) == [first, second]
    assert unordered_distance(first, second) == unordered_distance(second, first)


def test_best_scores_come_first_and_at_most_max_hands(drawn, monkeypatch):
    scores = [0.6, 0.9, 0.8, 0.7]
    found = [observed(shape(80, (100 + 150 * i, 150)), s) for i, s in enumerate(scores)]
    monkeypatch.setattr(drawn, "look", lambda *_: found)
    hands = drawn_detector(max_hands=3, second_pass=False).detect(record(canvas(700, 200)))
    assert [hand.score for hand in hands] == [0.9, 0.8, 0.7]


@pytest.mark.parametrize(
    "place, is_cut",
    [((300, 250), False), ((205, 250), True), ((300, 420), True), ((300, 100), True)],
)
def test_a_hand_that_leaves_its_window_is_cut(drawn, place, is_cut):
    window = Window(np.array([300.0, 250.0]), 200.0)
    points = shape(90)
    points = points - 0.5 * (points.min(axis=0) + points.max(axis=0)) + place
    assert window.cuts(observed(points, 0.9), canvas(600, 500)) == is_cut
    # At the picture's own border nothing is cut off that could be seen elsewhere.
    whole = Window(np.array([300.0, 250.0]), 600.0)
    assert not whole.cuts(observed(points - [400.0, 0.0], 0.9), canvas(600, 500))


def test_the_search_leaves_out_hands_that_a_window_cuts(drawn, monkeypatch):
    """A stand-in that reports every window's hand across the window's right edge."""
    across = shape(90)
    across = across - across.min(axis=0)

    def look(self, pixels):
        size = pixels.shape[1]
        return [observed(across + np.array([size - 40.0, 20.0]), 0.9)] if size == 256 else []

    monkeypatch.setattr(drawn, "look", look)
    hands = drawn_detector(max_hands=20, second_pass=False).detect(record(canvas(512, 256)))
    # Windows of both rounds end at the picture's right border or inside it: only there they stay.
    assert hands
    assert all(hand.box[2] > 512 for hand in hands)


class Says:
    """A backend that finds hands of its own and confirms them with a presence of its own."""

    def __init__(self, hands, presence=None):
        self.hands, self.presence = hands, presence

    def find(self, picture, windows):
        hands = [replace(hand, presence=0.9) for hand in self.hands]
        return [hands if number == 0 else [] for number in range(len(windows))]

    def follow(self, picture, hands, mirrored):
        return [replace(hand, presence=self.presence) for hand in hands]

    def close(self):
        pass


def many_hands(count, score=0.9):
    places = [(60 + 90 * (k % 20), 100 + 90 * (k // 20)) for k in range(count)]
    return [observed(shape(60, place), score) for place in places]


@pytest.mark.parametrize(("presence", "kept"), [(0.95, 1), (0.5, 1), (0.3, 0)])
def test_the_score_counts_what_the_second_look_says(presence, kept):
    """Of a palm of 0.7 the least score 0.3 leaves what has a presence of 0.43 or more."""
    options = DetectorOptions(search="fast")
    detector = HandDetector(options, Says(many_hands(1, 0.7), presence))
    hands = detector.detect(record(canvas(200, 200)))
    assert len(hands) == kept
    for hand in hands:
        assert hand.presence == min(presence, 0.9)
        assert hand.score == pytest.approx(0.7 * hand.presence)


def test_two_hundred_hands_are_all_reported_or_as_many_as_asked_for():
    picture = record(canvas(1900, 1000))
    hands = HandDetector(DetectorOptions(), Says(many_hands(200), 0.9)).detect(picture)
    assert len(hands) == 200
    few = HandDetector(DetectorOptions(max_hands=3), Says(many_hands(200), 0.9)).detect(picture)
    assert len(few) == 3


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (4000, 1)])
@pytest.mark.parametrize("search", ["fast", "standard", "thorough"])
def test_a_picture_of_one_row_has_no_hands(size, search):
    with HandDetector(DetectorOptions(search=search)) as detector:
        assert detector.detect(record(np.full((size[1], size[0], 3), 90, np.uint8))) == []


@pytest.mark.parametrize("options", [{"max_hands": 0}, {"min_score": 1.5}, {"min_score": -0.1}])
def test_options_out_of_range_are_refused(options):
    ((name, value),) = options.items()
    with raises(f"detector.{name}", file=name, found=value):
        drawn_detector(**options)
