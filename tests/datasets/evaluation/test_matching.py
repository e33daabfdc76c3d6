"""Which images and which hands are held against each other."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.annotations import AnnotatedHand, Annotation
from datasets.evaluation.matching import LIMIT, OTHER_SIDE, match_image, places_in_dataset
from datasets.evaluation.records import EstimatedHand, EstimatedImage
from tests.support.annotated import InMemoryImages, K, annotated_hand, project
from tests.support.errors import raises

HAND = np.random.default_rng(0).normal(0, 0.03, (21, 3)) + [0, 0, 0.6]
STORE = Path("r.zarr")


def images_called(*names):
    return InMemoryImages([Annotation(name, K, ()) for name in names])


def at(x, y=0.0):
    """The hand, moved by metres."""
    return HAND + [x, y, 0]


def estimated(points, side="right", score=0.5):
    return EstimatedHand(points, project(points), side, score)


def matched(truths, hands, rule="place", fate="ok"):
    annotation = Annotation("a.jpg", K, tuple(truths))
    return match_image(7, annotation, EstimatedImage(fate, tuple(hands)), rule)


def which(truths, hands, rule="place"):
    """Annotated hand -> number of the estimate."""
    pairs, _, _ = matched(truths, hands, rule)
    return {
        pair.number: next(i for i, h in enumerate(hands) if h is pair.estimate) for pair in pairs
    }


class TestImages:
    def test_equal_names_and_ends_of_names(self):
        images = images_called("train/A/rgb/0.png", "train/B/rgb/0.png", "train/B/rgb/1.png")
        found = ["B/rgb/1.png", "train/A/rgb/0.png", "x/train/B/rgb/0.png"]
        assert places_in_dataset(STORE, found, images) == {2: 0, 0: 1, 1: 2}

    def test_freihands_file_names_alone(self):
        images = images_called("evaluation/rgb/0.jpg", "evaluation/rgb/1.jpg")
        images.dataset = "freihand"
        assert places_in_dataset(STORE, ["photos/1.jpg", "cat.jpg"], images) == {1: 0}

    def test_another_folder_is_another_image(self):
        images = images_called("A/rgb/0.png", "A/rgb/1.png")
        with raises("evaluation.other_images", file=STORE, dataset=images.root):
            places_in_dataset(STORE, ["B/rgb/0.png"], images)

    def test_parts_of_a_folders_name_are_no_folders(self):
        images = images_called("SA/0.png", "B/0.png")
        with raises("evaluation.other_images"):
            places_in_dataset(STORE, ["A/0.png"], images)

    @pytest.mark.parametrize("found", [["0.png"], ["A/0.png", "x/A/0.png"]])
    def test_what_may_be_two_is_refused(self, found):
        with raises("evaluation.same_name", file=STORE, name="0.png"):
            places_in_dataset(STORE, found, images_called("A/0.png", "B/0.png"))


class TestPlace:
    def test_hands_are_paired_where_they_are(self):
        truths = [annotated_hand(at(-0.1), "left"), annotated_hand(at(0.1))]
        hands = [estimated(at(0.11)), estimated(at(-0.11), "left")]
        assert which(truths, hands) == {0: 1, 1: 0}

    def test_in_one_place_the_side_decides(self):
        truths = [annotated_hand(at(0), "left"), annotated_hand(at(0.01), "right")]
        hands = [estimated(at(0), "right"), estimated(at(0.01), "left")]
        assert which(truths, hands) == {0: 1, 1: 0}

    def test_a_hand_of_the_wrong_side_is_still_found(self):
        pairs, lost, left_over = matched([annotated_hand(HAND, "left")], [estimated(HAND)])
        assert (len(pairs), lost, left_over) == (1, [], 0) and pairs[0].is_other_side

    @pytest.mark.parametrize("side", [None, "right"])
    def test_an_unknown_side_is_no_other_side(self, side):
        (pair,), _, _ = matched([annotated_hand(HAND, None)], [estimated(HAND, side)])
        assert not pair.is_other_side

    @pytest.mark.parametrize(("share", "found"), [(0.99, 1), (1.01, 0)])
    def test_beyond_the_limit_is_another_hand(self, share, found):
        seen = project(HAND)
        size = (seen.max(0) - seen.min(0)).max()
        hand = EstimatedHand(HAND, seen + [share * LIMIT * size, 0], "right")
        pairs, lost, left_over = matched([annotated_hand(HAND)], [hand])
        assert (len(pairs), len(lost), left_over) == (found, 1 - found, 1 - found)
        assert found or lost[0].why == "missed"

    def test_phantoms_are_left_over(self):
        hands = [estimated(at(0.3)), estimated(HAND)]
        pairs, lost, left_over = matched([annotated_hand(HAND)], hands)
        assert pairs[0].estimate is hands[1] and not lost and left_over == 1
        _, _, left_over = matched([], hands)
        assert left_over == 2

    def test_boxes_and_projections_stand_in_for_missing_marks(self):
        unmarked = np.full((21, 2), np.nan)
        seen = project(HAND)
        box = np.concatenate([seen.min(0), seen.max(0)])
        hands = [estimated(at(0.2)), estimated(HAND)]
        nowhere = np.full((21, 3), np.nan)
        assert which([AnnotatedHand("right", unmarked, nowhere, box=box)], hands) == {0: 1}
        assert which([AnnotatedHand("right", unmarked, HAND)], hands) == {0: 1}

    def test_some_annotated_keypoints_are_enough(self):
        truth = annotated_hand(HAND)
        truth.keypoints_2d[5:] = np.nan
        assert which([truth], [estimated(at(0.2)), estimated(HAND)]) == {0: 1}

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
    def test_it_is_the_best_of_all_assignments(self, seed, truths, hands):
        rng = np.random.default_rng(seed)

        def side():
            return rng.choice(["left", "right"])

        annotated = [annotated_hand(at(*rng.normal(0, 0.1, 2)), side()) for _ in range(truths)]
        found = [estimated(at(*rng.normal(0, 0.1, 2)), side()) for _ in range(hands)]

        def apart(t, h):
            marks = t.keypoints_2d
            size = (marks.max(0) - marks.min(0)).max()
            return np.linalg.norm(marks - h.keypoints_2d, axis=-1).mean() / size

        best = (0, 0.0)
        slots = [*range(hands), *[None] * truths]
        for order in set(permutations(slots, truths)):
            pairs = [(annotated[t], found[h]) for t, h in enumerate(order) if h is not None]
            if all(apart(t, h) <= LIMIT for t, h in pairs):
                cost = sum(apart(t, h) + OTHER_SIDE * (t.side != h.side) for t, h in pairs)
                best = max(best, (len(pairs), -cost))
        pairs, lost, left_over = matched(annotated, found)
        cost = sum(apart(p.truth, p.estimate) + OTHER_SIDE * p.is_other_side for p in pairs)
        assert (len(pairs), -cost) == (best[0], pytest.approx(best[1]))
        assert (len(lost), left_over) == (truths - best[0], hands - best[0])


class TestBest:
    def test_the_best_score_counts_wherever_it_is(self):
        hands = [estimated(HAND, score=0.3), estimated(at(0.4), "left", 0.8)]
        assert which([annotated_hand(HAND)], hands, "best") == {0: 1}
        assert matched([annotated_hand(HAND)], hands, "best")[2] == 0

    def test_a_hand_that_is_not_finite_is_none(self):
        broken = estimated(np.full((21, 3), np.nan), score=0.9)
        assert which([annotated_hand(HAND)], [broken, estimated(HAND)], "best") == {0: 1}


@pytest.mark.parametrize("rule", ["best", "place"])
@pytest.mark.parametrize("fate", ["no_hand", "failed", "pending", "absent"])
def test_the_fate_of_the_image_is_why_a_hand_is_lost(rule, fate):
    pairs, (lost,), _ = matched([annotated_hand(HAND)], [], rule, fate)
    assert (pairs, lost.why, lost.place) == ([], fate, 7)
    _, (lost,), _ = matched([annotated_hand(HAND)], [], rule)
    assert lost.why == "failed"  # every fit of the image did


def test_a_hand_with_a_k_of_its_own_is_where_that_shows_it():
    own = K * [[3, 3, 1], [3, 3, 1], [1, 1, 1]]  # three times the focal length
    seen = np.asarray(at(0.1)) @ own.T
    hand = EstimatedHand(at(0.1), seen[:, :2] / seen[:, 2:], "right", 0.5)
    unmarked = np.full((21, 2), np.nan)
    truth = annotated_hand(at(0.1), keypoints_2d=unmarked, intrinsics=own)
    assert which([truth], [hand]) == {0: 0}
    assert which([replace(truth, intrinsics=None)], [hand]) == {}
