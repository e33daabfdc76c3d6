"""Layers that the converted networks share: convolutions that pad as TensorFlow does."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad


class SameConv(nn.Conv2d):
    """A convolution whose output has the input's size over the stride, rounded up.

    It pads as TensorFlow's "SAME" does: where the padding is odd, the further row goes below and
    the further column to the right.
    """

    def __init__(
        self, channels: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels, outputs, kernel, stride, groups=groups)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        before_after = []
        # `pad` counts from the last axis.
        for side in (maps.shape[3], maps.shape[2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            before_after += [total // 2, total - total // 2]
        if any(before_after):
            maps = pad(maps, before_after)
        return super().forward(maps)


def depthwise(channels: int, kernel: int, stride: int = 1) -> SameConv:
    """A convolution of each channel by itself."""
    return SameConv(channels, channels, kernel, stride, groups=channels)
