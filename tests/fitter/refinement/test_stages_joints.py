"""The stages with a hand that has NIMBLE's joints."""

from __future__ import annotations

import pytest
import torch

from fitter.config.stages import DEFAULT_STAGES, StageConfig
from fitter.refinement.scene import SceneModel
from fitter.refinement.stages import run_stages
from fitter.solvers import Status
from tests.support.jointed_hands import jointed_hand
from tests.support.refine_scenes import iou, perturbed, scene_model, task_of, true_hands, view_of

CONTOUR = DEFAULT_STAGES["contour"]
DESCENT = StageConfig(
    solver="adam",
    iterations=12,
    free=["global_orient", "pose", "shape", "camera"],
    learning_rate=0.01,
    energies={"keypoints": 1.0, "silhouette_l2": 0.003, "pose_l2": 1e-3, "pose_prior": 1e-4},
)


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model(hand=jointed_hand())


@pytest.mark.parametrize("stage", [CONTOUR, DESCENT], ids=["lm", "adam"])
def test_a_stage_moves_hands_onto_their_outlines(model, stage) -> None:
    truth = true_hands(model, 3)
    task, begun = task_of(model, view_of(model, truth)), perturbed(truth)
    before = iou(model, model.start(begun), task.view)
    result = run_stages(task, begun, {"only": stage})
    after = iou(model, result.params, task.view)
    assert (result.status != int(Status.DIVERGED)).all()
    assert result.params.hand_pose.shape == (3, 19, 3)
    assert (after > before + (0.05 if stage is CONTOUR else 0.01)).all()
    if stage is CONTOUR:
        assert after.min() > 0.9
    # The metacarpals take part.
    rows = list(model.hand.skeleton.metacarpal_rows)
    moved = result.params.hand_pose[:, rows] - begun.hand_pose[:, rows].to(torch.float32)
    assert (moved.abs().amax((1, 2)) > 1e-4).all()
