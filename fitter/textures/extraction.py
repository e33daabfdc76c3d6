"""The texture that one picture shows: seen, freed from its light, and filled."""

from __future__ import annotations

import numpy as np
import torch

from fitter.rendering.shading import linear_from_srgb, srgb_from_linear
from fitter.textures.atlas import TextureAtlas
from fitter.textures.filling import fill
from fitter.textures.light import LightFit, SkinSamples, fit_light, light_of
from fitter.textures.texture import HandTexture
from fitter.textures.views import HandView, SeenTexels, see

SAMPLES = 6000
"""Texels that light and skin are fitted to, evenly chosen among those that are seen."""
LEAST_LIGHT = 0.25
"""Share of the median irradiance below which a texel's light is no longer divided by: the error of
a dark surface's light is as large as the light."""
CHROMA_TOLERANCE, BRIGHTNESS_TOLERANCE = 0.3, 0.9
"""Difference in the logarithm of colour and of brightness from the fitted skin at which a texel
counts a quarter: a ring, a sleeve, a shadow, a highlight."""
REFLECTANCE = (0.003, 0.98)
"""What skin can be; see `paint` of the skins that the appearance was made from."""


def extract_texture(atlas: TextureAtlas, view: HandView) -> HandTexture:
    """The texture that a picture shows of a hand.

    Texels that the picture does not show are filled, see `fitter.textures.filling`, and have a
    weight of 0.

    Args:
        atlas: of the model, in the size of the texture.
        view: the picture, the mesh and what is known of its light.
    """
    seen = see(atlas, view)
    if not (seen.weight > 0).any():
        return fill(atlas, atlas.skin(np.zeros(atlas.appearance.count)), seen.weight)
    encoded = not view.linear_light and view.lighting is not None
    colours = _encoded(seen.colours) if encoded else seen.colours
    found = _light(atlas, view, SeenTexels(colours, seen.normals, seen.weight), encoded)
    lit = found.irradiance(seen.normals)
    level = np.median(lit[seen.weight > 0].mean(1))
    least = np.maximum(lit.mean(1), LEAST_LIGHT * level)
    lit = np.maximum(lit, 0.5 * least[:, None])
    skin = atlas.skin(found.coefficients)
    reflectance = colours / lit
    if encoded:
        reflectance = _linear(reflectance)
    weight = seen.weight * _skin_likelihood(reflectance, skin) * np.minimum(least / level, 1)
    return fill(atlas, np.clip(reflectance, *REFLECTANCE), weight)


def _light(atlas: TextureAtlas, view: HandView, seen: SeenTexels, encoded: bool) -> LightFit:
    rows = np.flatnonzero(seen.weight > 0)
    rows = rows[:: max(1, len(rows) // SAMPLES)]
    light = None if view.lighting is None else light_of(view.lighting, view.side)
    colours, mean = seen.colours[rows], atlas.mean_logits[rows].astype(np.float64)
    components = atlas.component_logits(rows).astype(np.float64)
    if encoded:
        # The light multiplies encoded colours: the skin, too, in that space.
        base = 1 / (1 + np.exp(-mean))
        mean = _logit(_encoded(base))
        # d logit(encoded) / d logit(linear), by a small step.
        step = 1e-3
        moved = _logit(_encoded(1 / (1 + np.exp(-(np.log(base / (1 - base)) + step)))))
        components = components * ((moved - mean) / step)
    samples = SkinSamples(colours, seen.normals[rows], seen.weight[rows], mean, components)
    return fit_light(samples, light)


def _skin_likelihood(reflectance: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(M,) in [0, 1]: how much reflectances (M, 3) are like the fitted skin (M, 3)."""
    floor = 0.01
    difference = np.log(np.maximum(reflectance, 0) + floor) - np.log(skin + floor)
    brightness = difference.mean(1)
    chroma = np.linalg.norm(difference - brightness[:, None], axis=1)
    return (
        1 / (1 + (chroma / CHROMA_TOLERANCE) ** 2) ** 2
        / (1 + (brightness / BRIGHTNESS_TOLERANCE) ** 2) ** 2
    )  # fmt: skip


def _encoded(linear: np.ndarray) -> np.ndarray:
    return srgb_from_linear(torch.from_numpy(np.ascontiguousarray(linear))).numpy()


def _linear(encoded: np.ndarray) -> np.ndarray:
    return linear_from_srgb(torch.from_numpy(np.ascontiguousarray(encoded))).numpy()


def _logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))
