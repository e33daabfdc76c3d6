"""The open hand with a texture of strong, fine detail, rendered under a known light."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.raster import rasterize
from fitter.records import HandParams, Side
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    interpolate,
    linear_from_srgb,
    srgb_from_linear,
    texture_colours,
    vertex_normals,
)
from fitter.textures import HandView, TextureAtlas

TEXELS, SIZE = 128, 320
LIGHT = np.array([0.4, 1.0, 0.95, 0.9, 0.5, 1.0, 0.9, 0.8, 0.5, -0.6, -1.0])


@cache
def model():
    return load_hand_model("open_hand", dtype=torch.float64)


@cache
def atlas(size: int = TEXELS) -> TextureAtlas:
    return TextureAtlas.of(model().data, size)


def chequered(size: int = TEXELS) -> np.ndarray:
    """(T, T, 3) skin with squares of some texels, darker and redder."""
    at = atlas(size)
    skin = at.texture(at.skin(np.zeros(at.appearance.count)))
    row, column = np.mgrid[:size, :size] // 6
    dark = ((row + column) % 2)[..., None]
    return (skin * (1 - dark * np.array([0.2, 0.3, 0.3]))).astype(np.float32)


@dataclass(frozen=True)
class Shot:
    """A rendered picture: (H, W, 3) uint8, and its view with the true mesh and light."""

    pixels: np.ndarray
    view: HandView


def camera() -> np.ndarray:
    return np.array([[700.0, 0, SIZE / 2], [0, 700.0, SIZE / 2], [0, 0, 1]])


def posed(palm: bool, turn: float = 0.0) -> np.ndarray:
    """(V, 3) vertices of the flat right hand half a metre before the camera, turned about y."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    shape = torch.zeros(1, 10, dtype=torch.float64)
    rest = model()(HandParams(zero, zero.expand(15, 3)[None], shape, zero)).vertices[0].numpy()
    # Model axes: -x to the fingers, +y out of the back, +z to the thumb.
    across, depth = (rest[:, 2], rest[:, 1]) if palm else (-rest[:, 2], -rest[:, 1])
    points = np.stack([across, rest[:, 0], depth], axis=-1)
    points -= 0.5 * (points.min(0) + points.max(0))
    cosine, sine = np.cos(turn), np.sin(turn)
    return points @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]) + [0, 0, 0.6]


def shoot(
    texture: np.ndarray,
    vertices: np.ndarray,
    side: Side = "right",
    light: np.ndarray = LIGHT,
    linear_light: bool = True,
) -> Shot:
    """Render a hand over grey; a left hand's picture is the mirror image of the right one's."""
    points = torch.from_numpy(vertices)[None]
    scaled = torch.from_numpy(camera() * [[2], [2], [1]])[None]
    screen = torch.cat([project(points, scaled), points[..., 2:]], -1)
    fragments = rasterize(screen, model().faces, (2 * SIZE, 2 * SIZE))
    data = model().data
    colours = texture_colours(
        fragments,
        torch.from_numpy(data.uv).float(),
        torch.from_numpy(data.uv_faces),
        torch.from_numpy(texture),
    )
    lit = AmbientDirectionalLight.of(torch.from_numpy(light)[None])
    shade = lit.irradiance(vertex_normals(points, model().faces)).float()
    shade = interpolate(fragments, model().faces, shade)
    if linear_light:
        linear = colours * shade
    else:
        linear = linear_from_srgb(srgb_from_linear(colours) * shade)
    linear = torch.where(fragments.mask[..., None], linear, 0.2)[0]
    linear = linear.view(SIZE, 2, SIZE, 2, 3).mean(dim=(1, 3))
    pixels = (255 * srgb_from_linear(linear).clamp(0, 1)).round().byte().numpy()
    if side == "left":
        pixels, vertices = np.ascontiguousarray(pixels[:, ::-1]), vertices * [-1, 1, 1]
    return Shot(pixels, HandView(pixels, camera(), vertices, side, lighting=light))


def encoded(linear: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1]."""
    return srgb_from_linear(torch.from_numpy(np.ascontiguousarray(linear))).numpy()
