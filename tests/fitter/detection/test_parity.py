"""Our run of MediaPipe's networks beside MediaPipe's own graph, step by step."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.special import logit

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from fitter.detection.hand_windows import hand_window
from fitter.detection.networks.litert import LiteRtNetworks
from fitter.detection.own_networks import OwnNetworks
from fitter.detection.palms import PALM_KEYPOINTS, palm_window
from fitter.detection.windows import Picture, Window
from tests.support.mediapipe_steps import MediaPipeSteps
from tests.support.paths import ROOT

pytestmark = pytest.mark.mediapipe

MIN_SCORE = 0.5
TRUTH = json.loads((ROOT / "examples" / "ground_truth.json").read_text())["hands"]


def example(name: str) -> np.ndarray:
    """At half of its size: the graph reduces without smoothing, and we do not."""
    with Image.open(ROOT / "examples" / name) as picture:
        return np.asarray(picture.convert("RGB").resize((320, 240), Image.Resampling.BOX))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """All examples, a few renders, and some of both turned and padded to another shape."""
    names = sorted({hand["image"] for hand in TRUTH})
    renders = SyntheticEngine(224, SyntheticSettings.unoccluded()).batch(5, range(6)).image
    upright = [*map(example, names), *renders.numpy()]
    turned = [np.ascontiguousarray(np.rot90(each)) for each in upright[::3]]
    padded = [np.pad(each, ((0, 0), (30, 10), (0, 0))) for each in upright[1::4]]
    return upright + turned + padded


@pytest.fixture(scope="module")
def own() -> OwnNetworks:
    return OwnNetworks(LiteRtNetworks(), MIN_SCORE)


@pytest.fixture(scope="module")
def steps(pictures):
    with MediaPipeSteps(4, MIN_SCORE) as graph:
        return [graph.of(picture) for picture in pictures]


def same_window(ours: Window, theirs: Window) -> None:
    assert np.abs(ours.centre - theirs.centre).max() < 0.01
    assert abs(ours.size - theirs.size) < 0.01
    assert abs(np.angle(np.exp(1j * (ours.angle - theirs.angle)))) < 1e-4


def test_the_same_palms_are_found_in_the_same_place(pictures, own, steps):
    """Anchors, decoding, weighted suppression, and the projection out of the padded window."""
    count = 0
    for picture, theirs in zip(pictures, steps, strict=True):
        (ours,) = own.palms(Picture(picture), [Window.whole(picture)], MIN_SCORE)
        assert len(ours) == len(theirs.palms)
        np.testing.assert_allclose(ours.scores, theirs.palms.scores, atol=3e-3)
        # 192 pixels see the picture, of 224 to 320: a tenth of theirs.
        np.testing.assert_allclose(ours.boxes, theirs.palms.boxes, atol=0.2)
        np.testing.assert_allclose(ours.points, theirs.palms.points, atol=0.2)
        count += len(ours)
    assert count >= len(pictures) - 3


def test_palms_call_for_the_same_windows(steps):
    count = 0
    for said in steps:
        for box, points, theirs in zip(
            said.palms.boxes, said.palms.points, said.palm_windows, strict=True
        ):
            same_window(palm_window(box, points), theirs)
            count += 1
    assert count > 10


def test_hands_call_for_the_same_windows(steps):
    count = 0
    for said in steps:
        for hand, theirs in zip(said.hands, said.landmark_windows, strict=True):
            same_window(hand_window(hand, mirrored=False), theirs)
            count += 1
    assert count > 10


def test_one_window_holds_the_same_hand(pictures, own, steps):
    """Landmarks within a quarter of a pixel of the window's 224, the same side and depth.

    What the network says of a side is a logit. Its last digits differ between processors by as much
    for a hand of which it is not sure as for any other; a score near 1 would hide a difference.
    """
    count = 0
    for picture, said in zip(pictures, steps, strict=True):
        if len(said.hands) != len(said.palm_windows):
            continue  # the graph does not say which palm's window held no hand
        ours = own.hands(Picture(picture), said.palm_windows)
        for window, hand, theirs in zip(said.palm_windows, ours, said.hands, strict=True):
            pixel = window.size / 224
            assert np.abs(hand.keypoints - theirs.keypoints).max() < 0.25 * pixel
            assert np.abs(hand.relative_depth - theirs.relative_depth).max() < 0.75 * pixel
            np.testing.assert_allclose(hand.relative_xyz, theirs.relative_xyz, atol=2e-4)
            assert hand.side == theirs.side
            assert logit(hand.side_score) == pytest.approx(logit(theirs.side_score), abs=0.03)
            count += 1
    assert count > 10


def test_a_whole_look_finds_the_same_hands(pictures, own, steps):
    """From the picture to the landmarks: within 0.5 pixels of a hand of 256."""
    for picture, said in zip(pictures, steps, strict=True):
        (ours,) = own.find(Picture(picture), [Window.whole(picture)])
        assert len(ours) == len(said.hands)
        for hand, theirs in zip(ours, said.hands, strict=True):
            size = np.ptp(theirs.keypoints, axis=0).max()
            distance = np.linalg.norm(hand.keypoints - theirs.keypoints, axis=1).mean()
            assert distance < 0.5 / 256 * size
            assert hand.side == theirs.side


def test_a_palm_s_points_are_the_keypoints_that_they_stand_for(steps):
    away = [
        np.linalg.norm(hand.keypoints[list(PALM_KEYPOINTS)] - points, axis=1).mean()
        / np.ptp(hand.keypoints, axis=0).max()
        for said in steps
        for hand, points in zip(said.hands, said.palms.points, strict=False)
    ]
    assert np.median(away) < 0.08
