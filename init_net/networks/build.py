"""From a network's configuration to the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch

from fitter.light_imports import without_compiler
from init_net.networks.config import (
    AutoencoderConfig,
    HandNetConfig,
    JointVAEConfig,
    LifterConfig,
    MeshNetConfig,
    NetworkConfig,
    SegmentationConfig,
    StereoConfig,
)

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder
    from init_net.networks.handnet import HandNet
    from init_net.networks.joint_vae import JointVAE
    from init_net.networks.lifter import HandLifter
    from init_net.networks.mesh_net import MeshNet
    from init_net.networks.segmentation import HandSegmentation
    from init_net.networks.stereo import StereoHandNet

AnyNetwork: TypeAlias = (
    "HandLifter | HandNet | HandSegmentation | StereoHandNet | HandAutoencoder | JointVAE | MeshNet"
)
"""What a configuration describes."""


def build_network(config: NetworkConfig, seed: int) -> AnyNetwork:
    """A network with random weights, those of PyTorch's own initialisation.

    Args:
        config: which one.
        seed: of its weights. PyTorch's global generator is left as it was.

    Returns:
        A `HandLifter`, `HandNet`, `HandSegmentation`, `StereoHandNet`, `HandAutoencoder`,
        `JointVAE` or `MeshNet` on the CPU, in training mode.

    Raises:
        InputError: there is no such encoder, or see `HandAutoencoder` and `MeshNet`.
    """
    # The packages of encoders are large, and a lifter needs neither: they are imported when used.
    with without_compiler(), torch.random.fork_rng(devices=[]):
        # `torch.manual_seed` would seed GPUs too, which the fork does not bring back.
        torch.default_generator.manual_seed(seed)
        match config:
            case LifterConfig():
                from init_net.networks.lifter import HandLifter

                return HandLifter(config)
            case HandNetConfig():
                from init_net.networks.handnet import HandNet

                return HandNet(config)
            case SegmentationConfig():
                from init_net.networks.segmentation import HandSegmentation

                return HandSegmentation(config)
            case StereoConfig():
                from init_net.networks.stereo import StereoHandNet

                return StereoHandNet(config)
            case AutoencoderConfig():
                from init_net.networks.autoencoder import HandAutoencoder

                return HandAutoencoder(config)
            case JointVAEConfig():
                from init_net.networks.joint_vae import JointVAE

                return JointVAE(config)
            case MeshNetConfig():
                from init_net.networks.mesh_net import MeshNet

                return MeshNet(config)
