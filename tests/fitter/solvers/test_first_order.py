"""Behaviour of the batched first-order solvers, on problems of known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fitter.solvers import (
    Descent,
    DescentResult,
    Euclidean,
    LevenbergMarquardt,
    Status,
    descend,
    levenberg_marquardt,
)
from fitter.solvers.first_order import Tensors
from tests.support.solver_problems import Problem, Residual, at, rosenbrock

METHODS = ("adam", "sgd")


def options(method: str, iterations: int, rate: float = 0.02, **changes: object) -> Descent:
    return Descent(method, iterations, {"a": rate, "b": 0.5 * rate}, **changes)


def start(batch: int, seed: int = 0) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(batch, 4, generator=generator, dtype=torch.float64),
        "b": torch.randn(batch, 2, 3, generator=generator, dtype=torch.float64),
    }


def smooth(batch: int, seed: int = 1) -> Callable[[Tensors], Tensor]:
    """A random objective, not convex, bounded from below, another one for every hand."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(batch, 10, 10, generator=generator, dtype=torch.float64)
    target = torch.randn(batch, 10, generator=generator, dtype=torch.float64)

    def objective(x: Tensors) -> Tensor:
        flat = torch.cat([x["a"], x["b"].flatten(1)], 1)
        bent = (matrix[: len(flat)] * (flat - target[: len(flat)])[:, None]).sum(-1)
        return (bent.square() + 3 * torch.sin(2 * bent)).sum(1)

    return objective


def rows(tensors: Tensors, index: list[int]) -> Tensors:
    return {name: tensor[index] for name, tensor in tensors.items()}


def same(one: DescentResult, other: DescentResult) -> None:
    for name, tensor in one.increments.items():
        assert torch.equal(tensor, other.increments[name])
    for field in ("cost", "iterations", "status"):
        assert torch.equal(getattr(one, field), getattr(other, field))


def part(result: DescentResult, index: list[int]) -> DescentResult:
    return DescentResult(
        rows(result.increments, index),
        result.cost[index],
        result.iterations[index],
        result.status[index],
    )


def torch_optimiser(method: str, leaves: Tensors) -> torch.optim.Optimizer:
    groups = [{"params": [leaves["a"]], "lr": 0.02}, {"params": [leaves["b"]], "lr": 0.01}]
    if method == "adam":
        return torch.optim.Adam(groups, betas=(0.8, 0.99))
    return torch.optim.SGD(groups, momentum=0.7)


@pytest.mark.parametrize("method", METHODS)
def test_every_step_is_that_of_torch(method: str) -> None:
    """Also the states on the way: each is the last of a run that stops there."""
    rate = {"adam": 1.0, "sgd": 0.1}[method]
    seen: list[Tensors] = []

    def noting(x: Tensors) -> Tensor:
        seen.append({name: tensor.detach().clone() for name, tensor in x.items()})
        return rate * smooth(3)(x)

    descend(noting, start(3), options(method, 40, momentum=0.7, decay=(0.8, 0.99)))
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in start(3).items()}
    optimiser = torch_optimiser(method, leaves)
    assert len(seen) == 41
    for state in seen:
        for name, tensor in state.items():
            torch.testing.assert_close(tensor, leaves[name].detach(), rtol=1e-9, atol=1e-12)
        optimiser.zero_grad()
        (rate * smooth(3)(leaves)).sum().backward()
        optimiser.step()


