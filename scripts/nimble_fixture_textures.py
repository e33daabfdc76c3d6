"""The textures of the NIMBLE fixture: the open hand's skin in NIMBLE's layout.

The diffuse map is the open hand's appearance, made linear in sRGB about its mean; normals and
highlights follow from the fine structure of that map. Channels are blue, green, red, as NIMBLE's.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from fitter.colours import srgb_from_linear
from fitter.hand_models import HandModelData, load_appearance

RELIEF = 4.0
"""Slope of the skin for each unit of sRGB by which it gets lighter over a texel, of 256 a side."""
BLUR = 1 / 64
"""Of the texture's side: the standard deviation of what counts as the surroundings."""


def textures(data: HandModelData, side: int) -> dict[str, dict[str, np.ndarray]]:
    """What NIMBLE_TEX_DICT.pkl holds, of `side` x `side` texels, 10 components, float32."""
    appearance = load_appearance(data)
    logits = _resized(appearance.texture_mean[None], side)[0]
    steps = _resized(appearance.texture_components, side)
    reflectance = torch.sigmoid(logits)
    encoded = srgb_from_linear(reflectance)
    # The slope of the encoded colour by the logit, by the definition of its derivative.
    wider = 1e-2
    slope = (
        srgb_from_linear(torch.sigmoid(logits + wider))
        - srgb_from_linear(torch.sigmoid(logits - wider))
    ) / (2 * wider)
    diffuse, by_diffuse = encoded.numpy(), (slope * steps).numpy()
    relief, by_relief = _relief(diffuse), [_relief(step) for step in by_diffuse]
    normal = _encoded_normals(relief)
    by_normal = np.stack([_encoded_normals(relief + step) - normal for step in by_relief])
    gloss = np.repeat(0.35 + 0.6 * _fine(diffuse)[..., None], 3, axis=-1)
    by_gloss = np.stack(
        [np.repeat(0.6 * _fine(step)[..., None], 3, axis=-1) for step in by_diffuse]
    )
    return {
        "diffuse": _space(diffuse, by_diffuse),
        "normal": _space(normal, by_normal),
        "spec": _space(gloss, by_gloss),
    }


def _resized(maps: torch.Tensor, side: int) -> torch.Tensor:
    """(N, T, T, C) in another size."""
    channels = maps.permute(0, 3, 1, 2)
    resized = functional.interpolate(
        channels, (side, side), mode="bilinear", align_corners=False, antialias=True
    )
    return resized.permute(0, 2, 3, 1)


def _fine(colours: np.ndarray) -> np.ndarray:
    """(T, T) by how much the skin is lighter than its surroundings, in green."""
    green = colours[..., 1]
    return green - gaussian_filter(green, BLUR * len(green), mode="nearest")


def _relief(colours: np.ndarray) -> np.ndarray:
    """(T, T, 2) slopes of the skin to the right and up, furrows where it is darker."""
    down, right = np.gradient(_fine(colours))
    return RELIEF * len(colours) / 256 * np.stack([right, -down], axis=-1)


def _encoded_normals(slopes: np.ndarray) -> np.ndarray:
    """(T, T, 3) normals as (n + 1) / 2 of slopes (T, T, 2)."""
    flat = np.clip(slopes, -1, 1)
    normals = np.concatenate([-flat, np.ones_like(flat[..., :1])], axis=-1)
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True) + 1) / 2


def _space(mean: np.ndarray, components: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, basis of unit columns and deviations, channels blue, green, red."""
    columns = components[..., ::-1].reshape(len(components), -1).T.astype(np.float32)
    std = np.linalg.norm(columns, axis=0)
    return {
        "basis": columns / std,
        "mean": np.ascontiguousarray(mean[..., ::-1], np.float32).reshape(1, -1),
        "std": std,
    }
