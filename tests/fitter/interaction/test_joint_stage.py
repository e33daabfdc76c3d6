"""Hands that touch, fitted together: what gets better, and what is left alone."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from fitter.config.interaction import InteractionConfig
from fitter.config.stages import DEFAULT_STAGES, StageConfig
from fitter.energies.scene import SceneParams
from fitter.interaction.joint_stage import JointStage
from fitter.refinement.refiner import Refiner
from tests.support.stage_cases import staged
from tests.support.touching_cases import TouchingCase, touching_case


@pytest.fixture(scope="module")
def case() -> TouchingCase:
    return touching_case(2)


@pytest.fixture(scope="module")
def fitted(case):
    return case.stage(case.hands(case.begun()))


def same_bits(one: SceneParams, other: SceneParams, rows) -> None:
    for field in fields(one):
        assert torch.equal(getattr(one, field.name)[rows], getattr(other, field.name)[rows])


def wrists(case: TouchingCase, params: SceneParams) -> torch.Tensor:
    """(P, 3) from each right hand's root joint to the left one's, picture's camera."""
    model = case.model.fit.keypoints
    hand = params.hand.to(torch.float64)
    root = model.joint_template[0] + hand.betas @ model.joint_shapedirs[0].T + hand.transl
    root[:, 0] = torch.where(case.left, -root[:, 0], root[:, 0])
    return root[1::2] - root[::2]


def test_hands_come_out_of_each_other_and_nearer_to_where_they_are(case, fitted) -> None:
    refined, found = fitted
    before, after = case.begun(), refined.params
    truth = wrists(case, case.model.start(case.truth))
    # Nothing is taken that raises the keypoints' distance at all: what is told is of the start.
    still = JointStage(case.stage.refiner, InteractionConfig(max_rise=1e-9, iterations=1))
    start = still(case.hands(before))[1]
    assert start[0].interaction_status == "alone"
    for picture in (0, 1):
        old, new = (w[2 * picture].penetration_depth for w in (start, found))
        assert old > 0.004 and new < 0.5 * old
    errors = [(wrists(case, params) - truth).norm(dim=1) for params in (before, after)]
    assert (errors[1] < 0.7 * errors[0]).all()


def test_what_is_told_is_what_was_fitted(case, fitted) -> None:
    refined, found = fitted
    places = wrists(case, refined.params)
    assert sorted(found) == [0, 1, 2, 3]
    for number, each in found.items():
        assert each.touch_group == 1 and each.interaction_status == "joint"
        wanted = places[number // 2].numpy() if number % 2 else np.zeros(3)
        np.testing.assert_allclose(each.relative_place, wanted, atol=1e-5)
        if number % 2:
            # Depth is what is least known.
            assert 0 < each.relative_place_std[:2].max() < each.relative_place_std[2] < 0.2
        else:
            assert (each.relative_place_std == 0).all()


def test_a_picture_alone_is_fitted_as_in_a_batch(case, fitted) -> None:
    refined, _ = fitted
    alone, _ = case.stage(case.hands(case.begun(), [2, 3]))
    for name in ("global_orient", "hand_pose", "betas", "transl"):
        one, other = getattr(alone.params, name), getattr(refined.params, name)[2:]
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    again, _ = case.stage(case.hands(case.begun(), [2, 3]))
    same_bits(alone.params, again.params, slice(None))


def test_hands_that_touch_nothing_stay_bit_for_bit(case) -> None:
    params = case.begun()
    hands = case.hands(params)
    # The second picture's hands are in a picture each.
    refined, found = case.stage(replace(hands, picture=np.array([0, 0, 1, 2])))
    assert sorted(found) == [0, 1]
    same_bits(refined.params, params, [2, 3])
    untouched, nothing = case.stage(replace(hands, picture=np.arange(4)))
    assert nothing == {} and untouched is hands.refined


def test_a_fit_that_leaves_the_keypoints_is_not_taken(case) -> None:
    config = InteractionConfig(max_rise=1e-9, penetration_weight=1e4)
    stage = JointStage(case.stage.refiner, config)
    params = case.begun()
    refined, found = stage(case.hands(params))
    same_bits(refined.params, params, slice(None))
    assert {each.interaction_status for each in found.values()} == {"alone"}
    assert all(np.isnan(each.relative_place_std).all() for each in found.values())
    assert all(np.isfinite(each.relative_place).all() for each in found.values())


def test_a_hand_that_is_not_finite_takes_no_part(case) -> None:
    params = case.begun()
    transl = params.transl.clone()
    transl[0] = torch.nan
    refined, found = case.stage(case.hands(replace(params, transl=transl)))
    assert sorted(found) == [2, 3]
    same_bits(refined.params, params, [1])


def test_mirrored_pictures_have_mirrored_fits(case, fitted) -> None:
    """The right hand for the left one and the left for the right one."""
    refined, found = fitted
    hands = case.hands(case.begun())
    mirrored, told = case.stage(replace(hands, left=~hands.left))
    same_bits(mirrored.params, refined.params, slice(None))
    for place, each in told.items():
        expected = found[place].relative_place * [-1, 1, 1]
        np.testing.assert_allclose(each.relative_place, expected, atol=1e-6)


def with_stages(case: TouchingCase, stages: dict[str, StageConfig]) -> JointStage:
    config = case.stage.refiner.config.model_copy(update={"stages": stages})
    refiner = case.stage.refiner
    return JointStage(
        Refiner(case.exact, refiner.model.fit, config, refiner.fit), InteractionConfig()
    )


def test_it_goes_on_with_least_squares(case) -> None:
    assert case.stage.is_wanted
    assert not JointStage(case.stage.refiner, InteractionConfig(enabled=False)).is_wanted
    last = {"last": staged("adam", ["camera"])}
    assert not with_stages(case, {}).is_wanted and not with_stages(case, last).is_wanted
    assert with_stages(case, DEFAULT_STAGES | last).is_wanted


def test_stages_after_least_squares_go_on_from_there(case, fitted) -> None:
    """With what they free, and for hands that were fitted together."""
    last = staged("adam", ["appearance"], energies={"keypoints": 1.0, "appearance_prior": 1.0})
    hands = case.hands(case.begun())
    hands = replace(hands, picture=np.array([0, 0, 1, 2]))
    start = hands.refined.params
    bright = replace(start, appearance=start.appearance + 0.1)
    hands = replace(hands, refined=replace(hands.refined, params=bright))
    refined, found = with_stages(case, DEFAULT_STAGES | {"last": last})(hands)
    assert {each.interaction_status for each in found.values()} == {"joint"}
    assert found[0].penetration_depth == pytest.approx(fitted[1][0].penetration_depth, abs=1e-5)
    assert (refined.params.appearance[:2] < bright.appearance[:2]).all()
    same_bits(refined.params, bright, [2, 3])
    torch.testing.assert_close(
        refined.params.transl[:2], fitted[0].params.transl[:2], atol=1e-5, rtol=0
    )
