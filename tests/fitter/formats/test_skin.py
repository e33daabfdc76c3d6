"""What colours an exported hand has: its own fitted texture before its components."""

from __future__ import annotations

import numpy as np

from fitter.formats.skin import HandSkin
from fitter.hand_models import load_appearance, load_hand_model
from fitter.meshes import HandMeshes
from fitter.store.schema import HandRow
from fitter.textures import HandTexture


def test_a_fitted_texture_is_what_is_exported_and_shown() -> None:
    right = load_hand_model()
    data, appearance = right.data, load_appearance(right.data)
    texture = np.random.default_rng(0).random((16, 16, 3)).astype(np.float16)
    row = HandRow(side="right", appearance=np.ones(appearance.count), texture=texture)
    skin = HandSkin.of(data, row, appearance, linear_light=True)
    assert skin.texture.dtype == np.float32
    np.testing.assert_array_equal(skin.texture, texture.astype(np.float32))
    # At the vertices too, within the texture's own range.
    assert skin.colours.shape == (len(data.v_template), 3)
    assert texture.min() <= skin.colours.min() and skin.colours.max() <= texture.max()
    other = HandTexture(np.full((8, 8, 3), 0.25, np.float32), np.ones((8, 8), np.float32))
    given = HandSkin.of(data, row, appearance, linear_light=True, texture=other)
    np.testing.assert_allclose(given.colours, 0.25)
    meshes = HandMeshes(right)
    vertices = data.v_template.astype(np.float32)
    shown = meshes.skin(row, vertices).texture
    np.testing.assert_array_equal(shown.colours, texture.astype(np.float32))
    assert meshes.skin(row, vertices, other).texture.colours.shape == (8, 8, 3)
