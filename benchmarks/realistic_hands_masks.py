"""Table 3 of RealisticHands: masks by the colour of skin, and by a network's decoder."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from networks_masks import skin_mask
from realistic_hands_figures import batches, given
from torch import Tensor

from fitter.metrics import mask_accuracy, mask_iou
from init_net.records import CropInputs
from init_net.samples.crop_samples import Cropper
from init_net.training.evaluation import standard_error

HSV = "Sobottka & Pitas"
"""The range in HSV of Kolkur et al. 2017, which the paper takes [19], has their hues and
saturations, see `networks_masks.SKIN_RANGES`."""


def kolkur_mask(pixels: np.ndarray) -> np.ndarray:
    """(S, S) bool: where pixels (S, S, 3) uint8 RGB are skin by the whole rule of Kolkur et al.,
    "Human Skin Detection Using RGB, HSV and YCbCr Color Models", 2017, section 3.

    The alpha that it asks for is that of an opaque picture. Y, Cr and Cb are OpenCV's, with Cr and
    Cb about 128.
    """
    red, green, blue = (channel.astype(np.float64) for channel in cv2.split(pixels))
    reddish = (red > 95) & (green > 40) & (blue > 20) & (red > green) & (red > blue)
    reddish &= abs(red - green) > 15
    luma, cr, cb = (
        channel.astype(np.float64)
        for channel in cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    )
    chroma = (luma > 80) & (cr > 135) & (cb > 85)
    chroma &= (cr <= 1.5862 * cb + 20) & (cr >= 0.3448 * cb + 76.2069)
    chroma &= (cr >= -4.5652 * cb + 234.5652) & (cr <= -1.15 * cb + 301.75)
    chroma &= cr <= -2.2857 * cb + 432.85
    return reddish & (skin_mask(pixels, HSV) | chroma)


Segment = Callable[[CropInputs], Tensor]
"""The (B, S, S) logits that a network gives of crops."""


def mask_figures(segment: Segment, held_out: Cropper) -> dict[str, dict[str, float]]:
    """IoU and accuracy of each kind of mask on crops, by its name.

    Args:
        segment: the network.
        held_out: cuts the crops, unvaried.
    """
    overlap: dict[str, list[np.ndarray]] = {}
    right: dict[str, list[np.ndarray]] = {}
    for crops in batches(held_out):
        true = (crops.mask > 0.5).numpy()
        pixels = (255 * crops.image).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        with torch.no_grad():
            decoded = {
                "decoder": segment(given(crops, True)) > 0,
                "decoder, no keypoints": segment(given(crops, False)) > 0,
            }
        found = {
            "hsv": np.stack([skin_mask(each, HSV) for each in pixels]),
            "kolkur": np.stack([kolkur_mask(each) for each in pixels]),
            **{name: mask.numpy() for name, mask in decoded.items()},
        }
        for name, mask in found.items():
            overlap.setdefault(name, []).append(mask_iou(mask, true))
            right.setdefault(name, []).append(mask_accuracy(mask, true))
    return {name: _summary(np.concatenate(overlap[name]), np.concatenate(right[name]))
            for name in overlap}  # fmt: skip


def _summary(overlap: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Means over the hands and their standard errors, four digits."""
    named = {"mask_iou": overlap, "pixel_accuracy": right}
    said = {name: float(values.mean()) for name, values in named.items()}
    said |= {f"{name}_se": standard_error(values) for name, values in named.items()}
    return {name: round(value, 4) for name, value in said.items()}
