"""`JointVAE`: joints that were regressed from a mesh, to those that pose it (Yu et al. 3.2).

    J^ (21, 3) -> dense layers -> mean, log variance -> code -> dense layers -> J~ (21, 3)

A hand model's regressor finds the joints of its mesh at rest. Applied to a posed mesh, or to one
that no hand model has made, it is off: by how much says `benchmarks/regressor_gap.py`.

Printed are a full-connection encoder, a decoder symmetric to it, and a code of 128 numbers. Not
printed: how many layers and how wide, what lies between them (here ReLU), in which unit joints go
in and out, and whether the decoder says the joints or what is to be added to them. Here it says the
joints, as a VAE does: everything that is known of them has gone through the code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from init_net.mesh_records import RefinedJoints
from init_net.networks.config import RefinerConfig
from init_net.networks.dense import dense_layers
from init_net.networks.parts import NOTHING

_UNIT = 0.1
"""Metres that are 1 within the layers: about a hand's half (not published)."""

_JOINTS = (21, 3)

LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE = -20.0, 10.0
"""What a log variance is kept within, so that its exponential stays finite (not published)."""


class JointVAE(nn.Module):
    """(B, 21, 3) to `RefinedJoints`; a network of one part, itself.

    Attributes:
        config: as given.
    """

    def __init__(self, config: RefinerConfig) -> None:
        """A network with PyTorch's own random weights."""
        super().__init__()
        self.config = config
        count = _JOINTS[0] * _JOINTS[1]
        sizes = [count, *config.hidden]
        self.encoder = dense_layers([*sizes, 2 * config.latent])
        self.decoder = dense_layers([config.latent, *sizes[::-1]])

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `init_net.networks.parts.HasParts`: itself, which `MeshNet` has by the same name."""
        return {"vae": self}

    @property
    def optional_parts(self) -> frozenset[str]:
        """See `HasParts.optional_parts`: none."""
        return NOTHING

    def forward(self, joints: Tensor, noise: Tensor | None = None) -> RefinedJoints:
        """Refine the joints of B hands.

        While it learns the code is ``mean + exp(log_variance / 2) noise`` (the reparametrisation of
        Kingma and Welling 2014, section 2.4); in eval mode, in which a frozen part is too, it is
        the mean.

        Args:
            joints: (B, 21, 3) metres, canonical order, relative to the wrist joint, view axes.
            noise: (B, latent) of a standard normal distribution, drawn by the caller from a
                generator of its own; needed in training mode, and of no effect in eval mode.

        Returns:
            Of the unit, frame and dtype of `joints`. A hand with a joint that is not finite has NaN
            for its joints; it gives the weights no gradient, and no other hand sees it.

        Raises:
            ValueError: another shape, or no noise in training mode.
        """
        if joints.shape[1:] != _JOINTS:
            raise ValueError(f"joints (B, 21, 3) expected, got {tuple(joints.shape)}")
        # Under mixed precision the layers would give halves, too coarse for places.
        with torch.autocast(joints.device.type, enabled=False):
            usable = joints.isfinite().flatten(1).all(1)[:, None]
            numbers = torch.where(usable, joints.flatten(1) / _UNIT, 0)
            mean, log_variance = self.encoder(numbers).chunk(2, 1)
            log_variance = log_variance.clamp(LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
            code = mean
            if self.training:
                if noise is None or noise.shape != mean.shape:
                    found = None if noise is None else tuple(noise.shape)
                    raise ValueError(f"noise {tuple(mean.shape)} expected in training, got {found}")
                code = mean + (log_variance / 2).exp() * noise
            refined = torch.where(usable, self.decoder(code) * _UNIT, torch.nan)
        return RefinedJoints(refined.unflatten(1, _JOINTS), mean, log_variance)
