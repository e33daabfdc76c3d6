"""The atlas: which surface points the texels show."""

from dataclasses import replace

import numpy as np
import torch

from fitter.rendering.shading import sample_texture
from fitter.textures import TextureAtlas
from tests.support.errors import raises
from tests.support.textured_hands import atlas, chequered, model


def test_texels_lie_where_the_texture_coordinates_say():
    at, data = atlas(), model().data
    # Sampling a texture whose colours are its own coordinates tells where a look-up lands.
    row, column = np.divmod(at.texels[at.on_chart], at.size)
    centres = np.stack([(column + 0.5) / at.size, 1 - (row + 0.5) / at.size], axis=-1)
    face_of = {tuple(corners): face for face, corners in enumerate(data.faces)}
    faces = [face_of[tuple(corners)] for corners in at.corners[at.on_chart]]
    uv = np.einsum("mk,mkc->mc", at.weights[at.on_chart], data.uv[data.uv_faces[faces]])
    np.testing.assert_allclose(uv, centres, atol=1e-9)
    np.testing.assert_allclose(at.weights.sum(1), 1)
    assert (at.weights[at.on_chart] >= -1e-9).all()


def test_a_look_up_anywhere_on_the_surface_meets_no_gutter():
    at, data = atlas(), model().data
    marked = np.zeros((at.size, at.size, 1), np.float32)
    marked.reshape(-1)[at.texels] = 1
    generator = np.random.default_rng(0)
    weights = generator.dirichlet((1, 1, 1), len(data.uv_faces))
    uv = np.einsum("fk,fkc->fc", weights, data.uv[data.uv_faces])
    found = sample_texture(torch.from_numpy(marked), torch.from_numpy(uv).float())
    assert (found > 0.999).all()


def test_skin_is_that_of_the_appearance():
    at = atlas(256)
    coefficients = np.linspace(-1, 1, at.appearance.count)
    full = at.appearance.texture(torch.from_numpy(coefficients).float()[None])[0].numpy()
    np.testing.assert_allclose(at.skin(coefficients), at.rows(full), atol=2e-6)


def test_rows_and_textures_are_inverse():
    at = atlas()
    rows = at.rows(chequered())
    np.testing.assert_array_equal(at.rows(at.texture(rows)), rows)


def test_a_model_without_texture_coordinates_is_refused():
    data = replace(model().data, name="bare", layout=None)
    with raises("texture.no_uv", model="bare"):
        TextureAtlas.of(data, 64)
