"""The segmentation decoder of a `HandNet`: from an encoder's maps to which pixels show the hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitter.errors import InputError
from fitter.light_imports import without_compiler
from init_net.networks.encoders import SplitEncoder

with without_compiler():
    from segmentation_models_pytorch.base import SegmentationHead
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder


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
