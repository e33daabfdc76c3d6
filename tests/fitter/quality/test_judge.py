"""The judge: visibility by every cause, and a score that falls with the error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.fitting.initializer import Predictions
from fitter.hand_models import load_hand_model
from fitter.masks.hand_mask import HandMask
from fitter.quality.judge import HandJudge
from fitter.quality.unfitted import UNFITTED_ERROR
from fitter.quality.visibility import combined
from fitter.refinement.scene import SceneModel
from tests.support.judged_hands import SIDE, judged_hands
from tests.support.refine_scenes import perturbed, scene_model, true_hands


@pytest.fixture(scope="module")
def scenes() -> SceneModel:
    return scene_model()


@pytest.fixture(scope="module")
def judge(scenes) -> HandJudge:
    return HandJudge(load_hand_model("open_hand", dtype=torch.float64), scenes.fit)


def test_worse_fits_are_expected_to_be_worse(judge, scenes) -> None:
    truth = true_hands(scenes, 8)
    good = judge(judged_hands(scenes, 8))
    bad = judge(judged_hands(scenes, 8, perturbed(truth, size=4.0)))
    assert np.median(bad.error_mm) > np.median(good.error_mm)
    assert np.median(bad.probability) < np.median(good.probability) - 0.2


def test_hands_that_nothing_was_fitted_to_are_judged_by_what_they_miss(judge, scenes) -> None:
    """As where `fit.max_iterations` is 0: the worse, the lower."""
    judged = judged_hands(scenes, 6)
    still = replace(judged.fit, iterations=torch.zeros_like(judged.fit.iterations))
    step = torch.arange(6.0).double()[:, None, None] * torch.tensor([4.0, -3.0]).double()
    found = judge(replace(judged, fit=still, image_keypoints=judged.image_keypoints + step))
    sizes = np.array([np.ptp(hand.keypoints, axis=0).max() for hand in judged.observed])
    expected = UNFITTED_ERROR.error_mm(5 * np.arange(6) / sizes)
    np.testing.assert_allclose(found.error_mm, expected, rtol=1e-6)
    assert (found.probability <= found.presence).all()
    assert found.probability[5] < 0.5 < judge(judged).probability[5]


def test_hands_that_were_not_fitted_have_no_score(judge, scenes) -> None:
    judged = judged_hands(scenes, 3)
    lost = judged.right.map(lambda tensor: tensor.index_fill(0, torch.tensor([1]), torch.nan))
    found, whole = judge(replace(judged, right=lost)), judge(judged)
    for name, values in vars(found).items():
        assert np.isnan(values[1]).all(), name
        np.testing.assert_allclose(values[[0, 2]], vars(whole)[name][[0, 2]], atol=1e-6)


def test_keypoints_outside_the_image_are_not_seen(judge, scenes) -> None:
    judged = judged_hands(scenes, 2)
    shifted = replace(judged, image_keypoints=judged.image_keypoints - 1e4)
    assert (judge.visibility(shifted)[0] <= 0.01).all()
    assert judge.visibility(judged).max() > 0.9


def test_a_mask_hides_the_keypoints_that_it_denies(judge, scenes) -> None:
    judged = judged_hands(scenes, 2)
    nothing, sure = np.zeros((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)
    denied = HandMask(nothing, sure, "given", 0.9)
    found = judge.visibility(replace(judged, masks={1: denied}))
    plain = judge.visibility(judged)
    torch.testing.assert_close(found[0], plain[0])
    assert (found[1] <= 0.01).all()
    rejected = judge.visibility(replace(judged, masks={1: denied.rejected()}))
    torch.testing.assert_close(rejected, plain)


def test_a_network_has_its_say(judge, scenes) -> None:
    judged = judged_hands(scenes, 2)
    (said,) = judged.predictions.initialisations.values()
    assert said.visible.isnan().all()  # this one says nothing of it
    sees = replace(said, visibility=torch.full((2, 21), 0.3, dtype=torch.float64))
    asked = replace(judged, predictions=Predictions({"lifter": sees}, [None] * 2))
    found, plain = judge.visibility(asked), judge.visibility(judged)
    torch.testing.assert_close(found, combined(plain, sees.visible))


def test_the_mesh_alone_says_what_hides_itself(judge, scenes) -> None:
    judged = judged_hands(scenes, 3)
    nobody = Predictions({}, [None] * 3)
    found = judge.seen_by_mesh(judged.right, judged.hands, nobody)
    torch.testing.assert_close(found.clamp(0.01, 0.99), judge.visibility(judged), atol=1e-6, rtol=0)
    lost = judged.right.map(lambda tensor: tensor.index_fill(0, torch.tensor([0]), torch.nan))
    assert (judge.seen_by_mesh(lost, judged.hands, nobody)[0] == 1).all()
