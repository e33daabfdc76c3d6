"""Grey cameras, and infrared ones with their light beside the lens.

Near infrared light (about 850 nm) is hardly absorbed by pigments: skin of every colour is bright
and even, and so is most cloth. The light goes out from the camera, so it falls off with the square
of the distance, casts no shadow that is seen, and leaves what is behind in the dark.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.records import (
    COLOUR,
    FOREARM,
    GREY,
    HAND,
    INFRARED,
    LIGHTS,
    ImagingSpec,
)

Rng = np.random.Generator
INFRARED_SHARE = 0.5
"""Of images without colours that are infrared."""
REC_709 = (0.2126, 0.7152, 0.0722)
"""Luminance of linear sRGB (ITU-R BT.709)."""
SKIN_GREY = 0.2
"""Luminance of medium skin."""


def sample_imaging(rng: Rng, share: float, distance: float, image: dict[str, dict]) -> dict:
    """The camera of an image, and what it changes.

    Args:
        rng: decides.
        share: of images without colours.
        distance: of the hand from the camera, metres.
        image: "light", "background" and "lens", rows of their specs for a camera with colours.

    Returns:
        "imaging", a row of `ImagingSpec`, and those of the others that are other ones.
    """
    drawn = rng.random()
    infrared = drawn < share * INFRARED_SHARE
    kind = INFRARED if infrared else GREY if drawn < share else COLOUR
    # Sensors see red and infrared better or worse than the eye.
    weights = 0.6 * np.array(REC_709) + 0.4 * rng.dirichlet(np.ones(3))
    row = {
        "kind": kind,
        "weights": weights,
        "skin": [rng.uniform(0.4, 0.65), rng.uniform(0.05, 0.35)],
        "cloth": [rng.uniform(0.08, 0.4), rng.uniform(0.2, 0.5)],
        "distance": distance,
    }
    changed: dict[str, dict] = {"imaging": row}
    if kind != COLOUR:
        changed["lens"] = image["lens"] | {"balance": np.ones(3)}
    if infrared:
        changed["light"] = _light_at_camera(rng, image["light"])
        changed["background"] = _behind(rng, image["background"], distance)
    return changed


def _light_at_camera(rng: Rng, light: dict) -> dict:
    """A row of `LightSpec` for a light at the camera and a little daylight."""
    toward = light["toward"].copy()
    toward[0] = [*rng.normal(0, 0.06, 2), -1.0]
    toward[0] /= np.linalg.norm(toward[0])
    colour = np.zeros((LIGHTS, 3))
    colour[0] = rng.uniform(0.7, 1.5)
    daylight = rng.uniform(0.0, 0.12)
    return light | {
        "toward": toward,
        "colour": colour,
        "sky": np.full(3, daylight),
        "ground": np.full(3, 0.6 * daylight),
        "cast": [0.0, 0.0, 0.0],
    }


def _behind(rng: Rng, background: dict, distance: float) -> dict:
    """A row of `BackgroundSpec` that is dark, being further away than the hand."""
    behind = distance + rng.uniform(0.04, 2.5)
    lit = rng.uniform(0.5, 1.1) * (distance / behind) ** 2 + rng.uniform(0, 0.06)
    gain = background["gain"].mean(axis=1, keepdims=True) * lit
    return background | {"gain": np.repeat(gain, 3, axis=1)}


def infrared_reflectance(
    colour: Tensor, gloss: Tensor, kind: Tensor, gloved: Tensor, imaging: ImagingSpec
) -> tuple[Tensor, Tensor]:
    """Reflectance and gloss at N pixels as an infrared camera sees them.

    Args:
        colour: (N, 3) linear RGB; gloss: (N, 2).
        kind: (N,) HAND, FOREARM, ...; gloved: (N,) bool.
        imaging: of the N pixels.
    """
    grey = REC_709[0] * colour[:, 0] + REC_709[1] * colour[:, 1] + REC_709[2] * colour[:, 2]
    grey = grey.clamp(1e-3, 1)
    skin = ((kind == HAND) | (kind == FOREARM)) & ~gloved
    # In float64, for the last bit of a power depends on the place in a batch.
    contrast = (grey.double() / SKIN_GREY) ** imaging.skin[:, 1].double()
    even = imaging.skin[:, 0] * contrast.float().clamp(0.6, 1.4)
    dyed = imaging.cloth[:, 0] + imaging.cloth[:, 1] * grey.sqrt()
    seen = torch.where(skin, even, dyed)[:, None].expand(-1, 3)
    infrared = (imaging.kind == INFRARED)[:, None]
    return torch.where(infrared, seen, colour), torch.where(infrared, 0.5 * gloss, gloss)


def fall_off(depth: Tensor, imaging: ImagingSpec) -> Tensor:
    """(N,) factor of the light at N pixels of depths (N,) metres; 1 but in the infrared."""
    factor = (imaging.distance / depth.clamp_min(0.05)).square().clamp_max(4.0)
    return torch.where(imaging.kind == INFRARED, factor, 1.0)


def without_colours(linear: Tensor, imaging: ImagingSpec) -> Tensor:
    """Linear light (B, S, S, 3), grey where the camera sees no colours."""
    rows = (imaging.kind != COLOUR).nonzero()[:, 0]
    if len(rows) == 0:
        return linear
    weights = imaging.weights[rows, None, None]
    part = linear[rows] * weights
    grey = part[..., 0] + part[..., 1] + part[..., 2]
    return linear.index_copy(0, rows, grey[..., None].expand(-1, -1, -1, 3))
