"""Hands begin to be refined with the skin and light that networks say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fitter.colours import srgb_from_linear
from fitter.config.options import FitConfig, load_config
from fitter.config.stages import RefineConfig, StageConfig
from fitter.energies.scene import SceneView
from fitter.fitting.initializer import Looks
from fitter.hand_models import load_hand_model
from fitter.raster import RasterSettings
from fitter.records import HandCrop, HandParams
from fitter.refinement.looks import begun_with, rig_looks, taken_looks
from fitter.refinement.refiner import Refined, Refiner
from fitter.refinement.scene import Light, SceneModel, SceneParams, draw
from fitter.refinement.viewed import ViewedScenes
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    band_width,
    composite,
    interpolate,
    vertex_normals,
)
from fitter.views.rows import RigRows, RootJoint
from tests.support.refine_scenes import SIDE, camera, hands_of, scene_model, true_hands, view_of

LIGHT = [0.5, 1.0, 0.9, 0.8, 0.7, 0.8, 0.9, 1.0, 0.6, -0.7, -0.4]


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model(light="ambient_directional", linear=False)


@pytest.fixture(scope="module")
def hands(model: SceneModel) -> HandParams:
    return true_hands(model, 3, seed=2)


@pytest.fixture(scope="module")
def view(model: SceneModel, hands: HandParams) -> SceneView:
    return view_of(model, hands)


def looks(model: SceneModel, count: int = 3, lit: bool = True, skin: bool = False) -> Looks:
    """Colours of every vertex, or coefficients, in a light of its own for each hand, or in none."""
    generator = torch.Generator().manual_seed(7)
    vertices = len(model.hand.v_template)
    unsaid = torch.full((count, 11), torch.nan)
    light = torch.tensor(LIGHT) + 0.1 * torch.rand(count, 11, generator=generator)
    colours = torch.rand(count, vertices, 3, generator=generator)
    return Looks(
        colours=unsaid[:, None, :3] if skin else colours,
        appearance=colours[:, :4, 0] if skin else unsaid[:, :1],
        lighting=light if lit else unsaid,
    )


def published(iterations: int = 0, **changes: object) -> RefineConfig:
    """configs/s2hand.yaml with another number of iterations."""
    config = load_config("s2hand").refine
    stage = config.stages["refinement"].model_copy(update={"iterations": iterations})
    update = {"resolution": SIDE, "stages": {"refinement": stage}}
    return config.model_copy(update=update | changes)


def refined(
    model: SceneModel,
    view: SceneView,
    hands: HandParams,
    config: RefineConfig,
    said: Looks | None,
    views: ViewedScenes | None = None,
) -> Refined:
    crops = [
        HandCrop(
            pixels=(255 * view.image[i].clamp(0, 1)).round().byte().numpy(),
            inside=None,
            given=None,
            intrinsics=camera(1)[0].numpy(),
            keypoints=view.keypoints[i].double().numpy(),
            confidence=view.confidence[i].double().numpy(),
            others=np.zeros((0, 21, 2)),
        )
        for i in range(len(view.image))
    ]
    hand = load_hand_model("open_hand", dtype=torch.float64)
    refiner = Refiner(hand, model.fit, config, FitConfig())
    nothing, known = [None] * len(crops), torch.zeros(len(crops))
    observed = hands_of(view, FitConfig())
    return refiner(hands, crops, nothing, observed, known, views=views, looks=said)


def test_the_first_picture_is_the_networks_drawing(model, view, hands) -> None:
    """S2HAND 3.2: colours times light at the vertices, as they are stored."""
    said = looks(model)
    begun = refined(model, view, hands, published(), said).params
    settings = RasterSettings(silhouette="edge")
    drawn = draw(model, begun, view, settings, shaded=True)
    normals = vertex_normals(drawn.vertices, model.hand.faces)
    irradiance = AmbientDirectionalLight.of(said.lighting).irradiance(normals)
    surface = interpolate(drawn.fragments, model.hand.faces, said.colours * irradiance)
    reach = band_width(settings, (SIDE, SIDE))
    wanted = composite(surface, drawn.fragments, torch.zeros(3, 3), reach)
    torch.testing.assert_close(drawn.picture, wanted, rtol=0, atol=1e-5)
    default = draw(model, model.start(hands), view, settings, shaded=True)
    assert (default.picture - wanted).abs().max() > 0.1


def test_a_hand_of_which_nothing_is_said_begins_as_without_networks(model, view, hands) -> None:
    """Bit for bit, whatever is said of its neighbours."""
    said = looks(model).map(lambda values: values.index_fill(0, torch.tensor(1), torch.nan))
    found = refined(model, view, hands, published(2), said)
    alone = refined(model, view, hands, published(2), None)
    for name, values in vars(found.params).items():
        assert torch.equal(values[1], getattr(alone.params, name)[1]), name
    assert not torch.equal(found.params.vertex_colours[0], alone.params.vertex_colours[0])


def test_hands_together_begin_as_each_alone(model, view, hands) -> None:
    said = looks(model)
    together = refined(model, view, hands, published(2), said).params
    for i in range(3):
        row = slice(i, i + 1)
        own = refined(model, view[row], hands[row], published(2), said[row]).params
        for name, values in vars(own).items():
            torch.testing.assert_close(values, getattr(together, name)[row], rtol=0, atol=2e-5)


def stages(free: list[str]) -> dict[str, StageConfig]:
    stage = StageConfig(
        solver="adam", iterations=0, free=free, energies={"photometric_rgb": 1.0}, learning_rate=0.1
    )
    return {"stage": stage}


@pytest.mark.parametrize(
    ("skin", "lit", "light", "linear", "free", "taken"),
    [
        (False, True, "ambient_directional", False, ["vertex_colours", "lighting"], True),
        (False, True, "ambient_directional", True, ["vertex_colours", "lighting"], False),
        (False, True, "ambient_directional", False, ["vertex_colours"], False),
        (False, True, "ambient_directional", False, ["lighting", "appearance"], False),
        (False, True, "spherical_harmonics", False, ["vertex_colours", "lighting"], False),
        (True, True, "ambient_directional", False, ["appearance", "lighting"], True),
        (True, False, "spherical_harmonics", True, ["appearance"], True),
        (True, False, "spherical_harmonics", False, ["appearance", "lighting"], True),
        (True, False, "spherical_harmonics", True, ["vertex_colours"], False),
        (True, False, "ambient_directional", False, ["appearance", "lighting"], False),
        (False, False, "spherical_harmonics", True, ["vertex_colours"], True),
    ],
)
def test_looks_are_taken_by_stages_that_draw_alike(
    model, skin: bool, lit: bool, light: Light, linear: bool, free: list[str], taken: bool
) -> None:
    config = RefineConfig(light=light, linear_light=linear, stages=stages(free))
    said = looks(model, lit=lit, skin=skin)
    found = taken_looks(said, config)
    assert found.said.tolist() == [taken] * 3
    for name, values in vars(said).items():
        wanted = values if taken else torch.full_like(values, torch.nan)
        assert torch.equal(getattr(found, name).nan_to_num(-1), wanted.nan_to_num(-1)), name


@pytest.mark.parametrize("linear", [True, False])
def test_colours_in_even_light_are_those_of_the_picture(hands, linear: bool) -> None:
    model = scene_model(linear=linear)
    said = looks(model, lit=False)
    begun = begun_with(model, model.start(hands), said)
    skin = model.appearance.vertex_colours(begun.appearance)
    shown = skin if linear else srgb_from_linear(skin)
    shown = shown + begun.vertex_colours
    shown = srgb_from_linear(shown) if linear else shown
    torch.testing.assert_close(shown, said.colours, rtol=0, atol=1e-5)
    assert torch.equal(begun.lighting, model.start(hands).lighting)


def test_fewer_coefficients_than_the_skin_has(hands) -> None:
    model = scene_model()
    said = looks(model, lit=False, skin=True)
    begun = begun_with(model, model.start(hands), said)
    assert torch.equal(begun.appearance[:, :4], said.appearance)
    assert (begun.appearance[:, 4:] == 0).all() and model.appearance.count == 10
    many = replace(said, appearance=torch.zeros(3, 11))
    with pytest.raises(ValueError, match="expected at most 10 coefficients, found 11"):
        begun_with(model, model.start(hands), many)
    with pytest.raises(ValueError, match="colours: expected shape"):
        begun_with(model, model.start(hands), replace(said, colours=torch.zeros(3, 9, 3)))


def rows_of(turns: torch.Tensor, weight: list[float]) -> RigRows:
    """Two hands: the first in the first three cameras, the second in the last."""
    place = torch.zeros(4, 3, dtype=torch.float64)
    return RigRows(torch.tensor([0, 0, 0, 1]), turns, place, torch.tensor(weight).double(), 2)


def test_a_hand_of_several_views_begins_with_what_is_said_in_the_view_that_counts_most(
    model, hands
) -> None:
    """The first view counts more, but of it nothing is said. The light is that view's, turned."""
    turns = roma.random_rotmat(4).double()
    rows = rows_of(turns, [1.0, 0.2, 0.6, 0.5])
    said = looks(model, 4).map(lambda values: values.index_fill(0, torch.tensor(0), torch.nan))
    found = rig_looks(rows, said)
    assert torch.equal(found.colours, said.colours[[2, 3]])
    wanted = (turns.float().mT[[2, 3]] @ said.lighting[[2, 3], 8:, None])[..., 0]
    torch.testing.assert_close(found.lighting[:, 8:], wanted, rtol=0, atol=1e-6)
    two = hands[torch.tensor([0, 1])]
    scene: SceneParams = begun_with(model, model.start(two), found)
    views = ViewedScenes(rows, None, RootJoint.of(model.fit.keypoints))
    seen = views.seen(scene)
    torch.testing.assert_close(seen.lighting[[2, 3]], said.lighting[[2, 3]], rtol=0, atol=1e-6)
    nothing = said.map(lambda values: torch.full_like(values, torch.nan))
    assert not rig_looks(rows, nothing).said.any()
