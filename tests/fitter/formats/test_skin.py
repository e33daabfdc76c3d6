"""What colours an exported hand has: its own fitted texture before its components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.formats.skin import HandSkin
from fitter.hand_models import load_hand_model
from fitter.meshes import HandMeshes
from fitter.rendering.shading import linear_from_srgb, sample_texture, srgb_from_linear
from fitter.store.schema import HandRow
from fitter.textures import HandTexture
from tests.support.nimble_files import nimble_folder


@pytest.fixture(scope="module")
def meshes() -> HandMeshes:
    return HandMeshes(load_hand_model())


@pytest.fixture(scope="module")
def nimble() -> HandMeshes:
    return HandMeshes(load_hand_model(nimble_folder()))


def fitted_texture(size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).random((size, size, 3)).astype(np.float16)


def test_a_fitted_texture_is_what_is_exported_and_shown(meshes) -> None:
    data, texture = meshes.data, fitted_texture()
    row = HandRow(side="right", appearance=np.ones(meshes.appearance.count), texture=texture)
    skin = HandSkin.of(row, meshes)
    assert skin.texture.dtype == np.float32
    np.testing.assert_array_equal(skin.texture, texture.astype(np.float32))
    # At the vertices too, within the texture's own range.
    assert skin.colours.shape == (len(data.v_template), 3)
    assert texture.min() <= skin.colours.min() and skin.colours.max() <= texture.max()
    other = HandTexture(np.full((8, 8, 3), 0.25, np.float32), np.ones((8, 8), np.float32))
    np.testing.assert_allclose(HandSkin.of(row, meshes, other).colours, 0.25)
    vertices = data.v_template.astype(np.float32)
    np.testing.assert_array_equal(meshes.skin(row, vertices).diffuse, texture.astype(np.float32))
    assert meshes.skin(row, vertices, other).diffuse.shape == (8, 8, 3)


def test_every_texture_keeps_the_normals_of_the_model(nimble) -> None:
    coefficients = np.linspace(-1, 1, nimble.appearance.count)
    row = HandRow(side="left", appearance=coefficients, texture=fitted_texture())
    maps = nimble.appearance.maps(torch.as_tensor(coefficients).float()[None])
    given = HandTexture(np.full((8, 8, 3), 0.25, np.float32), np.ones((8, 8), np.float32))
    kinds = (
        (row, None),
        (row, given),
        (replace(row, texture=None), None),
        (
            replace(row, texture=None, vertex_colours=np.zeros((len(nimble.data.v_template), 3))),
            None,
        ),
    )
    vertices = nimble.data.v_template.astype(np.float32)
    for fitted, texture in kinds:
        skin = HandSkin.of(fitted, nimble, texture)
        np.testing.assert_allclose(skin.normals, maps.normal[0], atol=1e-6)
        shown = nimble.skin(fitted, vertices, texture)
        side = len(shown.diffuse)
        expected = nimble.appearance.maps(torch.as_tensor(coefficients).float()[None], side)
        np.testing.assert_array_equal(shown.normal, expected.normal[0])
        np.testing.assert_array_equal(shown.specular, expected.specular[0])


@pytest.mark.parametrize("linear", [True, False])
def test_colours_added_at_the_vertices_are_in_the_texture(meshes, linear) -> None:
    meshes = HandMeshes(meshes.right, linear)
    texture = np.full((64, 64, 3), 0.25, np.float32)
    added = np.zeros((len(meshes.data.v_template), 3), np.float32)
    added[:, 0] = 0.2 + 2 * meshes.data.v_template[:, 0]  # smooth along the surface
    row = HandRow(side="right", texture=texture, vertex_colours=added)
    skin = HandSkin.of(row, meshes)
    start = 0.25 if linear else srgb_from_linear(torch.tensor(0.25)).item()
    expected = torch.as_tensor((start + added).clip(0, 1))
    expected = expected if linear else linear_from_srgb(expected)
    data = meshes.data
    looked_up = sample_texture(torch.as_tensor(skin.texture), torch.as_tensor(data.uv).float())
    corners = data.faces.ravel(), data.uv_faces.ravel()
    error = (looked_up[corners[1]] - expected[corners[0]])[:, 0].abs()
    assert error.quantile(0.99) < 0.03 and np.ptp(added[:, 0]) > 0.2
    np.testing.assert_allclose(skin.texture[..., 1:], 0.25, atol=1e-6)
    # A texture made from pictures shows all there is.
    given = HandTexture(texture, np.ones((64, 64), np.float32))
    np.testing.assert_array_equal(HandSkin.of(row, meshes, given).texture, texture)
