"""Behaviour of the batched Levenberg-Marquardt solver on problems of known answers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import pytest
import torch
from torch import Tensor

from fitter.solvers import (
    Euclidean,
    LevenbergMarquardt,
    Linearization,
    Residuals,
    SolverResult,
    Status,
    levenberg_marquardt,
    map_tensors,
)
from tests.support.solver_problems import Problem, at, linear, rosenbrock


def zeros(count: int) -> Tensor:
    return torch.zeros(count, 3, dtype=torch.float64)


def solved(problem: Problem, start: Tensor, **options: float) -> SolverResult[Tensor]:
    return levenberg_marquardt(problem, start, LevenbergMarquardt(**options), Euclidean())


def test_a_linear_problem_is_solved_in_one_step() -> None:
    targets = torch.tensor([[0.1, -0.3, 0.2], [5.0, 2.0, -7.0]], dtype=torch.float64)
    result = solved(Problem(linear, targets), zeros(2), max_iterations=1, damping=1e-12)
    # The floor that keeps unobserved parameters solvable is 1e-9 of the largest curvature.
    torch.testing.assert_close(result.params, targets, rtol=1e-6, atol=0)
    assert result.iterations.tolist() == [1, 1]


def test_what_no_residual_depends_on_stays() -> None:
    def blind(x: Tensor, target: Tensor) -> Tensor:
        return (x - target)[:2]

    result = solved(Problem(blind, zeros(1) + 1), at([[0.0, 0.0, 7.0]]), max_iterations=5)
    torch.testing.assert_close(result.params, at([[1.0, 1.0, 7.0]]), rtol=0, atol=1e-5)
    assert result.params[0, 2] == 7


def test_rosenbrock_valleys_are_followed_to_their_ends() -> None:
    starts = at([[-1.2, 1.0, 0.0], [2.0, -3.0, 1.0], [0.0, 0.0, 9.0]])
    targets = torch.tensor([[1.0, 1, 1], [0.5, 0, 0], [-2, 3, 1]], dtype=torch.float64)
    options = {"max_iterations": 200, "relative_tolerance": 1e-12}
    result = solved(Problem(rosenbrock, targets), starts, **options)
    torch.testing.assert_close(result.params, targets, rtol=0, atol=1e-5)
    assert result.status.tolist() == [Status.CONVERGED] * 3


def test_cost_is_that_of_the_state_and_never_rises() -> None:
    start = at([[-1.2, 1.0, 0.0]])
    last = torch.inf
    for iterations in range(1, 50, 3):
        problem = Problem(rosenbrock, zeros(1) + 1)
        result = solved(problem, start, max_iterations=iterations, relative_tolerance=0)
        # The best of all states that were tried.
        assert result.cost == torch.cat(problem.costs).min()
        assert result.cost == problem.linearize(result.params).cost
        assert result.cost <= last
        last = float(result.cost)
    assert last < 1e-12


def test_resting_problems_leave_the_batch_and_stay_as_they_were() -> None:
    starts = at([[1.0, 1.0, 1.0], [-1.2, 1.0, 0.0], [0.9, 0.8, 1.0]])
    problem = Problem(rosenbrock, zeros(3) + 1)
    together = solved(problem, starts, max_iterations=40)
    assert problem.sizes[0] == 3 and problem.sizes[-1] == 1
    assert together.iterations[0] < together.iterations[1]
    for i in range(3):
        alone = solved(Problem(rosenbrock, zeros(1) + 1), starts[[i]], max_iterations=40)
        assert torch.equal(alone.params[0], together.params[i])
        assert alone.iterations[0] == together.iterations[i]
        assert alone.status[0] == together.status[i]


def test_a_problem_without_a_finite_cost_diverges_alone() -> None:
    starts = at([[0.0, 0.0, 0.0], [torch.nan, 0.0, 0.0], [0.5, 0.5, 0.5]])
    result = solved(Problem(rosenbrock, zeros(3) + 1), starts)
    assert result.status[1] == Status.DIVERGED and result.iterations[1] == 0
    assert torch.equal(result.params[1, 1:], starts[1, 1:])
    healthy = torch.tensor([0, 2])
    without = solved(Problem(rosenbrock, zeros(2) + 1), starts[healthy])
    assert torch.equal(result.params[healthy], without.params)
    assert torch.equal(result.cost[healthy], without.cost)


def test_a_wall_of_infinite_cost_is_never_crossed() -> None:
    def behind_a_wall(x: Tensor, target: Tensor) -> Tensor:
        return torch.where(x[0] > 0.5, torch.inf, 1.0) * (x - target)

    result = solved(Problem(behind_a_wall, zeros(1) + 1), zeros(1), max_iterations=60)
    assert 0.2 < result.params[0, 0] <= 0.5
    assert result.cost.isfinite()


def test_nothing_downhill_is_a_stall_that_changes_nothing() -> None:
    class Liar(Problem):
        def linearize(self, params: Tensor) -> Linearization:
            honest = super().linearize(params)
            return Linearization(honest.cost, -honest.gradient, honest.hessian)

    result = solved(Liar(linear, zeros(1) + 1), zeros(1), max_iterations=1000, relative_tolerance=0)
    assert result.status.tolist() == [Status.STALLED]
    assert torch.equal(result.params, zeros(1))
    assert 0 < result.iterations < 50


def test_the_budget_is_kept_and_reported() -> None:
    problem = Problem(rosenbrock, zeros(1) + 1)
    result = solved(problem, at([[-1.2, 1.0, 0.0]]), max_iterations=3)
    assert result.status.tolist() == [Status.MAX_ITERATIONS]
    assert result.iterations.tolist() == [3] and len(problem.sizes) == 4


def test_no_step_is_longer_than_the_manifold_allows() -> None:
    target = at([[3.0, 0.0, -4.0]])
    result = levenberg_marquardt(
        Residuals(lambda x, data: x - data, target),
        zeros(1),
        LevenbergMarquardt(max_iterations=1, damping=1e-9),
        Euclidean(max_step=0.5),
    )
    # The whole step is shortened: it keeps its direction.
    torch.testing.assert_close(result.params, 0.1 * target)


def test_residuals_are_differentiated_as_by_hand() -> None:
    """`Residuals` against the plain loop of `Problem`, in values, derivatives and selections."""
    starts = at([[-1.2, 1.0, 0.0], [2.0, -3.0, 1.0], [0.0, 0.0, 9.0]])
    targets = torch.rand(3, 3, generator=torch.Generator().manual_seed(1)).double()
    some = torch.tensor([2, 0])
    pairs = [
        (Residuals(rosenbrock, targets), Problem(rosenbrock, targets), starts),
        (
            Residuals(rosenbrock, targets).select(some),
            Problem(rosenbrock, targets[some]),
            starts[some],
        ),
    ]
    for mapped, looped, params in pairs:
        found, expected = mapped.linearize(params), looped.linearize(params)
        for name, value in vars(expected).items():
            torch.testing.assert_close(getattr(found, name), value)


@dataclass(frozen=True)
class Angles:
    """Directions in the plane, by their angle, and lengths beside them."""

    angle: Tensor
    length: Tensor


class Polar:
    """A manifold of a state that is no tensor: angles stay within a whole revolution."""

    def retract(self, state: Angles, step: Tensor) -> Angles:
        angle = torch.remainder(state.angle + step[:, 0], 2 * torch.pi)
        return Angles(angle, state.length + step[:, 1:])

    def shortened(self, step: Tensor) -> Tensor:
        return step.clamp(-0.5, 0.5)


@dataclass
class Points:
    """Points (B, 2) that a direction and a length (B, 1) are to reach."""

    data: Tensor

    def linearize(self, params: Angles) -> Linearization:
        sine, cosine = params.angle.sin(), params.angle.cos()
        direction = torch.stack([cosine, sine], -1)
        residual = params.length * direction - self.data
        across = params.length * torch.stack([-sine, cosine], -1)
        jacobian = torch.stack([across, direction], -1)
        return Linearization(
            residual.square().sum(-1),
            2 * (residual[:, None] @ jacobian)[:, 0],
            2 * jacobian.mT @ jacobian,
        )

    def select(self, index: Tensor) -> Points:
        return Points(self.data[index])


def test_any_state_of_tensors_on_any_manifold_is_solved() -> None:
    data = torch.tensor([[3.0, 4.0], [0.0, -2.0], [torch.nan, 1.0]], dtype=torch.float64)
    start = Angles(torch.full((3,), 6.0).double(), torch.ones(3, 1).double())
    options = LevenbergMarquardt(max_iterations=60, relative_tolerance=1e-12)
    result = levenberg_marquardt(Points(data), start, options, Polar())
    angle, length = result.params.angle, result.params.length
    reached = length * torch.stack([angle.cos(), angle.sin()], -1)
    torch.testing.assert_close(reached[:2], data[:2], rtol=0, atol=1e-5)
    assert ((angle >= 0) & (angle < 2 * torch.pi)).all()
    assert (result.status == Status.DIVERGED).tolist() == [False, False, True]
    assert angle[2] == 6 and length[2] == 1


def test_the_start_is_left_as_it_is() -> None:
    start = at([[-1.2, 1.0, 0.0], [0.0, 0.0, 0.0]])
    copy = start.clone()
    solved(Problem(rosenbrock, zeros(2) + 1), start)
    assert torch.equal(copy, start)


def test_problems_that_stay_in_the_batch_end_where_those_that_leave_it_do(monkeypatch):
    """On a GPU nobody asks who is left; the answers are the same."""
    start = at([[0.5, -1.0, 2.0], [-1.2, 1.0, 0.0], [float("nan"), 0.0, 0.0], [0.0, 0.0, 0.0]])
    targets = torch.stack([torch.zeros(3), torch.ones(3), torch.zeros(3), torch.zeros(3)]).double()
    left = solved(Problem(rosenbrock, targets), start, max_iterations=12)
    # The package offers the function under the module's name.
    module = import_module("fitter.solvers.levenberg_marquardt")
    monkeypatch.setattr(module, "_asking_is_free", lambda device: False)
    problem = Problem(rosenbrock, targets)
    stayed = solved(problem, start, max_iterations=12)
    assert set(problem.sizes) == {4} and len(problem.sizes) == 13
    assert Status.DIVERGED in stayed.status and len(set(stayed.status.tolist())) > 1
    assert torch.equal(stayed.status, left.status)
    assert torch.equal(stayed.iterations, left.iterations)
    torch.testing.assert_close(stayed.cost, left.cost, equal_nan=True)
    torch.testing.assert_close(stayed.params, left.params, equal_nan=True)


def test_a_state_is_made_of_tensors() -> None:
    with pytest.raises(TypeError, match="made of tensors"):
        map_tensors(torch.neg, [torch.ones(2)])
