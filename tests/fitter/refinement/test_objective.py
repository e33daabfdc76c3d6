"""The scene, its drawing, and the weighted sum that first-order stages minimise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import roma
import torch

from fitter.camera import mirror_intrinsics, project
from fitter.config.energies import DECLARATIONS
from fitter.config.stages import StageConfig
from fitter.energies import ENERGIES, KeypointTargets, SceneParams, focal_applied
from fitter.fitting.observations import ObservationBatch, normalise, unknown_features
from fitter.raster import RasterSettings
from fitter.records import HandParams
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.objective import Objective, StageTask
from fitter.refinement.scene import FIELDS, SceneModel, draw
from fitter.rendering.shading import interpolate, srgb_from_linear
from tests.support.held_things import balls_in
from tests.support.refine_scenes import camera, perturbed, scene_model, task_of, true_hands, view_of

SIDE = 32
EDGE = RasterSettings(silhouette="edge")
LIGHTS = pytest.mark.parametrize("light", ["spherical_harmonics", "ambient_directional"])


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model(torch.float64, texture_size=16)


@pytest.fixture(scope="module")
def truth(model) -> HandParams:
    return true_hands(model, 2)


@pytest.fixture(scope="module")
def task(model, truth) -> StageTask:
    return replace(task_of(model, view_of(model, truth, SIDE)), objects=balls_in(model, 2))


def random_scene(model: SceneModel, hands: HandParams) -> SceneParams:
    """Nothing at its start, so that no derivative vanishes for a reason of symmetry."""
    generator = torch.Generator().manual_seed(3)
    scales = {
        "log_focal": 0.05,
        "offsets": 0.001,
        "appearance": 0.5,
        "vertex_colours": 0.05,
        "lighting": 0.05,
        "texture": 0.3,
    }

    def noise(name: str, like: torch.Tensor) -> torch.Tensor:
        return scales[name] * torch.randn(like.shape, generator=generator, dtype=like.dtype)

    scene = model.start(perturbed(hands, size=0.5))
    return replace(scene, **{n: getattr(scene, n) + noise(n, getattr(scene, n)) for n in scales})


def stage_of(*energies: str, **options: object) -> StageConfig:
    weights = dict.fromkeys(energies, 1.0)
    options = {"learning_rate": 0.01, **options}
    return StageConfig(solver="adam", iterations=1, free=list(FIELDS), energies=weights, **options)


@pytest.mark.parametrize("name", list(ENERGIES))
def test_every_energy_is_one_finite_value_a_hand(task, truth, name) -> None:
    """Alone it is drawn for as far as it needs, and each hand's is its own."""
    scene = random_scene(task.model, truth)
    leaves = SceneParams(**{n: x.clone().requires_grad_() for n, x in vars(scene).items()})
    objective = Objective.of(task, stage_of(name), model_start(task, truth))
    value = objective(leaves)
    assert value.shape == (2,) and value.isfinite().all()
    if name == "motion_prior":  # a photograph has no other frames: see the tests of its energy
        assert not value.requires_grad and not value.any()
        return
    gradients = torch.autograd.grad(value[0], list(vars(leaves).values()), allow_unused=True)
    found = [gradient for gradient in gradients if gradient is not None]
    # The detector of this scene gives no weak depth and no bones, the fingers bend within their
    # limits, and they are not in each other.
    # A texture's colours lie between 0 and 1 however its logits change.
    still = ("relative_depth", "bone_directions", "limits", "self_penetration", "texture_range")
    silent = name in still
    assert any(gradient[0].ne(0).any() for gradient in found) != silent
    rows = slice(1, 2)
    one = task.select(torch.tensor([1]))
    alone = Objective.of(one, stage_of(name), model_start(task, truth)[rows])(scene[rows])
    torch.testing.assert_close(alone[0], value[1].detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", list(ENERGIES))
def test_the_energies_of_data_are_those_that_change_with_what_is_seen(task, truth, name) -> None:
    generator = torch.Generator().manual_seed(5)

    def other(like: torch.Tensor) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator, dtype=like.dtype)

    view = task.view
    # Each keypoint by its own way, so that the directions between them change as well.
    moved = view.keypoints + 3 * other(view.keypoints)
    view = replace(view, image=other(view.image), mask=other(view.mask), keypoints=moved)
    cues = {"relative_depth": other(view.confidence), "relative_xyz": other(view.image[:, :21, 0])}
    observed = ObservationBatch(
        view.keypoints,
        view.confidence,
        **cues,
        intrinsics=view.intrinsics,
        features=unknown_features(2, view.keypoints),
        is_left=torch.zeros(2) > 0,
    )
    targets = KeypointTargets.of(normalise(observed).with_depth_gain(task.fit.relative_depth_gain))
    elsewhere = replace(task, view=view, targets=targets)
    scene, start = random_scene(task.model, truth), model_start(task, truth)
    one, two = (Objective.of(seen, stage_of(name), start)(scene) for seen in (task, elsewhere))
    assert one.ne(two).all() == one.ne(two).any() == DECLARATIONS[name].uses_image


