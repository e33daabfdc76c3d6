"""The fusion of two branches of an encoder (Seeber 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        """Fuse (B, C, H, W) features of the picture and of the keypoints to (B, C, H, W)."""
        features = torch.cat([image, keypoints], 1)
        weights = self.expand(self.reduce(features).relu()).sigmoid()
        return self.project(weights * features)
