"""Batched solvers: every hand is its own small problem, solved side by side.

A hand that has converged or diverged is frozen at its best state and leaves the batch, so it costs
nothing and never touches its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, Self

import torch
from torch import Tensor

from fitter.hand_models.kinematics import GLOBAL, POSE, retract
from fitter.records import HandParams


class Status(IntEnum):
    """How the solver left a hand."""

    CONVERGED = 0
    MAX_ITERATIONS = 1
    STALLED = 2
    DIVERGED = 3


@dataclass(frozen=True)
class Linearization:
    """A sum of squares at the current state of B hands, to first order.

    Attributes:
        cost: (B,) value of the objective; not finite where the state is invalid.
        gradient: (B, D) of the objective.
        hessian: (B, D, D) its Gauss-Newton approximation, symmetric positive semi-definite.
    """

    cost: Tensor
    gradient: Tensor
    hessian: Tensor


class LeastSquaresProblem(Protocol):
    """What the solver needs to know of an objective over B hands."""

    def linearize(self, params: HandParams) -> Linearization:
        """Value, gradient and Gauss-Newton Hessian at `params`."""
        ...

    def select(self, index: Tensor) -> Self:
        """The problem of the hands at `index` (n,) alone."""
        ...


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Options of the solver.

    Attributes:
        max_iterations: linearisations per hand at the most, at least 1.
        relative_tolerance: a hand has converged when an accepted step lowers its cost by less
            than this share of it, or when the step predicts no more than that.
        damping: initial damping, relative to the Hessian's diagonal.
        max_turn: radians; the longest change of any one rotation in a step. Without it fingertip
            joints flip by 180 degrees.
        max_damping: damping at which a hand that finds no downhill step is called stalled.
    """

    max_iterations: int = 30
    relative_tolerance: float = 1e-4
    damping: float = 1e-3
    max_turn: float = 0.5
    max_damping: float = 1e6


@dataclass(frozen=True)
class SolverResult:
    """The best state found for each of B hands.

    Attributes:
        params: of the best state.
        cost: (B,) objective at that state.
        iterations: (B,) int64 steps tried.
        status: (B,) int64 values of `Status`. A diverged hand keeps its start.
    """

    params: HandParams
    cost: Tensor
    iterations: Tensor
    status: Tensor


def levenberg_marquardt(
    problem: LeastSquaresProblem, start: HandParams, options: LevenbergMarquardt
) -> SolverResult:
    """Minimise each hand's objective with Marquardt's scaled damping.

    Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", 1963; the
    damping follows Nielsen, "Damping parameter in Marquardt's method", 1999, eq. 2.5.

    Args:
        problem: the objective of B hands.
        start: B states, finite or not; a hand whose start has no finite cost is diverged at once.
        options: see `LevenbergMarquardt`.
    """
    state = _State.begin(problem, start, options)
    for _ in range(options.max_iterations):
        if state.active.numel() == 0:
            break
        state.advance(options)
    return state.result