def model_start(task: StageTask, truth: HandParams) -> SceneParams:
    return task.model.start(truth)


def test_the_objective_is_the_weighted_sum_of_its_terms(task, truth) -> None:
    scene = random_scene(task.model, truth)
    weights = {"keypoints": 2.0, "silhouette_iou": 0.5, "pose_l2": 3.0, "photometric_rgb": 0.0}
    stage = stage_of("keypoints").model_copy(update={"energies": weights})
    objective = Objective.of(task, stage, model_start(task, truth))
    terms = objective.terms(scene)
    # What weighs nothing is not computed, nor is the picture drawn for it.
    assert list(terms) == ["keypoints", "silhouette_iou", "pose_l2"] and not objective.shaded
    expected = 2 * terms["keypoints"] + 0.5 * terms["silhouette_iou"] + 3 * terms["pose_l2"]
    torch.testing.assert_close(objective(scene), expected)
    for name, term in terms.items():
        alone = Objective.of(task, stage_of(name), model_start(task, truth))
        torch.testing.assert_close(alone(scene), term)


def test_an_objective_of_weights_of_zero_is_zero(task, truth) -> None:
    stage = stage_of("keypoints").model_copy(update={"energies": {"silhouette_iou": 0.0}})
    objective = Objective.of(task, stage, model_start(task, truth))
    assert objective.raster is None
    value = objective(random_scene(task.model, truth))
    assert value.shape == (2,) and value.eq(0).all()


@LIGHTS
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize(("silhouette", "texels"), [("edge", 0), ("soft", 0), ("edge", 16)])
def test_shaded_pictures_are_differentiable_in_every_group(
    truth, light, linear, silhouette, texels
):
    model = scene_model(torch.float64, light, linear, texels)
    view = view_of(model, truth, SIDE)
    scene = random_scene(model, truth)
    leaves = SceneParams(**{n: x.clone().requires_grad_() for n, x in vars(scene).items()})
    settings = RasterSettings(silhouette=silhouette)
    drawing = draw(model, leaves, view, settings, shaded=True)
    assert drawing.picture.shape == (2, SIDE, SIDE, 3)
    cotangent = torch.rand(drawing.picture.shape, generator=torch.Generator().manual_seed(0))
    value = (drawing.picture * cotangent).sum()
    assert value.isfinite()
    moving = [name for name, leaf in vars(leaves).items() if leaf.numel()]
    assert ("texture" in moving) == (texels > 0)
    gradients = torch.autograd.grad(value, [getattr(leaves, name) for name in moving])
    for name, gradient in zip(moving, gradients, strict=True):
        assert gradient.isfinite().all() and gradient.reshape(2, -1).ne(0).any(1).all(), name


