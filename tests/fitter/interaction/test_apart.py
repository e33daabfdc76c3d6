"""Hands that stay in each other are taken apart along their lines of sight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fitter.camera import project
from fitter.interaction.apart import DEEP, SHIFTS, deepest, one_in_front
from fitter.interaction.group_problem import GroupProblem, flat
from fitter.interaction.joint_stage import JointStage, grouped_hand
from fitter.interaction.pictured import buckets
from fitter.records import HandParams
from fitter.solvers import SolverResult
from tests.support.touching_cases import TouchingCase, touching_case


@pytest.fixture(scope="module")
def case() -> TouchingCase:
    return touching_case(2)


def scene_of(case: TouchingCase, stage: JointStage):
    hands = case.hands(case.begun())
    (bucket,) = buckets(stage.groups(hands), hands.left.device)
    return stage.scene(hands, bucket)


@pytest.fixture(scope="module")
def begun(case) -> tuple[GroupProblem, HandParams]:
    params = case.begun()
    return scene_of(case, case.stage).problem(params), grouped_hand(params, 2)


@pytest.mark.parametrize("front", [1.0, -1.0])
def test_one_hand_is_in_front_and_both_stay_where_they_are_seen(case, begun, front) -> None:
    problem, params = begun
    assert (deepest(problem, flat(params)) > 4 * DEEP).all()
    moved = one_in_front(problem, params, front)
    depth = moved.transl[..., 2] - params.transl[..., 2]
    assert (front * depth[:, 0] < 0).all() and (front * depth[:, 1] > 0).all()
    torch.testing.assert_close(depth[:, 0], -depth[:, 1])
    K = case.task.view.intrinsics.double()
    middles = [problem.meshes(flat(p)).double().mean(1, keepdim=True) for p in (params, moved)]
    before, after = (project(middle, K) for middle in middles)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)
    if front > 0:  # the left hand was brought forward into the right one: back is out of it
        assert (deepest(problem, flat(moved)) <= DEEP).all()


def test_no_smaller_shift_brings_them_out(begun) -> None:
    problem, params = begun
    moved = one_in_front(problem, params, 1.0)
    taken = moved.transl[:, 1, 2] - params.transl[:, 1, 2]
    for group, shift in enumerate(taken.tolist()):
        number = min(range(len(SHIFTS)), key=lambda k: abs(SHIFTS[k] / 2 - shift))
        assert SHIFTS[number] / 2 == pytest.approx(shift, abs=1e-6) and number > 0
        share = SHIFTS[number - 1] / SHIFTS[number]
        less = replace(params, transl=params.transl + share * (moved.transl - params.transl))
        assert deepest(problem, flat(less))[group] > DEEP


def test_groups_are_taken_apart_as_alone(begun) -> None:
    problem, params = begun
    both = one_in_front(problem, params, 1.0)
    index = torch.tensor([1])
    alone = one_in_front(problem.select(index), params[index], 1.0)
    torch.testing.assert_close(alone.transl, both.transl[index], rtol=0, atol=1e-9)


def test_only_what_costs_less_is_taken(case, monkeypatch) -> None:
    params = case.begun()
    scene = scene_of(case, case.stage)
    problem = scene.problem(params)
    start = grouped_hand(params, 2)
    with torch.inference_mode():
        cost = problem.linearize(start).cost
    nothing = torch.zeros(2, dtype=torch.int64)
    fitted = SolverResult(start, cost, nothing, nothing)  # deep still
    gains = iter([torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 0.5])])
    tried = []

    def solved(self, problem, start):
        tried.append(start)
        return SolverResult(start, cost - next(gains), nothing, nothing)

    monkeypatch.setattr(type(scene), "_solved", solved)
    with torch.inference_mode():
        kept = scene._taken_apart(problem, fitted)
    assert torch.equal(kept.cost, cost - torch.tensor([0.0, 1.0]))
    assert torch.equal(kept.params.transl[0], start.transl[0])
    assert torch.equal(kept.params.transl[1], tried[0].transl[1])
    # Both ways from where the hands were stuck, whatever the first way brought.
    middle = (tried[0].transl + tried[1].transl) / 2
    assert (middle - start.transl).norm(dim=-1).max() < max(SHIFTS)
    for way, front in zip(tried, (1.0, -1.0), strict=True):
        assert torch.equal(way.transl, one_in_front(problem, start, front).transl)


def test_hands_that_are_out_of_each_other_are_not_fitted_again(case, monkeypatch) -> None:
    params = case.begun()
    scene = scene_of(case, case.stage)
    problem = scene.problem(params)
    apart = one_in_front(problem, grouped_hand(params, 2), 1.0)
    nothing = torch.zeros(2, dtype=torch.int64)
    fitted = SolverResult(apart, torch.ones(2), nothing, nothing)
    monkeypatch.setattr(type(scene), "_solved", None)
    assert scene._taken_apart(problem, fitted) is fitted


def test_the_last_round_that_the_keypoints_bear_is_taken(case) -> None:
    params = case.begun()
    scene = scene_of(case, case.stage)
    nothing = torch.zeros(2, dtype=torch.bool)
    aside = replace(params, transl=params.transl + torch.tensor([0.1, 0.0, 0.0]))
    nudged = replace(params, transl=params.transl + 1e-5)
    only = torch.tensor([True, True, False, False])[:, None]
    mixed = replace(params, transl=torch.where(only, nudged.transl, aside.transl))
    chosen, kept = case.stage._last_good(scene, params, [(nudged, nothing), (mixed, nothing)])
    assert kept.all() and torch.equal(chosen.transl, nudged.transl)
    chosen, kept = case.stage._last_good(scene, params, [(mixed, nothing), (aside, nothing)])
    assert kept.tolist() == [True, False]
    assert torch.equal(chosen.transl[:2], nudged.transl[:2])
    assert torch.equal(chosen.transl[2:], params.transl[2:])
    _, kept = case.stage._last_good(scene, params, [(nudged, ~nothing)])
    assert not kept.any()
