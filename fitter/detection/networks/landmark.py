"""`LandmarkNetwork`: a window around one hand to its landmarks (``hand_landmark_full``).

An EfficientNet-Lite (Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks") of inverted residuals; four dense layers read its last features.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from fitter.detection.networks.layers import SameConv, depthwise
from fitter.detection.networks.shapes import FEATURES

_BLOCKS = (
    # outputs, expansion, kernel, stride
    (16, 24, 3, 1),
    (24, 64, 3, 2), (24, 144, 3, 1),
    (40, 144, 5, 2), (40, 240, 5, 1),
    (80, 240, 3, 2), (80, 480, 3, 1), (80, 480, 3, 1),
    (112, 480, 5, 1), (112, 672, 5, 1), (112, 672, 5, 1),
    (192, 672, 5, 2), (192, 1152, 5, 1), (192, 1152, 5, 1), (192, 1152, 5, 1),
)  # fmt: skip


class LandmarkOutput(NamedTuple):
    """What the network says of B windows.

    Attributes:
        landmarks: (B, 63) x, y and z of 21 landmarks, pixels of the window; z about the wrist, in
            0.4 pixels.
        presence: (B,) probability that the window shows a hand.
        handedness: (B,) probability that the hand is a right one.
        world: (B, 63) landmarks in metres, in the window's axes, about the hand's middle.
        features: (B, 1152) what all this is read off.
    """

    landmarks: Tensor
    presence: Tensor
    handedness: Tensor
    world: Tensor
    features: Tensor


class LandmarkNetwork(nn.Module):
    """Windows (B, 3, 224, 224), RGB in [0, 1], to `LandmarkOutput`."""

    def __init__(self) -> None:
        super().__init__()
        first = 24
        self.stem = nn.Sequential(SameConv(3, first, 3, 2), nn.ReLU6())
        blocks, channels = [], first
        for outputs, expansion, kernel, stride in _BLOCKS:
            blocks.append(_Inverted((channels, expansion, outputs), kernel, stride))
            channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Sequential(
            SameConv(channels, FEATURES), nn.ReLU6(), depthwise(FEATURES, 3), nn.ReLU6()
        )
        self.handedness, self.presence = nn.Linear(FEATURES, 1), nn.Linear(FEATURES, 1)
        self.landmarks, self.world = nn.Linear(FEATURES, 63), nn.Linear(FEATURES, 63)

    def forward(self, windows: Tensor) -> LandmarkOutput:
        """See the class."""
        features = self.top(self.blocks(self.stem(windows))).mean((2, 3))
        return LandmarkOutput(
            landmarks=self.landmarks(features),
            presence=self.presence(features).sigmoid()[:, 0],
            handedness=self.handedness(features).sigmoid()[:, 0],
            world=self.world(features),
            features=features,
        )


class _Inverted(nn.Module):
    """An inverted residual: to many channels, along each of them, back to few."""

    def __init__(self, channels: tuple[int, int, int], kernel: int, stride: int) -> None:
        super().__init__()
        inputs, inner, outputs = channels
        # The first block's inner channels are its inputs: it has nothing to expand.
        expand = [] if inner == inputs else [SameConv(inputs, inner), nn.ReLU6()]
        self.layers = nn.Sequential(
            *expand, depthwise(inner, kernel, stride), nn.ReLU6(), SameConv(inner, outputs)
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps) if self.adds else self.layers(maps)
