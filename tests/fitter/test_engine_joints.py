"""The engine from detected hands to rows, with a hand that has NIMBLE's joints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.config.options import Config
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.hand_models.hand_size import HandSize
from fitter.meshes import HandMeshes
from fitter.metrics import pa_mpjpe
from fitter.records import HandCrop, HandObservation
from tests.support.jointed_hands import jointed_hand
from tests.support.refine_scenes import camera, scene_model, true_hands, view_of

SIDE = 128


@pytest.fixture(scope="module")
def engine():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HandMeshes, "of", lambda *_: HandMeshes(jointed_hand()))
        return Engine(
            Config.model_validate(
                {"init": {"source": "keypoints"}, "output": {"save_vertices": True}}
            )
        )


def test_hands_of_both_sides_become_rows(engine) -> None:
    """The right hand as it is, the left one its mirror image; each with its crop and its mask."""
    scenes = scene_model(hand=jointed_hand())
    truth = true_hands(scenes, 1)
    view = view_of(scenes, truth, SIDE)
    K = camera(1, SIDE)[0].numpy()
    right_points = jointed_hand()(truth).keypoints
    pixels = project(right_points, torch.as_tensor(K)[None])[0].numpy()
    image = np.round(255 * view.image[0].numpy().clip(0, 1)).astype(np.uint8)
    mask = np.round(255 * view.mask[0].numpy()).astype(np.uint8)
    # Crops are those of right hands whatever the side.
    crop = HandCrop(image, None, mask, K, pixels, np.full(21, 0.9), np.empty((0, 21, 2)))
    points = {"right": right_points[0].numpy(), "left": right_points[0].numpy() * [-1, 1, 1]}
    images = []
    for side, own in points.items():
        seen = pixels if side == "right" else np.stack([SIDE - pixels[:, 0], pixels[:, 1]], 1)
        hand = HandObservation(
            seen, np.full(21, 0.9), side, 0.95, 0.9, relative_xyz=own - own[:1], presence=0.97
        )
        images.append(DetectedImage((SIDE, SIDE), K, "given", (hand,), (crop,)))
    rows = [row.hands[0] for row in engine.fit(images)]
    for row, side in zip(rows, points, strict=True):
        assert row.valid and row.side == side and row.fit_error is None
        assert row.hand_pose.shape == (19, 3) and row.joints_3d.shape == (25, 3)
        assert row.betas.shape == (20,) and row.mask_source == "given" and row.mask_iou > 0.9
        assert 1000 * pa_mpjpe(row.keypoints_3d[None], points[side][None]) < 8
        betas = torch.as_tensor(row.betas)[None].double()
        size = HandSize.of(jointed_hand().keypoint_model())(betas)
        assert row.hand_size == pytest.approx(float(size), rel=1e-5)
        # What is stored poses the mesh and the keypoints again.
        vertices = engine.meshes.vertices(row)
        np.testing.assert_allclose(row.vertices, vertices, atol=1e-6)
        again = jointed_hand().data.keypoint_regressor @ vertices
        np.testing.assert_allclose(row.keypoints_3d, again, atol=1e-6)
    left, right = rows[1], rows[0]
    np.testing.assert_allclose(left.betas, right.betas, atol=2e-2)
