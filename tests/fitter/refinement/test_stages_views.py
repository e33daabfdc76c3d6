"""Stages over hands that several cameras see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.config.stages import StageConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.touching import self_penetration
from fitter.hand_models.known_shape import KnownShape
from fitter.raster import RasterSettings
from fitter.records import HandParams
from fitter.refinement import Objective, StageTask, ViewedScenes, run_stages, stages
from fitter.refinement.scene import SceneModel, draw
from fitter.rotations import roma
from fitter.views.rows import RigRows, RootJoint
from tests.support.contact_meshes import crossed
from tests.support.refine_scenes import hands_of, perturbed, scene_model, true_hands, view_of
from tests.support.stage_cases import SHORT, staged

SIDE = 48


def rig_rows(views: list[int], turn: float = 0.9) -> RigRows:
    """Cameras half a metre from the point half a metre along z, each turned further about it."""
    step = torch.cat([torch.arange(count) for count in views]).double()
    axis = torch.nn.functional.normalize(torch.tensor([0.3, 1.0, 0.2]).double(), dim=0)
    rotation = roma.rotvec_to_rotmat(turn * step[:, None] * axis)
    middle = torch.tensor([0.0, 0.0, 0.5]).double()
    return RigRows(
        hand=torch.arange(len(views)).repeat_interleave(torch.tensor(views)),
        rotation=rotation,
        translation=middle - (rotation @ middle[:, None])[..., 0],
        weight=torch.ones(len(step)).double(),
        count=len(views),
    )


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model()


@pytest.fixture(scope="module")
def truth(model) -> HandParams:
    return true_hands(model, 2)


def viewed_task(model: SceneModel, truth: HandParams, rows: RigRows) -> StageTask:
    root = RootJoint.of(model.fit.keypoints)
    view = view_of(model, rows.in_views(truth, root), SIDE)
    targets = KeypointTargets.of(hands_of(view, FitConfig()))
    views = ViewedScenes(rows, KnownShape.nothing(truth.transl), root)
    return StageTask(model, view, targets, FitConfig(), views=views)


def off(model: SceneModel, found: HandParams, truth: HandParams) -> Tensor:
    """(B,) metres, mean distance of vertices."""
    like = model.hand.v_template
    points = [model.hand(hands.to(like.dtype)).vertices for hands in (found, truth)]
    return (points[0] - points[1]).norm(dim=-1).mean(1)


def test_the_silhouettes_of_two_views_are_averaged_as_printed(model, truth) -> None:
    """Seeber et al. eq. 8, transcribed."""
    rows = rig_rows([2, 2])
    task = viewed_task(model, truth, rows)
    scene = model.start(perturbed(truth))
    stage = StageConfig(
        solver="sgd", iterations=1, free=["camera"], learning_rate=1e-3,
        energies={"silhouette_l2": 1.0}, silhouette="soft", view_reduction="mean",
    )  # fmt: skip
    seen = task.seen(scene)
    settings = RasterSettings(silhouette="soft", sigma=stage.sigma, band=stage.band)
    drawn = draw(model, seen, task.view, settings, shaded=False).fragments
    squares = (drawn.alpha - task.view.mask).square().sum((1, 2))
    left, right = squares[0::2], squares[1::2]
    expected = (left + right) / 2
    torch.testing.assert_close(Objective.of(task, stage, scene)(scene), expected)
    added = Objective.of(task, stage.model_copy(update={"view_reduction": "sum"}), scene)(scene)
    torch.testing.assert_close(added, left + right)


def masked_in(task: StageTask, places: list[int]) -> StageTask:
    """The task with masks in some rows alone."""
    weight = torch.zeros_like(task.view.mask_weight)
    weight[places] = task.view.mask_weight[places]
    return replace(task, view=replace(task.view, mask_weight=weight))


@pytest.mark.parametrize("solver", ["lm", "sgd"])
def test_the_mean_of_silhouettes_is_over_views_that_have_a_mask(model, truth, solver) -> None:
    """A view whose mask is missing says nothing; keypoints are averaged over all views."""
    two, three = (viewed_task(model, truth, rig_rows([n, n])) for n in (2, 3))
    scene = model.start(perturbed(truth))
    for energy, same in (("silhouette_l2", True), ("keypoints", False)):
        stage = staged(solver, ["camera", "global_orient", "pose", "shape"], energies={energy: 1.0})
        stage = stage.model_copy(update={"view_reduction": "mean"})
        found = []
        for task in (two, masked_in(three, [0, 1, 3, 4])):
            if solver == "sgd":
                found.append(Objective.of(task, stage, scene)(scene).double())
            else:
                problem = stages._least_squares_problem(task, stage, scene)
                found.append(problem.linearize(scene.hand.to(torch.float64)).cost)
        assert torch.allclose(*found, rtol=1e-4) == same


def test_energies_of_the_hand_alone_are_of_one_row_a_hand(model, truth) -> None:
    scene = model.start(perturbed(truth))
    stage = staged("adam", ["pose"], energies={"pose_l2": 1.0, "laplacian": 2.0})
    looked = Objective.of(viewed_task(model, truth, rig_rows([2, 3])), stage, scene).alone(scene)
    assert len(looked.rendering.vertices) == len(looked.view.mask) == 2


def test_the_scale_in_a_view_of_no_weight_does_not_count(model, truth) -> None:
    stage = staged("adam", ["camera"], energies={"camera_scale": 1.0})
    rows = rig_rows([3, 3])
    dropped = rows.of_weight(rows.weight.index_fill(0, torch.tensor([2, 5]), 0.0))
    scene = model.start(perturbed(truth))
    nearer = replace(scene, transl=scene.transl - torch.tensor([0.0, 0.0, 0.1]))
    found = [
        Objective.of(viewed_task(model, truth, each), stage, scene)(nearer)
        for each in (dropped, rig_rows([2, 2]), rows)
    ]
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], found[2], rtol=1e-2)


@pytest.mark.parametrize("light", ["ambient_directional", "spherical_harmonics"])
def test_the_frame_of_the_rig_is_whoevers_choice(model, truth, light) -> None:
    """Colours and light too: the same cost, and the same hand after a few steps."""
    model = replace(model, light=light)
    rows, root = rig_rows([2, 3]), RootJoint.of(model.fit.keypoints)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.4, 2.0, -0.7]).double())
    away = torch.tensor([0.5, -0.2, 0.3]).double()
    other = replace(
        rows,
        rotation=rows.rotation @ turn.T,
        translation=rows.translation - (rows.rotation @ turn.T @ away),
    )
    to_other = RigRows(
        torch.arange(2), turn.expand(2, 3, 3), away.expand(2, 3), torch.ones(2).double(), 2
    )
    task = viewed_task(model, truth, rows)
    moved = replace(task, views=replace(task.views, rows=other))
    stage = staged(
        "sgd",
        ["camera", "lighting"],
        learning_rate=1e-6,
        energies={"photometric_robust": 1.0, "silhouette_l2": 1.0},
    )
    begun = perturbed(truth)
    costs, found = [], []
    for each, start in ((task, begun), (moved, to_other.in_views(begun, root))):
        scene = each.start(start)
        costs.append(Objective.of(each, stage, scene)(scene))
        found.append(run_stages(each, start, {"stage": stage}).params.hand.to(torch.float64))
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-4, atol=1e-6)
    expected = to_other.in_views(found[0], root)
    assert off(model, found[0], begun).min() > 1e-5
    assert off(model, found[1], expected).max() < 2e-6


def test_what_judges_a_hand_alone_counts_once(model, truth) -> None:
    stage = staged("adam", ["pose"], energies={"pose_l2": 1.0, "laplacian": 2.0})
    scene = model.start(perturbed(truth))
    one, three = (
        Objective.of(task, stage, scene)(scene)
        for task in (viewed_task(model, truth, rig_rows([n, n])) for n in (1, 3))
    )
    torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-6)


def test_a_hand_in_itself_counts_once_for_least_squares() -> None:
    """By whatever number of views, and for the hands that a problem is narrowed to."""
    model = scene_model(torch.float64)  # depths of millimetres have few digits in float32
    truth = true_hands(model, 2)
    stage = SHORT.model_copy(update={"energies": {"self_penetration": 1e4}})
    hands = replace(truth, hand_pose=crossed("open_hand").hand_pose)
    problems = [
        stages._least_squares_problem(task, stage, model.start(hands))
        for task in (viewed_task(model, truth, rig_rows([n, n])) for n in (1, 3))
    ]
    one, three = (problem.linearize(hands) for problem in problems)
    expected = 1e4 * self_penetration(model.hand(hands.to(torch.float64)).vertices, model.parts)
    assert (expected > 0).all()
    torch.testing.assert_close(one.cost, expected.double(), rtol=1e-4, atol=0)
    index = torch.tensor([1])
    narrowed = problems[1].select(index).linearize(hands[index])
    for single, several, part in zip(
        *(vars(found).values() for found in (one, three, narrowed)), strict=True
    ):
        torch.testing.assert_close(several, single, rtol=1e-12, atol=0)
        torch.testing.assert_close(part, single[index], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("solver", ["lm", "adam"])
def test_one_view_in_its_cameras_frame_is_a_hand_in_one_camera(model, truth, solver) -> None:
    stage = SHORT if solver == "lm" else staged("adam", ["global_orient", "pose", "camera"])
    joint = viewed_task(model, truth, rig_rows([1, 1]))
    alone = replace(joint, views=None)
    begun = perturbed(truth)
    found = [run_stages(task, begun, {"stage": stage}).params for task in (joint, alone)]
    assert off(model, found[0].hand, found[1].hand).max() < 2e-5


def test_masks_of_two_views_tell_the_depth_that_one_leaves_open(model, truth) -> None:
    """Without keypoints, begun 15 mm too far along the first camera's axis and too large."""
    stage = SHORT.model_copy(
        update={
            "iterations": 15,
            "energies": {"silhouette_l2": 1000.0, "pose_prior": 0.01, "shape_prior": 0.01},
            "band": 4.0,
        }
    )
    far = torch.tensor([0.0, 0.0, 0.015]).double()
    begun = replace(truth, transl=truth.transl + far)
    apart = {}
    for count in (1, 3):
        task = viewed_task(model, truth, rig_rows([count, count]))
        after = run_stages(task, begun, {"stage": stage}).params
        apart[count] = (after.transl - truth.transl)[:, 2].abs()
    assert (apart[3] < 0.003).all() and (apart[3] < 0.5 * apart[1]).all()


