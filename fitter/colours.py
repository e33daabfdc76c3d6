"""From linear light to sRGB and back."""

from __future__ import annotations

import torch
from torch import Tensor


def srgb_from_linear(linear: Tensor) -> Tensor:
    """Encode linear light, 1 = white (IEC 61966-2-1); any shape, values below 0 go on linearly.

    The slope is at most 12.92, also at 0. Nothing is clamped from above.
    """
    low = 0.0031308
    # Clamped before the power: its slope at 0 would be infinite, and 0 times that not a number.
    power = 1.055 * linear.clamp_min(low) ** (1 / 2.4) - 0.055
    return torch.where(linear <= low, 12.92 * linear, power)


def linear_from_srgb(encoded: Tensor) -> Tensor:
    """Linear light of sRGB values, 1 = white (IEC 61966-2-1); the inverse of `srgb_from_linear`."""
    low = 0.04045
    power = ((encoded.clamp_min(low) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= low, encoded / 12.92, power)
