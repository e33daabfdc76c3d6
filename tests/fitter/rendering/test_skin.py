"""The skin of fitted hands: what the stages drew, at every pixel, in the hand's own light."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fitter.hand_models import load_hand_model
from fitter.meshes import HandMeshes
from fitter.raster import RasterSettings
from fitter.refinement.scene import draw as draw_scene
from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_style import OverlayStyle
from fitter.textures import HandTexture
from tests.support.fitted_stores import posed_hand
from tests.support.nimble_files import nimble_folder
from tests.support.overlay_scenes import grey, intrinsics
from tests.support.refine_scenes import camera, scene_model, true_hands, view_of

SIZE = (240, 320)
CAMERA = intrinsics(*SIZE)


def in_skin(meshes, row, vertices, size=SIZE, camera=CAMERA, texture=None):
    """The overlay of a hand's appearance over grey."""
    skin = meshes.skin(row, vertices, texture)
    hand = OverlayHand.of(row, vertices, meshes.faces(row.side), skin)
    return render_overlay(grey(*size), [hand], camera, OverlayStyle("appearance"))


def moved(scene, **stds):
    """A scene with noise of some standard deviations in its parameters."""
    rng = np.random.default_rng(3)
    changed = {}
    for name, std in stds.items():
        value = getattr(scene, name)
        changed[name] = value + std * torch.from_numpy(rng.normal(size=value.shape)).float()
    return replace(scene, **changed)


def drawn_by_stages(model, scene, size):
    """(S, S, 3) in 0-255 as the stages draw it, and the pixels well inside it."""
    view = replace(view_of(model, scene, size), intrinsics=camera(1, size).float())
    seen = draw_scene(model, scene, view, RasterSettings(silhouette="edge"), shaded=True)
    mask = seen.fragments.mask[0].numpy().astype(np.uint8)
    return 255 * seen.foreground[0].clamp(0, 1).numpy(), cv2.erode(mask, np.ones((3, 3))) > 0


POSE = ("global_orient", "hand_pose", "betas", "transl")


@pytest.fixture(scope="module")
def meshes():
    return HandMeshes(load_hand_model("open_hand", dtype=torch.float64))


def test_what_no_stage_fitted_is_the_mean_skin_in_white_light(meshes):
    row = posed_hand(0)
    skin = meshes.skin(row, meshes.vertices(row))
    mean = meshes.appearance.vertex_colours(torch.zeros(1, meshes.appearance.count))[0]
    np.testing.assert_allclose(skin.reflectance, mean, rtol=1e-6)
    assert skin.irradiance.min() >= 0.7 - 1e-6 and skin.irradiance.max() <= 1 + 1e-6
    assert np.ptp(skin.irradiance, axis=1).max() < 1e-6  # white


@pytest.mark.parametrize("light", ["spherical_harmonics", "ambient_directional"])
@pytest.mark.parametrize("linear", [True, False])
def test_it_is_what_the_stages_compared_with_the_photograph(light, linear):
    model, size = scene_model(light=light, linear=linear), 192
    stds = {"appearance": 1.0, "vertex_colours": 0.03, "lighting": 0.2}
    scene = moved(model.start(true_hands(model, 1)), **stds)
    expected, inside = drawn_by_stages(model, scene, size)
    row = posed_hand(0, **{n: getattr(scene, n)[0].numpy() for n in (*POSE, *stds)})
    meshes = HandMeshes(load_hand_model("open_hand", dtype=torch.float64), linear)
    shown = in_skin(meshes, row, meshes.vertices(row), (size, size), camera(1, size)[0].numpy())
    assert inside.sum() > 3000 and expected[inside].std() > 10
    assert np.abs(shown - expected)[inside].mean() < 2


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("own", [False, True], ids=["maps", "texture"])
def test_maps_are_shaded_at_every_pixel_as_the_stages_do_it(own, side):
    hand = load_hand_model(nimble_folder(), dtype=torch.float64)
    size, texels = 192, 64 if own else 256
    model = scene_model(hand=hand, texture_size=texels)
    stds = {"appearance": 1.0, "vertex_colours": 0.1, "lighting": 0.3}
    stds |= {"texture": 0.5} if own else {}
    scene = moved(model.start(true_hands(model, 1)), **stds)
    expected, inside = drawn_by_stages(model, scene, size)
    values = {n: getattr(scene, n)[0].numpy() for n in (*POSE, *stds)}
    if own:
        values["texture"] = model.maps(scene).diffuse[0].numpy()
    meshes, K, row = HandMeshes(hand), camera(1, size)[0].numpy(), posed_hand(0, **values)
    vertices = meshes.vertices(row)
    if side == "left":  # its light is that of the mirrored image
        row, vertices = replace(row, side="left"), vertices * np.float32([-1, 1, 1])
        K = K.copy()
        K[0, 2] = size - K[0, 2]
        expected, inside = expected[:, ::-1], inside[:, ::-1]
    shown = in_skin(meshes, row, vertices, (size, size), K)
    assert inside.sum() > 3000 and expected[inside].std() > 10
    assert np.abs(shown - expected)[inside].mean() < 1


def test_a_texture_is_shown_in_the_light_of_the_hand(meshes):
    # The hand's own mean skin as a texture: nearly what its vertices show.
    size = len(meshes.appearance.texture_mean)
    colours = meshes.appearance.texture(torch.zeros(1, meshes.appearance.count))[0].numpy()
    texture = HandTexture(colours, np.ones((size, size), np.float32))
    row = posed_hand(0)
    vertices = meshes.vertices(row)
    shown = []
    near = 2.5 * CAMERA - 1.5 * np.array([[0, 0, CAMERA[0, 2]], [0, 0, CAMERA[1, 2]], [0, 0, 1]])
    for own in (None, texture, HandTexture(1 - colours, texture.weight)):
        shown.append(in_skin(meshes, row, vertices, camera=near, texture=own).astype(int))
    plain, textured, other = shown
    seen = (plain != 128).any(-1)
    assert seen.mean() > 0.05
    assert np.abs(plain - textured)[seen].mean() < 6 < 30 < np.abs(plain - other)[seen].mean()


def test_a_left_hand_is_the_right_one_in_the_mirror(meshes):
    rng = np.random.default_rng(0)
    for count in (11, 27):
        values = {
            "lighting": rng.random(count).astype(np.float32),
            "appearance": rng.normal(size=meshes.appearance.count).astype(np.float32),
        }
        right, left = (posed_hand(0, side, **values) for side in ("right", "left"))
        vertices = meshes.vertices(right)
        a = meshes.skin(right, vertices)
        b = meshes.skin(left, vertices * [-1, 1, 1])
        np.testing.assert_allclose(a.irradiance, b.irradiance, atol=1e-6)
        np.testing.assert_array_equal(a.reflectance, b.reflectance)
        assert np.ptp(a.irradiance) > 0.1


def test_a_hand_lit_from_the_left_is_bright_there(meshes):
    row = posed_hand(0, lighting=np.float32([0, 0, 0, 0, 1, 1, 1, 1, -1, 0, 0]))
    vertices = meshes.vertices(row)
    skin = meshes.skin(row, vertices)
    lit = skin.irradiance[:, 0] > 0.7
    assert vertices[lit, 0].mean() < vertices[~lit, 0].mean()
