"""Hands with the maps of their skin: what is drawn where, and what it can be learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

from fitter.colours import srgb_from_linear
from fitter.raster import RasterSettings, rasterize
from init_net.autoencoder_records import HandCode
from init_net.hand_decoder import HandDecoder
from init_net.hand_pictures import draw_hands
from init_net.networks.config import AutoencoderConfig
from tests.support.autoencoder_cases import focal_lengths, hand_codes
from tests.support.nimble_files import nimble_folder

B, SIDE = 2, 40
FROM_THE_CAMERA = (0.4, 1.0, 1.0, 1.0, 0.6, 1.0, 1.0, 1.0, 0.0, 0.0, -1.0)


@pytest.fixture(scope="module", params=["orthographic", "perspective"])
def decoder(request) -> HandDecoder:
    return HandDecoder(
        AutoencoderConfig(
            hand_model=str(nimble_folder()),
            betas=20,
            appearance="components",
            light="even",
            camera=request.param,
        )
    ).double()


@pytest.fixture
def code(decoder) -> HandCode:
    return hand_codes(decoder.config, B)


def image_of(decoder: HandDecoder, code: HandCode) -> torch.Tensor:
    decoded = decoder(code, focal_lengths(B))
    image = draw_hands(decoder, code, decoded, SIDE).image
    assert image is not None
    return image


def test_every_pixel_shows_its_texel(decoder, code):
    """T = Gamma(I_tex, f, v) of Zhao 3.4 in even light: colours are where u and v say."""
    assert decoder.is_textured
    decoded = decoder(code, focal_lengths(B))
    pictures = draw_hands(decoder, code, decoded, SIDE)
    screen = decoded.screen.clone()
    screen[..., :2] = SIDE * (screen[..., :2] + 0.5)
    edges = RasterSettings(silhouette="edge")
    seen = rasterize(screen, decoder.faces, (SIDE, SIDE), settings=edges)
    maps, mesh = decoder.maps(code, SIDE), decoder.texture_faces
    pixels = np.argwhere(seen.mask.numpy())
    assert len(pixels) > 100
    for hand, v, u in pixels:
        corners = mesh.uv[mesh.uv_faces[seen.face_index[hand, v, u].long()]]
        across, up = seen.barycentrics[hand, v, u] @ corners
        at = torch.stack([2 * across - 1, 1 - 2 * up])[None, None, None]
        texture = maps.diffuse[hand].permute(2, 0, 1)[None]
        texel = grid_sample(texture, at, padding_mode="border", align_corners=False)[0, :, 0, 0]
        torch.testing.assert_close(pictures.foreground[hand, v, u], srgb_from_linear(texel))
    assert (pictures.image[pictures.silhouette == 0] == 0).all()


def test_normals_and_highlights_show_in_a_light(decoder, code, monkeypatch):
    lamp = torch.tensor([FROM_THE_CAMERA] * B, dtype=torch.float64)
    lit = replace(code, lighting=lamp)
    shown = image_of(decoder, lit)
    whole = decoder.maps

    def drawn(**without: None) -> torch.Tensor:
        monkeypatch.setattr(
            HandDecoder, "maps", lambda self, *given: replace(whole(*given), **without)
        )
        return image_of(decoder, lit)

    dull, level = drawn(specular=None), drawn(normal=None)
    assert dull.mean() < shown.mean() and not torch.equal(level, shown)


def test_coefficients_of_skin_and_pose_are_learned_from_colours(decoder, code):
    """Derivatives of the picture against differences."""
    random = torch.Generator().manual_seed(1)
    weights = torch.randn(B, SIDE, SIDE, 3, generator=random, dtype=torch.float64)

    def value(appearance: torch.Tensor) -> torch.Tensor:
        return (weights * image_of(decoder, replace(code, appearance=appearance))).sum()

    appearance = code.appearance.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(appearance), appearance)
    assert (slope != 0).any(1).all()
    step = 1e-5 * torch.randn(slope.shape, generator=random, dtype=torch.float64)
    difference = value(appearance + step) - value(appearance - step)
    assert float(difference.detach()) == pytest.approx(2 * float((slope * step).sum()), rel=1e-3)
    pose = code.pose.clone().requires_grad_()
    image = image_of(decoder, replace(code, pose=pose))
    (slope,) = torch.autograd.grad((weights * image).sum(), pose)
    assert slope.isfinite().all() and (slope != 0).any(1).all()


def test_the_open_hand_has_colours_at_its_vertices():
    assert not HandDecoder(AutoencoderConfig(appearance="components")).is_textured
    assert not HandDecoder(AutoencoderConfig()).is_textured
