"""Behaviour of the stages: what moves, what does not, and whom a bad hand touches."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fitter.camera import project
from fitter.config.stages import DEFAULT_STAGES, Free, StageConfig
from fitter.energies import SceneParams, focal_applied
from fitter.hand_models.rest_offsets import posed_offsets
from fitter.records import HandParams
from fitter.refinement.objective import Objective, StageTask
from fitter.refinement.scene import FIELDS, SceneModel
from fitter.refinement.stages import LeastSquaresObjective, StagesResult, run_stages
from fitter.solvers import Status
from tests.support.refine_scenes import (
    SIDE,
    iou,
    perturbed,
    scene_model,
    task_of,
    true_hands,
    view_of,
)

CONTOUR = DEFAULT_STAGES["contour"]
EVERYTHING = {
    "keypoints": 1.0,
    "silhouette_l2": 0.003,
    "photometric_rgb": 10.0,
    "pose_l2": 1e-3,
    "vertex_offset": 1e-3,
    "appearance_prior": 1e-3,
    "texture_range": 1.0,
    "camera_scale": 1e-3,
}
RATES = {
    "pose": 0.5,
    "shape": 3.0,
    "camera": 0.1,
    "offsets": 0.02,
    "focal": 0.2,
    "appearance": 3.0,
}


def staged(solver: str, free: list[Free], iterations: int = 6, **changes: object) -> StageConfig:
    options = {
        "learning_rate": 0.02 if solver == "adam" else 1e-5,
        "rates": {name: rate for name, rate in RATES.items() if name in free},
        "energies": EVERYTHING,
    }
    return StageConfig(solver=solver, iterations=iterations, free=free, **options | changes)


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model()


@pytest.fixture(scope="module")
def truth(model) -> HandParams:
    return true_hands(model, 3)


@pytest.fixture(scope="module")
def task(model, truth) -> StageTask:
    return task_of(model, view_of(model, truth))


@pytest.fixture(scope="module")
def begun(truth) -> HandParams:
    return perturbed(truth)


def same(one: SceneParams, other: SceneParams, rows: list[int], but: tuple[str, ...] = ()) -> None:
    for name, tensor in vars(one).items():
        if name not in but:
            assert torch.equal(tensor[rows], getattr(other, name)[rows]), name


ALL: list[Free] = list(FIELDS)


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


SHORT = CONTOUR.model_copy(update={"iterations": 3})


def hurt_task(task: StageTask, what: str) -> StageTask:
    view = task.view
    spoilt = getattr(view, what).clone()
    spoilt[1] = torch.nan
    view = replace(view, **{what: spoilt})
    return replace(task, view=view, targets=task_of(task.model, view).targets)


def hurt_hands(hands: HandParams, what: str) -> HandParams:
    spoilt = getattr(hands, what).clone()
    spoilt[1] = torch.nan
    return replace(hands, **{what: spoilt})


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


SHRINKING = {"silhouette_l2": 0.003, "edge_length": 10.0, "laplacian": 10.0, "shape_norm": 1.0}
OUTLINE_ALONE = {
    "sgd": {"solver": "sgd", "free": ["pose", "shape", "offsets", "camera"]},
    "adam": {"solver": "adam", "free": ["offsets"]},
}


def masked_stage(solver: str, more: dict[str, float] | None = None) -> StageConfig:
    """Nothing but the mask is compared with the picture, and what is in `more`."""
    if solver == "lm":
        energies = {"silhouette_l2": 1000.0, "pose_prior": 0.1, "shape_prior": 1.0, **(more or {})}
        return SHORT.model_copy(update={"energies": energies})
    return staged(**OUTLINE_ALONE[solver], iterations=4, energies={**SHRINKING, **(more or {})})


def without_mask(task: StageTask, hand: int) -> StageTask:
    weight = task.view.mask_weight.clone()
    weight[hand] = 0
    return replace(task, view=replace(task.view, mask_weight=weight))


@pytest.mark.parametrize("solver", ["lm", "adam", "sgd"])
def test_a_hand_without_a_mask_rests_where_only_the_mask_is_compared(task, begun, solver) -> None:
    partly = without_mask(task, 1)
    stages = {"a": masked_stage(solver)}
    start, all_masked = task.model.start(begun), run_stages(task, begun, stages)
    result = run_stages(partly, begun, stages)
    same(result.params, start, [1])
    assert (result.iterations[1], result.cost[1], result.status[1]) == (0, 0, Status.CONVERGED)
    for name, tensor in vars(result.params).items():
        whole = getattr(all_masked.params, name)
        torch.testing.assert_close(tensor[[0, 2]], whole[[0, 2]], rtol=0, atol=1e-3, msg=name)
    moving = [f for f in vars(start) if not torch.equal(getattr(result.params, f), vars(start)[f])]
    assert moving and (result.iterations[[0, 2]] > 0).all()
    # Its offsets and pose would have moved: the other energies pull.
    loose = run_stages(partly, begun, {"a": masked_stage(solver, {"keypoints": 1e-9})})
    assert any(not torch.equal(getattr(loose.params, f)[1], vars(start)[f][1]) for f in moving)


def test_a_hand_without_a_mask_goes_on_in_the_stages_after(task, begun) -> None:
    partly = without_mask(task, 1)
    keypoints = SHORT.model_copy(update={"energies": {"keypoints": 1.0}})
    alone = run_stages(partly, begun, {"keypoints": keypoints})
    both = run_stages(partly, begun, {"surface": masked_stage("adam"), "keypoints": keypoints})
    for name, tensor in vars(both.params).items():
        torch.testing.assert_close(
            tensor[1], getattr(alone.params, name)[1], rtol=0, atol=1e-3, msg=name
        )
    assert both.iterations[1] == alone.iterations[1] > 0
    assert both.params.offsets[1].eq(0).all() and both.params.offsets[0].abs().max() > 0


def test_a_hand_that_is_not_finite_is_diverged_with_a_mask_and_without(task, begun) -> None:
    lost = hurt_hands(begun, "transl")
    for seen in (task, without_mask(task, 1)):
        result = run_stages(seen, lost, {"a": masked_stage("adam")})
        assert result.status[1] == Status.DIVERGED and not result.cost[1].isfinite()
        assert (result.status[[0, 2]] != int(Status.DIVERGED)).all()


def test_resting_waits_for_no_device(task, begun) -> None:
    partly, stage = without_mask(task, 1), masked_stage("adam")
    run_stages(partly, begun, {"a": stage.model_copy(update={"iterations": 0})})
    with NoWaiting():
        run_stages(partly, begun, {"a": stage})


class NoWaiting(TorchDispatchMode):
    """Fails where PyTorch would have to wait for a device: values or counts asked by the host."""

    ASKS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        asks = name in self.ASKS
        if name.startswith("index"):
            indices = args[1] if isinstance(args[1], list | tuple) else []
            asks = asks or any(i is not None and i.dtype == torch.bool for i in indices)
        if asks and not self._early_exit():
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **kwargs or {})

    @staticmethod
    def _early_exit() -> bool:
        """`descend` may ask on the CPU whether all hands rest."""
        frame = sys._getframe(2)
        while frame is not None and "/torch/" in frame.f_code.co_filename:
            frame = frame.f_back
        return frame is not None and frame.f_code.co_name == "descend"


@pytest.mark.parametrize("silhouette", ["edge", "soft"])
def test_nothing_in_a_first_order_stage_waits_for_the_host(task, begun, silhouette) -> None:
    """But the rasteriser's kernels, which have no values to ask for."""
    names = set(EVERYTHING) | {
        "keypoints_smooth_l1",
        "bone_orientation",
        "relative_depth",
        "bone_directions",
        "silhouette_iou",
        "silhouette_ssim",
        "photometric_pixel",
        "photometric_ssim",
        "laplacian_change",
        "normal_consistency",
        "normal_change",
        "edge_length_change",
        "pose_prior",
        "limits",
        "shape_prior",
        "shape_norm",
        "size_prior",
    }
    stage = staged("adam", ALL, 2, energies=dict.fromkeys(names, 1e-3), silhouette=silhouette)
    # What is computed once for a model may wait, once.
    warm = stage.model_copy(update={"iterations": 0})
    run_stages(task, begun, {"a": warm})
    with NoWaiting():
        result = run_stages(task, begun, {"a": stage})
    assert isinstance(result, StagesResult)
    with NoWaiting(), pytest.raises(AssertionError, match="waits"):
        bool(result.cost.sum() > 0)


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
