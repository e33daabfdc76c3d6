"""What a file says of one picture's hands, in the layouts of others."""

import numpy as np
import pytest

from fitter.conventions import BODY_HANDS, KEYPOINT_NAMES, KEYPOINT_ORDERS
from fitter.inputs.given_hands import (
    CONFIDENCES,
    SIDE_UNTOLD,
    hand_observation,
    inside_hands,
    sure_hands,
    sureness,
)
from fitter.inputs.keypoint_layouts import SCORES, hands_in
from tests.support.errors import raises

SIZE = (640, 480)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def points(rng):
    """(21, 3) of a hand: u, v, confidence."""
    return np.column_stack([rng.uniform(20, 400, (21, 2)), rng.uniform(0.4, 1, 21)])


@pytest.fixture
def other(rng):
    return np.column_stack([rng.uniform(20, 400, (21, 2)), rng.uniform(0.4, 1, 21)])


def flat(points):
    return points.ravel().tolist()


def check(hand, side, points):
    assert hand.side == side
    np.testing.assert_allclose(hand.keypoints, points[:, :2])
    np.testing.assert_allclose(hand.confidence, points[:, 2])
    assert hand.score == pytest.approx(points[:, 2].mean())


def a_person(count, left, right, both):
    """Keypoints of a whole person, with hands where a set has them and the rest in a corner."""
    whole = np.full((count, 3), 3.0)
    whole[list(left)], whole[list(right)] = both
    whole[:, 2] = np.clip(whole[:, 2], 0, 1)
    return whole


class TestOpenPose:
    @pytest.mark.parametrize("ending", ["_2d", ""])
    def test_both_generations_of_names(self, points, other, ending):
        people = [
            {f"hand_left_keypoints{ending}": flat(points)},
            {
                f"hand_left_keypoints{ending}": flat(other),
                f"hand_right_keypoints{ending}": flat(points),
            },
        ]
        first, second, third = hands_in({"people": people}, "a.json", SIZE)
        check(first, "left", points)
        check(second, "left", other)
        check(third, "right", points)

    def test_people_without_any_keypoints_are_not_taken_for_people_without_hands(self):
        content = {"people": [{"left_hand": [1.0] * 63}]}
        with raises("keypoints.no_fields", file="a.json", found="left_hand"):
            hands_in(content, "a.json", SIZE)
        assert hands_in({"people": [{"pose_keypoints_2d": [0.0] * 75}]}, "a.json", SIZE) == []


class TestConfidences:
    def test_slightly_beyond_is_clipped(self, points):
        points[0, 2], points[1, 2] = 1.4, -0.02
        (hand,) = hands_in([{"side": "left", "keypoints": points.tolist()}], "a", SIZE)
        assert hand.confidence[0] == 1.0 and hand.confidence[1] == 0.0
        np.testing.assert_array_equal(hand.confidence[2:], points[2:, 2])
        assert hand.score == pytest.approx(hand.confidence.mean())

    @pytest.mark.parametrize("value", [CONFIDENCES[0] - 0.01, CONFIDENCES[1] + 0.01])
    def test_far_beyond_is_refused(self, points, value):
        points[3, 2] = value
        with raises("keypoints.confidence", file="a", low=-0.5, high=2.0):
            hand_observation(points, "left", "a")

    def test_mmpose_has_limits_of_its_own(self, points):
        entry = {"keypoints": points[:, :2].tolist(), "keypoint_scores": [7.5] * 21}
        (hand,) = hands_in([entry], "a", SIZE)
        assert (hand.confidence == 1).all()
        entry["keypoint_scores"] = [SCORES[1] + 1] * 21
        with raises("keypoints.confidence", high=SCORES[1]):
            hands_in([entry], "a", SIZE)


class TestCoco:
    def test_annotations_say_whether_a_keypoint_is_marked(self, points, other):
        marked = points.copy()
        marked[:, 2] = 0.14  # COCO-WholeBody's flags of hands may be any number above 0
        marked[5:8, 2] = 0
        person = {
            "keypoints": [0] * 51,
            "lefthand_kpts": flat(marked),
            "righthand_kpts": flat(other),
            "righthand_valid": False,
        }
        content = {"annotations": [person], "width": 640, "height": 480}
        (hand,) = hands_in(content, "a", SIZE)
        expected = np.column_stack([points[:, :2], marked[:, 2] > 0])
        check(hand, "left", expected)

    def test_results_say_how_sure_it_is(self, points, other):
        person = {
            "image_id": 7,
            "keypoints": [1.0] * 51,
            "lefthand_kpts": flat(points),
            "righthand_kpts": flat(other),
        }
        left, right = hands_in([person], "a", SIZE)
        check(left, "left", points)
        check(right, "right", other)

    def test_flags_are_no_confidences(self, points):
        points[:, 2] = [0, 1, 2] * 7
        (hand,) = hands_in([{"lefthand_kpts": flat(points)}], "a", SIZE)
        np.testing.assert_array_equal(hand.confidence, [0, 1, 1] * 7)

    def test_unmarked_hands_are_none(self):
        person = {"lefthand_kpts": [0] * 63, "righthand_kpts": []}
        assert hands_in([person], "a", SIZE) == []

    def test_annotations_of_another_resolution_are_named(self, points):
        content = {
            "annotations": [{"lefthand_kpts": flat(points)}],
            "width": 4032,
            "height": 3024,
        }
        with raises("keypoints.other_size", file="a", expected=SIZE, found=(4032, 3024)):
            hands_in(content, "a", SIZE)
        assert len(hands_in(content, "a", (4032, 3024))) == 1


