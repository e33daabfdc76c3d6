"""Keypoints as images for a convolutional network, and hands that go without them."""

from __future__ import annotations

import torch
from torch import Tensor

from init_net.autoencoder_records import AutoencoderInputs
from init_net.networks.config import KeypointDropout
from init_net.records import CropInputs


def keypoint_heatmaps(keypoints: Tensor, confidence: Tensor, size: int, sigma: float) -> Tensor:
    """A Gaussian about each keypoint (Seeber 3.1; its width is not published).

    ``exp(-|u - k|^2 / (2 sigma^2))`` at the centre u of each pixel: 1 at a keypoint that lies in
    the centre of a pixel, and not cut off where the image ends.

    Args:
        keypoints: (B, 21, 2) pixels, the centre of the first pixel at (0.5, 0.5).
        confidence: (B, 21); how large it is does not matter, only whether it is above 0.
        size: S, pixels of a side.
        sigma: pixels.

    Returns:
        (B, 21, S, S) in [0, 1]; 0 all over for a keypoint of confidence 0 or that is not finite.
    """
    seen = (confidence > 0) & keypoints.isfinite().all(-1)
    centres = torch.arange(size, dtype=keypoints.dtype, device=keypoints.device) + 0.5
    # (B, 2, S, 21). The Gaussian is a product of one in x and one in y: 2 S exponentials instead of
    # S^2. Keypoints come last, as the convolutions want their channels: see `channels_last`.
    places = torch.where(seen[..., None], keypoints, 0).mT[:, :, None]
    profiles = (-0.5 * ((centres[:, None] - places) / sigma).square()).exp()
    across, down = (profiles * seen[:, None, None]).contiguous().unbind(1)
    return (down[:, :, None] * across[:, None]).permute(0, 3, 1, 2)


def dropped_keypoints(dropout: KeypointDropout, count: int, generator: torch.Generator) -> Tensor:
    """Which keypoints are taken away in training, so that a network does without them, too.

    Args:
        dropout: how likely.
        count: B crops.
        generator: draws B + 21 B numbers, on its own device.

    Returns:
        (B, 21) bool, on that device.
    """
    device = generator.device
    every = torch.rand(count, 1, generator=generator, device=device) < dropout.all
    single = torch.rand(count, 21, generator=generator, device=device) < dropout.single
    return every | single


def check_size(inputs: CropInputs | AutoencoderInputs, size: int) -> None:
    """Raise ValueError for crops that are not (B, 3, size, size)."""
    if inputs.image.shape[1:] != (3, size, size):
        raise ValueError(
            f"crops of shape (B, 3, {size}, {size}) expected, got {tuple(inputs.image.shape)}"
        )


def channels_last(maps: Tensor) -> Tensor:
    """The same (B, C, H, W) with the channels of a pixel side by side in memory."""
    return maps.contiguous(memory_format=torch.channels_last)
