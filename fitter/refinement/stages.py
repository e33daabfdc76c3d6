"""The stages after the keypoints: each hand refined against its picture, stage after stage.

keypoint fit -> `SceneParams` -> stage -> stage -> ... -> `StagesResult`
A stage frees some parameters, minimises weighted energies with its solver, and hands the best state
it met to the next. Every hand is its own problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fitter.config.energies import Need
from fitter.config.stages import StageConfig
from fitter.energies.residuals import Quadratic
from fitter.energies.scene import SceneParams
from fitter.energies.touching import self_quadratic
from fitter.records import HandParams
from fitter.refinement.least_squares import LeastSquaresObjective, needs
from fitter.refinement.objective import Objective, StageTask
from fitter.refinement.scene import FIELDS, LENGTHS, SceneModel
from fitter.refinement.stuck import out_of_objects
from fitter.solvers import (
    Descent,
    LeastSquaresProblem,
    LevenbergMarquardt,
    SolverResult,
    Status,
    descend,
    levenberg_marquardt,
)
from fitter.solvers.states import put, where
from fitter.views.joint_problem import JointProblem, of_images


@dataclass(frozen=True)
class StagesResult:
    """The hands after the last stage.

    Attributes:
        params: the best state of the last stage, in the dtype of the model.
        cost: (B,) objective of the last stage there; 0 where there was no stage, or where the last
            one left the hand as it was for want of a mask.
        iterations: (B,) int64 steps of all stages together.
        status: (B,) int64 values of `Status`, of the last stage; a hand that diverged in any stage
            is diverged, and keeps the best state it had met.
    """

    params: SceneParams
    cost: Tensor
    iterations: Tensor
    status: Tensor

    def with_hands(self, index: Tensor, part: StagesResult) -> StagesResult:
        """The result with that of the hands at `index` (n,) in the place of theirs."""
        return put(self, index, part)


def run_stages(
    task: StageTask, hands: HandParams, stages: Mapping[str, StageConfig]
) -> StagesResult:
    """Run the stages in their order.

    A stage in which nothing but the mask is compared with the picture leaves a hand without one as
    it is: its other energies alone would shrink or smooth it away.

    Args:
        task: model and observations of B hands.
        hands: where the keypoint stage left them.
        stages: by name.
    """
    return go_on(task, task.with_known_offsets(task.start(hands)), stages)


def go_on(task: StageTask, params: SceneParams, stages: Mapping[str, StageConfig]) -> StagesResult:
    """Run stages from where other ones left B hands; see `run_stages`."""
    like = torch.zeros(len(params.transl), dtype=torch.int64, device=params.transl.device)
    result = StagesResult(params, like.double(), like, like + int(Status.CONVERGED))
    diverged = torch.zeros_like(like, dtype=torch.bool)
    for stage in stages.values():
        run = _least_squares if stage.solver == "lm" else _descent
        after = run(task, result.params, stage)
        after = replace(after, params=task.with_known_offsets(after.params))
        if stage.only_masked:
            masked = task.per_hand(task.has_mask)
            after = _still_without_mask(masked, result.params, after)
        diverged = diverged | (after.status == int(Status.DIVERGED))
        result = StagesResult(
            after.params,
            after.cost,
            result.iterations + after.iterations,
            torch.where(diverged, int(Status.DIVERGED), after.status),
        )
    return result


def _still_without_mask(masked: Tensor, before: SceneParams, after: StagesResult) -> StagesResult:
    """`after`, but for hands without a mask, not `masked` (B,), what was before; no host waits for
    any device."""
    # A hand that is not finite has no cost anywhere, and is diverged in whatever stage.
    finite = after.cost.isfinite()
    resting = torch.where(finite, int(Status.CONVERGED), int(Status.DIVERGED))
    cost = torch.where(finite, 0.0, after.cost)
    still = StagesResult(before, cost, torch.zeros_like(after.iterations), resting)
    return where(masked, after, still)


def _least_squares(task: StageTask, params: SceneParams, stage: StageConfig) -> StagesResult:
    if stage.iterations == 0:
        raise ValueError("the solver lm needs at least one iteration")
    _ = task.model.kinematics, task.model.topology.edges, task.model.fit.kinematics
    if needs(stage, Need.PARTS):
        _ = task.model.parts
    size = task.model.fit.size
    options = LevenbergMarquardt(
        max_iterations=stage.iterations, relative_tolerance=stage.tolerance
    )

    def solved(
        problem: LeastSquaresProblem[HandParams], start: HandParams
    ) -> SolverResult[HandParams]:
        return levenberg_marquardt(problem, start, options, task.model.fit.manifold)

    with torch.inference_mode():
        problem = _least_squares_problem(task, stage, params)
        result = solved(problem, params.hand.to(torch.float64))
        if stage.out_of_objects and isinstance(problem, LeastSquaresObjective):
            result = out_of_objects(problem, result, solved)
        hand = task.known.sized(size, result.params)
    result, hand = result.map(torch.clone), hand.map(torch.clone)
    moved = params.with_hand(hand.to(params.transl.dtype))
    return StagesResult(moved, result.cost, result.iterations, result.status)


def _least_squares_problem(
    task: StageTask, stage: StageConfig, params: SceneParams
) -> LeastSquaresProblem[HandParams]:
    """What the stage minimises over the B hands that begin at `params`."""
    if task.views is None:
        return LeastSquaresObjective.of(task, stage, params)
    of_views = stage.model_copy(update={"energies": of_images(stage.energies)})
    rows, views = task.views.rows.reduced(stage.view_reduction), task.views
    if stage.view_reduction == "mean":
        # `silhouette_l2`, which alone of these energies looks at masks, is linear in their weights.
        share = views.masked_share(task.has_mask).to(task.view.mask_weight)
        weight = task.view.mask_weight * share[:, None, None]
        task = replace(task, view=replace(task.view, mask_weight=weight))
    seen = LeastSquaresObjective.of(task, of_views, task.seen(params))
    own = None
    if needs(stage, Need.PARTS):
        own = _InThemselves(task.model, stage.energies["self_penetration"], params.offsets)
    return JointProblem(task.model.fit, rows, seen, stage.energies, task.known, own)


@dataclass(frozen=True)
class _InThemselves:
    """`self_penetration` of B hands in several views, weighted: an `OwnEnergy`."""

    model: SceneModel
    weight: float
    offsets: Tensor

    def __call__(self, hands: HandParams) -> Quadratic:
        """By the hands' tangent vectors."""
        surface = self.model.kinematics(hands.to(self.offsets.dtype))
        surface = surface._replace(vertices=surface.vertices + self.offsets)
        found = self_quadratic(surface, self.model.parts)
        return Quadratic(*(self.weight * part for part in found))

    def select(self, index: Tensor) -> _InThemselves:
        """That of the hands at `index`."""
        return replace(self, offsets=self.offsets[index])


