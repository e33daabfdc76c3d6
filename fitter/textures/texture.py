"""The texture of one hand: what colour its skin is, and where that was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HandTexture:
    """Colours of a hand without light, in its model's texture coordinates (`HandModelData.uv`).

    Row 0 is at the top, as `fitter.rendering.shading.sample_texture` takes it. Left hands have the
    same atlas as right ones: a mirrored model keeps its texture coordinates.

    Attributes:
        colours: (T, T, 3) float32 diffuse reflectance in linear RGB, in [0, 1], everywhere: texels
            that were never seen are filled.
        weight: (T, T) float32, how surely a texel was measured, 0 where it never was and its colour
            is filled in. The unit is that of one picture of the texel, seen straight on.
    """

    colours: np.ndarray
    weight: np.ndarray

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: they are no texture's.
        """
        side = len(self.colours)
        if self.colours.shape != (side, side, 3) or self.weight.shape != (side, side):
            raise ValueError(
                f"expected colours (T, T, 3) and weight (T, T), found {self.colours.shape} and "
                f"{self.weight.shape}"
            )

    @property
    def measured(self) -> np.ndarray:
        """(T, T) bool: the texels that a picture has shown."""
        return self.weight > 0
