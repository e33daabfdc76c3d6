"""The engine from frames to rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from views_data import frames_of, ring, seen

from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.errors import sentence
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.records import HandObservation
from fitter.rig import Rig, RigCamera
from fitter.rotations import roma
from fitter.store.frame_schema import ViewHandRow

KEYPOINTS_ALONE = ["refine.stages={}", "init.source=keypoints"]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_config(None, KEYPOINTS_ALONE))


@pytest.fixture
def frames(sampled, rng) -> list[DetectedFrame]:
    return frames_of(sampled, [ring(rng, 3) for _ in sampled.sides], 1.0, rng)


def test_frames_become_rows_in_the_frame_of_the_rig(engine, sampled, frames) -> None:
    rows = engine.fit_frames(frames)
    for k, (row, frame) in enumerate(zip(rows, frames, strict=True)):
        assert row.frame_status == "ok" and row.hands_beyond == 0
        (hand,) = row.hands
        assert hand.valid and hand.side == sampled.sides[k]
        assert np.linalg.norm(hand.joints_3d - sampled.joints[k], axis=1).mean() < 3e-3
        assert hand.box is None and hand.keypoints_2d is None and hand.detection_score is None
        assert hand.detector_relative_depth is None
        for view, camera, image in zip(row.views, frame.rig.cameras, frame.views, strict=True):
            assert view.view_status == "ok" and view.view_hands_beyond == 0
            (saw,) = view.hands
            assert saw.view_weight == 1
            # In the definition of the detector's, which keypoints_3d are unless told otherwise.
            expected = seen(camera, hand.keypoints_3d)
            np.testing.assert_allclose(saw.keypoints_2d, expected, atol=0.01)
            np.testing.assert_array_equal(saw.keypoints_2d_detected, image.hands[0].keypoints)
            assert saw.residual_px < 3 and saw.keypoint_visibility.shape == (21,)


FLIP = np.array([-1.0, 1, 1])


def mirrored_hand(hand: HandObservation) -> HandObservation:
    keypoints = np.stack([640 - hand.keypoints[:, 0], hand.keypoints[:, 1]], 1)
    return replace(hand, keypoints=keypoints, side="left" if hand.side == "right" else "right")


def mirrored_camera(camera: RigCamera) -> RigCamera:
    K = camera.intrinsics.copy()
    K[0, 2] = 640 - K[0, 2]
    rotation = FLIP[:, None] * camera.rotation * FLIP
    return RigCamera(camera.name, K, rotation, FLIP * camera.translation)


def mirrored_frame(frame: DetectedFrame) -> DetectedFrame:
    cameras = tuple(map(mirrored_camera, frame.rig.cameras))
    views = [
        replace(view, intrinsics=camera.intrinsics, hands=tuple(map(mirrored_hand, view.hands)))
        for view, camera in zip(frame.views, cameras, strict=True)
        if view is not None
    ]
    return DetectedFrame(Rig(cameras), tuple(views))


def test_the_mirrored_frame_gives_the_mirrored_hand(engine, frames) -> None:
    twins = [mirrored_frame(frame) for frame in frames]
    for one, other in zip(engine.fit_frames(frames), engine.fit_frames(twins), strict=True):
        expected = one.hands[0].joints_3d * FLIP
        np.testing.assert_allclose(other.hands[0].joints_3d, expected, atol=2e-6)
        assert other.hands[0].side != one.hands[0].side


def test_one_view_in_the_frame_of_its_camera_is_the_fit_of_an_image(engine, frames) -> None:
    """The same hand to a hundredth of a millimetre, and the same judgement of it."""
    images = [frame.views[0] for frame in frames]
    cameras = [frame.rig.cameras[0] for frame in frames]
    own = [replace(camera, rotation=np.eye(3), translation=np.zeros(3)) for camera in cameras]
    alone = [
        DetectedFrame(Rig((camera,)), (image,)) for camera, image in zip(own, images, strict=True)
    ]
    for row, image in zip(engine.fit_frames(alone), engine.fit(images), strict=True):
        np.testing.assert_allclose(row.hands[0].joints_3d, image.hands[0].joints_3d, atol=1e-5)
        assert row.hands[0].score == pytest.approx(image.hands[0].score, abs=1e-3)
        view, hand = row.views[0].hands[0], image.hands[0]
        np.testing.assert_allclose(view.keypoints_2d, hand.keypoints_2d, atol=0.02)
        assert view.detection_score == hand.detection_score


def test_views_without_image_hand_or_use(engine, frames) -> None:
    first, second, third = frames[0].views
    empty = replace(second, hands=())
    broken = replace(third.hands[0], keypoints=np.full((21, 2), np.nan))
    failed = DetectedImage(error="cannot be read")
    rig = frames[0].rig
    rows = engine.fit_frames(
        [
            DetectedFrame(rig, (first, None, third)),
            DetectedFrame(rig, (empty, empty, None)),
            DetectedFrame(rig, (None, failed, None)),
            DetectedFrame(rig, (None, None, None)),
            DetectedFrame(rig, (first, second, replace(third, hands=(broken,)))),
        ]
    )
    assert [row.frame_status for row in rows] == ["ok", "no_hand", "failed", "failed", "ok"]
    assert [view.view_status for view in rows[0].views] == ["ok", "missing", "ok"]
    assert rows[0].views[1].hands == (ViewHandRow(view_weight=0.0),)
    assert rows[0].hands[0].valid
    assert [view.view_status for view in rows[1].views] == ["no_hand", "no_hand", "missing"]
    assert rows[2].frame_error == f"{rig.cameras[1].name}: cannot be read"
    assert rows[3].frame_error == sentence("fit.no_view", {})
    good, alone = rows[4].hands
    assert good.valid and alone.fit_status == "diverged" and "finite" in alone.fit_error
    assert [view.hands[1].view_weight for view in rows[4].views] == [0, 0, 0]


def test_hands_beyond_the_slots_are_counted(sampled, rng) -> None:
    engine = Engine(load_config(None, [*KEYPOINTS_ALONE, "detector.max_hands=1"]))
    rig = ring(rng, 3)
    both = [sampled.keypoints[k] + np.array([x, 0, 0]) for k, x in ((0, -0.08), (1, 0.08))]
    views = []
    for camera in rig.cameras:
        hands = [
            HandObservation(seen(camera, points), np.ones(21), "right", 0.9, 0.9 - 0.1 * k)
            for k, points in enumerate(both)
        ]
        views.append(DetectedImage((640, 480), camera.intrinsics, "given", tuple(hands)))
    (row,) = engine.fit_frames([DetectedFrame(rig, tuple(views))])
    assert len(row.hands) == 1 and row.hands_beyond == 1
    assert [view.view_hands_beyond for view in row.views] == [1, 1, 1]


def test_the_other_frames_of_a_call_do_not_matter(engine, frames) -> None:
    whole = engine.fit_frames(frames)
    for k in (0, 4):
        (alone,) = engine.fit_frames(frames[k : k + 1])
        np.testing.assert_allclose(alone.hands[0].joints_3d, whole[k].hands[0].joints_3d, atol=1e-6)


def moved_camera(camera: RigCamera, turn: np.ndarray, away: np.ndarray) -> RigCamera:
    """The camera in a rig whose points are ``turn x + away`` of those before."""
    rotation = camera.rotation @ turn.T
    return replace(camera, rotation=rotation, translation=camera.translation - rotation @ away)


def test_the_frame_of_the_rig_may_be_any(engine, frames) -> None:
    turn = roma.rotvec_to_rotmat(torch.tensor([0.4, 2.0, -0.7]).double()).numpy()
    away = np.array([3.0, -1.0, 2.0])
    twins = [
        replace(f, rig=Rig(tuple(moved_camera(c, turn, away) for c in f.rig.cameras)))
        for f in frames
    ]
    for one, other in zip(engine.fit_frames(frames), engine.fit_frames(twins), strict=True):
        expected = one.hands[0].joints_3d @ turn.T + away
        np.testing.assert_allclose(other.hands[0].joints_3d, expected, atol=2e-5)


def test_cameras_may_differ_in_focal_length_and_size(engine, sampled, frames) -> None:
    """One camera at half the resolution of the others: the same fit."""
    half = np.diag([0.5, 0.5, 1.0])
    smaller = []
    for frame in frames:
        camera, image = frame.rig.cameras[1], frame.views[1]
        K = half @ camera.intrinsics
        hand = replace(image.hands[0], keypoints=0.5 * image.hands[0].keypoints)
        view = replace(image, size=(320, 240), intrinsics=K, hands=(hand,))
        rig = Rig((frame.rig.cameras[0], replace(camera, intrinsics=K), frame.rig.cameras[2]))
        smaller.append(DetectedFrame(rig, (frame.views[0], view, frame.views[2])))
    for one, other in zip(engine.fit_frames(frames), engine.fit_frames(smaller), strict=True):
        np.testing.assert_allclose(other.hands[0].joints_3d, one.hands[0].joints_3d, atol=1e-5)


def shifted(frame: DetectedFrame, pixels: float) -> DetectedFrame:
    """The frame with the keypoints of its first view beside their place."""
    hand = frame.views[0].hands[0]
    moved = replace(hand, keypoints=hand.keypoints + [pixels, 0])
    return replace(frame, views=(replace(frame.views[0], hands=(moved,)), *frame.views[1:]))


def test_weights_of_neighbours_do_not_matter(engine, frames) -> None:
    """Frames whose first view is off by something else each; one stays as it is."""
    given = [shifted(f, x) for f, x in zip(frames, (0, 14, 40, 0, 25, 11), strict=True)]
    whole = engine.fit_frames(given)
    seen = [[view.hands[0].view_weight for view in row.views] for row in whole]
    assert seen[0] == [1, 1, 1] and min(min(weights) for weights in seen) < 0.1
    for k, frame in enumerate(given):
        (alone,) = engine.fit_frames([frame])
        own = [view.hands[0].view_weight for view in alone.views]
        np.testing.assert_allclose(own, seen[k], atol=1e-4)
        np.testing.assert_allclose(alone.hands[0].joints_3d, whole[k].hands[0].joints_3d, atol=1e-5)


def test_a_hand_that_a_view_did_not_find_hides_what_is_behind_it(engine, sampled, rng) -> None:
    """Two hands, one 8 cm before the other in the first view, which has found the far one only."""
    rig = ring(rng, 3)
    toward = rig.cameras[0].centre / np.linalg.norm(rig.cameras[0].centre)
    side = sampled.sides[0]
    points = [sampled.keypoints[0] - 0.04 * toward, sampled.keypoints[0] + 0.04 * toward]
    views = []
    for camera in rig.cameras:
        hands = [
            HandObservation(seen(camera, each), np.ones(21), side, 0.99, 0.9 - 0.1 * k)
            for k, each in enumerate(points)
        ]
        views.append(DetectedImage((640, 480), camera.intrinsics, "given", tuple(hands)))
    one = replace(views[0], hands=views[0].hands[:1])
    found = {}
    for name, first in (("both", views[0]), ("one", one)):
        (row,) = engine.fit_frames([DetectedFrame(rig, (first, *views[1:]))])
        apart = [np.linalg.norm(h.keypoints_3d - points[0], axis=1).mean() for h in row.hands]
        far = int(np.argmin(apart))
        assert len(row.hands) == 2 and apart[far] < 0.01
        found[name] = row.views[0].hands[far].keypoint_visibility
    assert found["one"].mean() < 0.5
    np.testing.assert_allclose(found["one"], found["both"], atol=0.2)
