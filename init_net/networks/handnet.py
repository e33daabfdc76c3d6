"""`HandNet`: a crop, and keypoints where there are some, to the parameters of a hand (Seeber 3.1).

    image    (3 channels)   -> front \\
                                       fusion -> tail -> pooling -> dense -> parameters
    heatmaps (21 channels)  -> front /

The fronts are alike but for their first convolution, and share no weights.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from init_net.networks.config import HandNetConfig
from init_net.networks.encoders import split_encoder
from init_net.networks.heatmaps import channels_last, check_size, drop_keypoints, keypoint_heatmaps
from init_net.networks.rotations import COUNTS, to_rotations
from init_net.records import CropInputs, RegressedHands

LAST_STRIDE = 32
"""Pixels of the crop along a cell of the encoder's last map."""

TYPICAL_SCALE = 4.0
"""Crop units a metre of a hand of common size in its crop: where the camera's scale starts."""


class HandNet(nn.Module):
    """`CropInputs` to `RegressedHands`.

    Attributes:
        config: as given.
        image_front, keypoint_front, fusion, tail, pool, head: its parts, in order, which a trainer
            may freeze in turn (Seeber 3.5).
    """

    def __init__(self, config: HandNetConfig) -> None:
        """A network with PyTorch's own random weights.

        Raises:
            InputError: there is no such encoder, or it cannot be cut there.
        """
        super().__init__()
        self.config = config
        encoder = split_encoder(config.encoder, config.split, 3)
        self.image_front, self.tail = encoder.front, encoder.tail
        self.keypoint_front = split_encoder(config.encoder, config.split, 21).front
        self.fusion = FusionBlock(encoder.split_channels, config.fusion_ratio)
        self._counts = [16 * COUNTS[config.rotation], config.betas, 3]
        self.pool, features = _pooling(encoder.channels, config)
        sizes = [features, *config.hidden]
        hidden = [layer for sides in pairwise(sizes) for layer in (nn.Linear(*sides), nn.ReLU())]
        self.head = nn.Sequential(*hidden, nn.Linear(sizes[-1], sum(self._counts)))
        # Convolutions of few channels take half the time so, on a CPU; the numbers are the same.
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: CropInputs) -> RegressedHands:
        """Regress B hands; those without keypoints, of confidence 0, from their image alone.

        Raises:
            ValueError: the crops are not of the configured size.
        """
        check_size(inputs, self.config.input_size)
        size = self.config.input_size
        heatmaps = keypoint_heatmaps(
            inputs.keypoints, inputs.confidence, size, self.config.heatmap_sigma * size
        )
        fused = self.fusion(
            # Colours about 0; the statistics of natural images are for trained encoders.
            self.image_front(channels_last(2 * inputs.image - 1)),
            self.keypoint_front(channels_last(heatmaps)),
        )
        features = self.pool(self.tail(fused))
        # Under mixed precision the layers give halves, too coarse for rotations.
        values = self.head(features).to(inputs.image.dtype)
        rotations, betas, camera = values.split(self._counts, 1)
        return RegressedHands(
            rotations=to_rotations(rotations.unflatten(1, (16, -1)), self.config.rotation),
            betas=betas,
            camera=torch.cat([TYPICAL_SCALE * camera[:, :1].exp(), camera[:, 1:]], 1),
        )

    def drop_keypoints(self, inputs: CropInputs, generator: torch.Generator) -> CropInputs:
        """For training: take keypoints away, see `init_net.networks.heatmaps.drop_keypoints`."""
        return drop_keypoints(inputs, self.config.keypoint_dropout, generator)


def _pooling(channels: int, config: HandNetConfig) -> tuple[nn.Module, int]:
    """What makes a vector of the last map (B, C, h, w), and its length."""
    if config.pooling == "mean":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels
    cells = (config.input_size // LAST_STRIDE) ** 2
    reduced = nn.Sequential(nn.Conv2d(channels, config.grid_channels, 1), nn.ReLU(), nn.Flatten())
    return reduced, cells * config.grid_channels


class FusionBlock(nn.Module):
    """Weigh the features of two branches against each other, place by place (Seeber 3.1).

        X = [X_img, X_kp]                  2C channels
        w = sigmoid(conv(ReLU(conv(X))))   by way of 2C / ratio channels: 128 for C = 512
        Y = conv(w * X)                    C channels, for the tail of the encoder

    The sizes of the convolutions are not published: 3x3, as in the block that the paper is inspired
    by (SSMA of Valada et al. 2019, "Self-Supervised Model Adaptation for Multimodal Semantic
    Segmentation"). Nor is a normalisation after the last one, which that block has: none.

    Attributes:
        reduce, expand, project: the three convolutions, in order.
    """

    def __init__(self, channels: int, ratio: int = 8) -> None:
        """A block with PyTorch's own random weights.

        Args:
            channels: C of each branch and of the output.
            ratio: of 2C to the channels of the bottleneck, which has one at least.
        """
        super().__init__()
        both = 2 * channels
        bottleneck = max(both // ratio, 1)
        self.reduce = nn.Conv2d(both, bottleneck, 3, padding=1)
        self.expand = nn.Conv2d(bottleneck, both, 3, padding=1)
        self.project = nn.Conv2d(both, channels, 3, padding=1)

    def forward(self, image: Tensor, keypoints: Tensor) -> Tensor:
        """Fuse (B, C, H, W) features of the image and of the keypoints to (B, C, H, W)."""
        features = torch.cat([image, keypoints], 1)
        weights = self.expand(self.reduce(features).relu()).sigmoid()
        return self.project(weights * features)
