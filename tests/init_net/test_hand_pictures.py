"""Pictures of decoded hands: what is drawn where, in which colours and how deep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.raster import RasterSettings, rasterize
from fitter.rendering import AmbientDirectionalLight, vertex_normals
from init_net.autoencoder_records import HandCode
from init_net.hand_decoder import HandDecoder
from init_net.hand_pictures import draw_hands, shrunk
from init_net.networks.config import AutoencoderConfig
from tests.support.autoencoder_cases import focal_lengths, hand_codes

B, SIDE = 3, 40
CONFIGS = {
    "S2HAND": AutoencoderConfig(),
    "Zhao": AutoencoderConfig(appearance="components", light="even", camera="orthographic"),
}


@pytest.fixture(params=CONFIGS)
def hands(request) -> tuple[HandDecoder, HandCode]:
    decoder = HandDecoder(CONFIGS[request.param]).double()
    if request.param == "Zhao":
        return decoder, hand_codes(decoder.config, B)
    code = hand_codes(decoder.config, B, vertices=len(decoder.model.v_template))
    random = torch.Generator().manual_seed(3)
    return decoder, replace(code, lighting=torch.rand(B, 11, generator=random).double())


def test_every_pixel_shows_the_nearest_face(hands):
    """Its colour is that of the corners, times light where there is some; black is behind."""
    decoder, code = hands
    decoded = decoder(code, focal_lengths(B))
    pictures = draw_hands(decoder, code, decoded, SIDE)
    screen = decoded.screen.clone()
    screen[..., :2] = SIDE * (screen[..., :2] + 0.5)
    seen = rasterize(
        screen, decoder.faces, (SIDE, SIDE), settings=RasterSettings(silhouette="edge")
    )
    torch.testing.assert_close(pictures.silhouette, seen.alpha)
    colours = decoder.colours(code)
    if code.lighting is not None:
        lamp = AmbientDirectionalLight.of(code.lighting)
        colours = colours * lamp.irradiance(vertex_normals(decoded.vertices, decoder.faces))
    inside = 0
    for hand, v, u in np.argwhere(seen.mask.numpy()):
        face = decoder.faces[seen.face_index[hand, v, u].long()]
        colour = seen.barycentrics[hand, v, u] @ colours[hand, face]
        torch.testing.assert_close(pictures.foreground[hand, v, u], colour)
        if pictures.silhouette[hand, v, u] == 1:
            torch.testing.assert_close(pictures.image[hand, v, u], colour)
            inside += 1
    assert inside > 100
    assert (pictures.image[pictures.silhouette == 0] == 0).all()
    assert (pictures.depth.isfinite() == seen.mask).all()


def test_depth_is_relative_to_the_wrist(hands):
    """Whatever the camera and the place; that of the vertices' own positions."""
    decoder, code = hands
    decoded = decoder(code, focal_lengths(B))
    pictures = draw_hands(decoder, code, decoded, SIDE, coloured=False)
    assert pictures.image is None and pictures.foreground is None
    low, high = decoded.vertices[..., 2].amin(1), decoded.vertices[..., 2].amax(1)
    for row in range(B):
        found = pictures.depth[row][pictures.depth[row].isfinite()]
        wrist = decoded.keypoints[row, 0, 2]
        assert len(found) > 30
        assert low[row] - wrist - 1e-9 <= found.min() and found.max() <= high[row] - wrist + 1e-9


def test_a_smaller_picture_is_the_same_in_fewer_pixels(hands):
    decoder, code = hands
    decoded = decoder(code, focal_lengths(B))
    large, small = (draw_hands(decoder, code, decoded, side) for side in (96, 24))
    few = shrunk(large.image.permute(0, 3, 1, 2), 24)
    # But for the outline, a band of one pixel in both.
    assert (few - small.image).abs().mean() < 0.04
    areas = [picture.silhouette.mean((1, 2)) for picture in (large, small)]
    torch.testing.assert_close(*areas, rtol=0.1, atol=0.01)


def test_both_outlines_are_of_one_hand(hands):
    decoder, code = hands
    decoded = decoder(code, focal_lengths(B))
    sharp = draw_hands(decoder, code, decoded, SIDE)
    soft = draw_hands(decoder, code, decoded, SIDE, RasterSettings(silhouette="soft", sigma=1e-5))
    assert (sharp.silhouette - soft.silhouette).abs().mean() < 0.02


def test_shrunk():
    image = torch.arange(32.0).view(1, 2, 4, 4)
    assert torch.equal(shrunk(image, 4), image.permute(0, 2, 3, 1))
    assert torch.equal(shrunk(image, 2)[0, 0, 1], torch.tensor([4.5, 20.5]))
