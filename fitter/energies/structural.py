"""Structural similarity (SSIM) of two pictures, one mean a picture.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 2004, cited as eq. numbers below. The papers that use it as an energy (S2HAND
eq. 7; Zhao 3.5) print neither window nor constants nor what they do with colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
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
            that their neighbours overlap nearly whole, which changes the mean of a photograph by
            less than 0.005 and takes half the time.
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
    if len(first) == 0:
        _check(first, second, settings or SsimSettings())
        return first.new_zeros(0)  # of no channels no convolution is made
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
    # Channels first, because the windows slide over rows that lie side by side in memory.
    x, y = (picture.permute(0, 3, 1, 2).contiguous() for picture in (first, second))
    return _Ssim.apply(x, y, _gaussian(settings, x), settings)


class _Ssim(torch.autograd.Function):
    """The map of `ssim_map` of pictures (B, C, H, W), y with C channels or one.

    The backward pass is written out, because the recorded one reads and writes the pictures twice
    as often and takes a quarter longer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weights: Tensor, settings: SsimSettings) -> Tensor:
        mean_x, mean_y, mean_squares, mean_product = (
            _blur(z, weights, settings.stride) for z in (x, y, x * x + y * y, x * y)
        )
        c1 = (settings.k1 * settings.data_range) ** 2
        c2 = (settings.k2 * settings.data_range) ** 2
        # Eqs. 15 and 16 in the form E[ab] - E[a] E[b]; of the variances only the sum is needed.
        product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        means, covariance = 2 * product + c1, 2 * (mean_product - product) + c2
        by_means, by_variances = squares + c1, mean_squares - squares + c2
        ctx.save_for_backward(
            x, y, weights, mean_x, mean_y, means, covariance, by_means, by_variances
        )
        ctx.stride = settings.stride
        return means * covariance / (by_means * by_variances)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weights, mean_x, mean_y, means, covariance, by_means, by_variances = ctx.saved_tensors

        def spread(by_window: Tensor) -> Tensor:
            return _blur_transposed(by_window, x.shape[-2:], weights, ctx.stride)

        # With s = m c / (u v), m and u by the means, c and v by the moments less the means:
        # ds/dE[x y] = 2 m / (u v), ds/dE[x^2 + y^2] = -s / v, and the same of y as of x
        # ds/dE[x] = 2 E[y] (c - m) / (u v) - 2 E[x] s (1 / u - 1 / v).
        scaled = 2 * gradient / (by_means * by_variances)
        by_product = scaled * means
        twice_by_squares = -by_product * covariance / by_variances
        cross = scaled * (covariance - means)
        own = by_product * covariance / by_means + twice_by_squares
        spread_product = spread(by_product)
        gradient_x = gradient_y = None
        if ctx.needs_input_grad[0]:
            gradient_x = spread(cross * mean_y - own * mean_x)
            gradient_x.addcmul_(spread_product, y).addcmul_(spread(twice_by_squares), x)
        if ctx.needs_input_grad[1]:
            by_mean = (cross * mean_x - own * mean_y).sum_to_size(mean_y.shape)
            gradient_y = spread(by_mean).add_((spread_product * x).sum_to_size(y.shape))
            gradient_y.addcmul_(spread(twice_by_squares.sum_to_size(mean_y.shape)), y)
        return gradient_x, gradient_y, None, None


def _gaussian(settings: SsimSettings, like: Tensor) -> Tensor:
    """(window,) weights of sum 1; their outer product is the window of eq. 14."""
    offsets = torch.arange(settings.window, dtype=like.dtype, device=like.device)
    offsets = offsets - (settings.window - 1) / 2
    return torch.softmax(-0.5 * (offsets / settings.deviation).square(), 0)


def _blur(pictures: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Weighted mean in every window of (B, C, H, W) pictures: (B, C, H', W').

    All channels of all pictures become the channels of one depthwise convolution: measured five
    times as fast as a batch of pictures of few channels each, and faster than banded matrices.
    """
    flat, column = _as_channels(pictures, weights)
    count = flat.shape[1]
    flat = functional.conv2d(flat, column, stride=(stride, 1), groups=count)
    flat = functional.conv2d(flat, column.mT, stride=(1, stride), groups=count)
    return flat.view(*pictures.shape[:2], *flat.shape[-2:])


def _blur_transposed(means: Tensor, size: tuple[int, int], weights: Tensor, stride: int) -> Tensor:
    """The transpose of `_blur` as a linear map: (B, C, H', W') to pictures of the given size."""
    flat, column = _as_channels(means, weights)
    # Rows and columns at the end that no window reaches when the stride does not divide.
    rest = [(side - len(weights)) % stride for side in size]
    count = flat.shape[1]
    flat = functional.conv_transpose2d(
        flat, column.mT, stride=(1, stride), output_padding=(0, rest[1]), groups=count
    )
    flat = functional.conv_transpose2d(
        flat, column, stride=(stride, 1), output_padding=(rest[0], 0), groups=count
    )
    return flat.view(*means.shape[:2], *size)


def _as_channels(pictures: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(1, B C, H, W) pictures and (B C, 1, window, 1) weights."""
    count = pictures.shape[0] * pictures.shape[1]
    column = weights.view(1, 1, -1, 1).expand(count, 1, -1, 1)
    return pictures.reshape(1, count, *pictures.shape[-2:]), column


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
