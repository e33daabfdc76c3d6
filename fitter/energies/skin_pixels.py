"""Which pixels of an image show a hand's skin: by its mask, and by their tint."""

from __future__ import annotations

import torch
from torch import Tensor

_DARKEST = 0.02
"""Linear light that is added to each channel, so that noise in the dark has no tint."""

_LEAST_DEVIATION = 0.06
"""Of the skin's tint, natural logarithm: what a palm differs from a back at least."""

_WIDTH = 6.0
"""Deviations at which a pixel counts for a quarter."""


def skin_weight(image: Tensor, mask: Tensor, mask_weight: Tensor) -> Tensor:
    """How much each pixel of B hands looks like the hand's own skin.

    The mask leaves out what it says is no hand, as far as it is trusted. Rings, cloth and things
    inside the mask differ in tint, which light and shadow change little: with t the logarithms of
    red over green and of blue over green in linear light, m their medians over the mask and s
    1.4826 times the median distances from them, a pixel counts ``1 / (1 + d^2)^2``, where
    ``d^2 = sum ((t - m) / (6 s))^2``, the weight that the estimator of Geman and McClure, 1987,
    gives it. A hand without a mask has no known tint, and all its pixels count.

    Args:
        image: (B, H, W, 3) sRGB in [0, 1].
        mask: (B, H, W) share of each pixel that the hand covers.
        mask_weight: (B, H, W) confidence in the mask.

    Returns:
        (B, H, W) in [0, 1], without a gradient.
    """
    with torch.no_grad():
        # A power of 2.2 is near enough to sRGB's curve for a weight.
        logarithm = (image.clamp_min(0) ** 2.2 + _DARKEST).log()
        tint = torch.stack(
            [logarithm[..., 0] - logarithm[..., 1], logarithm[..., 2] - logarithm[..., 1]], 1
        ).flatten(2)
        sure = (mask * mask_weight > 0.5).flatten(1)[:, None].expand_as(tint)
        middle = median(tint, sure)[..., None]
        deviation = 1.4826 * median((tint - middle).abs(), sure)[..., None]
        distance = (tint - middle) / (_WIDTH * deviation.clamp_min(_LEAST_DEVIATION))
        squared = distance.square().sum(1).view_as(mask)
        known = sure[:, 0].any(1)[:, None, None]
        by_tint = torch.where(known, (1 + squared) ** -2, 1)
        return by_tint * (1 - mask_weight * (1 - mask))


def median(values: Tensor, chosen: Tensor) -> Tensor:
    """The lower median (...) of the chosen ones (..., N) bool among values (..., N); 0 of none."""
    ordered = torch.where(chosen, values, torch.inf).sort(-1).values
    place = ((chosen.sum(-1, keepdim=True) - 1) // 2).clamp_min(0)
    found = ordered.gather(-1, place)[..., 0]
    return torch.where(chosen.any(-1), found, 0)
