"""MediaPipe's results as people write them to JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from fitter.inputs.given_hands import SIDE_UNTOLD
from fitter.inputs.keypoint_layouts import hands_in
from tests.support.errors import raises

SIZE = (640, 480)
EXAMPLES = Path(__file__).parents[3] / "examples"
RESULTS = Path(__file__).parent / "mediapipe_two_hands.json"
"""Of mediapipe 0.10.21 on examples/two_hands.jpg: of its Tasks and of its solutions."""


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def shares(rng):
    """(21, 3) landmarks: shares of the sides, and the depth in shares of the width."""
    return np.column_stack([rng.uniform(0.1, 0.9, (21, 2)), rng.uniform(-0.1, 0.1, 21)])


def objects(shares, **more):
    return [dict(zip("xyz", row, strict=True), **more) for row in shares.tolist()]


def check(hand, side, shares, score=1.0):
    assert hand.side == side
    np.testing.assert_allclose(hand.keypoints, shares[:, :2] * SIZE + 0.5)
    np.testing.assert_allclose(hand.relative_depth, (shares[:, 2] - shares[0, 2]) * SIZE[0])
    np.testing.assert_allclose(hand.confidence, score)


def layouts(shares):
    """One hand of which MediaPipe says Left, score 0.9, as its interfaces give it, and which hand
    it is: "" where nothing tells which interface it was."""
    told = {"index": 0, "score": 0.9}
    points = objects(shares, visibility=0.0, presence=0.0)
    return {
        "tasks": ("left", {
            "handedness": [[{**told, "category_name": "Left", "display_name": "Left"}]],
            "hand_landmarks": [points],
            "hand_world_landmarks": [objects(shares * 0.1)],
        }),
        "tasks in JavaScript": ("left", {
            "landmarks": [points],
            "worldLandmarks": [objects(shares * 0.1)],
            "handednesses": [[{**told, "categoryName": "Left", "displayName": "Left"}]],
        }),
        "tasks, hand by hand": ("left", {
            "hands": [{"handedness": {**told, "category_name": "Left"}, "landmarks": points}]
        }),
        "solutions": ("right", {
            "multi_hand_landmarks": [{"landmark": points}],
            "multi_handedness": [{"classification": [{**told, "label": "Left"}]}],
        }),
        "solutions in JavaScript": ("right", {
            "multiHandLandmarks": [objects(shares)],
            "multiHandedness": [{**told, "label": "Left"}],
        }),
        "solutions, their words alone": ("right", {
            "multi_hand_landmarks": [points], "handedness": ["Left"], "score": 0.9
        }),
        "a label": ("right", [{"label": "Left", "score": 0.9, "landmarks": points}]),
        "a label within": ("right", {
            "landmarks": points, "handedness": {"label": "Left", "score": 0.9}
        }),
        "a bare word": ("", {
            "hands": [{"handedness": "Left", "score": 0.9, "landmarks": shares.tolist()}]
        }),
    }  # fmt: skip


@pytest.mark.parametrize("layout", layouts(np.zeros((21, 3))))
def test_solutions_name_sides_as_in_a_mirror_and_tasks_the_true_ones(shares, layout):
    side, content = layouts(shares)[layout]
    (hand,) = hands_in(content, "a.json", SIZE)
    check(hand, side or hand.side, shares, 0.9)
    assert hand.side_score == (1.0 if side else SIDE_UNTOLD)


@pytest.mark.parametrize("interface", ["tasks", "solutions"])
def test_results_of_an_example_name_its_true_hands(interface):
    truth = json.loads((EXAMPLES / "ground_truth.json").read_text())["hands"]
    truth = [hand for hand in truth if hand["image"] == "two_hands.jpg"]
    found = hands_in(json.loads(RESULTS.read_text())[interface], "a.json", SIZE)
    assert len(found) == len(truth) == 2
    for hand in truth:
        nearest = min(found, key=lambda each: np.abs(each.keypoints - hand["keypoints_2d"]).mean())
        assert np.abs(nearest.keypoints - hand["keypoints_2d"]).mean() < 20
        assert (nearest.side, nearest.side_score) == (hand["side"], 1.0)


def test_two_hands_keep_their_sides(shares):
    other = shares + [0.05, -0.05, 0]
    content = {
        "handedness": [[{"category_name": "Right"}], [{"category_name": "Left"}]],
        "hand_landmarks": [objects(shares), objects(other)],
    }
    first, second = hands_in(content, "a.json", SIZE)
    check(first, "right", shares)
    check(second, "left", other)
    content["handedness"].pop()
    with raises("keypoints.handedness", file="a.json", expected=2, found=1):
        hands_in(content, "a.json", SIZE)


def test_holistic_names_hands_by_their_person(shares):
    content = {
        "left_hand_landmarks": {"landmark": objects(shares)},
        "rightHandLandmarks": objects(shares),
        "pose_landmarks": {"landmark": []},
    }
    left, right = hands_in(content, "a.json", SIZE)
    check(left, "left", shares)
    check(right, "right", shares)
    assert hands_in({"left_hand_landmarks": None}, "a.json", SIZE) == []


def test_a_side_of_ours_is_the_true_one(shares):
    for side in ("left", "Left"):
        (hand,) = hands_in([{"side": side, "landmarks": objects(shares)}], "a.json", SIZE)
        check(hand, "left", shares)


def test_without_handedness_the_side_is_untold(shares):
    (hand,) = hands_in({"hand_landmarks": [objects(shares)]}, "a.json", SIZE)
    assert hand.side_score == SIDE_UNTOLD


@pytest.mark.parametrize("key", ["hand_landmarks", "multi_hand_landmarks", "landmarks"])
def test_a_picture_without_hands(key):
    for nothing in ([], None):
        assert hands_in({key: nothing, "handedness": nothing}, "a.json", SIZE) == []


def test_landmarks_that_are_pixels_already(shares):
    pixels = shares.copy()
    pixels[:, :2] *= SIZE
    (hand,) = hands_in([{"handedness": "Left", "landmarks": objects(pixels)}], "a.json", None)
    np.testing.assert_allclose(hand.keypoints, pixels[:, :2])
    assert hand.relative_depth is None


@pytest.mark.parametrize(
    "change, code, facts",
    [
        ({"hand_landmarks": [[{"x": 0.1, "y": 0.1, "z": 0}] * 20]}, "shape", {"found": "20x3"}),
        ({"hand_landmarks": [[{"x": 0.1, "z": 0}] * 21]}, "not_finite", {}),
        ({"hand_landmarks": [["a"] * 21]}, "no_numbers", {}),
        ({"handedness": [[{"category_name": "Both"}]]}, "label", {"found": "Both"}),
        ({"handedness": [[]]}, "label", {"found": []}),
        ({"handedness": [[{"category_name": "Left", "score": 3}]]}, "score", {"found": 3}),
        ({"score": True}, "score", {"found": True}),
        ({"side": "up"}, "side", {"found": "up"}),
    ],
)
def test_what_is_wrong_is_named(shares, change, code, facts):
    content = {**layouts(shares)["tasks"][1], **change}
    with raises(f"keypoints.{code}", **facts):
        hands_in(content, "a.json", SIZE)


def test_shares_need_the_size_of_their_picture(shares):
    with raises("keypoints.no_size"):
        hands_in(layouts(shares)["tasks"][1], "a.json", None)
