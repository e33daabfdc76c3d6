"""Codes of hands for tests of the networks that decode what they say."""

import torch

from init_net.autoencoder_records import HandCode
from init_net.networks.config import AutoencoderConfig


def hand_codes(
    config: AutoencoderConfig, batch: int = 3, seed: int = 0, vertices: int | None = None
) -> HandCode:
    """Hands in front of the camera, turned in any direction, float64; with a colour a vertex where
    the number of vertices is given."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 1.0) -> torch.Tensor:
        return std * torch.randn(batch, *shape, generator=random, dtype=torch.float64)

    flat = config.camera == "orthographic"
    place = normal(3, std=0.05) + torch.tensor([0, 0, 0 if flat else 0.6], dtype=torch.float64)
    components = config.appearance == "components"
    return HandCode(
        pose=normal(config.pose_components, std=0.3),
        betas=normal(config.betas),
        scale=(4.0 if flat else 1.0) * normal(std=0.1).exp(),
        global_orient=normal(3),
        transl=place * torch.tensor([1, 1, 0 if flat else 1], dtype=torch.float64),
        colours=None if vertices is None else normal(vertices, 3).sigmoid(),
        appearance=normal(config.appearance_components) if components else None,
        lighting=None,
        log_focal=normal(std=0.1) if config.focal == "predicted" else normal(std=0.0),
    )


def focal_lengths(batch: int = 3) -> torch.Tensor:
    """(B,) crop units, float64."""
    return torch.linspace(2.0, 3.0, batch, dtype=torch.float64)
