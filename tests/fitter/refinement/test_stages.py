"""Behaviour of the stages: what moves, what does not, and whom a bad hand touches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fitter.camera import project
from fitter.config.stages import StageConfig
from fitter.energies import focal_applied
from fitter.hand_models.rest_offsets import posed_offsets
from fitter.records import HandParams
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.objective import Objective, StageTask
from fitter.refinement.scene import FIELDS
from fitter.refinement.stages import StagesResult, run_stages
from fitter.solvers import Status
from tests.support.refine_scenes import (
    SIDE,
    iou,
    task_of,
    view_of,
)
from tests.support.stage_cases import ALL, CONTOUR, SHORT, hurt_hands, same, staged


@pytest.mark.parametrize("solver", ["lm", "adam", "sgd"])
def test_a_stage_never_ends_worse_than_it_began(task, begun, solver) -> None:
    start = task.model.start(begun)
    if solver == "lm":
        stage = CONTOUR.model_copy(update={"iterations": 4})
        problem = LeastSquaresObjective.of(task, stage, start)
        before = problem.linearize(start.hand.to(torch.float64)).cost
        after = run_stages(task, begun, {"a": stage})
        cost = problem.linearize(after.params.hand.to(torch.float64)).cost
    else:
        # A rate so large that some steps lead uphill.
        stage = staged(solver, ALL, learning_rate=0.1 if solver == "adam" else 3e-4)
        objective = Objective.of(task, stage, start)
        after = run_stages(task, begun, {"a": stage})
        before, cost = objective(start).detach(), objective(after.params).detach()
    # Float32 sums to some digits; the start itself may come back with another last one.
    assert (cost < before * (1 + 1e-6)).all() and (cost < before).any()
    torch.testing.assert_close(after.cost, cost.double(), rtol=1e-3, atol=1e-5)
    assert after.iterations.tolist() == [stage.iterations] * 3
    assert (after.status != int(Status.DIVERGED)).all()


@pytest.mark.parametrize("group", ALL)
def test_what_is_not_free_stays_bit_for_bit(task, begun, group) -> None:
    view = replace(task.view, focal_unknown=torch.ones(3))
    task = replace(task, view=view, model=replace(task.model, texture_size=16))
    start = task.model.start(begun)
    after = run_stages(task, begun, {"a": staged("adam", [group], 2)}).params
    changed = getattr(after, FIELDS[group]) != getattr(start, FIELDS[group])
    assert changed.reshape(3, -1).any(1).all()
    same(after, start, [0, 1, 2], but=(FIELDS[group],))


def test_least_squares_leaves_colours_light_and_offsets(task, begun) -> None:
    start = task.model.start(begun)
    after = run_stages(task, begun, {"a": CONTOUR.model_copy(update={"iterations": 2})}).params
    same(after, start, [0, 1, 2], but=tuple(vars(begun)))


def test_no_stages_return_the_hands(task, begun) -> None:
    result = run_stages(task, begun, {})
    same(result.params, task.model.start(begun), [0, 1, 2])
    assert result.iterations.tolist() == [0] * 3 and result.cost.tolist() == [0.0] * 3
    assert result.status.tolist() == [Status.CONVERGED] * 3


def hurt_task(task: StageTask, what: str) -> StageTask:
    view = task.view
    spoilt = getattr(view, what).clone()
    spoilt[1] = torch.nan
    view = replace(view, **{what: spoilt})
    return replace(task, view=view, targets=task_of(task.model, view).targets)


def with_one_bad(task: StageTask, begun: HandParams, what: str, stages: dict) -> StagesResult:
    if hasattr(begun, what):
        return run_stages(task, hurt_hands(begun, what), stages)
    return run_stages(hurt_task(task, what), begun, stages)


BAD = pytest.mark.parametrize("what", ["image", "mask", "keypoints", "global_orient", "transl"])


@BAD
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_bad_hand_leaves_its_neighbours_bit_for_bit(task, begun, what, solver) -> None:
    free = ["camera", "pose", "global_orient", "offsets", "lighting", "vertex_colours"]
    stages = {"a": staged(solver, free, 3)}
    healthy, result = run_stages(task, begun, stages), with_one_bad(task, begun, what, stages)
    same(result.params, healthy.params, [0, 2])
    for field in ("cost", "iterations", "status"):
        assert torch.equal(getattr(result, field)[[0, 2]], getattr(healthy, field)[[0, 2]])
    assert result.status.tolist() == [
        Status.MAX_ITERATIONS,
        Status.DIVERGED,
        Status.MAX_ITERATIONS,
    ]
    if not hasattr(begun, what):
        start = task.model.start(begun)
        same(result.params, start, [1], but=("global_orient",))
        # Turned by nothing, but by way of quaternions.
        torch.testing.assert_close(result.params.global_orient[1], start.global_orient[1])


@BAD
def test_a_bad_hand_leaves_the_batch_of_least_squares(task, begun, what) -> None:
    """What the others do then differs by the rounding of matrix products of another size."""
    stages = {"contour": SHORT}
    healthy, result = run_stages(task, begun, stages), with_one_bad(task, begun, what, stages)
    # The photograph is of no interest here.
    assert (result.status[1] == Status.DIVERGED) == (what != "image")
    for name, tensor in vars(result.params).items():
        whole = getattr(healthy.params, name)
        torch.testing.assert_close(tensor[[0, 2]], whole[[0, 2]], rtol=0, atol=1e-3, msg=name)
    assert torch.equal(result.iterations[[0, 2]], healthy.iterations[[0, 2]])
    if not hasattr(begun, what):
        assert all(tensor.isfinite().all() for tensor in vars(result.params).values())


def test_once_diverged_a_hand_is_flagged_and_keeps_its_best(task, begun) -> None:
    """Its mask is NaN: the stage after, which asks for keypoints alone, does it good."""
    bad = hurt_task(task, "mask")
    keypoints = SHORT.model_copy(update={"energies": {"keypoints": 1.0}})
    stages = {"mask": staged("adam", ["pose"], 3), "keypoints": keypoints}
    first = run_stages(bad, begun, {"mask": stages["mask"]})
    assert first.status.tolist()[1] == Status.DIVERGED
    same(first.params, task.model.start(begun), [1])
    assert not first.cost[1].isfinite()
    result = run_stages(bad, begun, stages)
    assert result.status[1] == Status.DIVERGED and result.cost.isfinite().all()
    assert (result.status[[0, 2]] != int(Status.DIVERGED)).all()
    assert result.iterations.tolist()[0] == 6


def test_a_batch_gives_what_batches_of_one_give(task, begun) -> None:
    # Adam would make whole steps of the rounding in gradients that are zero.
    stages = {"contour": SHORT, "all": staged("sgd", ALL, 3)}
    together = run_stages(task, begun, stages)
    for hand in range(3):
        rows = slice(hand, hand + 1)
        one = StageTask(task.model, task.view[rows], task.targets[rows], task.fit)
        alone = run_stages(one, begun[rows], stages)
        for name, tensor in vars(alone.params).items():
            whole = getattr(together.params, name)[hand]
            torch.testing.assert_close(tensor[0], whole, rtol=0, atol=2e-3, msg=name)
        torch.testing.assert_close(alone.cost[0], together.cost[hand], rtol=1e-3, atol=1e-4)


def test_least_squares_moves_hands_onto_their_outlines(task, begun) -> None:
    start = task.model.start(begun)
    before = iou(task.model, start, task.view)
    result = run_stages(task, begun, {"contour": CONTOUR})
    after = iou(task.model, result.params, task.view)
    assert before.max() < 0.88
    assert after.min() > 0.93 and (after > before + 0.08).all()
    detected = task.view.keypoints
    error = [
        (
            project(task.model.hand(hand.to(torch.float32)).keypoints, task.view.intrinsics)
            - detected
        )
        .norm(dim=-1)
        .mean(1)
        for hand in (begun, result.params.hand)
    ]
    assert (error[1] < error[0]).all() and error[1].max() < 0.02 * SIDE


def test_least_squares_respects_a_fitted_focal_length_and_offsets(task, begun) -> None:
    """After a stage that freed them, the outline is that of the hand as it is drawn then."""
    start = replace(
        task.model.start(begun),
        log_focal=torch.tensor([0.15, 0.0, -0.15]),
        offsets=torch.full((3, len(task.model.hand.v_template), 3), 0.004),
    )
    problem = LeastSquaresObjective.of(task, CONTOUR, start)
    outline_only = CONTOUR.model_copy(update={"energies": {"silhouette_l2": 1.0}})
    hands = start.hand.to(torch.float64)
    cost = LeastSquaresObjective.of(task, outline_only, start).linearize(hands).cost
    stage = staged("adam", ["pose"], energies={"silhouette_l2": 1.0}, band=CONTOUR.band)
    expected = Objective.of(task, stage, start)(start) / task.view.size**2
    torch.testing.assert_close(cost, expected.double(), rtol=1e-4, atol=0)
    keypoints = CONTOUR.model_copy(update={"energies": {"keypoints": 1.0}})
    hand = LeastSquaresObjective.of(task, keypoints, start)
    # Keypoints that are where this camera sees them cost nothing.
    seen = project(
        task.model.hand(start.hand).keypoints, focal_applied(task.view.intrinsics, start.log_focal)
    )
    there = task_of(task.model, replace(task.view, keypoints=seen))
    exact = LeastSquaresObjective.of(there, keypoints, start).linearize(hands).cost
    assert (exact < 1e-6).all()
    assert (hand.linearize(hands).cost > 1e-2).all()
    assert problem.linearize(hands).gradient.isfinite().all()


def test_offsets_grow_a_hand_onto_a_mask_that_the_model_cannot_reach(model, truth) -> None:
    thick = model.start(truth)
    mesh = model.hand(thick.hand)
    out = torch.nn.functional.normalize(mesh.vertices - mesh.vertices.mean(1, keepdim=True), dim=-1)
    thick = replace(thick, offsets=0.008 * out)
    view = view_of(model, thick)
    stage = StageConfig(
        solver="adam",
        iterations=40,
        free=["offsets"],
        energies={"silhouette_l2": 1.0, "vertex_offset": 1e-3, "laplacian_change": 1e-4},
        learning_rate=0.5,
        length_unit=1e-3,
    )
    result = run_stages(task_of(model, view), truth, {"a": stage})
    before = iou(model, model.start(truth), view)
    assert (iou(model, result.params, view) > before + 0.05).all()
    same(result.params, model.start(truth), [0, 1, 2], but=("offsets",))
    assert 1e-3 < result.params.offsets.norm(dim=-1).amax() < 0.03


def test_the_focal_length_moves_only_where_it_is_unknown(model, truth) -> None:
    """The picture was taken with another focal length than K says."""
    longer = replace(model.start(truth), log_focal=torch.full((3,), 0.1))
    view = replace(view_of(model, longer), focal_unknown=torch.tensor([1.0, 0.0, 1.0]))
    stage = staged("adam", ["focal"], 40, energies={"keypoints": 1.0}, learning_rate=0.05)
    result = run_stages(task_of(model, view), truth, {"a": stage})
    found = result.params.log_focal
    assert found[1] == 0
    torch.testing.assert_close(found[[0, 2]], torch.full((2,), 0.1), rtol=0, atol=0.02)


def test_known_offsets_follow_the_pose_and_stay(task, begun) -> None:
    like = task.model.hand.v_template
    generator = torch.Generator().manual_seed(0)
    rest = 0.001 * torch.randn(3, *like.shape, generator=generator)
    rest[1] = torch.nan
    known = replace(task, rest_offsets=rest)
    stages = {"a": SHORT, "b": staged("adam", ["offsets"], 3)}
    after = run_stages(known, begun, stages).params
    expected = posed_offsets(task.model.hand, after.hand, rest)
    torch.testing.assert_close(after.offsets[[0, 2]], expected[[0, 2]], rtol=0, atol=1e-9)
    alone = run_stages(task, begun, stages).params
    same(after, alone, [1])
    assert (alone.offsets[1] != 0).any()
    # So does a hand whose mask is dropped: its task is a part of the batch's.
    part = run_stages(known.select(torch.tensor([2])), begun[2:], stages).params
    torch.testing.assert_close(part.offsets, after.offsets[2:], rtol=0, atol=1e-6)