class _State:
    """The hands still moving, and the results of all."""

    def __init__(
        self,
        problem: LeastSquaresProblem,
        params: HandParams,
        current: Linearization,
        result: SolverResult,
        damping: Tensor,
    ) -> None:
        self.problem = problem
        self.params = params
        self.current = current
        self.result = result
        self.damping = damping
        self.growth = torch.full_like(damping, 2.0)
        self.active = torch.arange(damping.shape[0], device=damping.device)

    @classmethod
    def begin(
        cls, problem: LeastSquaresProblem, start: HandParams, options: LevenbergMarquardt
    ) -> Self:
        current = problem.linearize(start)
        count = current.cost.shape[0]
        status = torch.full((count,), int(Status.MAX_ITERATIONS), device=current.cost.device)
        result = SolverResult(
            params=start.map(torch.clone),
            cost=current.cost.clone(),
            iterations=torch.zeros_like(status),
            status=status,
        )
        state = cls(problem, start, current, result, torch.full_like(current.cost, options.damping))
        invalid = ~_finite(current)
        result.status[invalid] = int(Status.DIVERGED)
        state._keep(~invalid)
        return state

    def advance(self, options: LevenbergMarquardt) -> None:
        """Try one step for every active hand."""
        step, solved = _damped_step(self.current, self.damping, options.max_turn)
        trial = retract(self.params, step)
        linearized = self.problem.linearize(trial)

        predicted = -(
            (self.current.gradient * step).sum(-1)
            + 0.5 * (step[:, None] @ self.current.hessian @ step[..., None]).flatten()
        )
        gain = self.current.cost - linearized.cost
        accepted = solved & _finite(linearized) & (gain > 0)
        ratio = torch.where(accepted, gain / predicted.clamp_min(1e-300), 0.0)
        self._update_damping(accepted, ratio)
        self._accept(accepted, trial, linearized)
        self.result.iterations[self.active] += 1

        tolerance = options.relative_tolerance * self.current.cost.abs()
        flat = solved & (predicted <= tolerance)
        converged = (accepted & (gain <= tolerance)) | flat
        stalled = ~converged & (self.damping > options.max_damping)
        self.result.status[self.active[converged]] = int(Status.CONVERGED)
        self.result.status[self.active[stalled]] = int(Status.STALLED)
        self._keep(~(converged | stalled))

    def _update_damping(self, accepted: Tensor, ratio: Tensor) -> None:
        shrink = (1 - (2 * ratio - 1).pow(3)).clamp(1 / 3, 2.0)
        self.damping = self.damping * torch.where(accepted, shrink, self.growth)
        self.growth = torch.where(accepted, torch.full_like(self.growth, 2.0), self.growth * 2)

    def _accept(self, accepted: Tensor, trial: HandParams, linearized: Linearization) -> None:
        self.params = _where(accepted, trial, self.params)
        self.current = Linearization(
            torch.where(accepted, linearized.cost, self.current.cost),
            torch.where(accepted[:, None], linearized.gradient, self.current.gradient),
            torch.where(accepted[:, None, None], linearized.hessian, self.current.hessian),
        )
        for name in ("global_orient", "hand_pose", "betas", "transl"):
            getattr(self.result.params, name)[self.active] = getattr(self.params, name)
        self.result.cost[self.active] = self.current.cost

    def _keep(self, moving: Tensor) -> None:
        """Drop the hands that have come to rest."""
        if bool(moving.all()):
            return
        index = moving.nonzero().flatten()
        self.problem = self.problem.select(index)
        self.params = self.params[index]
        self.current = Linearization(
            self.current.cost[index], self.current.gradient[index], self.current.hessian[index]
        )
        self.damping, self.growth = self.damping[index], self.growth[index]
        self.active = self.active[index]


def _damped_step(current: Linearization, damping: Tensor, max_turn: float) -> tuple[Tensor, Tensor]:
    """Steps (B, D), shortened so that no rotation turns by more than `max_turn`, and (B,) whether
    the damped system could be solved."""
    diagonal = current.hessian.diagonal(dim1=-2, dim2=-1)
    floor = 1e-9 * diagonal.amax(-1, keepdim=True).clamp_min(1e-12)
    damped = current.hessian + torch.diag_embed(damping[:, None] * diagonal + floor)
    factor, info = torch.linalg.cholesky_ex(damped)
    step = -torch.cholesky_solve(current.gradient[..., None], factor)[..., 0]
    solved = (info == 0) & step.isfinite().all(-1)
    step = torch.where(solved[:, None], step, torch.zeros_like(step))
    turns = torch.cat([step[:, GLOBAL], step[:, POSE]], -1).unflatten(-1, (16, 3))
    longest = turns.norm(dim=-1).amax(-1)
    return step * (max_turn / longest.clamp_min(max_turn))[:, None], solved


def _finite(linearized: Linearization) -> Tensor:
    return (
        linearized.cost.isfinite()
        & linearized.gradient.isfinite().all(-1)
        & linearized.hessian.isfinite().all(-1).all(-1)
    )


def _where(condition: Tensor, yes: HandParams, no: HandParams) -> HandParams:
    return HandParams(
        torch.where(condition[:, None], yes.global_orient, no.global_orient),
        torch.where(condition[:, None, None], yes.hand_pose, no.hand_pose),
        torch.where(condition[:, None], yes.betas, no.betas),
        torch.where(condition[:, None], yes.transl, no.transl),
    )