@pytest.mark.parametrize("method", METHODS)
def test_a_valley_is_followed_to_its_end(method: str) -> None:
    def valley(x: Tensors) -> Tensor:
        return (x["a"] - 1).square().sum(1) + 10 * (x["b"] + 0.5).square().flatten(1).sum(1)

    result = descend(valley, start(3), options(method, 800, rate=0.02))
    torch.testing.assert_close(result.increments["a"], torch.ones(3, 4).double(), rtol=0, atol=2e-3)
    torch.testing.assert_close(
        result.increments["b"], torch.full((3, 2, 3), -0.5).double(), rtol=0, atol=2e-3
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_best_state_is_returned_and_its_cost_is_its_own(method: str) -> None:
    """Steps far too long end in worse places than they began."""
    costs: list[Tensor] = []

    def noting(x: Tensors) -> Tensor:
        cost = smooth(4)(x)
        costs.append(cost.detach())
        return cost

    result = descend(noting, start(4), options(method, 25, rate=0.9 if method == "adam" else 0.05))
    tried = torch.stack(costs)
    assert (tried[-1] > tried.min(0).values).any()
    assert torch.equal(result.cost, tried.min(0).values)
    assert torch.equal(smooth(4)(result.increments), result.cost)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("what", ["cost", "gradient"])
def test_a_diverging_hand_is_frozen_and_its_neighbours_are_not_touched(
    method: str, bad: float, what: str
) -> None:
    """Hand 1 turns bad once it has moved by a tenth."""
    begun = start(3)

    def fragile(hands: list[int]) -> Callable[[Tensors], Tensor]:
        hurt = torch.tensor([hand == 1 for hand in hands])

        def objective(x: Tensors) -> Tensor:
            cost = (x["a"] - 5).square().sum(1) + x["b"].square().flatten(1).sum(1)
            gone = hurt & ((x["a"] - begun["a"][hands]).abs().amax(1) > 0.1)
            if what == "cost":
                return torch.where(gone, bad, 1.0) * cost
            # The value stays as it is, the derivative does not.
            x["a"].register_hook(lambda g: torch.where(gone[:, None], bad, g))
            return cost

        return objective

    settings = options(method, 30, rate=0.01)
    together = descend(fragile([0, 1, 2]), begun, settings)
    assert together.status.tolist() == [
        Status.MAX_ITERATIONS,
        Status.DIVERGED,
        Status.MAX_ITERATIONS,
    ]
    assert 0 < together.iterations[1] < 30 and together.iterations[0] == 30
    moved = (together.increments["a"][1] - begun["a"][1]).abs().amax()
    assert moved <= 0.1 and together.cost.isfinite().all()
    if method == "adam":
        assert moved > 0
    for hand in range(3):
        alone = descend(fragile([hand]), rows(begun, [hand]), settings)
        same(part(together, [hand]), alone)
    same(part(together, [0, 2]), descend(fragile([0, 2]), rows(begun, [0, 2]), settings))


def test_a_start_that_is_not_finite_is_kept_as_it_is() -> None:
    begun = start(2)
    begun["a"][1, 2] = torch.nan
    result = descend(smooth(2), begun, options("adam", 5))
    assert result.status.tolist() == [Status.MAX_ITERATIONS, Status.DIVERGED]
    assert result.iterations.tolist() == [5, 0]
    assert not result.cost[1].isfinite()
    torch.testing.assert_close(
        result.increments["a"][1], begun["a"][1], rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("method", METHODS)
def test_hands_that_gain_no_more_come_to_rest(method: str) -> None:
    """One stands at its minimum from the start, one moves on, one rests later."""
    begun = {"a": torch.tensor([[0.0], [1e3], [0.5]]).double(), "b": torch.zeros(3, 1).double()}

    def bowl(x: Tensors) -> Tensor:
        return x["a"].square().sum(1)

    settings = options(method, 300, rate=0.05, patience=5, relative_tolerance=1e-5)
    calls = []
    result = descend(lambda x: (calls.append(1), bowl(x))[1], begun, settings)
    assert result.status[0] == Status.CONVERGED and result.iterations[0] == 5
    assert result.status[2] == Status.CONVERGED and 5 < result.iterations[2] < 300
    assert torch.equal(result.increments["a"][0], begun["a"][0])
    if method == "adam":
        assert result.status[1] == Status.MAX_ITERATIONS and result.iterations[1] == 300
    for hand in range(3):
        same(part(result, [hand]), descend(bowl, rows(begun, [hand]), settings))
    calls.clear()
    descend(lambda x: (calls.append(1), bowl(x))[1], rows(begun, [0, 2]), settings)
    assert len(calls) < 300  # on the CPU nothing is computed for hands that all rest


def test_without_patience_no_hand_rests() -> None:
    begun = {"a": torch.zeros(1, 1), "b": torch.zeros(1, 1)}
    result = descend(lambda x: x["a"].square().sum(1), begun, options("adam", 12))
    assert result.iterations.tolist() == [12]
    assert result.status.tolist() == [Status.MAX_ITERATIONS]


@pytest.mark.parametrize("method", METHODS)
def test_no_iterations_give_the_start_and_its_cost(method: str) -> None:
    begun = start(2)
    result = descend(smooth(2), begun, options(method, 0))
    assert all(torch.equal(result.increments[name], begun[name]) for name in begun)
    assert torch.equal(result.cost, smooth(2)(begun))
    assert result.iterations.tolist() == [0, 0]
    assert result.status.tolist() == [Status.MAX_ITERATIONS] * 2


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_batches_of_one_give(method: str) -> None:
    matrix = torch.randn(5, 4, generator=torch.Generator().manual_seed(3)).double()

    def own(hands: list[int]) -> Callable[[Tensors], Tensor]:
        # Products and sums alone, which round alike whatever stands beside them.
        return lambda x: (
            (x["a"] - matrix[hands]).square().square().sum(1) + x["b"].square().sum((1, 2))
        )

    begun = start(5)
    together = descend(own(list(range(5))), begun, options(method, 20))
    for hand in range(5):
        same(part(together, [hand]), descend(own([hand]), rows(begun, [hand]), options(method, 20)))


@pytest.mark.parametrize("method", METHODS)
def test_what_the_objective_does_not_depend_on_stays(method: str) -> None:
    begun = start(2)
    result = descend(lambda x: x["a"].square().sum(1), begun, options(method, 10))
    assert torch.equal(result.increments["b"], begun["b"])
    assert not torch.equal(result.increments["a"], begun["a"])
    # An objective that depends on nothing at all is at its minimum.
    flat = descend(lambda x: torch.ones(2).double(), begun, options(method, 10))
    assert all(torch.equal(flat.increments[name], begun[name]) for name in begun)
    assert flat.cost.tolist() == [1.0, 1.0]


def test_the_start_is_left_as_it_is() -> None:
    begun = start(2)
    copy = {name: tensor.clone() for name, tensor in begun.items()}
    result = descend(smooth(2), begun, options("adam", 5))
    assert all(torch.equal(begun[name], copy[name]) for name in begun)
    assert not any(tensor.requires_grad for tensor in result.increments.values())


def test_nothing_waits_for_the_host() -> None:
    """Shapes alone carry a descent through, its options for resting hands included."""
    begun = {name: tensor.to("meta") for name, tensor in start(2).items()}
    result = descend(
        lambda x: x["a"].square().sum(1) + x["b"].sum((1, 2)),
        begun,
        options("adam", 3, patience=2),
    )
    assert result.cost.shape == (2,) and result.increments["b"].shape == (2, 2, 3)


@dataclass(frozen=True)
class Solved:
    """What every solver tells of problems of three variables."""

    position: Tensor
    cost: Tensor
    iterations: Tensor
    status: Tensor


def solve(solver: str, residual: Residual, positions: list[list[float]], budget: int) -> Solved:
    """Minimise squared residuals of three variables, all targets at (1, 1, 1)."""
    begun, data = at(positions), torch.ones(len(positions), 3, dtype=torch.float64)
    if solver == "lm":
        settings = LevenbergMarquardt(max_iterations=budget)
        result = levenberg_marquardt(Problem(residual, data), begun, settings, Euclidean())
        return Solved(result.params, result.cost, result.iterations, result.status)

    def objective(x: Tensors) -> Tensor:
        pairs = zip(x["x"], data, strict=True)
        return torch.stack([residual(*pair) for pair in pairs]).square().sum(-1)

    rate = {"adam": 0.05, "sgd": 1e-4}[solver]
    found = descend(objective, {"x": begun}, Descent(solver, budget, {"x": rate}))
    return Solved(found.increments["x"], found.cost, found.iterations, found.status)


ALL = ("lm", *METHODS)
STARTS = [[-1.2, 1.0, 0.0], [2.0, -1.0, 1.0], [0.0, 0.0, 3.0]]


@pytest.mark.parametrize("solver", ALL)
def test_every_solver_improves_on_its_start_within_its_budget(solver: str) -> None:
    before = solve(solver, rosenbrock, STARTS, 1 if solver == "lm" else 0).cost
    after = solve(solver, rosenbrock, STARTS, 15)
    assert (after.cost < before).all()
    assert (after.iterations <= 15).all()
    true = torch.stack([rosenbrock(x, torch.ones(3).double()) for x in after.position])
    torch.testing.assert_close(after.cost, true.square().sum(-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("solver", ALL)
def test_with_every_solver_a_bad_hand_leaves_its_neighbours_alone(solver: str) -> None:
    spoilt = [STARTS[0], [torch.nan, 0.0, 0.0], STARTS[2]]
    together = solve(solver, rosenbrock, spoilt, 12)
    assert together.status[1] == Status.DIVERGED and together.iterations[1] == 0
    assert not together.cost[1].isfinite()
    assert together.position[1, 0].isnan() and together.position[1, 1:].eq(0).all()
    for hand in (0, 2):
        alone = solve(solver, rosenbrock, [spoilt[hand]], 12)
        for one, many in zip(vars(alone).values(), vars(together).values(), strict=True):
            assert torch.equal(one[0], many[hand])


@pytest.mark.parametrize("solver", ALL)
def test_no_solver_ends_beyond_a_wall_of_infinite_cost(solver: str) -> None:
    def behind_a_wall(x: Tensor, target: Tensor) -> Tensor:
        return torch.where(x[0] > 0.5, torch.inf, 1.0) * (x - target)

    result = solve(solver, behind_a_wall, [[0.0, 0.0, 0.0]], 60)
    assert result.position[0, 0] <= 0.5 and result.cost.isfinite().all()
    assert result.cost < 3
