"""The light that is stored with a fitted hand, in camera axes."""

from __future__ import annotations

import numpy as np
import torch

from fitter.rendering.shading import AmbientDirectionalLight, SphericalHarmonicsLight
from fitter.rendering.textured import Light


def light_of(lighting: np.ndarray, side: str) -> Light:
    """The light of a fitted hand in camera axes, float64.

    Args:
        lighting: (11,) or (27,), as `FittedHand.lighting`.
        side: of the hand; a left one's light is stored as that of the image mirrored in x.

    Raises:
        ValueError: it has another number of coefficients.
    """
    values = torch.as_tensor(np.asarray(lighting, np.float64))
    if values.shape not in ((11,), (27,)):
        raise ValueError(f"expected 11 or 27 coefficients of the light, got {tuple(values.shape)}")
    if len(values) == 11:
        mirrored = values.clone()
        mirrored[8] *= -1 if side == "left" else 1
        light = AmbientDirectionalLight.of(mirrored[None])
        return AmbientDirectionalLight(light.direction[0], light.diffuse[0], light.ambient[0])
    odd = torch.ones(9, 1, dtype=torch.float64)
    if side == "left":
        odd[[3, 4, 7]] = -1  # L11, L2-2 and L21 are odd in x
    return SphericalHarmonicsLight(values.reshape(9, 3) * odd)
