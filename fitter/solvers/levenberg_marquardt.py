"""Batched Levenberg-Marquardt over any manifold: B small problems, solved side by side.

A problem that has converged or diverged is frozen at its best state and never touches its
neighbours. On the CPU it leaves the batch and costs nothing. On a GPU it stays, because to learn
who is left the host would have to wait for the device in every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from fitter.solvers.manifold import Manifold
from fitter.solvers.states import State, map_tensors, put, select, where
from fitter.solvers.status import Status

Given = TypeVar("Given", contravariant=True)


@dataclass(frozen=True)
class Linearization:
    """Sums of squares at the current states of B problems, to first order.

    Attributes:
        cost: (B,) value of the objective; not finite where the state is invalid.
        gradient: (B, D) of the objective.
        hessian: (B, D, D) its Gauss-Newton approximation, symmetric positive semi-definite.
    """

    cost: Tensor
    gradient: Tensor
    hessian: Tensor


class LeastSquaresProblem(Protocol[Given]):
    """What the solver needs to know of B objectives."""

    def linearize(self, params: Given) -> Linearization:
        """Values, gradients and Gauss-Newton Hessians at `params`, by the steps of the manifold."""
        ...

    def select(self, index: Tensor) -> Self:
        """The problems at `index` (n,) alone."""
        ...


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Options of the solver.

    Attributes:
        max_iterations: linearisations per problem at the most; 0 leaves it where it starts.
        relative_tolerance: a problem has converged when an accepted step lowers its cost by less
            than this share of it, or when the step predicts no more than that.
        damping: initial damping, relative to the Hessian's diagonal.
        max_damping: damping at which a problem that finds no downhill step is called stalled.
    """

    max_iterations: int = 30
    relative_tolerance: float = 1e-4
    damping: float = 1e-3
    max_damping: float = 1e6


