"""`KeypointEstimator`: where the keypoints of a hand lie in its crop, by the image alone.

Stacked hourglasses (Newell et al. 2016, "Stacked Hourglass Networks for Human Pose Estimation") and
the expectation of their heatmaps (Sun et al. 2018, "Integral Human Pose Regression"), as S2HAND
(Chen et al. 2021) 3.3 names them. Sizes are not published.

    image -> stem -> [hourglass -> residual, 1x1 -> heatmaps] x stacks -> softmax -> expectation
                  ^---------- features and heatmaps, 1x1 ---'
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fitter.errors import InputError
from init_net.networks.config import MAP_MULTIPLE, HourglassConfig
from init_net.networks.heatmaps import channels_last

KEYPOINTS = 21


class KeypointEstimator(nn.Module):
    """Crops to 21 keypoints in each.

    Intermediate supervision (Newell et al. 3.3) is left out: the estimate of the last hourglass
    alone is said, and the earlier heatmaps are what the next one begins with.

    Attributes:
        config: as given.
        stem: from the image to maps of `HourglassConfig.map_size`.
        stacks: the hourglasses.
    """

    def __init__(self, config: HourglassConfig, input_size: int) -> None:
        """A network with PyTorch's own random weights.

        Args:
            config: its sizes.
            input_size: S of the crops, pixels.

        Raises:
            InputError: S is not `map_size` doubled once or more, or `map_size` cannot be halved
                `depth` times.
        """
        super().__init__()
        self.config = config
        halvings = (input_size // config.map_size).bit_length() - 1
        if halvings < 1 or config.map_size << halvings != input_size:
            raise InputError(
                "network.map_size",
                file="network.estimator.map_size",
                size=input_size,
                expected=", ".join(map(str, _map_sizes(input_size, config.depth))) or "none",
                found=config.map_size,
            )
        if config.map_size % 2**config.depth:
            raise InputError(
                "network.hourglass_depth",
                file="network.estimator.depth",
                size=config.map_size,
                found=config.depth,
            )
        self.stem = _stem(config.channels, halvings)
        self.stacks = nn.ModuleList(
            _Stack(config, is_last=k == config.stacks - 1) for k in range(config.stacks)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Where keypoints are: J^2d of S2HAND 3.3.

        Args:
            image: (B, 3, S, S) sRGB in [0, 1].

        Returns:
            (B, 21, 2) crop units about the crop's middle, in the dtype of the image.
        """
        maps = self.stem(channels_last(2 * image - 1))
        heatmaps = maps
        for stack in self.stacks:
            maps, heatmaps = stack(maps)
        # Under mixed precision the maps are halves, whose places would be off by pixels.
        with torch.autocast(image.device.type, enabled=False):
            return expectation(heatmaps.to(image.dtype))


def expectation(heatmaps: Tensor) -> Tensor:
    """Integral regression: the mean place under a heatmap's softmax (Sun et al. 2018, eqs. 2, 3).

        J_k = sum_p p exp(H_k(p)) / sum_q exp(H_k(q))

    Args:
        heatmaps: (B, K, M, M) H, any numbers, over the whole crop.

    Returns:
        (B, K, 2) x and y, crop units about the crop's middle.
    """
    size = heatmaps.shape[-1]
    share = heatmaps.flatten(2).softmax(-1).unflatten(2, (size, size))
    centres = torch.arange(size, dtype=heatmaps.dtype, device=heatmaps.device) + 0.5
    centres = centres / size - 0.5
    return torch.stack([share.sum(2) @ centres, share.sum(3) @ centres], -1)


class Residual(nn.Module):
    """A residual module (Newell et al. Fig. 4): normalised first, through half of the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """From maps of `inputs` channels to maps of `outputs` channels."""
        super().__init__()
        middle = max(outputs // 2, 1)
        self.steps = nn.Sequential(
            *_convolution(inputs, middle, 1),
            *_convolution(middle, middle, 3),
            *_convolution(middle, outputs, 1),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        total: Tensor = self.skip(maps) + self.steps(maps)
        return total


class Hourglass(nn.Module):
    """Maps that are halved `depth` times and doubled again (Newell et al. Fig. 3): what is lost by
    halving is added by a branch at each resolution."""

    def __init__(self, channels: int, depth: int) -> None:
        """An hourglass of maps that can be halved `depth` times."""
        super().__init__()
        self.beside = Residual(channels, channels)
        self.down = nn.Sequential(nn.MaxPool2d(2), Residual(channels, channels))
        self.inside = Hourglass(channels, depth - 1) if depth > 1 else Residual(channels, channels)
        self.up = nn.Sequential(Residual(channels, channels), nn.Upsample(scale_factor=2))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        total: Tensor = self.beside(maps) + self.up(self.inside(self.down(maps)))
        return total


class _Stack(nn.Module):
    """An hourglass, its heatmaps, and what the next one begins with (Newell et al. 3.3)."""

    def __init__(self, config: HourglassConfig, is_last: bool) -> None:
        super().__init__()
        channels = config.channels
        self.hourglass = Hourglass(channels, config.depth)
        self.features = nn.Sequential(
            Residual(channels, channels),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.heatmaps = nn.Conv2d(channels, KEYPOINTS, 1)
        self.again = None if is_last else nn.Conv2d(channels, channels, 1)
        self.from_heatmaps = None if is_last else nn.Conv2d(KEYPOINTS, channels, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, C, M, M) to those of the next hourglass and heatmaps (B, 21, M, M)."""
        features = self.features(self.hourglass(maps))
        heatmaps = self.heatmaps(features)
        if self.again is None or self.from_heatmaps is None:
            return maps, heatmaps
        return maps + self.again(features) + self.from_heatmaps(heatmaps), heatmaps


def _stem(channels: int, halvings: int) -> nn.Sequential:
    """From the image to maps of `channels`, halved at least once: a wide convolution of stride 2,
    then residual modules, halving between them (Newell et al. 3.2)."""
    first = max(channels // 2, 1)
    layers: list[nn.Module] = [
        nn.Conv2d(3, first, 7, stride=2, padding=3),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        Residual(first, channels),
    ]
    for _ in range(halvings - 1):
        layers += [nn.MaxPool2d(2), Residual(channels, channels)]
    return nn.Sequential(*layers)


def _convolution(inputs: int, outputs: int, size: int) -> tuple[nn.Module, ...]:
    """Normalise, rectify, convolve: maps keep their size."""
    return (
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, size, padding=size // 2),
    )


def _map_sizes(input_size: int, depth: int) -> list[int]:
    """Sides of heatmaps that crops of a size can have."""
    sizes = [input_size >> k for k in range(1, input_size.bit_length()) if not input_size % 2**k]
    return [size for size in sizes if not size % MAP_MULTIPLE and not size % 2**depth]
