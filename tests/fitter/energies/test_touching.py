"""Surfaces that may not be in each other, for both kinds of solvers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.config.stages import StageConfig
from fitter.contact import Surface, attraction, closed, contacts, penetration
from fitter.energies.touching import GapLoss, gap_quadratic, self_penetration, self_quadratic
from fitter.hand_models.hand_parts import hand_parts
from fitter.hand_models.tangent import retract
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.records import HandParams
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.stages import run_stages
from tests.support.contact_meshes import ball, crossed, hand, posed
from tests.support.refine_scenes import scene_model, task_of, true_hands, view_of

REACH = 0.006
HAND = ["global_orient", "pose", "shape", "camera"]


def moved(names: tuple[str, str], params: tuple[HandParams, HandParams], step: Tensor):
    """Two hands of some models after a step (B, D + D') of their tangent vectors."""
    meshes, start = [], 0
    for name, own in zip(names, params, strict=True):
        model = hand(name)
        size = 6 + own.betas.shape[1] + own.hand_pose.flatten(1).shape[1]
        vertices = model(retract(own, step[:, start : start + size])).vertices
        meshes.append(Surface(vertices, closed(model.faces, len(model.v_template))))
        start += size
    return meshes


@pytest.mark.parametrize("loss", [GapLoss(), GapLoss(REACH)])
def test_both_ways_together_are_the_energy_and_its_slope(loss: GapLoss) -> None:
    """By both hands, of different models, against automatic differentiation of the energy."""
    names = ("open_hand", "mano")
    (first, own), (second, other) = posed(names[0], 2), posed(names[1], 2, seed=1)
    jacobians = [
        SurfaceKinematics.of(hand(name))(p) for name, p in zip(names, (own, other), strict=True)
    ]
    reach = loss.reach or 0.0
    there = gap_quadratic(contacts(first, second, reach), *jacobians, loss)
    back = gap_quadratic(contacts(second, first, reach), *jacobians[::-1], loss)
    half = jacobians[1].layout.size
    gradient = there.gradient + torch.cat([back.gradient[:, half:], back.gradient[:, :half]], 1)

    step = torch.zeros_like(gradient).requires_grad_()
    meshes = moved(names, (own, other), step)
    if loss.reach is None:
        energy = penetration(*meshes, form="squared")
    else:
        energy = attraction(*meshes, reach)
    (expected,) = torch.autograd.grad(energy.sum(), step)
    torch.testing.assert_close(there.value + back.value, energy.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_the_hessian_is_that_of_gauss_and_newton() -> None:
    (first, own), (second, other) = posed("open_hand", 2), posed("mano", 2, seed=1)
    jacobians = [
        SurfaceKinematics.of(hand("open_hand"))(own),
        SurfaceKinematics.of(hand("mano"))(other),
    ]
    near = contacts(first, second, 0.0)
    found = gap_quadratic(near, *jacobians)

    def gaps(step: Tensor) -> Tensor:
        """Of the same vertices, whatever is inside."""
        one, two = moved(("open_hand", "mano"), (own, other), step)
        away = one.vertices[near.pair, near.vertex] - (
            near.barycentrics[..., None] * two.vertices[near.pair[:, None], near.corners]
        ).sum(1)
        return (near.normal * away).sum(-1)

    rows = torch.autograd.functional.jacobian(gaps, torch.zeros_like(found.gradient))
    for b in range(2):
        own_rows = rows[near.pair == b, b]
        expected = 2 * own_rows.T @ own_rows / first.vertices.shape[1]
        tolerance = 1e-9 * float(expected.abs().max())
        torch.testing.assert_close(found.hessian[b], expected, rtol=0, atol=tolerance)


def test_a_thing_that_stays_moves_the_hand_alone() -> None:
    first, own = posed("open_hand", 2, spread=0.0)
    jacobian = SurfaceKinematics.of(hand("open_hand"))(own)
    middle = first.vertices.mean(1)
    thing = ball(middle.tolist())
    both = gap_quadratic(contacts(first, thing, 0.0), jacobian, None)
    assert both.hessian.shape[1:] == (jacobian.layout.size,) * 2 and (both.value > 0).all()
    back = gap_quadratic(contacts(thing, first, 0.0), None, jacobian)
    assert back.gradient.shape == both.gradient.shape and (back.value > 0).all()
    far = gap_quadratic(contacts(first, ball([[9.0, 0, 0]] * 2), 0.0), jacobian, None)
    assert (far.value == 0).all() and (far.gradient == 0).all() and (far.hessian == 0).all()
    broken = Surface(first.vertices.clone(), first.faces)
    broken.vertices[0, 0] = torch.nan
    hurt = gap_quadratic(contacts(broken, thing, 0.0), jacobian, None)
    assert hurt.value.isnan().tolist() == [True, False] and hurt.gradient[0].isnan().all()
    assert torch.equal(hurt.gradient[1], both.gradient[1])


def test_a_hand_in_itself_has_the_slope_of_its_energy() -> None:
    model, params = hand("open_hand"), crossed("open_hand")
    parts = closed(model.faces, len(model.v_template)), hand_parts(model)
    found = self_quadratic(SurfaceKinematics.of(model)(params), parts)
    step = torch.zeros_like(found.gradient).requires_grad_()
    energy = self_penetration(model(retract(params, step)).vertices, parts)
    (expected,) = torch.autograd.grad(energy.sum(), step)
    assert (energy > 0).all()
    torch.testing.assert_close(found.value, energy.detach(), rtol=1e-9, atol=0)
    tolerance = 1e-9 * float(expected.abs().max())
    torch.testing.assert_close(found.gradient, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("solver", ["lm", "adam"])
def test_a_stage_gets_fingers_out_of_each_other(solver: str) -> None:
    model = scene_model(torch.float64)
    task = task_of(model, view_of(model, true_hands(model, 2), 32))
    start = replace(true_hands(model, 2), hand_pose=crossed("open_hand").hand_pose)
    options = {} if solver == "lm" else {"learning_rate": 0.01}
    stage = StageConfig(
        solver=solver,
        iterations=10,
        free=HAND,
        energies={"self_penetration": 1e6},
        **options,
    )
    faces, parts = model.parts
    before = self_penetration(model.hand(start).vertices, (faces, parts))
    result = run_stages(task, start, {"apart": stage})
    after = self_penetration(model.hand(result.params.hand).vertices, (faces, parts))
    assert (before > 0).all() and (after < 0.8 * before).all()
    torch.testing.assert_close(result.cost, 1e6 * after, rtol=1e-3, atol=1e-9)


def test_the_objective_of_least_squares_adds_it_with_and_without_an_outline() -> None:
    model = scene_model(torch.float64)
    task = task_of(model, view_of(model, true_hands(model, 2), 32))
    hands = replace(true_hands(model, 2), hand_pose=crossed("open_hand").hand_pose)
    for others in ({}, {"silhouette_l2": 1.0}):
        costs = []
        for weight in (0.0, 1e4):
            stage = StageConfig(
                solver="lm", iterations=1, free=HAND, energies=others | {"self_penetration": weight}
            )
            objective = LeastSquaresObjective.of(task, stage, model.start(hands))
            costs.append(objective.linearize(hands).cost)
        expected = 1e4 * self_penetration(model.hand(hands).vertices, model.parts)
        assert (expected > 0).all()
        torch.testing.assert_close(costs[1] - costs[0], expected, rtol=1e-6, atol=1e-12)
