"""Points from several views, and which hands of them are one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from views_data import SampledHands, frames_of, look_at, ring, seen, stereo, turned

from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.rig import Rig
from fitter.views.matching import match_hands, sights_of
from fitter.views.triangulation import (
    HAND_LENGTH,
    agreed_points,
    agreement,
    noise_of,
    triangulate,
)
from tests.support.rig_cases import matched_sets, rig_hand

SIZE = (640, 480)


def sights_in(rig: Rig, points: np.ndarray, noise: float = 0.0, rng=None):
    rng = rng or np.random.default_rng(0)
    pixels = [seen(camera, points) for camera in rig.cameras]
    hands = [rig_hand(p + rng.normal(scale=noise or 1e-12, size=p.shape)) for p in pixels]
    images = [DetectedImage(SIZE, camera.intrinsics, "given", ()) for camera in rig.cameras]
    return sights_of(rig.cameras, images, hands)


@pytest.mark.parametrize("make", [lambda rng: stereo(rng, 0.1), lambda rng: ring(rng, 5)])
def test_lines_of_sight_without_error_meet_in_the_points(sampled, rng, make) -> None:
    points = sampled.keypoints[0]
    sights = sights_in(make(rng), points)
    np.testing.assert_allclose(triangulate(sights), points, atol=1e-7)
    assert sights.distances(points).max() < 1e-8


def test_a_point_that_fewer_than_two_views_see_is_unknown(sampled, rng) -> None:
    sights = sights_in(ring(rng, 3), sampled.keypoints[0])
    sights.confidence[:, 4] = 0
    sights.confidence[1:, 7] = 0
    sights.confidence[0, 9] = 0
    sights.positions[0, 9] = np.nan
    found = triangulate(sights)
    assert np.isnan(found).any(1).nonzero()[0].tolist() == [4, 7]
    np.testing.assert_allclose(found[9], sampled.keypoints[0, 9], atol=1e-7)


def test_confidence_says_whom_to_believe(sampled, rng) -> None:
    points, rig = sampled.keypoints[0], ring(rng, 4)
    even = sights_in(rig, points)
    even.positions[2] += 0.02
    known = replace(even, confidence=even.confidence * np.array([1, 1, 0.01, 1])[:, None])
    apart = [np.linalg.norm(triangulate(s) - points, axis=1).mean() for s in (even, known)]
    assert apart[1] < 0.1 * apart[0]


@pytest.mark.parametrize("wrong", range(4))
def test_one_wrong_view_of_four_is_left_out(sampled, rng, wrong) -> None:
    points, rig = sampled.keypoints[0], ring(rng, 4)
    sights = sights_in(rig, points, 2.0, rng)
    others = [view for view in range(4) if view != wrong]
    without = triangulate(sights.of(others))
    other = sights_in(rig, sampled.keypoints[1] + [0.03, 0, 0])
    sights.positions[wrong] = other.positions[wrong]
    found, weight = agreed_points(sights)
    assert weight[wrong] < 0.1 and weight[others].min() > 0.9
    assert np.linalg.norm(found - without, axis=1).max() < 2e-3


@pytest.mark.parametrize("views", [2, 4, 8])
def test_the_noise_of_keypoints_follows_from_how_views_disagree(sampled, rng, views) -> None:
    """2 pixels half a metre away at a focal length of 600: 1.7 mm in each coordinate."""
    found = []
    for points in sampled.keypoints:
        rig = Rig(tuple(look_at(0.5 * c.centre / np.linalg.norm(c.centre), c.name)
                        for c in ring(rng, views).cameras))  # fmt: skip
        sights = sights_in(rig, points, 2.0, rng)
        met, weights = agreed_points(sights)
        found.append(noise_of(sights, met, weights))
    assert np.mean(found) == pytest.approx(2 * 0.5 / 600 / HAND_LENGTH, rel=0.15)
    assert np.isnan(noise_of(sights.of([0]), met, np.ones(1)))


def test_two_views_count_alike_however_far_apart() -> None:
    assert agreement(np.array([0.01, 3.0])).tolist() == [1, 1]
    assert agreement(np.array([np.inf])).tolist() == [1]


def test_views_that_agree_count_in_full_and_none_counts_more_for_being_farther_off() -> None:
    assert (agreement(np.array([0.01, 0.012, 0.02, 0.03])) == 1).all()
    weights = [agreement(np.array([0.01, 0.01, 0.01, x]))[-1] for x in (0.06, 0.1, 0.3, np.inf)]
    assert weights == sorted(weights, reverse=True) and weights[-1] == 0


def two_hands(sampled, rng, rig: Rig) -> DetectedFrame:
    """Two hands 0.15 m apart, in every view in another order."""
    views = []
    for k, camera in enumerate(rig.cameras):
        pixels = [
            seen(camera, sampled.keypoints[n] + offset) + rng.normal(scale=2, size=(21, 2))
            for n, offset in ((0, [-0.075, 0, 0]), (1, [0.075, 0, 0]))
        ]
        hands = [rig_hand(p) for p in (pixels if k % 2 else pixels[::-1])]
        views.append(DetectedImage(SIZE, camera.intrinsics, "given", tuple(hands)))
    return DetectedFrame(rig, tuple(views))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_two_hands_are_told_apart_whatever_their_order(sampled, rng, count) -> None:
    rig = stereo(rng, 0.1) if count == 2 else ring(rng, count)
    found = matched_sets(two_hands(sampled, rng, rig))
    expected = [tuple((view, (view + first) % 2) for view in range(count)) for first in (0, 1)]
    assert found == expected


def test_a_hand_that_one_view_alone_has_stays_alone(sampled, rng) -> None:
    frame = two_hands(sampled, rng, ring(rng, 3))
    only = replace(frame.views[1], hands=frame.views[1].hands[:1])
    found = matched_sets(replace(frame, views=(frame.views[0], only, frame.views[2])))
    # Place 0 of view 1 is the first hand, which views 0 and 2 have at place 1.
    assert found == [((0, 0), (2, 0)), ((0, 1), (1, 0), (2, 1))]


def test_views_of_different_hands_are_not_merged(sampled, rng) -> None:
    rig = ring(rng, 2)
    away = ([-0.15, 0.05, 0], [0.15, -0.05, 0.05])
    views = tuple(
        DetectedImage(
            SIZE,
            camera.intrinsics,
            "given",
            (rig_hand(seen(camera, sampled.keypoints[k] + away[k])),),
        )
        for k, camera in enumerate(rig.cameras)
    )
    assert matched_sets(DetectedFrame(rig, views)) == [((0, 0),), ((1, 0),)]


def test_a_view_without_image_or_hand_takes_no_part(sampled, rng) -> None:
    frame = two_hands(sampled, rng, ring(rng, 4))
    bare = replace(frame.views[2], hands=())
    found = matched_sets(replace(frame, views=(None, frame.views[1], bare, frame.views[3])))
    assert found == [((1, 0), (3, 0)), ((1, 1), (3, 1))]
    assert matched_sets(replace(frame, views=(None, bare, None, None))) == []


def test_hands_that_are_not_finite_are_alone(sampled, rng) -> None:
    frame = two_hands(sampled, rng, ring(rng, 2))
    broken = replace(frame.views[0].hands[0], keypoints=np.full((21, 2), np.nan))
    first = replace(frame.views[0], hands=(broken, frame.views[0].hands[1]))
    found = matched_sets(replace(frame, views=(first, frame.views[1])))
    assert found == [((0, 0),), ((0, 1), (1, 0)), ((1, 1),)]


def test_one_detector_that_takes_a_hand_for_the_other_is_outvoted(sampled, rng) -> None:
    frame = frames_of(sampled, [ring(rng, 3) for _ in sampled.sides], 2.0, rng)[0]
    other = "left" if sampled.sides[0] == "right" else "right"
    mistaken = replace(frame.views[0].hands[0], side=other, side_score=0.8)
    views = (replace(frame.views[0], hands=(mistaken,)), *frame.views[1:])
    (hand,) = match_hands(replace(frame, views=views))
    assert len(hand.places) == 3 and hand.side == sampled.sides[0]


def test_a_camera_that_the_hand_is_behind_is_not_matched(sampled, rng) -> None:
    rig = ring(rng, 2)
    behind = look_at(-rig.cameras[1].centre, "behind")
    # As far beyond the camera as it lies before it: the same picture upside down.
    points = sampled.keypoints[0] + 2 * behind.centre
    views = [
        DetectedImage(SIZE, camera.intrinsics, "given", (rig_hand(seen(camera, p)),))
        for camera, p in (
            (rig.cameras[0], sampled.keypoints[0] + 2 * behind.centre),
            (behind, points),
        )
    ]
    found = matched_sets(DetectedFrame(Rig((rig.cameras[0], behind)), tuple(views)))
    assert ((0, 0), (1, 0)) not in found


def test_a_view_whose_calibration_is_off_by_five_degrees_is_still_the_same_hand(
    sampled, rng
) -> None:
    rigs = [ring(rng, 4) for _ in sampled.sides]
    wrong = [Rig((turned(r, 5.0, rng).cameras[1], *r.cameras[:1], *r.cameras[2:])) for r in rigs]
    true = [Rig((r.cameras[1], *r.cameras[:1], *r.cameras[2:])) for r in rigs]
    for frame in frames_of(sampled, true, 2.0, rng, wrong):
        hand = match_hands(frame)[0]
        assert list(hand.places) == [0, 1, 2, 3] and hand.weights[0] < 0.5
        assert hand.weights[1:].min() > 0.9


def hidden_in(frame: DetectedFrame, unseen: dict[int, list[int]]) -> DetectedFrame:
    """A frame of one hand whose views do not see some keypoints, and say they lie in a corner."""
    views = list(frame.views)
    for view, which in unseen.items():
        hand = views[view].hands[0]
        confidence, keypoints = hand.confidence.copy(), hand.keypoints.copy()
        confidence[which], keypoints[which] = 0, 0
        hidden = replace(hand, confidence=confidence, keypoints=keypoints)
        views[view] = replace(views[view], hands=(hidden,))
    return replace(frame, views=tuple(views))


@pytest.mark.parametrize(
    ("unseen", "unknown"),
    [
        ([[], [8]], [8]),
        ([[4], [8]], [4, 8]),
        ([[0], [8], [12]], []),
        ([[], [8], [8]], [8]),
        ([[4, 8], [4, 8], [4, 12], []], [4]),
    ],
)
def test_keypoints_that_views_do_not_see_part_no_hand(sampled, rng, unseen, unknown) -> None:
    rigs = [ring(rng, len(unseen)) for _ in sampled.sides]
    hidden = dict(enumerate(unseen))
    for k, frame in enumerate(frames_of(sampled, rigs, 1.0, rng)):
        (hand,) = match_hands(hidden_in(frame, hidden))
        assert list(hand.places) == list(range(len(unseen)))
        assert (hand.weights == 1).all()
        assert np.isnan(hand.points).any(1).nonzero()[0].tolist() == unknown
        apart = np.linalg.norm(hand.points - sampled.keypoints[k], axis=1)
        assert np.nanmean(apart) < 4e-3
        assert 0.3 * 1e-2 < hand.noise < 1e-2


def test_views_that_share_too_few_keypoints_are_not_known_for_one_hand(sampled, rng) -> None:
    frame = frames_of(sampled, [ring(rng, 2) for _ in sampled.sides], 0.0, rng)[0]
    hidden = hidden_in(frame, {0: list(range(5, 21)), 1: []})
    assert matched_sets(hidden) == [((0, 0),), ((1, 0),)]


@pytest.mark.parametrize(("baseline", "noise"), [(0.06, 2.0), (0.06, 4.0), (0.1, 4.0)])
def test_errors_in_depth_on_a_short_baseline_part_no_hand(model, baseline, noise) -> None:
    """At them keypoints scatter by more than a bone along the line of sight."""
    rng = np.random.default_rng(5)
    hands = SampledHands.of(model, 30, seed=6)
    frames = frames_of(hands, [stereo(rng, baseline) for _ in hands.sides], noise, rng)
    assert sum(len(match_hands(frame)) > 1 for frame in frames) <= 1


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_what_is_no_hand_by_its_size_is_not_one(sampled, rng, factor) -> None:
    rig = ring(rng, 2)
    views = tuple(
        DetectedImage(SIZE, c.intrinsics, "given", (rig_hand(seen(c, p)),))
        for c in rig.cameras
        for p in [factor * sampled.keypoints[0]]
    )
    assert matched_sets(DetectedFrame(rig, views)) == [((0, 0),), ((1, 0),)]
