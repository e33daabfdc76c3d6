"""What batches draw at random, and crops as they are learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from init_net.samples.crop_samples import CropSamples
from init_net.samples.joined import fitting_shapes
from init_net.training.config import TrainConfig

_BATCHES, _DROPPED = 1, 3
"""What a seed is for, besides the first weights and the order of samples."""


def batch_seed(config: TrainConfig, step: int) -> tuple[int, int, int]:
    """Decides how the samples of a step are varied."""
    return config.run.seed, _BATCHES, step


def keypoint_draws(config: TrainConfig, step: int) -> torch.Generator:
    """Draws which keypoints a step's batch loses."""
    seed = np.random.SeedSequence([config.run.seed, _DROPPED, step]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))


def as_learned(crops: CropSamples, dropped: Tensor, shapes: int) -> CropSamples:
    """Crops as a network is to learn from them.

    Args:
        crops: B.
        dropped: (B, 21) bool, keypoints that it is not shown.
        shapes: shape coefficients that it says.
    """
    return replace(
        crops,
        confidence=crops.confidence.masked_fill(dropped, 0),
        betas=fitting_shapes(crops.betas, shapes),
    )