@LIGHTS
@pytest.mark.parametrize("linear", [True, False])
def test_the_start_is_lit_by_about_one(truth, light, linear) -> None:
    """Even light shows the skin as it is, and S2HAND's start a little darker."""
    model = scene_model(torch.float64, light, linear)
    view = view_of(model, truth, SIDE)
    scene = model.start(truth)
    drawing = draw(model, scene, view, EDGE, shaded=True)
    inside = drawing.fragments.mask & (view.mask == 1)
    skin = interpolate(drawing.fragments, model.hand.faces, drawing.colours)
    if linear:
        skin = srgb_from_linear(skin)
    ratio = (drawing.foreground[inside] / skin[inside]).mean()
    if light == "spherical_harmonics":
        torch.testing.assert_close(ratio, ratio.new_tensor(1.0), rtol=0, atol=1e-3)
    else:
        assert 0.7 < ratio < 1.01


def test_a_texture_of_no_change_is_the_skin_between_the_vertices(model, task, truth) -> None:
    """Colours at pixels and at vertices tell the same, but for what is finer than a face."""
    fine, plain = replace(model, texture_size=256), scene_model(torch.float64)
    at_pixels, at_vertices = (
        draw(one, one.start(truth), task.view, EDGE, shaded=True) for one in (fine, plain)
    )
    seen = at_pixels.fragments.mask
    difference = (at_pixels.foreground - at_vertices.foreground)[seen].abs()
    assert difference.mean() < 0.02 and difference.max() < 0.3
    assert not at_pixels.foreground[~seen].any()
    assert at_pixels.colours.shape == (2, 256, 256, 3)


def test_a_free_texture_changes_what_it_is_told_to(model, task, truth) -> None:
    """Brighter logits brighten the hand, and each texel only where it is seen."""
    scene = model.start(truth)
    brighter = replace(scene, texture=scene.texture + 0.5)
    before, after = (
        draw(model, one, task.view, EDGE, shaded=True).foreground for one in (scene, brighter)
    )
    seen = draw(model, scene, task.view, EDGE, shaded=False).fragments.mask
    assert (after > before)[seen].all()
    shown = 0
    for row, column in model.texels.used.nonzero()[::9].tolist():
        texture = torch.zeros_like(scene.texture)
        texture[:, row, column] = 1.0
        touched = draw(model, replace(scene, texture=texture), task.view, EDGE, shaded=True)
        changed = (touched.foreground - before).abs().sum(-1) > 0
        assert changed.sum() < 0.2 * seen.sum() and seen[changed].all()
        shown += int(changed.sum())
    assert shown > 0


def test_only_what_is_asked_for_is_drawn(model, task, truth) -> None:
    scene = model.start(truth)
    points = draw(model, scene, task.view, None, shaded=True)
    assert points.fragments is None and points.picture is None
    outline = draw(model, scene, task.view, EDGE, shaded=False)
    assert outline.fragments.alpha is not None and outline.picture is None


@pytest.mark.parametrize("silhouette", ["edge", "soft"])
def test_a_left_hands_mirrored_crop_is_the_mirrored_drawing(model, truth, silhouette) -> None:
    """The left hand itself, drawn where it is, against the right one in the mirrored crop."""
    settings = RasterSettings(silhouette=silhouette)
    matrix = camera(2, SIDE)
    matrix[:, 0, 2] += 2.3
    left_hand = truth.mirrored()
    left_model = replace_hand(model)
    view = view_of(model, truth, SIDE)
    left = draw(
        left_model, left_model.start(left_hand), replace(view, intrinsics=matrix), settings, False
    )
    mirrored = replace(view, intrinsics=mirror_intrinsics(matrix, SIDE))
    right = draw(model, model.start(left_hand.mirrored()), mirrored, settings, False)
    flip = torch.tensor([-1.0, 1.0, 1.0]).double()
    torch.testing.assert_close(right.vertices, left.vertices * flip)
    torch.testing.assert_close(right.keypoints[..., 0], SIDE - left.keypoints[..., 0])
    torch.testing.assert_close(right.keypoints[..., 1], left.keypoints[..., 1])
    assert torch.equal(right.fragments.mask, left.fragments.mask.flip(2))
    torch.testing.assert_close(right.fragments.alpha, left.fragments.alpha.flip(2))
    torch.testing.assert_close(right.fragments.depth, left.fragments.depth.flip(2))


