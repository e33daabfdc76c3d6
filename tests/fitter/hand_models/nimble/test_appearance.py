"""NIMBLE's textures as maps and colours of the fit."""

import numpy as np
import pytest
import torch

from fitter.colours import linear_from_srgb, srgb_from_linear
from fitter.hand_models import load_appearance, load_hand_model, load_open_hand
from fitter.hand_models.appearance_loading import appearance_identity
from fitter.hand_models.nimble.appearance import NimbleAppearance
from fitter.hand_models.nimble.files import TEXTURE_FILE
from fitter.hand_models.nimble.textures import read_textures
from fitter.raster import rasterize
from fitter.rendering.shading import SphericalHarmonicsLight, sample_texture
from fitter.rendering.textured import Surface, TexturedFaces, shade
from tests.support.nimble_files import nimble_folder


@pytest.fixture(scope="module")
def data():
    return load_hand_model(nimble_folder()).data


@pytest.fixture(scope="module")
def skin(data):
    return load_appearance(data)


def shown_mean(model, skin):
    """(3,) mean sRGB of a hand at rest with its mean skin in white light."""
    vertices = model.v_template[None] + torch.tensor([0.0, 0.0, 0.5])
    place = 250 * vertices[..., :2] / vertices[..., 2:] + 64
    fragments = rasterize(torch.cat([place, vertices[..., 2:]], -1), model.faces, (128, 128))
    maps = skin.maps(torch.zeros(1, skin.count))
    surface = Surface(TexturedFaces.of(model.data, vertices), vertices, maps)
    light = SphericalHarmonicsLight.uniform(torch.ones(1, 3))
    return srgb_from_linear(shade(surface, fragments, light)[fragments.mask].mean(0))


def random_skins(batch=3):
    return torch.randn(batch, 10, generator=torch.Generator().manual_seed(0))


class TestMaps:
    def test_they_are_the_layers_in_linear_light(self, skin):
        image = skin.textures.image(random_skins())
        maps = skin.maps(random_skins())
        torch.testing.assert_close(
            srgb_from_linear(maps.diffuse), image[..., :3], atol=2e-6, rtol=0
        )
        torch.testing.assert_close(maps.specular, 0.08 * image[..., 6:])
        length = maps.normal.norm(dim=-1)
        assert maps.normal[..., 2].mean() > 0.8 and 0.9 < length.mean() < 1.1
        assert skin.is_mapped and skin.count == 10

    def test_other_sizes_are_means(self, skin):
        small = skin.maps(random_skins(), 24)
        whole = skin.textures.diffuse.mean
        expected = whole.unflatten(0, (24, 2)).unflatten(2, (24, 2)).mean(dim=(1, 3))
        found = srgb_from_linear(skin.maps(torch.zeros(1, 10), 24).diffuse)[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        assert small.normal.shape == small.specular.shape == (3, 24, 24, 3)

    def test_mean_skin_in_white_light_is_as_bright_as_the_open_hands(self, skin, data):
        """Highlights and all; within 10 % of what the picture shows. Grey highlights are bluer
        than skin."""
        other = load_hand_model()
        shown = [shown_mean(load_hand_model(nimble_folder()), skin)]
        shown += [shown_mean(other, load_appearance(other.data))]
        assert float(shown[0].mean()) == pytest.approx(float(shown[1].mean()), rel=0.1)
        torch.testing.assert_close(*shown, rtol=0.12, atol=0)

    def test_gradients_after_maps_of_another_size_were_made_without(self, data):
        own = NimbleAppearance.of(read_textures(nimble_folder()), data)
        alpha = random_skins(1).requires_grad_()
        with torch.inference_mode():
            own.maps(alpha, 12)
        own.maps(alpha, 12).diffuse.sum().backward()
        assert alpha.grad.abs().max() > 0

    def test_gradients(self, skin):
        double = skin.to(torch.float64)
        alpha = 0.1 * random_skins(1).double()

        def loss(a):
            maps = double.maps(a, 12)
            return maps.diffuse.sum() + maps.normal.square().sum() + maps.specular.sum()

        assert torch.autograd.gradcheck(loss, alpha.requires_grad_())


class TestVertices:
    def test_colours_are_those_of_the_texture(self, skin, data):
        colours = skin.vertex_colours(random_skins())
        assert colours.shape == (3, len(data.v_template), 3)
        encoded = skin.textures.diffuse(random_skins())
        uv = torch.from_numpy(data.uv[data.uv_faces]).float()
        shown = sample_texture(encoded, uv.expand(3, -1, -1, -1))
        expected = linear_from_srgb(shown)
        at_corners = colours[:, torch.from_numpy(data.faces)]
        # Texels at a seam differ between its sides; all others agree up to clamping.
        off = (at_corners - expected).abs().amax(-1)
        assert off.quantile(0.9) < 1e-4

    def test_it_is_skin_of_the_open_hand(self, skin):
        """The fixture's colours are the open hand's, to the first order about its mean."""
        other = load_appearance(load_open_hand())
        mean = skin.vertex_colours(torch.zeros(1, 10))[0].mean(0)
        theirs = other.vertex_colours(torch.zeros(1, 10))[0].mean(0)
        torch.testing.assert_close(mean, theirs, rtol=0.12, atol=0.01)

    def test_both_sides_have_the_same(self, data):
        left = load_appearance(data.mirrored()).vertex_colours(random_skins())
        assert torch.equal(left, load_appearance(data).vertex_colours(random_skins()))


def test_textures_are_there_once_and_no_longer_than_somebody_has_them(data, monkeypatch):
    first = load_appearance(data)
    moved = first.to(torch.device("cpu"))
    again = load_appearance(data.mirrored())
    assert moved is first and again.textures is first.textures
    reads = []

    def counted(folder):
        reads.append(folder)
        return read_textures(folder)

    monkeypatch.setattr("fitter.hand_models.appearance_loading.read_textures", counted)
    double = load_appearance(data, torch.float64)
    assert load_appearance(data, torch.float64) is double and len(reads) == 1
    del double
    load_appearance(data, torch.float64)
    assert len(reads) == 2


def test_identity_follows_the_file(data, tmp_path):
    from dataclasses import replace

    found = appearance_identity(data)
    other = tmp_path / TEXTURE_FILE
    other.write_bytes((nimble_folder() / TEXTURE_FILE).read_bytes() + b" ")
    assert appearance_identity(replace(data, appearance_file=other)) != found
    assert appearance_identity(load_open_hand()) != found
    assert len(found["appearance_sha256"]) == 64 and np.unique(list(found)) == ["appearance_sha256"]
