"""Pictures of decoded hands: what S2HAND (Chen et al. 2021) 3.3 and Zhao 3.4 compare with crops.

    HandCode, DecodedHands -> `draw_hands` -> HandPictures: colours, silhouette, depth

Both papers draw with other rasterisers (Neural 3D Mesh Renderer, PyTorch3D); this is the project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fitter.hand_models.appearance import SurfaceMaps
from fitter.raster import Fragments, RasterSettings, rasterize
from fitter.rendering import (
    AmbientDirectionalLight,
    band_width,
    composite,
    interpolate,
    vertex_normals,
)
from fitter.rendering.textured import Surface, shade
from init_net.autoencoder_records import DecodedHands, HandCode

if TYPE_CHECKING:
    from init_net.hand_decoder import HandDecoder

EDGES = RasterSettings(silhouette="edge")
"""How outlines are drawn where nothing else is asked for."""


@dataclass(frozen=True)
class HandPictures:
    """B hands in their crops.

    Attributes:
        image: (B, S, S, 3) I_re, sRGB, black behind the hand; None where nobody asks for colours.
        foreground: (B, S, S, 3) colours of the surface alone, 0 where there is none; None likewise.
        silhouette: (B, S, S) S_re in [0, 1].
        depth: (B, S, S) of the visible surface beyond the wrist keypoint, metres; NaN where there
            is none.
    """

    image: Tensor | None
    foreground: Tensor | None
    silhouette: Tensor
    depth: Tensor


def draw_hands(
    decoder: HandDecoder,
    code: HandCode,
    decoded: DecodedHands,
    side: int,
    settings: RasterSettings = EDGES,
    coloured: bool = True,
) -> HandPictures:
    """Draw hands as their codes say: ``S_re, I_re = Delta(M, C, L)`` of S2HAND 3.3.

    Colours and light are multiplied as they are, as by the renderer that S2HAND uses; light is
    computed at the vertices. Even light is 1 everywhere, so that an image shows the hand's own
    colours (Zhao 3.4 names no light). A skin with maps, NIMBLE's, is drawn with its texture:
    ``T = Gamma(I_tex, f, v)`` of Zhao 3.4, PyTorch3D's TexturesUV; its normals and highlights show
    in a light that comes from somewhere.

    Args:
        decoder: which has decoded them.
        code: of B hands.
        decoded: the same hands.
        side: S, pixels.
        settings: of the rasteriser, with a silhouette.
        coloured: also colour the hands.
    """
    # Crop units about the middle of the crop; its corner is at pixel 0.
    screen = torch.cat([side * (decoded.screen[..., :2] + 0.5), decoded.screen[..., 2:]], -1)
    fragments = rasterize(screen, decoder.topology, (side, side), settings=settings)
    assert fragments.alpha is not None  # the settings have a silhouette
    wrist = decoded.wrists[:, :1, None]
    depth = torch.where(fragments.mask, fragments.depth - wrist, torch.nan)
    if not coloured:
        return HandPictures(None, None, fragments.alpha, depth)
    if decoder.is_textured:
        foreground = _textured(decoder, code, decoded, fragments)
    else:
        colours = decoder.colours(code)
        if code.lighting is not None:
            normals = vertex_normals(decoded.vertices, decoder.faces)
            colours = colours * AmbientDirectionalLight.of(code.lighting).irradiance(normals)
        foreground = interpolate(fragments, decoder.faces, colours)
    reach = band_width(settings, (side, side))
    image = composite(foreground, fragments, foreground.new_zeros(3), reach)
    return HandPictures(image, foreground, fragments.alpha, depth)


def _textured(
    decoder: HandDecoder, code: HandCode, decoded: DecodedHands, fragments: Fragments
) -> Tensor:
    """(B, S, S, 3) colours of hands with their maps, sRGB, 0 where there is no hand.

    Maps have as many texels as the picture has pixels: more do not show in a crop that the hand
    fills. What is mirrored is seen along the line of sight; an orthographic hand is looked at from
    where it is drawn.
    """
    maps = decoder.maps(code, fragments.depth.shape[-1])
    vertices = decoded.vertices
    if code.lighting is None:
        light = AmbientDirectionalLight(*vertices.new_tensor([[0.0] * 3, [0.0] * 3, [1.0] * 3]))
        maps = SurfaceMaps(maps.diffuse)
    else:
        light = AmbientDirectionalLight.of(code.lighting)
    if decoder.config.camera == "orthographic":
        away = decoded.wrists[:, 0] - decoded.keypoints[:, 0, 2]
        vertices = vertices + torch.stack([0 * away, 0 * away, away], -1)[:, None]
    surface = Surface(decoder.texture_faces, vertices, maps, linear=False)
    return shade(surface, fragments, light)


def shrunk(image: Tensor, side: int) -> Tensor:
    """Pictures (B, C, S, S) as (B, side, side, C), means over areas; of the same side as they
    are."""
    if image.shape[-1] != side:
        image = torch.nn.functional.interpolate(image, (side, side), mode="area")
    return image.permute(0, 2, 3, 1)
