"""Hands that rest in a stage, and that no stage waits for a device."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fitter.config.stages import StageConfig
from fitter.refinement.objective import StageTask
from fitter.refinement.stages import StagesResult, run_stages
from fitter.solvers import Status
from tests.support.stage_cases import ALL, EVERYTHING, SHORT, hurt_hands, same, staged

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
