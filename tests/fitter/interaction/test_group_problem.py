"""The objective of a group against central differences, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.config.interaction import InteractionConfig
from fitter.hand_models import HandModel
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.interaction.contact_points import ContactSurface
from fitter.interaction.group_problem import GroupManifold, GroupProblem
from fitter.interaction.joint_stage import grouped_hand
from fitter.interaction.pictured import buckets
from tests.support.touching_cases import touching_case

NOTHING = dict.fromkeys(
    (
        "penetration_weight",
        "attraction_weight",
        "ordinal_weight",
        "closeness_weight",
        "alike_weight",
    ),
    0.0,
)


class _Silent:
    """An objective of hands that say nothing by themselves."""

    def linearize(self, params):
        from fitter.solvers import Linearization

        size = 6 + params.betas.shape[1] + 3 * params.hand_pose.shape[1]
        like = params.betas
        batch = len(like)
        return Linearization(
            like.new_zeros(batch), like.new_zeros(batch, size), like.new_zeros(batch, size, size)
        )

    def select(self, index):
        return self


@pytest.fixture(scope="module")
def case():
    return touching_case(2)


def exact_problem(case, params, **weights) -> GroupProblem:
    """What the pairs alone say, in double precision."""
    return problem_of(case, case.hands(params), **weights)


def problem_of(case, hands, **weights) -> GroupProblem:
    """The same of hands of one group, or of groups of one size."""
    params = hands.refined.params
    (bucket,) = buckets(case.stage.groups(hands), case.left.device)
    with torch.inference_mode(False):
        problem = case.stage.scene(hands, bucket).problem(params)
    hand = HandModel(case.model.hand.data, torch.float64)
    surface = ContactSurface.of(SurfaceKinematics.of(hand), hand.faces)
    doubled = {name: getattr(problem.pairs, name).to(torch.float64) for name in ("order", "beside")}
    return replace(
        problem,
        surface=surface,
        own=_Silent(),
        hands=problem.hands.to(torch.float64),
        pairs=replace(problem.pairs, **doubled),
        config=InteractionConfig(**(NOTHING | weights)),
    )


@pytest.mark.parametrize(
    "weights",
    [
        {"penetration_weight": 60.0},
        {"attraction_weight": 5.0, "attraction_reach": 0.01},
        {"ordinal_weight": 2.0},
        {"closeness_weight": 3.0, "closeness_free": 0.0},
        {"alike_weight": 5.0},
    ],
    ids=lambda weights: next(iter(weights)),
)
def test_gradients_are_those_of_central_differences(case, weights) -> None:
    # So near that all of it is in front of the other hand, where the order is wrong.
    params = case.begun(0.15 if "ordinal_weight" in weights else 0.045)
    if "alike_weight" in weights:
        noise = torch.randn(params.betas.shape, generator=torch.Generator().manual_seed(0))
        params = replace(params, betas=params.betas + noise)
    problem = exact_problem(case, params, **weights)
    if "alike_weight" in weights:
        problem = replace(
            problem, pairs=replace(problem.pairs, alike=torch.full((2,), 5.0).double())
        )
    state = grouped_hand(params, 2)
    found = problem.linearize(state)
    assert (found.cost.abs() > 1e-3).all() and (found.gradient.abs().amax(1) > 0).all()
    manifold = GroupManifold(case.model.fit.manifold, 2)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        step = torch.randn(found.gradient.shape, generator=generator, dtype=torch.float64)
        step = 1e-6 * step / step.norm(dim=1, keepdim=True)
        costs = [problem.linearize(manifold.retract(state, s * step)).cost for s in (1, -1)]
        slope = (costs[0] - costs[1]) / 2
        torch.testing.assert_close((found.gradient * step).sum(1), slope, rtol=2e-3, atol=1e-9)


def test_a_group_of_three_adds_up_what_its_pairs_say(case) -> None:
    """Each pair's part of cost, gradient and Hessian is that of both as a group of two."""
    params = case.begun()
    # A little apart, so that none of three is another one found again.
    beside = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.02, 0.06, 0.02], [0.0, 0.0, 0.0]])
    params = replace(params, transl=params.transl + beside)
    people = np.array(["one", "other", "third"])
    three = replace(case.hands(params, [0, 1, 2]), picture=np.zeros(3, int), people=people)
    weights = InteractionConfig().model_dump()
    problem = problem_of(case, three, **weights)
    pairs = list(zip(problem.pairs.first.tolist(), problem.pairs.second.tolist(), strict=True))
    assert problem.count == 3 and len(pairs) == 3
    whole = problem.linearize(grouped_hand(params[:3], 3))
    size = whole.gradient.shape[1] // 3
    cost, gradient = torch.zeros_like(whole.cost), torch.zeros_like(whole.gradient)
    hessian = torch.zeros_like(whole.hessian)
    for ends in pairs:
        index = torch.tensor(ends)
        two = case.hands(params, list(ends))
        two = replace(two, picture=np.zeros(2, int), people=people[list(ends)])
        found = problem_of(case, two, **weights).linearize(grouped_hand(params[index], 2))
        rows = (index[:, None] * size + torch.arange(size)).flatten()
        cost += found.cost
        gradient[:, rows] += found.gradient
        hessian[:, rows[:, None], rows] += found.hessian
    assert (gradient.view(3, -1).abs().amax(1) > 0).all()
    torch.testing.assert_close(whole.cost, cost)
    torch.testing.assert_close(whole.gradient, gradient)
    torch.testing.assert_close(whole.hessian, hessian)


def test_the_hessian_is_symmetric_and_nowhere_negative(case) -> None:
    params = case.begun()
    config = InteractionConfig()
    hessian = (
        replace(exact_problem(case, params), config=config)
        .linearize(grouped_hand(params, 2))
        .hessian
    )
    torch.testing.assert_close(hessian, hessian.mT)
    values = torch.linalg.eigvalsh(hessian)
    assert (values > -1e-9 * values.amax()).all() and (values.amax(1) > 0).all()


def test_groups_that_are_selected_keep_their_objectives(case) -> None:
    params = case.begun()
    problem = replace(exact_problem(case, params), config=InteractionConfig())
    state = grouped_hand(params, 2)
    both = problem.linearize(state)
    for group in (0, 1):
        index = torch.tensor([group])
        alone = problem.select(index).linearize(state[index])
        torch.testing.assert_close(alone.cost, both.cost[index])
        torch.testing.assert_close(alone.gradient, both.gradient[index])
        torch.testing.assert_close(alone.hessian, both.hessian[index])


def test_a_known_shape_is_not_changed_by_another_hand(case) -> None:
    params = case.begun()
    known = KnownShape.of(torch.full((4,), torch.nan).double(), params.betas.double())
    problem = replace(exact_problem(case, params), config=InteractionConfig())
    problem = replace(problem, hands=replace(problem.hands, known=known))
    found = problem.linearize(grouped_hand(params, 2))
    shape = problem.surface.layout.betas
    blocks = found.gradient.view(2, 2, -1)
    assert (blocks[..., shape] == 0).all() and (blocks[..., :6] != 0).any()


def test_steps_are_shortened_hand_by_hand_and_groups_keep_their_directions(case) -> None:
    manifold = GroupManifold(case.model.fit.manifold, 2)
    size = 61
    step = torch.zeros(2, 2 * size, dtype=torch.float64)
    step[0, size] = 2.0  # the second hand's rotation, four times what it may be
    step[0, 3] = 0.1
    step[1, 3] = 0.1
    short = manifold.shortened(step)
    torch.testing.assert_close(short[0], step[0] / 4)
    assert torch.equal(short[1], step[1])
