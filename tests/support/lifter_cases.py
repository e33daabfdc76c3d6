"""Hands at random, as a lifter sees them."""

import torch
from torch.nn import functional

from fitter.detection.networks.shapes import FEATURES
from init_net.records import LifterInputs


def lifter_inputs(batch: int = 3, seed: int = 0) -> LifterInputs:
    """Hands of which everything is known, both looks too."""
    random = torch.Generator().manual_seed(seed)
    bones = torch.randn(batch, 20, 3, generator=random)
    return LifterInputs(
        positions=torch.rand(batch, 21, 2, generator=random) - 0.5,
        confidence=0.5 + 0.5 * torch.rand(batch, 21, generator=random),
        depth=0.1 * torch.randn(batch, 21, generator=random),
        bones=functional.normalize(bones, dim=-1),
        focal=2 + torch.rand(batch, generator=random),
        features=torch.randn(batch, 2, FEATURES, generator=random),
    )
