"""Hands that are deep in known objects leave them, to the side that the mask speaks for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fitter.camera import project
from fitter.config.stages import DEFAULT_STAGES
from fitter.contact import Surface
from fitter.energies.known_objects import KnownObjects
from fitter.metrics import penetration_depth
from fitter.raster import MeshTopology, rasterize
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.scene import SceneModel
from fitter.refinement.stuck import SHIFTS, out_of_objects
from fitter.solvers import LevenbergMarquardt, SolverResult, Status, levenberg_marquardt
from tests.support.held_things import ball_at
from tests.support.refine_scenes import scene_model, task_of, true_hands, view_of

MIDDLE = DEFAULT_STAGES["middle"]
FREE = {name: w for name, w in MIDDLE.energies.items() if name != "object_attraction"}
STAGE = MIDDLE.model_copy(update={"energies": FREE})
"""The stage of the default in which hands are fitted again; but these hold nothing, and what lies
in them by chance is not to draw them."""
SIDE, RADIUS = 64, 0.03
STUCK = 1
"""The hand that holds a ball; the others have no object."""
OPTIONS = LevenbergMarquardt(max_iterations=STAGE.iterations)


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model(torch.float64)


@pytest.fixture(scope="module")
def hands(model):
    return true_hands(model, 3)


@pytest.fixture(scope="module")
def middles(model, hands):
    return model.hand(hands).vertices.mean(1).tolist()


def things_in(model, middles, *held: int) -> KnownObjects:
    """A ball in the middle of each of the hands named, none in the others."""
    things = [[ball_at(tuple(m), RADIUS)] if k in held else [] for k, m in enumerate(middles)]
    return KnownObjects.of(things, [False] * len(things), model.closed_faces)


def problem_of(model, hands, objects: KnownObjects, view=None) -> LeastSquaresObjective:
    task = task_of(model, view_of(model, hands, SIDE) if view is None else view)
    return LeastSquaresObjective.of(replace(task, objects=objects), STAGE, model.start(hands))


def solved(model):
    return lambda part, start: levenberg_marquardt(part, start, OPTIONS, model.fit.manifold)


def depth(model, params, objects: KnownObjects, k: int) -> float:
    vertices = model.hand(params).vertices[k : k + 1].double()
    pair = Surface(vertices, model.closed_faces), objects.surfaces[k][0]
    return float(penetration_depth(*pair, None).maximum[0])


def test_a_hand_leaves_what_it_is_stuck_in_and_others_stay(model, hands, middles):
    objects = things_in(model, middles, STUCK)
    problem, solve = problem_of(model, hands, objects), solved(model)
    before = solve(problem, hands)
    after = out_of_objects(problem, before, solve)
    deep = [depth(model, each.params, objects, STUCK) for each in (before, after)]
    assert deep[0] > 0.02 and deep[1] < 0.003
    assert before.cost[STUCK] > after.cost[STUCK]
    others = [k for k in range(3) if k != STUCK]
    for name, value in vars(before.params).items():
        assert torch.equal(value[others], getattr(after.params, name)[others])


@pytest.mark.parametrize("is_in_front", [True, False])
def test_the_mask_says_whether_the_hand_is_in_front(model, hands, middles, is_in_front):
    objects = things_in(model, middles, STUCK)
    view = view_of(model, hands, SIDE)
    thing = objects.surfaces[STUCK][0]
    screen = torch.cat([project(thing.vertices, view.intrinsics[:1]), thing.vertices[..., 2:]], -1)
    shown = rasterize(screen, MeshTopology(thing.faces), (SIDE, SIDE)).mask[0]
    assert (view.mask[STUCK] * shown).mean() > 0.02
    if not is_in_front:  # the ball hides what is behind it
        mask = view.mask.clone()
        mask[STUCK] *= ~shown
        view = replace(view, mask=mask)
    problem, solve = problem_of(model, hands, objects, view), solved(model)
    after = out_of_objects(problem, solve(problem, hands), solve)
    off = model.hand(after.params).vertices[STUCK, :, 2].mean() - middles[STUCK][2]
    assert (off < 0) == is_in_front
    assert 0.02 < abs(off) < 0.1


def test_a_batch_is_its_hands_alone(model, hands, middles):
    problem, solve = problem_of(model, hands, things_in(model, middles, 0, 2)), solved(model)
    whole = out_of_objects(problem, solve(problem, hands), solve)
    for k in range(3):
        index = torch.tensor([k])
        part = problem.select(index)
        alone = out_of_objects(part, solve(part, hands[index]), solve)
        torch.testing.assert_close(alone.params.transl[0], whole.params.transl[k])
        torch.testing.assert_close(alone.cost[0], whole.cost[k])


def test_what_diverges_is_neither_fitted_again_nor_kept(model, hands, middles):
    problem, solve = problem_of(model, hands, things_in(model, middles, STUCK)), solved(model)
    before = solve(problem, hands)
    diverged = torch.full_like(before.status, int(Status.DIVERGED))
    lost = replace(before, status=diverged)
    assert out_of_objects(problem, lost, solve) is lost

    def failing(part, start):
        found = solve(part, start)
        status = torch.full_like(found.status, int(Status.DIVERGED))
        return replace(found, cost=torch.zeros_like(found.cost), status=status)

    after = out_of_objects(problem, before, failing)
    assert torch.equal(after.params.transl, before.params.transl)
    assert torch.equal(after.cost, before.cost) and torch.equal(after.status, before.status)
    assert after.iterations[STUCK] > before.iterations[STUCK]


@pytest.mark.parametrize("place", range(len(SHIFTS) + 1))
def test_what_costs_least_is_kept(model, hands, middles, place):
    """As it was, or any of the places."""
    problem = problem_of(model, hands, things_in(model, middles, STUCK))
    before = solved(model)(problem, hands)
    cost = before.cost.clone()
    cost[STUCK] = -1e9 if place == 0 else 0.0
    before, starts = replace(before, cost=cost), []

    def as_they_are(part, start):
        starts.append(start)
        count = len(start.transl)
        cost = torch.zeros(count, dtype=torch.float64)
        cost[place - 1] = -1e9 * (place > 0)
        steps = torch.full((count,), 7)
        return SolverResult(start, cost, steps, torch.zeros_like(steps) + int(Status.CONVERGED))

    after = out_of_objects(problem, before, as_they_are)
    (tried,) = starts
    kept = before.params.transl[STUCK] if place == 0 else tried.transl[place - 1]
    assert torch.equal(after.params.transl[STUCK], kept)
    assert after.cost[STUCK] == -1e9
    assert after.iterations[STUCK] == before.iterations[STUCK] + 7 * len(SHIFTS)


@pytest.mark.parametrize("radius", [0.003, 0.3])
def test_a_hand_is_stuck_whichever_is_in_the_other(model, hands, radius):
    """The small ball lies in the flesh around a knuckle, between all vertices of the hand; the
    whole hand lies in the large one, far from its surface."""
    knuckle = model.hand(hands).joints[STUCK, 4].tolist()
    things = [[ball_at(tuple(knuckle), radius)] if k == STUCK else [] for k in range(3)]
    objects = KnownObjects.of(things, [False] * 3, model.closed_faces)
    alone = problem_of(model, hands, KnownObjects.of([[]] * 3, [False] * 3, model.closed_faces))
    before, tried = solved(model)(alone, hands), []

    def watched(part, start):
        tried.append(len(start.transl))
        return solved(model)(part, start)

    out_of_objects(problem_of(model, hands, objects), before, watched)
    assert tried == [len(SHIFTS)]


def test_no_hand_is_tried_behind_the_camera(model, hands, middles):
    problem, solve = problem_of(model, hands, things_in(model, middles, STUCK)), solved(model)
    before = solve(problem, hands)
    near = before.params.transl.clone()
    near[STUCK, 2] += 0.05 - middles[STUCK][2]
    before = replace(before, params=replace(before.params, transl=near))
    (ball,) = problem.task.objects.surfaces[STUCK]
    ball.vertices[..., 2] += 0.05 - middles[STUCK][2]
    starts = []

    def watched(part, start):
        starts.append(model.hand(start).vertices.mean(1)[:, 2])
        return solve(part, start)

    out_of_objects(problem, before, watched)
    expected = [0.05 + max(shift, -0.025) for shift in SHIFTS]
    torch.testing.assert_close(starts[0].tolist(), expected, atol=5e-3, rtol=0)


def test_without_objects_nothing_is_computed(model, hands):
    task = task_of(model, view_of(model, hands, SIDE))
    problem = LeastSquaresObjective.of(task, STAGE, model.start(hands))
    before = solved(model)(problem, hands)
    assert out_of_objects(problem, before, solved(model)) is before
