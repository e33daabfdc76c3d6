"""The texture that one picture shows: seen, freed from its light, and filled."""

from __future__ import annotations

import numpy as np
import torch

from fitter.rendering.fitted_light import light_of
from fitter.rendering.shading import linear_from_srgb, srgb_from_linear
from fitter.textures.atlas import TextureAtlas
from fitter.textures.filling import fill, smooth_over
from fitter.textures.light import LightFit, SkinSamples, fit_light
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
SHADING_SMOOTHNESS = 1.0
"""How slowly shading changes over the surface, see `smooth_over`: over some vertices."""
SKIN_DEVIATION = (0.03, 0.015)
"""Standard deviation of the slow differences of skins from the appearance fitted to them, in the
logarithm of brightness and of colour."""
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
    samples = SeenTexels(colours, seen.normals, seen.weight)
    found = _light(atlas, view, samples, encoded)
    lit = found.irradiance(seen.normals)
    level = np.median(lit[seen.weight > 0].mean(1))
    least = np.maximum(lit.mean(1), LEAST_LIGHT * level)
    lit = np.maximum(lit, 0.5 * least[:, None])
    skin = atlas.skin(found.coefficients)
    reflectance = colours / lit
    if encoded:
        reflectance = _linear(reflectance)
    weight = seen.weight * np.minimum(least / level, 1)
    reflectance = _without_shading(atlas, reflectance, skin, weight)
    weight = weight * _skin_likelihood(reflectance, skin)
    return fill(atlas, np.clip(reflectance, *REFLECTANCE), weight)


def _light(atlas: TextureAtlas, view: HandView, seen: SeenTexels, encoded: bool) -> LightFit:
    rows = np.flatnonzero(seen.weight > 0)
    rows = rows[:: max(1, len(rows) // SAMPLES)]
    light = None if view.lighting is None else light_of(view.lighting, view.side)
    mean = atlas.mean_logits[rows].astype(np.float64)
    components = atlas.component_logits[:, rows].astype(np.float64)
    if encoded:
        # The light multiplies encoded colours: the skin, too, in that space.
        base = 1 / (1 + np.exp(-mean))
        mean = _logit(_encoded(base))
        # d logit(encoded) / d logit(linear), by a small step.
        step = 1e-3
        moved = _logit(_encoded(1 / (1 + np.exp(-(np.log(base / (1 - base)) + step)))))
        components = components * ((moved - mean) / step)
    samples = SkinSamples(
        seen.colours[rows], seen.normals[rows], seen.weight[rows], mean, components
    )
    return fit_light(samples, light)


def _without_shading(
    atlas: TextureAtlas, reflectance: np.ndarray, skin: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(M, 3) reflectances without what the fitted light has left in them.

    Shadows, bounce and the light's finer structure change slowly over the surface, and the fitted
    skin explains most of what changes slowly in skin. So a slow difference from the fitted skin is
    shading as far as it is larger than skins differ from it: Wiener's share, of brightness and of
    colour apart.
    """
    difference = _log(reflectance) - _log(skin)
    likely = weight * _skin_likelihood(reflectance, skin)
    slow = atlas.at(smooth_over(atlas, difference, likely, SHADING_SMOOTHNESS))
    total = likely.sum()
    if total == 0:
        return reflectance
    bright = slow.mean(1, keepdims=True)
    tint = slow - bright
    removed = np.zeros_like(slow)
    for part, deviation in ((bright, SKIN_DEVIATION[0]), (tint, SKIN_DEVIATION[1])):
        variance = float((likely @ part**2).mean() / total)
        removed += part * variance / (variance + deviation**2)
    return reflectance * np.exp(-removed)


def _log(reflectance: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(reflectance, 0) + 0.01)


def _skin_likelihood(reflectance: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(M,) in [0, 1]: how much reflectances (M, 3) are like the fitted skin (M, 3)."""
    difference = _log(reflectance) - _log(skin)
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