def _units(stage: StageConfig) -> dict[str, float]:
    """Metres of the unit in which a stage measures each field that is a length."""
    camera = stage.length_unit if stage.camera_unit is None else stage.camera_unit
    return dict.fromkeys(LENGTHS, stage.length_unit) | {FIELDS["camera"]: camera}


def _descent(task: StageTask, params: SceneParams, stage: StageConfig) -> StagesResult:
    if stage.solver == "lm":
        raise ValueError("expected a stage of adam or sgd")
    names = [FIELDS[group] for group in stage.free]
    objective = Objective.of(task, stage, params)
    unit = dict.fromkeys(names, 1.0) | _units(stage)
    size = objective.size
    # The cameras of a rig are known.
    focal_unknown = task.view.focal_unknown if task.views is None else 0.0

    def moved(increments: Mapping[str, Tensor]) -> SceneParams:
        steps = {name: unit[name] * step for name, step in increments.items()}
        if "log_focal" in steps:
            steps["log_focal"] = steps["log_focal"] * focal_unknown
        if "offsets" in steps:
            steps["offsets"] = steps["offsets"] * task.free_offsets
        after = params.moved(steps)
        # Not `sized`, which may ask the device whether there is anything to hold.
        return replace(after, betas=task.known.held(size, after.betas))

    start = {name: torch.zeros_like(getattr(params, name)) for name in names}
    rates = {FIELDS[group]: stage.rate(group) for group in stage.free}
    options = Descent(
        method=stage.solver,
        iterations=stage.iterations,
        rates=rates,
        momentum=stage.momentum,
        patience=stage.patience,
        relative_tolerance=stage.tolerance,
    )
    result = descend(lambda increments: objective(moved(increments)), start, options)
    with torch.no_grad():
        best = moved(result.increments).map(torch.detach)
    return StagesResult(best, result.cost.double(), result.iterations, result.status)
