"""Keypoints of others in place of the detector's: which of the hands in a file are fitted."""

import json
from pathlib import Path

import numpy as np
import pytest

from fitter.config.options import load_config
from fitter.hand_slots import image_row
from fitter.inputs.images import read_image
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.sources import Sources
from fitter.records import ImageRecord
from fitter.run.summary import Summary
from fitter.run.telling import report
from fitter.store.schema import HandRow
from fitter.workers.batches import FittedBatch
from fitter.workers.image_detector import ImageDetector
from tests.support.paths import ROOT

PICTURE = ROOT / "examples" / "two_hands.jpg"
CONFIG = load_config(None, ["refine.stages={}"])


@pytest.fixture(scope="module")
def detector():
    with_detector = ImageDetector(CONFIG, detects=True)
    yield with_detector
    with_detector.close()


@pytest.fixture(scope="module")
def seen(detector):
    """The hands that the detector finds in the picture, a left and a right one."""
    pixels = read_image(PICTURE)
    record = ImageRecord(PICTURE.name, PICTURE, pixels, np.eye(3), "default")
    hands = detector.detector.detect(record)
    assert sorted(hand.side for hand in hands) == ["left", "right"]
    return hands


def detected(tmp_path, content, *settings):
    """What becomes of the picture with these keypoints of its own."""
    (tmp_path / "two_hands_keypoints.json").write_text(json.dumps(content))
    files = KeypointFiles.open(tmp_path)
    files.require_for([PICTURE.name], 1)
    sources = Sources(PICTURE.parent, [PICTURE.name], Intrinsics(), files)
    worker = ImageDetector(load_config(None, ["refine.stages={}", *settings]), detects=False)
    try:
        return worker.detect(sources.tasks(0, 1)[0])
    finally:
        worker.close()


def flat(hand, confidence, offset=0.0):
    points = np.column_stack([hand.keypoints + offset, np.full(21, confidence)])
    return points.ravel().tolist()


def person(hands, confidence):
    return {f"hand_{hand.side}_keypoints_2d": flat(hand, confidence) for hand in hands}


def test_ghosts_do_not_take_the_slots_of_hands(tmp_path, seen):
    content = {"people": [person(seen, 0.03), person(seen, 0.8)]}
    found = detected(tmp_path, content, "detector.max_hands=2")
    assert [hand.score for hand in found.hands] == pytest.approx([0.8, 0.8])
    assert (found.hands_left_out, found.hands_beyond) == (2, 0)
    summary, said = Summary(seconds=1.0, gives_keypoints=True), []
    row = image_row(found, [HandRow(valid=True, side=hand.side, score=0.9) for hand in found.hands])
    summary.add([FittedBatch(0, [PICTURE.name], [row], 0)])
    report(summary, Path("r.zarr"), None, said.append)
    assert any(line.startswith("2 given hands left out, too unsure") for line in said)


def test_the_surest_take_the_slots_where_all_are_sure(tmp_path, seen):
    content = {"people": [person(seen, 0.5), person(seen, 0.8)]}
    found = detected(tmp_path, content, "detector.max_hands=2")
    assert [hand.score for hand in found.hands] == pytest.approx([0.8, 0.8])
    assert (found.hands_left_out, found.hands_beyond) == (0, 2)


def test_everything_is_kept_where_no_score_is_too_low(tmp_path, seen):
    content = {"people": [person(seen, 0.03), person(seen, 0.8)]}
    assert len(detected(tmp_path, content, "detector.min_score=0").hands) == 4


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.4, 0.6), (3e7, 3e7)])
def test_a_hand_too_unsure_is_left_out_before_its_place_is_judged(tmp_path, seen, place):
    """As mmpose writes a hand that it does not see: somewhere, and with scores near 0."""
    unseen, hand = seen
    nowhere = np.column_stack([np.tile(place, (21, 1)), np.full(21, 0.01)]).ravel().tolist()
    people = [{f"hand_{unseen.side}_keypoints_2d": nowhere, **person([hand], 0.9)}]
    found = detected(tmp_path, {"people": people})
    assert [hand.side for hand in found.hands] == [hand.side]
    np.testing.assert_array_equal(found.hands[0].keypoints, hand.keypoints)
    assert found.hands_left_out == 1
    # Sure enough to be fitted, it is refused.
    assert detected(tmp_path, {"people": people}, "detector.min_score=0").error_code in (
        "keypoints.metres",
        "keypoints.normalised",
        "keypoints.too_far",
    )