def replace_hand(model: SceneModel) -> SceneModel:
    """The same with the left hand's model."""
    return SceneModel(
        model.hand.mirrored(), model.fit, model.appearance, model.light, model.linear_light
    )


def test_the_focal_factor_is_that_of_a_camera_of_another_focal_length(model, task, truth) -> None:
    scene = replace(model.start(truth), log_focal=torch.tensor([0.2, -0.3]).double())
    drawing = draw(model, scene, task.view, EDGE, shaded=False)
    matrix = task.view.intrinsics.clone()
    matrix[:, 0, 1] = 0.7
    factor = scene.log_focal.exp()
    applied = focal_applied(matrix, scene.log_focal)
    torch.testing.assert_close(applied[:, :2, :2], matrix[:, :2, :2] * factor[:, None, None])
    assert torch.equal(applied[:, :, 2], matrix[:, :, 2])
    other = replace(task.view, intrinsics=focal_applied(task.view.intrinsics, scene.log_focal))
    same = draw(model, model.start(truth), other, EDGE, shaded=False)
    torch.testing.assert_close(drawing.fragments.alpha, same.fragments.alpha)
    torch.testing.assert_close(
        drawing.keypoints, project(model.hand(truth).keypoints, other.intrinsics)
    )


def test_offsets_are_metres_in_the_cameras_frame(model, task, truth) -> None:
    offsets = torch.zeros(2, len(model.hand.v_template), 3).double()
    offsets[0, 7] = torch.tensor([0.01, -0.02, 0.03])
    scene = replace(model.start(truth), offsets=offsets)
    drawing = draw(model, scene, task.view, None, shaded=False)
    torch.testing.assert_close(drawing.vertices - drawing.bare, offsets, rtol=0, atol=1e-12)
    torch.testing.assert_close(drawing.bare, model.hand(truth).vertices)


def test_moves_add_up_and_turns_come_from_the_left(model, truth) -> None:
    scene = random_scene(model, truth)
    generator = torch.Generator().manual_seed(5)
    steps = {
        name: torch.randn(x.shape, generator=generator, dtype=x.dtype)
        for name, x in vars(scene).items()
    }
    moved = scene.moved(steps)
    turn, still = (roma.rotvec_to_rotmat(x["global_orient"]) for x in (steps, vars(scene)))
    torch.testing.assert_close(roma.rotvec_to_rotmat(moved.global_orient), turn @ still)
    for name, step in steps.items():
        if name != "global_orient":
            torch.testing.assert_close(getattr(moved, name), getattr(scene, name) + step)
    # Whole turns are no turn, and the rest stays the same tensors.
    whole = torch.tensor([[0.0, 2 * torch.pi, 0.0]] * 2).double()
    back = scene.moved({"global_orient": whole})
    turned = roma.rotvec_to_rotmat(back.global_orient)
    torch.testing.assert_close(turned, still, rtol=0, atol=1e-6)
    assert back.offsets is scene.offsets


