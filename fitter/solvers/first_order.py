"""Batched first-order solvers: Adam, and gradient descent with momentum, each problem on its own.

A problem that has converged or diverged stays in the batch, frozen, so that nothing on a GPU ever
waits for the host; on the CPU the loop ends early when all are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fitter.solvers.states import map_tensors, where
from fitter.solvers.status import Status

Tensors = dict[str, Tensor]
"""Increments by field name, batch first: a state of which every tensor moves by its own rate."""


@dataclass(frozen=True)
class Descent:
    """Options of a first-order solver.

    Attributes:
        method: "adam" (Kingma and Ba, 2015, algorithm 1), or "sgd", gradient descent with
            momentum: ``v <- momentum v + gradient``, ``x <- x - rate v``. (Seeber et al. 3.2 print
            ``x <- rate gradient + momentum x``, which forgets the start; the standard form is
            meant.)
        iterations: steps at the most, at least 0.
        rates: step size of each field, in the field's unit.
        momentum: of "sgd".
        decay: of "adam", of the first and second moments.
        epsilon: of "adam", added to the root of the second moment, in units of the gradient; the
            published 1e-8. A component whose gradient stays far below it hardly moves.
        patience: steps without a gain of `relative_tolerance` after which a problem has converged;
            0 for never.
        relative_tolerance: share of the cost.
    """

    method: Literal["adam", "sgd"]
    iterations: int
    rates: Mapping[str, float]
    momentum: float = 0.9
    decay: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    patience: int = 0
    relative_tolerance: float = 1e-4


@dataclass(frozen=True)
class DescentResult:
    """The best state met for each of B problems.

    Attributes:
        increments: of the best state.
        cost: (B,) objective there; not finite where it never was.
        iterations: (B,) int64 steps tried.
        status: (B,) int64 values of `Status`. A problem whose cost or gradient stopped being
            finite is diverged, and keeps the best state it met before.
    """

    increments: Tensors
    cost: Tensor
    iterations: Tensor
    status: Tensor


def descend(
    objective: Callable[[Tensors], Tensor], start: Tensors, options: Descent
) -> DescentResult:
    """Minimise each problem's objective.

    Args:
        objective: increments -> (B,) costs, differentiable, each from its own rows alone.
        start: (B, ...) increments to begin with.
        options: see `Descent`; `rates` has the names of `start`.
    """
    state = _State(start, options)
    for step in range(options.iterations + 1):
        leaves = {name: x.detach().requires_grad_() for name, x in state.current.items()}
        cost = objective(leaves)
        filled = _gradients(cost, leaves)
        state.judge(cost.detach(), filled, options)
        if step == options.iterations:
            break
        if cost.device.type == "cpu" and not bool(state.active.any()):
            break
        state.move(filled, options)
    return state.result()


class _State:
    def __init__(self, start: Tensors, options: Descent) -> None:
        first = next(iter(start.values()))
        batch = len(first)
        self.current, self.best = dict(start), dict(start)
        self.velocity = map_tensors(torch.zeros_like, start)
        self.square = map_tensors(torch.zeros_like, start)
        self.best_cost = first.new_full((batch,), torch.inf)
        self.active = torch.ones(batch, dtype=torch.bool, device=first.device)
        self.waited = torch.zeros(batch, dtype=torch.int64, device=first.device)
        self.steps = torch.zeros_like(self.waited)
        self.status = torch.full_like(self.waited, int(Status.MAX_ITERATIONS))

    def judge(self, cost: Tensor, gradients: Tensors, options: Descent) -> None:
        """Note better states; freeze problems that have converged or diverged."""
        finite = cost.isfinite()
        for gradient in gradients.values():
            finite = finite & gradient.reshape(len(gradient), -1).isfinite().all(1)
        better = self.active & finite & (cost < self.best_cost)
        gained = better & (cost < self.best_cost - options.relative_tolerance * cost.abs())
        self.best = where(better, self.current, self.best)
        self.best_cost = torch.where(better, cost, self.best_cost)
        self.waited = torch.where(gained, 0, self.waited + 1)
        diverged = self.active & ~finite
        self.status = torch.where(diverged, int(Status.DIVERGED), self.status)
        self.active = self.active & finite
        if options.patience > 0:
            converged = self.active & (self.waited >= options.patience)
            self.status = torch.where(converged, int(Status.CONVERGED), self.status)
            self.active = self.active & ~converged

    def move(self, gradients: Tensors, options: Descent) -> None:
        """One step for every active problem."""
        self.steps = self.steps + self.active
        first, second = options.decay
        for name, gradient in gradients.items():
            if options.method == "sgd":
                velocity = options.momentum * self.velocity[name] + gradient
                step = velocity
            else:
                velocity = torch.lerp(gradient, self.velocity[name], first)
                square = torch.lerp(gradient.square(), self.square[name], second)
                self.square[name] = square
                # In single precision 1 - 0.999 would keep four digits.
                count = self.steps.view(-1, *[1] * (gradient.ndim - 1)).clamp_min(1).double()
                unbiased = velocity / (1 - first**count).to(velocity)
                root = (square / (1 - second**count).to(square)).sqrt()
                step = unbiased / (root + options.epsilon)
            self.velocity[name] = velocity
            moved = self.current[name] - options.rates[name] * step
            self.current[name] = where(self.active, moved, self.current[name])

    def result(self) -> DescentResult:
        never = ~self.best_cost.isfinite()
        status = torch.where(never, int(Status.DIVERGED), self.status)
        return DescentResult(self.best, self.best_cost, self.steps, status)


def _gradients(cost: Tensor, leaves: Tensors) -> Tensors:
    """Zero for leaves, or all of them, that the cost does not depend on."""
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if cost.requires_grad:
        found = torch.autograd.grad(cost.sum(), list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }
