"""Parameters that keypoints lead to, where an annotation has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fitter.hand_models import KeypointDefinition, load_hand_model
from fitter.metrics import pa_mpjpe
from init_net.posing import regressed_keypoints
from init_net.records import RegressedHands
from init_net.samples.crop_samples import CropSamples
from init_net.samples.fitted import with_fitted
from tests.support.loss_cases import randn, turns

B = 4


@pytest.fixture(scope="module")
def models():
    model = load_hand_model(dtype=torch.float64, children=True)
    return model.keypoint_model(), KeypointDefinition.of(model, "mano").reduced


def crops(models, is_marks: torch.Tensor) -> CropSamples:
    """Hands of which the keypoints are known, in the definition that each has."""
    rotations = turns(1, 0.3)[1]
    betas = torch.cat([0.5 * randn(B, 10, seed=2), torch.zeros(B, 1).double()], 1)
    hands = RegressedHands(rotations, betas, torch.ones(B, 3).double())
    marked, jointed = (regressed_keypoints(model, hands) for model in models)
    unknown = torch.full_like(rotations, torch.nan)
    nothing = torch.zeros(B, 0)
    return CropSamples(
        image=nothing, keypoints=nothing, confidence=nothing, mask=nothing, positions=nothing,
        points=torch.where(is_marks[:, None, None], marked, jointed),
        rotations=unknown, betas=torch.full_like(betas, torch.nan), camera=nothing,
        focal=nothing, projection=nothing, wrist=nothing, has_mask=nothing, is_marks=is_marks,
        weight=nothing, keypoint_weight=nothing,
    )  # fmt: skip


@pytest.fixture
def unposed(models) -> CropSamples:
    return crops(models, torch.tensor([True, False, True, False]))


def test_they_pose_the_hand_where_its_keypoints_are(models, unposed):
    found = with_fitted(unposed, torch.ones(B, dtype=torch.bool))
    hands = RegressedHands(found.rotations, found.betas, torch.ones(B, 3).double())
    for row, is_marks in enumerate(unposed.is_marks.tolist()):
        posed = regressed_keypoints(models[0 if is_marks else 1], hands)[row]
        assert 1000 * pa_mpjpe(posed[None].numpy(), unposed.points[row][None].numpy()) < 3.0
        # In the same frame: not aligned, but for the wrist.
        assert 1000 * (posed - unposed.points[row]).norm(dim=1).mean() < 6.0


def test_only_those_that_are_asked_for_and_known_by_their_keypoints(unposed):
    points = unposed.points.clone()
    points[2, 5] = torch.nan
    asked = torch.tensor([True, False, True, True])
    found = with_fitted(replace(unposed, points=points), asked)
    known = found.rotations.isfinite().flatten(1).all(1)
    assert known.tolist() == [True, False, False, True]
    assert found.betas.isfinite().all(1).tolist() == known.tolist()


def test_parameters_that_are_known_stay(unposed):
    rotations = turns(5)[1]
    betas = randn(B, 11, seed=6)
    told = replace(unposed, rotations=rotations, betas=betas)
    found = with_fitted(told, torch.ones(B, dtype=torch.bool))
    assert torch.equal(found.rotations, rotations) and torch.equal(found.betas, betas)
