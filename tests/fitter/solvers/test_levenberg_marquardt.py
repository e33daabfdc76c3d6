"""Behaviour of the batched Levenberg-Marquardt solver on problems of known answers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fitter.hand_models.tangent import BETAS, GLOBAL, POSE, TRANSL
from fitter.records import HandParams
from fitter.solvers import levenberg_marquardt as solvers
from fitter.solvers.levenberg_marquardt import (
    LevenbergMarquardt,
    Linearization,
    levenberg_marquardt,
)
from fitter.solvers.status import Status
from tests.support.solver_problems import SHAPES, D, Problem, at, hands, linear, rosenbrock


def zeros(count: int) -> Tensor:
    return torch.zeros(count, 3, dtype=torch.float64)


def test_a_linear_problem_is_solved_in_one_step() -> None:
    targets = torch.tensor([[0.1, -0.3, 0.2], [5.0, 2.0, -7.0]], dtype=torch.float64)
    options = LevenbergMarquardt(max_iterations=1, damping=1e-12)
    result = levenberg_marquardt(Problem(linear, targets), hands(2), options)
    # The floor that keeps unobserved parameters solvable is 1e-9 of the largest curvature.
    torch.testing.assert_close(result.params.transl, targets, rtol=1e-6, atol=0)
    assert result.params.hand_pose.eq(0).all() and result.params.betas.eq(0).all()
    assert result.iterations.tolist() == [1, 1]


def test_rosenbrock_valleys_are_followed_to_their_ends() -> None:
    starts = at([[-1.2, 1.0, 0.0], [2.0, -3.0, 1.0], [0.0, 0.0, 9.0]])
    targets = torch.tensor([[1.0, 1, 1], [0.5, 0, 0], [-2, 3, 1]], dtype=torch.float64)
    options = LevenbergMarquardt(max_iterations=200, relative_tolerance=1e-12)
    result = levenberg_marquardt(Problem(rosenbrock, targets), starts, options)
    torch.testing.assert_close(result.params.transl, targets, rtol=0, atol=1e-5)
    assert result.status.tolist() == [Status.CONVERGED] * 3


def test_cost_is_that_of_the_state_and_never_rises() -> None:
    start = at([[-1.2, 1.0, 0.0]])
    last = torch.inf
    for iterations in range(1, 50, 3):
        problem = Problem(rosenbrock, zeros(1) + 1)
        options = LevenbergMarquardt(max_iterations=iterations, relative_tolerance=0)
        result = levenberg_marquardt(problem, start, options)
        # The best of all states that were tried.
        assert result.cost == torch.cat(problem.costs).min()
        assert result.cost == problem.linearize(result.params).cost
        assert result.cost <= last
        last = float(result.cost)
    assert last < 1e-12


def test_resting_hands_leave_the_batch_and_stay_as_they_were() -> None:
    starts = at([[1.0, 1.0, 1.0], [-1.2, 1.0, 0.0], [0.9, 0.8, 1.0]])
    problem = Problem(rosenbrock, zeros(3) + 1)
    together = levenberg_marquardt(problem, starts, LevenbergMarquardt(max_iterations=40))
    assert problem.sizes[0] == 3 and problem.sizes[-1] == 1
    assert together.iterations[0] < together.iterations[1]
    for i in range(3):
        alone = levenberg_marquardt(
            Problem(rosenbrock, zeros(1) + 1), starts[[i]], LevenbergMarquardt(max_iterations=40)
        )
        assert torch.equal(alone.params.transl[0], together.params.transl[i])
        assert alone.iterations[0] == together.iterations[i]
        assert alone.status[0] == together.status[i]


def test_a_hand_without_a_finite_cost_diverges_alone() -> None:
    starts = at([[0.0, 0.0, 0.0], [torch.nan, 0.0, 0.0], [0.5, 0.5, 0.5]])
    options = LevenbergMarquardt()
    result = levenberg_marquardt(Problem(rosenbrock, zeros(3) + 1), starts, options)
    assert result.status[1] == Status.DIVERGED and result.iterations[1] == 0
    assert torch.equal(result.params.transl[1, 1:], starts.transl[1, 1:])
    healthy = torch.tensor([0, 2])
    without = levenberg_marquardt(Problem(rosenbrock, zeros(2) + 1), starts[healthy], options)
    assert torch.equal(result.params.transl[healthy], without.params.transl)
    assert torch.equal(result.cost[healthy], without.cost)


def test_a_wall_of_infinite_cost_is_never_crossed() -> None:
    def behind_a_wall(x: Tensor, target: Tensor) -> Tensor:
        return torch.where(x[0] > 0.5, torch.inf, 1.0) * (x - target)

    result = levenberg_marquardt(
        Problem(behind_a_wall, zeros(1) + 1), hands(1), LevenbergMarquardt(max_iterations=60)
    )
    assert 0.2 < result.params.transl[0, 0] <= 0.5
    assert result.cost.isfinite()


def test_nothing_downhill_is_a_stall_that_changes_nothing() -> None:
    class Liar(Problem):
        def linearize(self, params: HandParams) -> Linearization:
            honest = super().linearize(params)
            return Linearization(honest.cost, -honest.gradient, honest.hessian)

        def select(self, index: Tensor) -> Liar:
            return Liar(self.residual, self.data[index], self.sizes, self.costs)

    start = at([[0.0, 0.0, 0.0]])
    options = LevenbergMarquardt(max_iterations=1000, relative_tolerance=0)
    result = levenberg_marquardt(Liar(linear, zeros(1) + 1), start, options)
    assert result.status.tolist() == [Status.STALLED]
    assert torch.equal(result.params.transl, start.transl)
    assert 0 < result.iterations < 50


def test_the_budget_is_kept_and_reported() -> None:
    problem = Problem(rosenbrock, zeros(1) + 1)
    result = levenberg_marquardt(
        problem, at([[-1.2, 1.0, 0.0]]), LevenbergMarquardt(max_iterations=3)
    )
    assert result.status.tolist() == [Status.MAX_ITERATIONS]
    assert result.iterations.tolist() == [3] and len(problem.sizes) == 4


@dataclass
class Pull:
    """A problem that wants every tangent coordinate at `target` (D,) at once."""

    target: Tensor

    def linearize(self, params: HandParams) -> Linearization:
        pose = params.hand_pose.flatten(1)
        state = torch.cat([params.global_orient, params.transl, params.betas, pose], 1)
        gap = state - self.target
        curvature = 2 * torch.eye(D, dtype=gap.dtype).expand(len(gap), D, D)
        return Linearization(gap.square().sum(-1), 2 * gap, curvature)

    def select(self, index: Tensor) -> Pull:
        return self


@pytest.mark.parametrize("part", [GLOBAL, slice(POSE.start + 6, POSE.start + 9)])
def test_no_rotation_turns_farther_than_allowed_in_a_step(part: slice) -> None:
    target = torch.zeros(D, dtype=torch.float64)
    target[part] = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64)
    target[TRANSL], target[BETAS] = 0.6, -1.2
    options = LevenbergMarquardt(max_iterations=1, max_rotation=0.5, damping=1e-9)
    params = levenberg_marquardt(Pull(target), hands(1), options).params
    turns = torch.cat([params.global_orient[:, None], params.hand_pose], 1).norm(dim=-1)
    torch.testing.assert_close(turns.max(), turns.new_tensor(0.5), rtol=1e-6, atol=0)
    # The whole step is shortened, not its rotations alone: it keeps its direction.
    torch.testing.assert_close(params.transl, params.transl.new_full((1, 3), 0.1))
    torch.testing.assert_close(params.betas, params.betas.new_full((1, SHAPES), -0.2))


def test_the_start_is_left_as_it_is() -> None:
    start = at([[-1.2, 1.0, 0.0], [0.0, 0.0, 0.0]])
    copy = start.map(torch.clone)
    levenberg_marquardt(Problem(rosenbrock, zeros(2) + 1), start, LevenbergMarquardt())
    for before, after in zip(vars(copy).values(), vars(start).values(), strict=True):
        assert torch.equal(before, after)


def test_hands_that_stay_in_the_batch_end_where_those_that_leave_it_do(monkeypatch):
    """On a GPU nobody asks who is left; the answers are the same."""
    start = at([[0.5, -1.0, 2.0], [-1.2, 1.0, 0.0], [float("nan"), 0.0, 0.0], [0.0, 0.0, 0.0]])
    targets = torch.stack([torch.zeros(3), torch.ones(3), torch.zeros(3), torch.zeros(3)]).double()
    options = LevenbergMarquardt(max_iterations=12, max_rotation=10.0)
    left = levenberg_marquardt(Problem(rosenbrock, targets), start, options)
    monkeypatch.setattr(solvers, "_asking_is_free", lambda device: False)
    problem = Problem(rosenbrock, targets)
    stayed = levenberg_marquardt(problem, start, options)
    assert set(problem.sizes) == {4} and len(problem.sizes) == 13
    assert Status.DIVERGED in stayed.status and len(set(stayed.status.tolist())) > 1
    assert torch.equal(stayed.status, left.status)
    assert torch.equal(stayed.iterations, left.iterations)
    torch.testing.assert_close(stayed.cost, left.cost, equal_nan=True)
    torch.testing.assert_close(stayed.params.transl, left.params.transl, equal_nan=True)