def test_keypoints_of_another_resolution_fail_their_image_by_name(tmp_path, seen):
    people = [{"hand_left_keypoints_2d": flat(hand, 0.9, 3000.0)} for hand in seen]
    found = detected(tmp_path, {"people": people})
    assert found.error_code == "keypoints.outside" and found.size is None
    people.append(person(seen[:1], 0.9))
    found = detected(tmp_path, {"people": people})
    assert (len(found.hands), found.hands_left_out) == (1, 2)


def test_keypoints_far_outside_are_said(tmp_path, seen):
    hand = seen[0]
    points = np.array(flat(hand, 0.9)).reshape(21, 3)
    points[8, 0] = -400.0
    content = {"people": [{f"hand_{hand.side}_keypoints_2d": points.ravel().tolist()}]}
    found = detected(tmp_path, content)
    assert len(found.hands) == 1
    row = HandRow(
        valid=True,
        score=0.9,
        keypoints_2d_detected=found.hands[0].keypoints,
        keypoint_confidence=found.hands[0].confidence,
    )
    summary, said = Summary(seconds=1.0, gives_keypoints=True), []
    summary.add([FittedBatch(0, [PICTURE.name], [image_row(found, [row])], 0)])
    assert (summary.far_outside.count, summary.far_outside.pixels) == (1, 400.0)
    report(summary, Path("r.zarr"), None, said.append)
    assert any("far outside 1 image, by 400 pixels in two_hands.jpg" in line for line in said)
    near = Summary(gives_keypoints=False)
    near.add([FittedBatch(0, [PICTURE.name], [image_row(found, [row])], 0)])
    assert near.far_outside.count == 0


def test_the_detector_tells_which_hand_it_is_where_nobody_does(tmp_path, seen):
    """As of mmpose's hand models: 21 keypoints and no side."""
    content = [
        {"keypoints": hand.keypoints.tolist(), "keypoint_scores": [0.9] * 21} for hand in seen
    ]
    found = detected(tmp_path, content)
    assert [hand.side for hand in found.hands] == [hand.side for hand in seen]
    assert all(hand.side_score > 0.5 for hand in found.hands)
    for hand, other in zip(found.hands, seen, strict=True):
        np.testing.assert_array_equal(hand.keypoints, other.keypoints)


def test_a_hand_that_the_detector_does_not_see_has_no_side(tmp_path, seen):
    corner = (np.indices((7, 3)).reshape(2, 21).T * 3.0 + 10).tolist()
    found = detected(tmp_path, [{"keypoints": corner, "keypoint_scores": [0.9] * 21}])
    assert found.error_code == "keypoints.untold_side"


def test_mediapipe_is_read_with_the_size_of_its_picture(tmp_path, seen):
    width, height = read_image(PICTURE).shape[1::-1]
    content = {
        "handedness": [
            # MediaPipe's Tasks name the true hand.
            [{"category_name": hand.side.capitalize(), "score": 0.97}]
            for hand in seen
        ],
        "hand_landmarks": [
            [
                {"x": (u - 0.5) / width, "y": (v - 0.5) / height, "z": 0.0}
                for u, v in hand.keypoints.tolist()
            ]
            for hand in seen
        ],
    }
    found = detected(tmp_path, content)
    assert [hand.side for hand in found.hands] == [hand.side for hand in seen]
    for hand, other in zip(found.hands, seen, strict=True):
        np.testing.assert_allclose(hand.keypoints, other.keypoints, atol=1e-9)
