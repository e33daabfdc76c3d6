"""Hands that cameras contradict: fewer show them than should see them and do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from views_data import SampledHands, look_at, seen

import fitter
from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.records import HandObservation
from fitter.rig import Rig
from fitter.store.frame_schema import FrameRow
from tests.support.errors import raises

KEYPOINTS_ALONE = ["refine.stages={}", "init.source=keypoints"]
CENTRES = [[0.0, 0.0, -0.6], [0.5, 0.0, -0.35], [-0.5, 0.1, -0.35], [0.0, 0.55, -0.3]]
SIZE = (640, 480)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_config(None, KEYPOINTS_ALONE))


@pytest.fixture(scope="module")
def keypoints(engine) -> np.ndarray:
    """(21, 3) metres, of a right hand about the origin."""
    sampled = SampledHands.of(engine.fit_model, 8, seed=3)
    return sampled.keypoints[sampled.sides.index("right")]


def found(camera, points: np.ndarray, presence: float | None = 0.99) -> HandObservation:
    return HandObservation(seen(camera, points), np.ones(21), "right", 0.9, 0.9, presence=presence)


def frame_of(
    *hands: tuple[np.ndarray, list[int]], cameras: int = 4, **how: object
) -> DetectedFrame:
    """Hands, each found in the views of these numbers."""
    rig = Rig(tuple(look_at(np.array(c), f"c{k}") for k, c in enumerate(CENTRES[:cameras])))
    views = [
        DetectedImage(
            SIZE, camera.intrinsics, "given",
            tuple(found(camera, points, **how) for points, shown in hands if view in shown),
        )
        for view, camera in enumerate(rig.cameras)
    ]  # fmt: skip
    return DetectedFrame(rig, tuple(views))


def row_of(engine: Engine, frame: DetectedFrame) -> FrameRow:
    (row,) = engine.fit_frames([frame])
    return row


def with_view(frame: DetectedFrame, view: int, image: DetectedImage | None) -> DetectedFrame:
    return replace(frame, views=(*frame.views[:view], image, *frame.views[view + 1 :]))


def test_a_hand_that_one_of_four_cameras_shows_is_refused_with_their_number(engine, keypoints):
    row = row_of(engine, frame_of((keypoints, [0])))
    (hand,) = row.hands
    assert not hand.valid and hand.keypoints_3d is not None and hand.fit_status != "diverged"
    assert "show it (1), found 3" in hand.fit_error
    assert [view.view_status for view in row.views] == ["ok", "no_hand", "no_hand", "no_hand"]


def test_it_is_kept_where_that_is_asked_for(engine, keypoints):
    kept = Engine(load_config(None, [*KEYPOINTS_ALONE, "detector.unconfirmed=keep"]))
    frame = frame_of((keypoints, [0]))
    one, other = row_of(kept, frame).hands[0], row_of(engine, frame).hands[0]
    assert one.valid and not one.fit_error
    np.testing.assert_array_equal(one.joints_3d, other.joints_3d)


@pytest.mark.parametrize(
    ("shown", "valid"),
    [([0, 1, 2, 3], True), ([0, 1, 2], True), ([1, 2], True), ([1], False)],
)
def test_as_many_cameras_that_show_it_as_do_not_are_enough(engine, keypoints, shown, valid):
    assert row_of(engine, frame_of((keypoints, shown))).hands[0].valid == valid


def test_one_camera_against_one_says_nothing(engine, keypoints):
    assert row_of(engine, frame_of((keypoints, [0]), cameras=2)).hands[0].valid
    assert row_of(engine, frame_of((keypoints, [0]), cameras=1)).hands[0].valid


@pytest.mark.parametrize("image", [None, DetectedImage(error="cannot be read")])
def test_cameras_without_an_image_are_not_asked(engine, keypoints, image):
    frame = frame_of((keypoints, [0]))
    for view in (1, 2):
        frame = with_view(frame, view, image)
    assert row_of(engine, frame).hands[0].valid


def test_cameras_whose_slots_are_full_are_not_asked(engine, keypoints):
    frame = frame_of((keypoints, [0]))
    for view in (1, 2):
        frame = with_view(frame, view, replace(frame.views[view], hands_beyond=1))
    assert row_of(engine, frame).hands[0].valid


def test_cameras_at_whose_border_it_lies_are_not_asked(engine, keypoints):
    frame = frame_of((keypoints, [0]))
    cameras = list(frame.rig.cameras)
    for view in (1, 2):  # turned until the hand leaves the image to the side
        K = cameras[view].intrinsics.copy()
        K[0, 2] += 300
        cameras[view] = replace(cameras[view], intrinsics=K)
        frame = with_view(frame, view, replace(frame.views[view], intrinsics=K))
    assert row_of(engine, replace(frame, rig=Rig(tuple(cameras)))).hands[0].valid


def test_cameras_behind_which_it_lies_are_not_asked(engine, keypoints):
    frame = frame_of((keypoints, [0]))
    cameras = list(frame.rig.cameras)
    turned = np.diag([-1.0, 1.0, -1.0])
    for view in (1, 2):
        own = cameras[view]
        cameras[view] = replace(
            own, rotation=turned @ own.rotation, translation=turned @ own.translation
        )
    assert row_of(engine, replace(frame, rig=Rig(tuple(cameras)))).hands[0].valid


def test_cameras_that_see_it_much_smaller_are_not_asked(engine, keypoints):
    frame = frame_of((keypoints, [0]))
    cameras = list(frame.rig.cameras)
    for view in (1, 2):
        cameras[view] = look_at(4 * np.array(CENTRES[view]), f"c{view}")
    assert row_of(engine, replace(frame, rig=Rig(tuple(cameras)))).hands[0].valid


def test_a_hand_behind_another_may_be_missed(engine, keypoints):
    """One lies between the far side's camera and a hand that only the others show."""
    frame = frame_of((keypoints, [1]), cameras=3)
    alone = row_of(engine, frame).hands[0]
    assert not alone.valid
    both = frame
    for view in (0, 2):
        camera = frame.rig.cameras[view]
        nearer = 0.75 * keypoints + 0.25 * camera.centre  # the same in its image, and in front
        image = DetectedImage(SIZE, camera.intrinsics, "given", (found(camera, nearer),))
        both = with_view(both, view, image)
    rows = row_of(engine, both)
    (hidden,) = [k for k, saw in enumerate(rows.views[1].hands) if saw.view_weight == 1]
    assert rows.hands[hidden].valid


