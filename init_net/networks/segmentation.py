"""Which pixels of a crop show the hand: `HandSegmentation`, and the decoder of a `HandNet`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitter.errors import InputError
from fitter.light_imports import without_compiler
from init_net.networks.config import SegmentationConfig
from init_net.networks.encoders import SplitEncoder, is_encoder
from init_net.networks.heatmaps import channels_last, check_size, keypoint_heatmaps
from init_net.networks.parts import NOTHING
from init_net.records import CropInputs

with without_compiler():
    import segmentation_models_pytorch as smp
    from segmentation_models_pytorch.base import SegmentationHead
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder


class HandSegmentation(nn.Module):
    """`CropInputs` to logits (B, S, S): a U-Net on the image with its heatmaps.

    Seeber 3.1 hangs the decoder on the encoder of the parameters; this one has an encoder of its
    own, so that either is trained and shipped without the other.

    Attributes:
        config: as given.
        unet: (B, 24, S, S) to (B, 1, S, S).
    """

    def __init__(self, config: SegmentationConfig) -> None:
        """A network with PyTorch's own random weights.

        Raises:
            InputError: there is no such encoder.
        """
        super().__init__()
        self.config = config
        name = config.encoder
        known = name in smp.encoders.get_encoder_names()
        if not (known or (name.startswith("tu-") and is_encoder(name.removeprefix("tu-")))):
            raise InputError("network.no_unet_encoder", encoder=name)
        try:
            self.unet = smp.Unet(
                name,
                encoder_weights=None,
                decoder_channels=config.decoder_channels,
                in_channels=3 + 21,
                classes=1,
            )
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError("network.no_unet", encoder=name, reason=str(error)) from error
        # Convolutions of few channels take half the time so, on a CPU; the numbers are the same.
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: CropInputs) -> Tensor:
        """(B, S, S) logits in the dtype of the crops, above 0 where the hand is likelier.

        Raises:
            ValueError: the crops are not of the configured size.
        """
        size = self.config.input_size
        check_size(inputs, size)
        heatmaps = keypoint_heatmaps(
            inputs.keypoints, inputs.confidence, size, self.config.heatmap_sigma * size
        )
        logits = self.unet(channels_last(torch.cat([2 * inputs.image - 1, heatmaps], 1)))
        return logits[:, 0].to(inputs.image.dtype)

    def segment(self, inputs: CropInputs, absent: frozenset[str] = NOTHING) -> Tensor:
        """As `forward`: what a `HandNet` with a decoder calls the same.

        Raises:
            ValueError: the crops are not of the configured size, or a part is to be left out of a
                network that has none.
        """
        if absent:
            raise ValueError(f"a network without parts cannot leave out {sorted(absent)}")
        logits: Tensor = self(inputs)
        return logits


class MaskDecoder(nn.Module):
    """A U-Net's expanding half on the maps of an encoder that others use as well (Seeber 3.1).

    Every stage doubles the resolution, joins the encoder's map of that resolution where there is
    one, and has two convolutions with normalisation and ReLU: `UnetDecoder` of
    segmentation_models_pytorch. How many channels they have is not published.

    Attributes:
        unet: the stages.
        logits: the last convolution.
    """

    def __init__(self, name: str, encoder: SplitEncoder, channels: Sequence[int]) -> None:
        """A decoder with random weights.

        Args:
            name: of the encoder, for errors.
            encoder: whose maps it will see.
            channels: of the decoder's stages, from the coarsest.

        Raises:
            InputError: the encoder has not as many stages as the decoder, each at half the
                resolution of the one before.
        """
        super().__init__()
        halving = tuple(2 ** (k + 1) for k in range(len(channels)))
        if encoder.strides != halving:
            raise InputError(
                "network.no_decoder", encoder=name, expected=halving, found=encoder.strides
            )
        # The first of its maps is the picture, of which it takes the resolution alone.
        self.unet = UnetDecoder((3, *encoder.channels), channels, n_blocks=len(channels))
        self.logits = SegmentationHead(channels[-1], 1, kernel_size=3)

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Segment B crops.

        Args:
            image: (B, 3, S, S), for its resolution.
            maps: (B, C_k, S / 2^k, S / 2^k) of the encoder's stages k = 1, 2, ..., in order.

        Returns:
            (B, S, S) logits, above 0 where the hand is likelier.
        """
        logits: Tensor = self.logits(self.unet([image, *maps]))
        return torch.squeeze(logits, 1)