def test_a_fitted_focal_length_counts_in_the_weak_depth_as_for_least_squares(task, truth) -> None:
    """The crop's depth unit is focal length over distance: the same hand seen by a longer lens from
    further away is as deep."""
    generator = torch.Generator().manual_seed(2)
    depth = 0.3 * torch.randn(task.targets.relative_depth.shape, generator=generator).double()
    targets = replace(
        task.targets, relative_depth=depth, depth_weight=torch.ones_like(task.targets.depth_weight)
    )
    task = replace(task, targets=targets)
    scene = replace(task.model.start(truth), log_focal=torch.tensor([0.4, -0.3]).double())
    stage = StageConfig(
        solver="lm",
        iterations=1,
        free=["global_orient", "pose", "shape", "camera"],
        energies={"relative_depth": 1.0},
    )
    squares = LeastSquaresObjective.of(task, stage, scene).linearize(scene.hand).cost
    value = Objective.of(task, stage_of("relative_depth"), task.model.start(truth))(scene)
    torch.testing.assert_close(value, squares)
    plain = Objective.of(task, stage_of("relative_depth"), task.model.start(truth))
    assert (value - plain(task.model.start(truth))).abs().min() > 1e-3


def test_keypoints_that_were_not_seen_do_not_pull(task, truth) -> None:
    """OpenPose, for one, writes (0, 0) for them."""
    scene = random_scene(task.model, truth)
    confidence, keypoints = task.view.confidence.clone(), task.view.keypoints.clone()
    confidence[:, 8], keypoints[:, 8] = 0, 0
    elsewhere = keypoints.clone()
    elsewhere[:, 8] = torch.nan
    values, turns = [], []
    for places in (keypoints, elsewhere):
        view = replace(task.view, confidence=confidence, keypoints=places)
        step = torch.zeros(2, 3).double().requires_grad_()
        objective = Objective.of(replace(task, view=view), stage_of("keypoints_l2"), scene)
        value = objective(scene.moved({"global_orient": step}))
        values.append(value.detach())
        turns.append(torch.autograd.grad(value.sum(), step)[0])
    assert torch.equal(*values) and torch.equal(*turns)
    # All others count as before.
    seen = Objective.of(task, stage_of("keypoints_l2"), scene)(scene)
    assert (values[0] < seen).all() and (values[0] > 0).all()


@pytest.mark.parametrize("name", ["silhouette_l2", "silhouette_iou", "silhouette_ssim"])
def test_a_mask_that_is_not_trusted_does_not_pull(task, truth, name) -> None:
    """A rejected mask, and the blank one of a hand without any, have weight 0 throughout."""
    scene = random_scene(task.model, truth)
    weight = torch.ones_like(task.view.mask_weight)
    weight[0] = 0
    view = replace(task.view, mask_weight=weight, mask=task.view.mask.roll(9, 2))
    step = torch.zeros(2, 3).double().requires_grad_()
    objective = Objective.of(replace(task, view=view), stage_of(name), scene)
    value = objective(scene.moved({"transl": step}))
    pull = torch.autograd.grad(value.sum(), step)[0]
    assert value[0].abs() < 1e-12 and pull[0].abs().max() < 1e-12
    assert value[1] > 0.01 and pull[1].abs().max() > 0.01


@pytest.mark.parametrize("name", ["photometric_ssim", "photometric_rgb", "image_silhouette_ssim"])
def test_nothing_is_known_beyond_the_border_of_the_photograph(task, truth, name) -> None:
    """A hand that reaches out of it is not pulled in by the black there."""
    inside = torch.ones_like(task.view.image_weight)
    inside[:, :, SIDE // 2 :] = 0
    view = replace(task.view, image_weight=inside, image=task.view.image * inside[..., None])
    start = task.model.start(truth)
    objective = Objective.of(replace(task, view=view), stage_of(name), start)
    offsets = start.offsets.clone().requires_grad_()
    value = objective(replace(start, offsets=offsets))
    pull = torch.autograd.grad(value.sum(), offsets)[0]
    column = draw(task.model, start, view, EDGE, shaded=False).vertices
    column = project(column, view.intrinsics)[..., 0]
    beyond, within = column > SIDE / 2 + 5, column < SIDE / 2 - 5
    assert beyond.any() and pull[within].ne(0).any() and pull[beyond].eq(0).all()