def test_hands_of_nobody_who_tells_their_presence_stay(engine, keypoints):
    assert row_of(engine, frame_of((keypoints, [0]), presence=None)).hands[0].valid


@pytest.mark.parametrize(("shown", "valid"), [([0], False), ([0, 2], True)])
def test_hands_of_fewer_cameras_than_are_asked_for_are_refused(engine, keypoints, shown, valid):
    options = ["detector.unconfirmed=keep", "detector.least_views=2"]
    asked = Engine(load_config(None, [*KEYPOINTS_ALONE, *options]))
    frame = frame_of((keypoints, shown), cameras=3)
    (hand,), (other,) = row_of(asked, frame).hands, row_of(engine, frame).hands
    reason = "expected at least 2 cameras that show it (detector.least_views), found 1"
    assert hand.valid == valid and hand.score == other.score
    assert (hand.fit_error or "") == ("" if valid else reason)


@pytest.mark.parametrize(("cameras", "least"), [(1, 2), (2, 3), (2, 2), (1, 1)])
def test_more_cameras_than_there_are_are_not_asked_for(cameras, least):
    """No hand could be valid; nothing is looked at before that is said."""
    config = load_config(None, [*KEYPOINTS_ALONE, f"detector.least_views={least}"])
    rig = Rig(tuple(look_at(np.array(c), f"c{k}") for k, c in enumerate(CENTRES[:cameras])))
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)

    def fit() -> None:
        if cameras == 1:
            fitter.fit(image, config=config)
        fitter.fit_views({camera.name: image for camera in rig.cameras}, rig, config=config)

    if least > cameras:
        with raises(
            "views.few_cameras", file="detector.least_views", expected=cameras, found=least
        ):
            fit()
    else:
        fit()