@pytest.mark.parametrize("solver", ["lm", "adam"])
def test_hands_of_a_batch_do_not_matter_to_each_other(model, truth, solver) -> None:
    stage = SHORT if solver == "lm" else staged("adam", ["global_orient", "pose", "camera"])
    task, begun = viewed_task(model, truth, rig_rows([2, 3])), perturbed(truth)
    whole = run_stages(task, begun, {"stage": stage}).params
    index = torch.tensor([1])
    alone = run_stages(task.select(index), begun[index], {"stage": stage}).params
    assert off(model, alone.hand, whole.hand[index]).max() < 2e-5


def test_a_view_of_no_weight_is_as_if_it_were_not_there(model, truth) -> None:
    rows = rig_rows([3, 3])
    task = viewed_task(model, truth, rows)
    wrong = torch.tensor([2, 5])
    mask = task.view.mask.index_fill(0, wrong, 1.0)
    weight = rows.weight.index_fill(0, wrong, 0.0)
    spoilt = replace(
        task,
        view=replace(task.view, mask=mask),
        views=replace(task.views, rows=replace(rows, weight=weight)),
    )
    begun = perturbed(truth)
    two = viewed_task(model, truth, rig_rows([2, 2]))
    found = [run_stages(each, begun, {"stage": SHORT}).params for each in (spoilt, two)]
    assert off(model, found[0].hand, found[1].hand).max() < 2e-5


def test_a_hand_with_a_mask_in_any_view_is_moved_by_masks_alone(model, truth) -> None:
    """And one without in all of its views stays."""
    stage = staged("sgd", ["camera"], energies={"silhouette_l2": 1.0}, learning_rate=1e-6)
    task = viewed_task(model, truth, rig_rows([2, 2]))
    weight = task.view.mask_weight.index_fill(0, torch.tensor([0, 2, 3]), 0.0)
    task = replace(task, view=replace(task.view, mask_weight=weight))
    begun = perturbed(truth)
    after = run_stages(task, begun, {"stage": stage}).params.hand.transl.double()
    moved = (after - begun.transl).norm(dim=-1)
    assert moved[0] > 1e-5 and moved[1] < 1e-7
