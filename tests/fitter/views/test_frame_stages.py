"""The engine from frames to rows, with the stages that look at masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.records import HandCrop, HandObservation
from fitter.rig import Rig, RigCamera
from fitter.store.frame_schema import FrameRow
from fitter.views.rows import RigRows, RootJoint
from tests.support.refine_scenes import camera, scene_model, true_hands, view_of

SIDE = 128
STAGE = (
    "{refine: {free: [global_orient, pose, shape, camera], solver: lm, iterations: 8, energies: "
)
STAGES = STAGE + "{keypoints: 2.0, silhouette_l2: 1000.0, pose_prior: 0.13, shape_prior: 0.2}}}"


@pytest.fixture(scope="module")
def engine() -> Engine:
    options = ["init.source=keypoints", "refine.segmentation=none", "refine.snap_masks=false"]
    return Engine(load_config(None, [*options, f"refine.stages={STAGES}"]))


@pytest.fixture(scope="module")
def scene() -> tuple[DetectedFrame, np.ndarray]:
    """A hand whose crops are its images, with masks of its own, before three cameras; and its true
    joints."""
    model = scene_model()
    truth = true_hands(model, 1, seed=2)
    middle, root = np.array([0.0, 0.0, 0.5]), RootJoint.of(model.fit.keypoints)
    views, cameras = [], []
    for k, angle in enumerate((0.0, 0.8, -0.7)):
        c, s = np.cos(angle), np.sin(angle)
        rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        K = camera(1, SIDE)[0].numpy()
        own = RigCamera(f"c{k}", K, rotation, middle - rotation @ middle, size=(SIDE, SIDE))
        views.append(_image(model, truth, own, root))
        cameras.append(own)
    joints = model.hand(truth.to(torch.float32)).joints[0].numpy()
    return DetectedFrame(Rig(tuple(cameras)), tuple(views)), joints


def _image(model, truth, own: RigCamera, root: RootJoint) -> DetectedImage:
    rows = RigRows(
        torch.zeros(1, dtype=torch.int64),
        torch.as_tensor(own.rotation)[None],
        torch.as_tensor(own.translation)[None],
        torch.ones(1).double(),
        1,
    )
    seen = rows.in_views(truth, root)
    view = view_of(model, seen, SIDE)
    points = model.hand(seen.to(torch.float32)).keypoints
    pixels = project(points, torch.as_tensor(own.intrinsics)[None].float())[0].double().numpy()
    image, mask = (
        np.round(255 * each[0].numpy().clip(0, 1)).astype(np.uint8)
        for each in (view.image, view.mask)
    )
    crop = HandCrop(
        image, None, mask, own.intrinsics, pixels, np.full(21, 0.9), np.empty((0, 21, 2))
    )
    hand = HandObservation(pixels, np.full(21, 0.9), "right", 0.95, 0.9)
    return DetectedImage((SIDE, SIDE), own.intrinsics, "given", (hand,), (crop,))


def only(engine: Engine, frame: DetectedFrame) -> FrameRow:
    (row,) = engine.fit_frames([frame])
    return row


def test_masks_of_all_views_shape_the_hand_and_stand_with_their_views(engine, scene) -> None:
    frame, joints = scene
    row = only(engine, frame)
    (hand,) = row.hands
    assert hand.valid and hand.refine_status is not None and hand.refine_iterations > 0
    assert hand.mask_source is None and hand.mask_iou is None
    for view in row.views:
        assert view.hands[0].mask_source == "given" and view.hands[0].mask_iou > 0.93
    assert np.linalg.norm(hand.joints_3d - joints, axis=1).mean() < 2e-3


def test_a_mask_that_contradicts_its_view_is_rejected_alone(engine, scene) -> None:
    frame, joints = scene
    crop = frame.views[1].crops[0]
    other = np.zeros_like(crop.given)
    other[:30, :40] = 255
    spoilt = replace(frame.views[1], crops=(replace(crop, given=other),))
    row = only(engine, replace(frame, views=(frame.views[0], spoilt, frame.views[2])))
    said = [view.hands[0].mask_source for view in row.views]
    assert said == ["given", "rejected", "given"]
    assert np.linalg.norm(row.hands[0].joints_3d - joints, axis=1).mean() < 3e-3


def test_a_view_without_a_crop_takes_part_with_its_keypoints(engine, scene) -> None:
    frame, _ = scene
    bare = replace(frame.views[2], crops=(None,))
    row = only(engine, replace(frame, views=(*frame.views[:2], bare)))
    saw, whole = row.views[2].hands[0], only(engine, frame).views[2].hands[0]
    assert saw.mask_source is None and saw.view_weight == 1
    # It sees the hand as the other views refined it.
    np.testing.assert_allclose(saw.keypoints_2d, whole.keypoints_2d, atol=1.0)


def test_a_crop_taken_for_the_other_side_is_its_mirror_image(scene) -> None:
    frame, _ = scene
    crop = frame.views[0].crops[0]
    twin = crop.mirrored()
    np.testing.assert_array_equal(twin.pixels, crop.pixels[:, ::-1])
    np.testing.assert_array_equal(twin.given, crop.given[:, ::-1])
    points = np.array([[0.1, 0.05, 0.5]])

    def seen(K: np.ndarray, x: np.ndarray) -> np.ndarray:
        image = x @ K.T
        return image[:, :2] / image[:, 2:]

    mirrored = seen(twin.intrinsics, points * [-1, 1, 1])
    expected = seen(crop.intrinsics, points)
    np.testing.assert_allclose(mirrored, [[SIDE - expected[0, 0], expected[0, 1]]])
    again = twin.mirrored()
    np.testing.assert_array_equal(again.pixels, crop.pixels)
    np.testing.assert_allclose(again.keypoints, crop.keypoints)
