"""Windows of a picture cut on the device where the networks compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from fitter.detection.windows import Picture, Window


class DevicePicture:
    """A picture on a device of PyTorch's: the twin of `Picture`, whose `cut` it computes.

    Values differ from the twin's by a level of 255 and, where the picture is steep, by what a 64th
    of a pixel makes: OpenCV rounds positions to 32nds.
    """

    def __init__(self, picture: Picture, device: torch.device) -> None:
        """Move a picture to the device."""
        pixels = torch.tensor(picture.pixels, device=device)
        self.picture = picture
        self._levels = [pixels.permute(2, 0, 1).float()]

    def cut(self, windows: Sequence[Window], pixels: int, repeats: bool = False) -> Tensor:
        """See `Picture.cut`: (N, 3, pixels, pixels) float32, whole numbers from 0 to 255."""
        first = self._levels[0]
        images = first.new_empty((len(windows), 3, pixels, pixels))
        levels = [self.picture.level(window.size / pixels) for window in windows]
        for level in sorted(set(levels)):
            rows = [i for i, other in enumerate(levels) if other == level]
            source = self._level(level)
            size = np.array(source.shape[:0:-1])
            scale = (size / self.picture.pixels.shape[1::-1])[:, None]
            matrices = np.stack([scale * windows[i].matrix(pixels) for i in rows])
            # `grid_sample` counts from -1 to 1, from edge to edge.
            matrices = matrices * (2.0 / size)[:, None]
            matrices[:, :, 2] -= 1.0
            images[rows] = _sample(source, torch.from_numpy(matrices), pixels, repeats)
        return images.round()

    def _level(self, level: int) -> Tensor:
        """The picture halved so often."""
        while level >= len(self._levels):
            reduced = _halved(_halved(self._levels[-1], 1), 2)
            self._levels.append(reduced.round())
        return self._levels[level]


def _sample(source: Tensor, matrices: Tensor, pixels: int, repeats: bool) -> Tensor:
    """Images (N, 3, pixels, pixels) of a picture (3, H, W).

    `matrices` (N, 2, 3) take a position in an image, from the middle of its first pixel, to one in
    the picture from -1 to 1.
    """
    places = torch.arange(pixels, dtype=torch.float64)
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    ones = torch.ones_like(rows)
    grid = torch.einsum("nij,hwj->nhwi", matrices, torch.stack([columns, rows, ones], dim=2))
    sources = source.expand(len(matrices), *source.shape)
    border = "border" if repeats else "zeros"
    return grid_sample(
        sources, grid.to(source), mode="bilinear", padding_mode=border, align_corners=False
    )


def _halved(maps: Tensor, axis: int) -> Tensor:
    """Means over intervals that share an axis of (3, H, W) evenly, half as many as it is long."""
    length = maps.shape[axis]
    count = max(length // 2, 1)
    if length == 2 * count:
        return avg_pool2d(maps, (2, 1) if axis == 1 else (1, 2))
    # The integral at the ends of the intervals, linear between pixels.
    zero = torch.zeros_like(maps.narrow(axis, 0, 1), dtype=torch.float64)
    integral = torch.cat([zero, maps.double().cumsum(axis)], axis)
    ends = torch.arange(count + 1, dtype=torch.float64, device=maps.device) * (length / count)
    before = ends.floor().long().clamp(max=length - 1)
    share = (ends - before).reshape(-1, *[1] * (2 - axis))
    low, high = integral.index_select(axis, before), integral.index_select(axis, before + 1)
    at_ends = low + share * (high - low)
    return (at_ends.diff(dim=axis) * (count / length)).to(maps)