@dataclass(frozen=True)
class SolverResult(Generic[State]):
    """The best state found for each of B problems.

    Attributes:
        params: of the best state.
        cost: (B,) objective at that state.
        iterations: (B,) int64 steps tried.
        status: (B,) int64 values of `Status`. A diverged problem keeps its start.
    """

    params: State
    cost: Tensor
    iterations: Tensor
    status: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor."""
        return map_tensors(function, self)

    def with_rows(self, index: Tensor, part: Self) -> Self:
        """The result with that of the problems at `index` (n,) in the place of theirs."""
        return put(self, index, part)


def levenberg_marquardt(
    problem: LeastSquaresProblem[State],
    start: State,
    options: LevenbergMarquardt,
    manifold: Manifold[State],
) -> SolverResult[State]:
    """Minimise each problem's objective with Marquardt's scaled damping.

    Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", 1963; the
    damping follows Nielsen, "Damping parameter in Marquardt's method", 1999, eq. 2.5.

    Args:
        problem: the objectives of B problems.
        start: B states, finite or not; a problem whose start has no finite cost is diverged at
            once.
        options: see `LevenbergMarquardt`.
        manifold: what the states live in: how to move along a step, and how far at once.
    """
    state = _State(problem, start, options, manifold)
    for _ in range(options.max_iterations):
        if state.places.numel() == 0:
            break
        state.advance(options)
    return state.finish()


_MOVING = -1
"""Stands for the status of a problem that has none yet."""


def _asking_is_free(device: torch.device) -> bool:
    return device.type == "cpu"


class _State(Generic[State]):
    """The problems that are worked on, which of them still move, and the results of all."""

    def __init__(
        self,
        problem: LeastSquaresProblem[State],
        start: State,
        options: LevenbergMarquardt,
        manifold: Manifold[State],
    ) -> None:
        self.problem, self.manifold = problem, manifold
        self.params = start
        self.current = problem.linearize(start)
        cost = self.current.cost
        self.damping = torch.full_like(cost, options.damping)
        self.growth = torch.full_like(cost, 2.0)
        self.places = torch.arange(len(cost), device=cost.device)
        self.moving = torch.ones_like(cost, dtype=torch.bool)
        self.drops = _asking_is_free(cost.device)
        self.steps = 0
        moving = torch.full(cost.shape, int(Status.MAX_ITERATIONS), device=cost.device)
        self.result = SolverResult(start, cost, torch.zeros_like(moving), moving)
        diverged = torch.full_like(moving, int(Status.DIVERGED))
        self._rest(torch.where(_finite(self.current), _MOVING, diverged))

    def advance(self, options: LevenbergMarquardt) -> None:
        """Try one step for every moving problem."""
        step, solved = _damped_step(self.current, self.damping)
        step = self.manifold.shortened(step)
        trial = self.manifold.retract(self.params, step)
        linearized = self.problem.linearize(trial)

        predicted = -(
            (self.current.gradient * step).sum(-1)
            + 0.5 * (step[:, None] @ self.current.hessian @ step[..., None]).flatten()
        )
        gain = self.current.cost - linearized.cost
        accepted = self.moving & solved & _finite(linearized) & (gain > 0)
        ratio = torch.where(accepted, gain / predicted.clamp_min(1e-300), 0.0)
        self._update_damping(accepted, ratio)
        if self.drops and bool(accepted.all()):
            self.params, self.current = trial, linearized
        else:
            self.params = where(accepted, trial, self.params)
            self.current = where(accepted, linearized, self.current)
        self.steps += 1

        tolerance = options.relative_tolerance * self.current.cost.abs()
        flat = solved & (predicted <= tolerance)
        converged = (accepted & (gain <= tolerance)) | flat
        stalled = self.damping > options.max_damping
        status = torch.where(stalled, int(Status.STALLED), _MOVING)
        self._rest(torch.where(converged, int(Status.CONVERGED), status))

    def finish(self) -> SolverResult:
        """The results of all; those still moving have used up their iterations."""
        self._rest(torch.full_like(self.places, int(Status.MAX_ITERATIONS)))
        if self.drops:
            return self.result
        return SolverResult(
            self.params, self.current.cost, self.result.iterations, self.result.status
        )

    def _update_damping(self, accepted: Tensor, ratio: Tensor) -> None:
        shrink = (1 - (2 * ratio - 1).pow(3)).clamp(1 / 3, 2.0)
        factor = torch.where(accepted, shrink, self.growth)
        self.damping = self.damping * torch.where(self.moving, factor, 1.0)
        self.growth = torch.where(accepted, 2.0, self.growth * torch.where(self.moving, 2.0, 1.0))

    def _rest(self, status: Tensor) -> None:
        """Note the results of those that come to rest, status not `_MOVING`, and freeze or drop
        them."""
        resting = self.moving & (status != _MOVING)
        if not self.drops:
            self.moving = self.moving & ~resting
            result = self.result
            self.result = SolverResult(
                result.params,
                result.cost,
                torch.where(resting, self.steps, result.iterations),
                torch.where(resting, status, result.status),
            )
            return
        if not bool(resting.any()):
            return
        index, rest = (~resting).nonzero().flatten(), resting.nonzero().flatten()
        cost, status = self.current.cost[rest], status[rest]
        steps = torch.full_like(status, self.steps)
        part = SolverResult(select(self.params, rest), cost, steps, status)
        self.result = self.result.with_rows(self.places[rest], part)
        self.problem = self.problem.select(index)
        self.params, self.current = select(self.params, index), select(self.current, index)
        self.damping, self.growth = self.damping[index], self.growth[index]
        self.places, self.moving = self.places[index], self.moving[index]


def _damped_step(current: Linearization, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Steps (B, D), and (B,) whether the damped system could be solved; without, the step is 0."""
    damped = current.hessian.clone()
    diagonal = damped.diagonal(dim1=-2, dim2=-1)
    floor = 1e-9 * diagonal.amax(-1, keepdim=True).clamp_min(1e-12)
    diagonal += damping[:, None] * diagonal + floor
    factor, info = torch.linalg.cholesky_ex(damped)
    step = -torch.cholesky_solve(current.gradient[..., None], factor)[..., 0]
    solved = (info == 0) & step.isfinite().all(-1)
    return torch.where(solved[:, None], step, torch.zeros_like(step)), solved


def _finite(linearized: Linearization) -> Tensor:
    # The diagonal of a Gauss-Newton Hessian is a sum of squares: it bounds the other entries.
    diagonal = linearized.hessian.diagonal(dim1=-2, dim2=-1)
    return (
        linearized.cost.isfinite()
        & linearized.gradient.isfinite().all(-1)
        & diagonal.isfinite().all(-1)
    )
