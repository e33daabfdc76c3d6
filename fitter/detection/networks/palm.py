"""`PalmNetwork`: windows of a picture to the palms in them (MediaPipe's ``palm_detection_full``).

A single-shot detector of the kind of BlazePalm (Zhang et al. 2020, "MediaPipe Hands: On-device
Real-time Hand Tracking"): residual blocks of depthwise convolutions down to 6 x 6, then up again to
12 x 12 and 24 x 24, where palms are read off. `fitter.detection.palms` says what the numbers mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from fitter.detection.networks.layers import SameConv, depthwise
from fitter.detection.networks.shapes import CELLS, PALM_VALUES

_BLOCKS = 4
_CHANNELS = (32, 64, 128, 256, 256)


class PalmNetwork(nn.Module):
    """Windows (B, 3, 192, 192), RGB in [0, 1], to raw palms.

    The output is a pair: (B, 2016, 18) numbers of each anchor's palm in pixels of the window,
    relative to the anchor, and (B, 2016) logits that there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        first = _CHANNELS[0]
        self.stem = nn.Sequential(SameConv(3, first, 5, 2), nn.PReLU(first))
        stages, channels = [_blocks(first, _BLOCKS)], first
        for outputs in _CHANNELS[1:]:
            stages.append(nn.Sequential(_Halve(channels, outputs), _blocks(outputs, _BLOCKS)))
            channels = outputs
        self.stages = nn.ModuleList(stages)
        self.up_12 = _Up(256, 256)
        self.head_12 = _Head(256, CELLS[1][1])
        self.up_24 = _Up(256, 128)
        self.head_24 = _Head(128, CELLS[0][1])

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        maps = self.stem(windows)
        levels = []
        for stage in self.stages:
            maps = stage(maps)
            levels.append(maps)
        at_12 = self.up_12(levels[4], levels[3])
        at_24 = self.up_24(at_12, levels[2])
        coarse, fine = self.head_12(at_12), self.head_24(at_24)
        return torch.cat([fine[0], coarse[0]], 1), torch.cat([fine[1], coarse[1]], 1)


class _Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread, self.mix = depthwise(channels, 5), SameConv(channels, channels)
        self.activation = nn.PReLU(channels)

    def forward(self, maps: Tensor) -> Tensor:
        return self.activation(maps + self.mix(self.spread(maps)))


class _Halve(nn.Module):
    """A residual block to maps of half the size; further channels start from zero."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.further = outputs - channels
        self.spread, self.mix = depthwise(channels, 5, 2), SameConv(channels, outputs)
        self.activation = nn.PReLU(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        short = max_pool2d(maps, 2)
        if self.further:
            short = pad(short, [0, 0, 0, 0, 0, self.further])
        return self.activation(short + self.mix(self.spread(maps)))


class _Up(nn.Module):
    """Coarse maps enlarged twofold and added to finer ones, then two residual blocks."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.mix, self.activation = SameConv(channels, outputs), nn.PReLU(outputs)
        self.blocks = _blocks(outputs, 2)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        larger = interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return self.blocks(fine + self.activation(self.mix(larger)))


class _Head(nn.Module):
    """The palms of each cell's anchors: (B, cells * anchors, 18), and their logits."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.scores = SameConv(channels, anchors)
        self.palms = SameConv(channels, anchors * PALM_VALUES)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        # Cells row by row, the anchors of a cell beside each other.
        palms = self.palms(maps).permute(0, 2, 3, 1).reshape(len(maps), -1, PALM_VALUES)
        return palms, self.scores(maps).permute(0, 2, 3, 1).reshape(len(maps), -1)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels) for _ in range(count)))
