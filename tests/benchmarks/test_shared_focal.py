"""What the benchmark of shared focal lengths tries and chooses."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from shared_focal import FACTORS, Chosen, ProfiledScene, assumed
from touching_hands_data import SIZE

from fitter.interaction.pictured import buckets
from tests.support.touching_cases import touching_case


def test_the_cheapest_multiple_is_chosen_with_its_prior_or_the_one_nearest_to_the_truth() -> None:
    factors = torch.tensor(FACTORS, dtype=torch.float64)
    costs = torch.stack([(factors - 0.3).square(), (factors + 0.45).abs()])
    pictures = np.array([4, 2])
    loose, tight = Chosen(10.0), Chosen(0.01)
    assert factors[loose(costs, pictures, 0.2)].tolist() == [0.3, -0.45]
    assert loose.log == {4: 0.3, 2: -0.45}
    assert factors[tight(costs, pictures, 0.2)].tolist() == [0.0, 0.0]
    nearest = Chosen(1.0, [0.0, 0.0, 0.2, 0.0, -2.0])
    assert factors[nearest(costs, pictures, 0.2)].tolist() == [-0.45, 0.15]


def test_cameras_are_off_by_a_factor_or_have_a_field_of_view() -> None:
    K = np.array([[800.0, 0, 150], [0, 800, 170], [0, 0, 1]])
    pair = SimpleNamespace(seen=SimpleNamespace(intrinsics=K))
    scaled = assumed(pair, 0.5, 60)
    assert scaled[0, 0] == scaled[1, 1] == 400 and (scaled[:, 2] == K[:, 2]).all()
    guessed = assumed(pair, None, 60)
    assert 2 * math.degrees(math.atan(SIZE / 2 / guessed[0, 0])) == pytest.approx(60)


def test_a_group_has_one_focal_length_and_is_as_far_away_as_that_asks_for() -> None:
    case = touching_case(1)
    hands = case.hands(case.model.start(case.truth))
    (bucket,) = buckets(case.stage.groups(hands), case.left.device)
    scene = case.stage.scene(hands, bucket)
    with torch.inference_mode():
        before = scene.fitted(hands.refined.params)[-1][0]
        far = ProfiledScene.beside(scene, Chosen(1.0, [0.3])).fitted(hands.refined.params)
        same = ProfiledScene.beside(scene, Chosen(1e-6)).fitted(hands.refined.params)
    ((params, diverged),) = far
    assert params.log_focal.tolist() == pytest.approx([0.3, 0.3]) and not diverged.any()
    depth = [case.model.hand(each.hand).vertices[..., 2].mean(1) for each in (before, params)]
    torch.testing.assert_close(
        depth[1] / depth[0], torch.full((2,), math.exp(0.3)), rtol=0.05, atol=0
    )
    assert same[0][0].log_focal.tolist() == [0.0, 0.0]
