"""Known objects beside hands: as energies of first order and of least squares, and in stages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fitter.config.stages import StageConfig
from fitter.contact import Surface, attraction, penetration
from fitter.energies.known_objects import (
    KnownObjects,
    attraction_quadratic,
    object_attraction,
    object_penetration,
    penetration_quadratic,
)
from fitter.hand_models.tangent import retract
from fitter.metrics import penetration_depth
from fitter.refinement.scene import SceneModel
from fitter.refinement.stages import run_stages
from tests.support.held_things import ball_at, balls_in
from tests.support.refine_scenes import scene_model, task_of, true_hands, view_of

REACH = 0.01


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model(torch.float64)


@pytest.fixture(scope="module")
def hands(model):
    return true_hands(model, 3)


def some(model) -> KnownObjects:
    """Two in the first hand, none at the second, one in the third."""
    things = [[ball_at((0, 0, 0.5)), ball_at((0.03, 0, 0.5))], [], [ball_at((0, 0.01, 0.5))]]
    return KnownObjects.of(things, [False] * 3, model.closed_faces)


def test_hands_without_objects_are_silent_and_those_with_several_add_up(model, hands):
    objects = some(model)
    vertices = model.hand(hands).vertices.requires_grad_()
    hand = [Surface(v[None], model.closed_faces) for v in vertices]
    for found, pair in (
        (object_penetration(vertices, objects), penetration),
        (object_attraction(vertices, objects, REACH), lambda a, b: attraction(a, b, REACH)),
    ):
        expected = [sum(pair(hand[k], one) for one in objects.surfaces[k]) for k in (0, 2)]
        torch.testing.assert_close(found[[0, 2]], torch.cat(expected))
        assert found[1] == 0 and (found[[0, 2]] != 0).all()
        (slope,) = torch.autograd.grad(found.sum(), vertices)
        assert slope.isfinite().all() and not slope[1].any() and slope[0].any()


def test_lengths_may_be_in_another_unit(model, hands):
    objects = some(model)
    vertices = model.hand(hands).vertices
    metres, millimetres = (
        object_penetration(vertices / unit, objects.in_unit(unit)) for unit in (1.0, 0.001)
    )
    torch.testing.assert_close(1000 * metres, millimetres)


def test_least_squares_slopes_are_those_of_the_energies(model, hands):
    objects = some(model)
    surface = model.kinematics(hands)
    squared = penetration_quadratic(surface, objects)
    drawn = attraction_quadratic(surface, objects, REACH)
    step = torch.zeros_like(squared.gradient).requires_grad_()
    vertices = model.hand(retract(hands, step)).vertices
    energies = (
        objects.total(vertices, lambda a, b: penetration(a, b, "squared")),
        object_attraction(vertices, objects, REACH),
    )
    for found, energy in zip((squared, drawn), energies, strict=True):
        torch.testing.assert_close(found.value, energy.detach(), rtol=1e-9, atol=1e-15)
        (slope,) = torch.autograd.grad(energy.sum(), step, retain_graph=True)
        scale = float(slope.abs().max())
        torch.testing.assert_close(found.gradient, slope, rtol=0, atol=1e-7 * scale)
        assert not found.gradient[1].any() and not found.hessian[1].any()
        assert (torch.linalg.eigvalsh(found.hessian) > -1e-9 * found.hessian.abs().max()).all()


def test_an_object_of_one_side_draws_hands_of_that_side_and_holds_out_both(model, hands):
    own = ball_at((0.06, 0, 0.5))
    sides = [False, True, False]
    energies = []
    for hand in (None, "right", "left"):
        things = [[replace(own, hand=hand)]] * 3
        objects = KnownObjects.of(things, sides, model.closed_faces)
        vertices = model.hand(hands).vertices
        drawn = object_attraction(vertices, objects, 0.06)
        (kept,) = objects[torch.tensor([1])].draws
        assert kept == (hand != "right",)
        squares = attraction_quadratic(model.kinematics(hands), objects, 0.06)
        torch.testing.assert_close(squares.value, drawn)
        energies.append((drawn, object_penetration(vertices, objects)))
    (both, inside), (right, _), (left, _) = energies
    assert (both < 0).all()
    torch.testing.assert_close(right, torch.where(torch.tensor(sides), 0.0, both))
    torch.testing.assert_close(left, torch.where(torch.tensor(sides), both, 0.0))
    assert all(torch.equal(each, inside) for _, each in energies)


def test_least_squares_are_in_double_precision_whatever_the_hands_are(model, hands):
    single = scene_model(torch.float32)
    surface = single.kinematics(hands.to(torch.float32))
    for found in (
        penetration_quadratic(surface, some(single)),
        attraction_quadratic(surface, some(single), REACH),
    ):
        assert {part.dtype for part in found} == {torch.float64}
        # Digits that single precision has not are kept.
        assert (found.hessian[0] != found.hessian[0].float().double()).any()


def test_a_left_hand_sees_the_mirrored_object(model, hands):
    place = (0.012, 0.004, 0.5)
    right = KnownObjects.of([[ball_at(place)]] * 3, [False] * 3, model.closed_faces)
    mirrored = (-place[0], *place[1:])
    left = KnownObjects.of([[ball_at(mirrored)]] * 3, [True] * 3, model.closed_faces)
    vertices = model.hand(hands).vertices
    torch.testing.assert_close(
        object_penetration(vertices, left), object_penetration(vertices, right)
    )


LM = {
    "solver": "lm",
    "iterations": 8,
    "free": ["global_orient", "pose", "shape", "camera"],
    "energies": {
        "keypoints": 2.0,
        "limits": 1.5,
        "pose_prior": 0.1,
        "shape_prior": 0.2,
        "object_penetration": 1e7,
    },
}
ADAM = {
    "solver": "adam",
    "iterations": 40,
    "learning_rate": 2e-3,
    "free": ["global_orient", "pose", "camera"],
    "energies": {"keypoints": 1.0, "object_penetration": 300.0},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [LM, ADAM], ids=["lm", "adam"])
def test_a_stage_takes_hands_out_of_known_objects_and_leaves_the_others(options, dtype):
    model = scene_model(dtype)
    hands = true_hands(model, 3)
    plain = task_of(model, view_of(model, hands, 32))
    objects = KnownObjects.of([[ball_at((0, 0, 0.5))], [], []], [False] * 3, model.closed_faces)
    stage = {"a": StageConfig(**options)}
    alone = run_stages(plain, hands, stage).params
    beside = run_stages(replace(plain, objects=objects), hands, stage).params

    def depth(params) -> float:
        vertices = model.hand(params.hand).vertices[:1].double().detach()
        found = penetration_depth(
            Surface(vertices, model.closed_faces), objects.surfaces[0][0], None
        )
        return 1000 * float(found.maximum[0])

    assert depth(alone) > 5 and depth(beside) < 0.7 * depth(alone)
    # A batch from which other hands go earlier is added up in another order.
    exact = 1e-12 if dtype == torch.float64 else 1e-5
    for name, value in vars(alone).items():
        torch.testing.assert_close(value[1:], getattr(beside, name)[1:], rtol=0, atol=exact)


def test_a_batch_is_its_hands_alone(model, hands):
    plain = task_of(model, view_of(model, hands, 32))
    stage = {"a": StageConfig(**LM)}
    whole = run_stages(replace(plain, objects=balls_in(model, 3)), hands, stage).params
    task = replace(plain, objects=balls_in(model, 3))
    for k in range(3):
        index = torch.tensor([k])
        one = run_stages(task.select(index), hands[index], stage).params
        torch.testing.assert_close(one.transl[0], whole.transl[k], rtol=0, atol=1e-9)
        torch.testing.assert_close(one.hand_pose[0], whole.hand_pose[k], rtol=0, atol=1e-7)
