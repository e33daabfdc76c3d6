"""Structural similarity (SSIM) of two pictures, one mean a picture.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 2004, cited as eq. numbers below. The papers that use it as an energy (S2HAND
eq. 7; Zhao 3.5) print neither window nor constants nor what they do with colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class SsimSettings:
    """What defines SSIM. Not published by the papers that use it; window and constants are Wang's.

    Attributes:
        window: pixels, side of the square window.
        deviation: pixels, standard deviation of its Gaussian weights.
        k1: stabilises the comparison of means, eq. 9.
        k2: stabilises the comparison of deviations, before eq. 11.
        data_range: largest minus least possible value of a pixel (Wang's L).
        stride: pixels from one window to the next. 1 is Wang's; 2 leaves out three windows of four
            that their neighbours overlap nearly whole, and takes a third of the time.
    """

    window: int = 11
    deviation: float = 1.5
    k1: float = 0.01
    k2: float = 0.03
    data_range: float = 1.0
    stride: int = 2

    def __post_init__(self) -> None:
        if self.window < 1 or self.stride < 1:
            raise ValueError(
                f"window and stride must be at least 1 pixel, got {self.window} and {self.stride}"
            )
        if not min(self.deviation, self.k1, self.k2, self.data_range) > 0:
            raise ValueError(
                "deviation, k1, k2 and data_range must be positive, got "
                f"{self.deviation}, {self.k1}, {self.k2} and {self.data_range}"
            )


def ssim(first: Tensor, second: Tensor, settings: SsimSettings | None = None) -> Tensor:
    """Mean SSIM of each picture, eq. 17: 1 for equal pictures, in [-1, 1].

    Differentiable in both. The mean runs over all windows that lie whole within the picture and
    over the channels, each compared by itself (borders and colour: not published).

    Args:
        first: (B, H, W, C) values within one `SsimSettings.data_range`, both at least a window in
            size.
        second: the same, or (B, H, W, 1) to compare one grey picture with every channel.
        settings: None is `SsimSettings()`.

    Returns:
        (B,).

    Raises:
        ValueError: for shapes that do not fit.
    """
    return ssim_map(first, second, settings).mean((1, 2, 3))


def ssim_map(first: Tensor, second: Tensor, settings: SsimSettings | None = None) -> Tensor:
    """SSIM of every window, eq. 13 with the weighted moments of eqs. 14 to 16.

    Args:
        first: see `ssim`.
        second: see `ssim`.
        settings: see `ssim`.

    Returns:
        (B, C, H', W') with ``H' = (H - window) // stride + 1``; entry (i, j) is the window whose
        first pixel is (stride i, stride j).
    """
    settings = settings or SsimSettings()
    _check(first, second, settings)
    weights = _gaussian(settings, first)
    # Channels first, because the windows slide over rows that lie side by side in memory.
    x, y = (picture.permute(0, 3, 1, 2).contiguous() for picture in (first, second))

    mean_x, mean_y = _blur(x, weights, settings.stride), _blur(y, weights, settings.stride)
    mean_xx = _blur(x.square(), weights, settings.stride)
    mean_yy = _blur(y.square(), weights, settings.stride)
    mean_xy = _blur(x * y, weights, settings.stride)

    c1 = (settings.k1 * settings.data_range) ** 2
    c2 = (settings.k2 * settings.data_range) ** 2
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    similar_means = (2 * product + c1) / (squares + c1)
    return similar_means * (2 * (mean_xy - product) + c2) / (mean_xx + mean_yy - squares + c2)


def _gaussian(settings: SsimSettings, like: Tensor) -> Tensor:
    """(window,) weights of sum 1; their outer product is the window of eq. 14."""
    offsets = torch.arange(settings.window, dtype=like.dtype, device=like.device)
    offsets = offsets - (settings.window - 1) / 2
    return torch.softmax(-0.5 * (offsets / settings.deviation).square(), 0)


def _blur(pictures: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Weighted mean in every window of (B, C, H, W) pictures.

    All channels of all pictures become the channels of one depthwise convolution: measured four
    times as fast as a batch of pictures of few channels each, and as banded matrix products.
    """
    batch, channels, height, width = pictures.shape
    count = batch * channels
    flat = pictures.reshape(1, count, height, width)
    column = weights.view(1, 1, -1, 1).expand(count, 1, -1, 1)
    flat = functional.conv2d(flat, column, stride=(stride, 1), groups=count)
    flat = functional.conv2d(flat, column.mT, stride=(1, stride), groups=count)
    return flat.view(batch, channels, *flat.shape[-2:])


def _check(first: Tensor, second: Tensor, settings: SsimSettings) -> None:
    if first.ndim != 4 or second.ndim != 4:
        raise ValueError(
            f"pictures must be (B, H, W, C), got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if first.shape[:3] != second.shape[:3] or second.shape[3] not in (1, first.shape[3]):
        raise ValueError(
            "pictures must agree in size, the second with as many channels as the first or one, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if min(first.shape[1:3]) < settings.window:
        raise ValueError(
            f"pictures must be at least {settings.window} pixels a side, the SSIM window, got "
            f"{first.shape[1]}x{first.shape[2]}"
        )
