"""Colours of hands that several cameras see: one skin and one light, in the rig's frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.config.stages import StageConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.hand_models.known_shape import KnownShape
from fitter.raster import RasterSettings
from fitter.refinement import Objective, StageTask, ViewedScenes, run_stages
from fitter.refinement.scene import SceneModel, SceneParams, draw
from fitter.rotations import roma
from fitter.views.rows import RigRows, RootJoint
from tests.support.refine_scenes import hands_of, scene_model, true_hands, view_of

SIDE = 40
LIGHTS = pytest.mark.parametrize("light", ["spherical_harmonics", "ambient_directional"])


def rig_rows(turns: list[float], count: int = 1) -> RigRows:
    """Cameras half a metre from the hand, turned about it by angles in radians, of each hand."""
    axis = torch.nn.functional.normalize(torch.tensor([0.2, 1.0, -0.3]).double(), dim=0)
    rotation = roma.rotvec_to_rotmat(torch.tensor(turns * count).double()[:, None] * axis)
    middle = torch.tensor([0.0, 0.0, 0.5]).double()
    return RigRows(
        hand=torch.arange(count).repeat_interleave(len(turns)),
        rotation=rotation,
        translation=middle - (rotation @ middle[:, None])[..., 0],
        weight=torch.ones(len(rotation)).double(),
        count=count,
    )


def lit(model: SceneModel, count: int, seed: int = 4) -> SceneParams:
    """True hands with skins of their own, spots on them, in a light that is uneven."""
    generator = torch.Generator().manual_seed(seed)
    scene = model.start(true_hands(model, count))

    def noise(like: Tensor, scale: float) -> Tensor:
        return like + scale * torch.randn(like.shape, generator=generator, dtype=like.dtype)

    spots = model.hand.v_template @ noise(torch.zeros(3, 3).to(scene.transl), 1.0)
    lighting = noise(scene.lighting, 0.12)
    if model.light == "ambient_directional":
        lighting = torch.cat([scene.lighting[:, :8], noise(scene.lighting[:, 8:], 0.3)], 1)
    return replace(
        scene,
        appearance=noise(scene.appearance, 0.5),
        vertex_colours=noise(0 * scene.vertex_colours, 0.02) + spots.clamp(-0.1, 0.1),
        lighting=lighting,
    )


def views_of(model: SceneModel, rows: RigRows, hands: SceneParams) -> ViewedScenes:
    like = hands.transl.double()
    return ViewedScenes(rows, KnownShape.nothing(like), RootJoint.of(model.fit.keypoints))


def task_of(model: SceneModel, rows: RigRows, truth: SceneParams) -> StageTask:
    """What the cameras of rows see of a scene in the rig's frame, by one light."""
    views = views_of(model, rows, truth)
    view = view_of(model, views.seen(truth), SIDE)
    targets = KeypointTargets.of(hands_of(view, FitConfig()))
    return StageTask(model, view, targets, FitConfig(), views=views)


def seen_colours(task: StageTask, scene: SceneParams) -> tuple[Tensor, Tensor]:
    """(N, S, S, 3) rendered colours, and (N, S, S) where the hand is."""
    with torch.no_grad():
        settings = RasterSettings(silhouette="edge")
        drawn = draw(task.model, task.seen(scene), task.view, settings, shaded=True)
    shown = (drawn.fragments.alpha > 0.999) & (task.view.mask == 1)
    return drawn.foreground, shown


def unexplained(task: StageTask, scene: SceneParams) -> float:
    """Root mean square difference of the colours of hands in all rows, sRGB."""
    colours, shown = seen_colours(task, scene)
    return float((colours - task.view.image)[shown].square().mean().sqrt())


COLOURS = StageConfig(
    solver="adam", iterations=80, free=["appearance", "vertex_colours", "lighting"],
    rates={"appearance": 0.05, "vertex_colours": 0.01, "lighting": 0.05},
    energies={"photometric_robust": 1.0}, silhouette="edge",
)  # fmt: skip


@LIGHTS
def test_colours_of_two_views_explain_a_third_better_than_those_of_one(light) -> None:
    """The third camera stands where each of the others sees a part of what it sees."""
    model = scene_model(light=light)
    truth = lit(model, 2)
    third = task_of(model, rig_rows([0.7], 2), truth)
    begun = model.start(truth.hand)
    nothing = unexplained(third, begun)
    left = {}
    for turns in ([0.0], [0.0, 1.4]):
        task = task_of(model, rig_rows(turns, 2), truth)
        after = run_stages(task, truth.hand, {"colours": COLOURS}).params
        # One skin and one light explain all that they were fitted to.
        assert unexplained(task, after) < 0.05 * unexplained(task, begun)
        left[len(turns)] = unexplained(third, after)
    assert left[2] < 0.8 * left[1] and left[2] < 0.5 * nothing, (left, nothing)


@LIGHTS
def test_the_light_stays_in_the_rig(light) -> None:
    """A rig whose frame is turned round, with hand and light, is the same to its cameras; and
    pictures of it ask for the same change of skin."""
    model = scene_model(torch.float64, light=light)
    truth = lit(model, 1)
    rows = rig_rows([0.0, 0.9])
    turn = roma.rotvec_to_rotmat(torch.tensor([[0.4, -1.1, 0.7]]).double())
    moved = replace(rows, rotation=rows.rotation @ turn.mT)
    task = task_of(model, rows, truth)
    stand = RigRows(torch.tensor([0]), turn, torch.zeros(1, 3).double(), torch.ones(1).double(), 1)
    other = views_of(model, stand, truth).seen(truth)
    twin = replace(task, views=replace(task.views, rows=moved))
    for one, two in zip(seen_colours(task, truth), seen_colours(twin, other), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-7)
    assert unexplained(twin, other) < 1e-4
    # Without its light the hand looks otherwise.
    assert unexplained(twin, replace(other, lighting=truth.lighting)) > 1e-3


@LIGHTS
@pytest.mark.parametrize("name", ["photometric_rgb", "photometric_pixel"])
def test_slopes_come_back_through_colours_to_the_rig(light, name) -> None:
    """Against differences, of all that colours depend on and that is mapped from the rig."""
    model = scene_model(torch.float64, light=light)
    truth = lit(model, 1)
    rows = replace(rig_rows([0.3, 1.2]), weight=torch.tensor([1.0, 0.4]).double())
    task = task_of(model, rows, truth)
    scene = replace(lit(model, 1, seed=9), **vars(truth.hand))
    stage = StageConfig(
        solver="adam", iterations=1, free=["lighting"], learning_rate=0.01, energies={name: 1.0},
        silhouette="edge",
    )  # fmt: skip
    objective = Objective.of(task, stage, scene)
    generator = torch.Generator().manual_seed(6)
    fields = ("lighting", "appearance", "vertex_colours")
    for field in fields:
        at = getattr(scene, field)
        way = torch.randn(at.shape, generator=generator, dtype=at.dtype)
        leaf = at.clone().requires_grad_()
        value = objective(replace(scene, **{field: leaf}))
        (slope,) = torch.autograd.grad(value.sum(), leaf)
        step = 1e-6
        ahead, behind = (
            float(objective(replace(scene, **{field: at + sign * step * way})).sum())
            for sign in (1, -1)
        )
        expected = (ahead - behind) / (2 * step)
        assert abs(expected) > 1e-6
        assert float((slope * way).sum()) == pytest.approx(expected, rel=1e-4), field