class TestWholePeople:
    @pytest.mark.parametrize("name", BODY_HANDS)
    def test_both_hands_of_every_set(self, name, points, other):
        count, left, right = BODY_HANDS[name]
        whole = a_person(count, left, right, (points, other))
        as_mmpose = {
            "keypoints": whole[:, :2].tolist(),
            "keypoint_scores": whole[:, 2].tolist(),
            "bbox": [[0, 0, 1, 1]],
        }
        for content in (
            [as_mmpose],
            {"meta_info": {}, "instance_info": [as_mmpose]},
            {"instances": [as_mmpose]},
            {"predictions": [[as_mmpose]]},
            [{"image_id": "a.jpg", "keypoints": flat(whole), "score": 2.1}],
            whole.tolist(),
        ):
            first, second = hands_in(content, "a", SIZE)
            check(first, "left", points)
            check(second, "right", other)

    def test_sets_are_told_apart_by_their_number_and_name_every_keypoint_once(self):
        assert len({count for count, _, _ in BODY_HANDS.values()} - {21}) == len(BODY_HANDS)
        for count, left, right in BODY_HANDS.values():
            both = [*left, *right]
            assert len(left) == len(right) == len(set(both)) // 2 == len(KEYPOINT_NAMES)
            assert max(both) < count

    def test_interhands_right_hand_comes_first_and_begins_at_the_tip_of_the_thumb(self):
        _, left, right = BODY_HANDS["interhand_pair"]
        assert right == KEYPOINT_ORDERS["interhand"]
        assert (right[4], right[0], left[4], left[0]) == (0, 20, 21, 41)

    def test_several_people_with_both_hands_each(self, points, other):
        count, left, right = BODY_HANDS["coco_wholebody"]
        one, two = (a_person(count, left, right, (points + k, other + k)) for k in (0, 9))
        one, two = (np.clip(each, None, [1e3, 1e3, 1]) for each in (one, two))
        entries = [
            {"keypoints": each[:, :2].tolist(), "keypoint_scores": each[:, 2].tolist()}
            for each in (one, two)
        ]
        hands = hands_in(entries, "a", SIZE)
        assert [hand.side for hand in hands] == ["left", "right"] * 2
        np.testing.assert_allclose(hands[2].keypoints, points[:, :2] + 9)

    def test_a_body_without_hands_is_named(self):
        entry = {"keypoints": [[30.0, 40.0]] * 17, "keypoint_scores": [0.9] * 17}
        with raises("keypoints.number", known=[42, 133, 136, 137], found=17):
            hands_in([entry], "a", SIZE)


def test_a_hand_model_of_mmposes_does_not_say_which_hand_it_is(points):
    entry = {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist()}
    (hand,) = hands_in([entry], "a", SIZE)
    assert hand.side_score == SIDE_UNTOLD
    (hand,) = hands_in([{**entry, "side": "left"}], "a", SIZE)
    check(hand, "left", points)
    assert hand.side_score == 1


@pytest.mark.parametrize(
    "content",
    [
        {"root_pose": [0.0] * 3, "lhand_pose": [0.0] * 45, "rhand_pose": [0.0] * 45},
        {"pose": [0.0] * 48, "shape": [0.0] * 10},
    ],
)
def test_parameters_of_hand4whole_are_named(content):
    with raises("keypoints.parameters", file="smplx_param.json"):
        hands_in(content, "smplx_param.json", SIZE)


class TestPlace:
    def test_shares_of_the_sides_are_named(self, points):
        points[:, :2] /= 640
        with raises("keypoints.normalised", file="a"):
            hand_observation(points, "left", "a")
        points[0, 0] = -0.1
        with raises("keypoints.metres", file="a"):
            hand_observation(points, "left", "a")

    def test_what_was_not_seen_does_not_make_shares_pixels(self, points):
        points[:, :2] /= 640
        points[0] = (0, 500, 0)
        with raises("keypoints.normalised", file="a"):
            hand_observation(points, "left", "a")

    def test_a_hand_partly_outside_stays(self, points):
        points[:15, 0] -= 900
        hand = hand_observation(points, "left", "a")
        assert inside_hands([hand], SIZE, "a") == [hand]

    def test_hands_all_outside_are_those_of_another_resolution(self, points):
        far = points + [1000, 700, 0]
        hand = hand_observation(far, "left", "a")
        near = hand_observation(points, "left", "a")
        assert inside_hands([hand, near], SIZE, "a") == [near]
        with raises("keypoints.outside", file="a", width=640, height=480):
            inside_hands([hand], SIZE, "a")

    def test_keypoints_that_were_not_seen_are_in_no_place(self, points):
        points[:, :2] += [1000, 700]
        points[4] = (0.0, 0.0, 0.0)
        hand = hand_observation(points, "left", "a")
        with raises("keypoints.outside"):
            inside_hands([hand], SIZE, "a")


def test_a_ghost_is_less_sure_than_a_hand_of_which_little_is_seen(points):
    ghost = hand_observation(np.column_stack([points[:, :2], np.full(21, 0.03)]), "left", "a")
    points[6:, 2] = 0
    hidden = hand_observation(points, "left", "a")
    assert sureness(ghost) == pytest.approx(0.03)
    assert sureness(hidden) == pytest.approx(points[:6, 2].mean())
    assert sureness(hidden) > 0.3 > hidden.score
    assert sure_hands([ghost, hidden], 0.3) == [hidden]
    assert sure_hands([ghost, hidden], 0.0) == [ghost, hidden]
