"""What is fitted of right hands becomes rows of left and right ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.fitted_hands import FittedHands, RefinedHands, refused_below
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.hand_models import load_hand_model
from fitter.quality.judge import Judgement
from fitter.records import HandObservation
from fitter.refinement.refiner import Refined
from fitter.refinement.scene import SceneModel
from fitter.solvers.status import Status
from tests.support.refine_scenes import camera, scene_model, true_hands

IS_LEFT = torch.tensor([True, False, True])
JUDGED = Judgement(
    visibility=np.full((3, 21), 0.5, np.float32),
    error_mm=np.array([5.0, 8.0, 12.0]),
    probability=np.array([0.75, 0.5, 0.25]),
    presence=np.array([0.9, 0.9, 0.9]),
)


@pytest.fixture(scope="module")
def scenes() -> SceneModel:
    return scene_model()


@pytest.fixture(scope="module")
def fit(scenes) -> KeypointFit:
    zero = torch.zeros(3, dtype=torch.int64)
    status = torch.tensor([int(Status.CONVERGED), int(Status.STALLED), int(Status.MAX_ITERATIONS)])
    initialisation = torch.tensor([0, 1, -1])
    hands = true_hands(scenes, 3)
    return KeypointFit(hands, zero.double() + 2.5, zero + 7, status, initialisation)


@pytest.fixture(scope="module")
def intrinsics() -> torch.Tensor:
    return camera(3)


def observations(fitted: FittedHands) -> list[HandObservation]:
    sides = ["left" if left else "right" for left in IS_LEFT]
    return [
        HandObservation(points.numpy() + 1.0, torch.ones(21).numpy(), side, 0.9, 0.8)
        for points, side in zip(fitted.image_keypoints, sides, strict=True)
    ]


def test_left_hands_are_the_mirror_images(scenes, fit, intrinsics) -> None:
    keypoints = scenes.fit.keypoints
    fitted = FittedHands.of(keypoints, fit, None, intrinsics, IS_LEFT)
    right = FittedHands.of(keypoints, fit, None, intrinsics, torch.zeros(3) > 0)
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    for found, wanted in ((fitted.joints, right.joints), (fitted.keypoints, right.keypoints)):
        assert torch.equal(found[IS_LEFT], wanted[IS_LEFT] * flip)
        assert torch.equal(found[1], wanted[1])
    # The stored parameters pose the mirrored model to the stored joints.
    model = load_hand_model("open_hand", "left", torch.float64)
    left = model(fitted.params[IS_LEFT])
    torch.testing.assert_close(left.joints, fitted.joints[IS_LEFT], rtol=0, atol=1e-9)
    torch.testing.assert_close(fitted.image_keypoints, project(fitted.keypoints, intrinsics))


def test_offsets_are_mirrored_with_their_hands(scenes, fit, intrinsics) -> None:
    index = torch.tensor([0, 1])
    scene = scenes.start(fit.params[index].to(torch.float32))
    offsets = torch.randn(scene.offsets.shape, generator=torch.Generator().manual_seed(0))
    scene = replace(scene, offsets=0.01 * offsets)
    result = Refined(scene, torch.tensor([3, 4]), fit.status[index], [None, None],
                     torch.tensor([torch.nan, torch.nan]), None)  # fmt: skip
    refined = RefinedHands(index, result, frozenset({"offsets"}))
    fitted = FittedHands.of(scenes.fit.keypoints, fit, refined, intrinsics, IS_LEFT)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(fitted.offsets, torch.stack([scene.offsets[0] * flip, scene.offsets[1]]))
    rows = fitted.rows(observations(fitted), ["keypoints", "lifter"], JUDGED)
    assert [row.vertex_offsets is None for row in rows] == [False, False, True]
    assert [row.refine_iterations for row in rows] == [3, 4, None]
    assert rows[0].refine_status == "converged" and rows[0].mask_source is None


def test_rows_say_what_became_of_each_hand(scenes, fit, intrinsics) -> None:
    diverged = replace(fit, status=fit.status.index_fill(0, torch.tensor([1]), Status.DIVERGED))
    fitted = FittedHands.of(scenes.fit.keypoints, diverged, None, intrinsics, IS_LEFT)
    rows = fitted.rows(observations(fitted), ["keypoints", "lifter"], JUDGED)
    assert [row.valid for row in rows] == [True, False, True]
    assert [row.side for row in rows] == ["left", "right", "left"]
    assert [row.fit_status for row in rows] == ["converged", "diverged", "max_iterations"]
    assert [row.initialisation_source for row in rows] == ["keypoints", "lifter", None]
    assert rows[1].keypoints_3d is None and "no hand" in rows[1].fit_error
    assert rows[0].residual_px == pytest.approx(2**0.5, rel=1e-5)
    assert rows[0].iterations == 7 and rows[0].final_cost == 2.5
    assert [row.score for row in rows] == [0.75, None, 0.25]
    assert [row.predicted_error_mm for row in rows] == [5.0, None, 12.0]
    assert rows[0].keypoint_visibility.shape == (21,) and rows[1].keypoint_visibility is None
    assert [row.has_failed for row in rows] == [False, True, False]


def test_hands_below_a_score_are_refused_and_kept(scenes, fit, intrinsics) -> None:
    diverged = replace(fit, status=fit.status.index_fill(0, torch.tensor([1]), Status.DIVERGED))
    fitted = FittedHands.of(scenes.fit.keypoints, diverged, None, intrinsics, IS_LEFT)
    rows = fitted.rows(observations(fitted), ["keypoints", "lifter"], JUDGED)
    kept = [refused_below(row, 0.5) for row in rows]
    assert kept[:2] == rows[:2] and [row.is_refused for row in kept] == [False, False, True]
    assert not kept[2].valid and "0.25" in kept[2].fit_error and "0.5" in kept[2].fit_error
    assert replace(kept[2], valid=True, fit_error=None) == rows[2]
    assert [refused_below(row, 0.25) for row in rows] == rows
