"""Composition of surface and background, and its gradients: the kernel behind `shading.composite`.

As in `fitter.rendering.interpolation`, a loop on the CPU does what the tensor version says, and
elsewhere the tensor version runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from fitter.numba_kernels import compile_kernel
from fitter.rendering.interpolation import image_arrays, run_kernel

UNKNOWN = 255
"""Stands for the step at which a pixel got its colour when it never does."""

LONGEST_REACH = UNKNOWN - 1
"""Most pixels by which colours can be continued."""


def composite_tensors(
    colour: Tensor, face_index: Tensor, alpha: Tensor, background: Tensor, reach: int | None
) -> Tensor:
    """Continue the colours outward, then blend; on any device.

    Args:
        colour: (B, H, W, C), not looked at where there is no face.
        face_index: (B, H, W) int32, -1 where there is no face.
        alpha: (B, H, W), dtype of the colour.
        background: (B, H, W, C), dtype of the colour.
        reach: pixels by which colours are continued, up to `LONGEST_REACH`; None is that many, or
            as many as change something, for which a GPU must wait.

    Returns:
        (B, H, W, C).
    """
    known = face_index >= 0
    colour = torch.where(known[..., None], colour, 0)
    wanted = alpha.detach() > 0
    for _ in range(LONGEST_REACH if reach is None else reach):
        count = _box_sum(known[..., None].to(colour.dtype))
        added = (count[..., 0] > 0) & wanted & ~known
        if reach is None and not bool(added.any()):
            break
        mean = _box_sum(colour) / count.clamp_min(1)
        colour = torch.where(added[..., None], mean, colour)
        known = known | added
    share = torch.where(known, alpha, 0)[..., None]
    return share * colour + (1 - share) * background


def _box_sum(image: Tensor) -> Tensor:
    """Sums over 3x3 pixels of (B, H, W, C), nothing beyond the border."""
    padded = functional.pad(image, (0, 0, 1, 1, 1, 1))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]


class CompositeOnCpu(torch.autograd.Function):
    """`composite_tensors` as a kernel, for tensors on the CPU; same arguments, same values."""

    @staticmethod
    def forward(
        ctx: Any,
        colour: Tensor,
        face_index: Tensor,
        alpha: Tensor,
        background: Tensor,
        reach: int | None,
    ) -> Tensor:
        """See `composite_tensors`."""
        most = LONGEST_REACH if reach is None else min(reach, LONGEST_REACH)
        filled = torch.empty_like(colour, memory_format=torch.contiguous_format)
        step = torch.empty(face_index.shape, dtype=torch.uint8)
        result = torch.empty_like(filled)
        tensors = (colour, face_index, alpha, background, filled, step, result)
        run_kernel(_forward, [*image_arrays(*tensors), [most] * len(colour)])
        ctx.save_for_backward(alpha, background, filled, step)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives with respect to colour, alpha and background."""
        alpha, background, filled, step = ctx.saved_tensors
        to_colour, to_background = torch.empty_like(filled), torch.empty_like(filled)
        to_alpha = torch.empty_like(alpha, memory_format=torch.contiguous_format)
        tensors = (alpha, background, filled, step, gradient, to_colour, to_alpha, to_background)
        run_kernel(_backward, image_arrays(*tensors))
        return to_colour, None, to_alpha, to_background, None


@compile_kernel
def _forward(
    colour: np.ndarray,
    face_index: np.ndarray,
    alpha: np.ndarray,
    background: np.ndarray,
    filled: np.ndarray,
    step: np.ndarray,
    result: np.ndarray,
    reach: int,
) -> None:
    """Fill one image's continued colours, the step at which each came, and the blend."""
    height, width, channels = colour.shape
    for row in range(height):
        for column in range(width):
            seen = face_index[row, column] >= 0
            step[row, column] = 0 if seen else UNKNOWN
            for channel in range(channels):
                filled[row, column, channel] = colour[row, column, channel] if seen else 0
    for number in range(1, reach + 1):
        added = False
        for row in range(height):
            for column in range(width):
                if step[row, column] != UNKNOWN or not alpha[row, column] > 0:
                    continue
                count = 0
                for y in range(max(row - 1, 0), min(row + 2, height)):
                    for x in range(max(column - 1, 0), min(column + 2, width)):
                        if step[y, x] < number:
                            count += 1
                            for channel in range(channels):
                                filled[row, column, channel] += filled[y, x, channel]
                if count > 0:
                    step[row, column] = number
                    added = True
                    for channel in range(channels):
                        filled[row, column, channel] /= count
        if not added:
            break
    for row in range(height):
        for column in range(width):
            share = alpha[row, column] if step[row, column] != UNKNOWN else alpha[row, column] * 0
            for channel in range(channels):
                below = background[row, column, channel]
                value = share * filled[row, column, channel] + (1 - share) * below
                result[row, column, channel] = value


@compile_kernel
def _backward(
    alpha: np.ndarray,
    background: np.ndarray,
    filled: np.ndarray,
    step: np.ndarray,
    gradient: np.ndarray,
    to_colour: np.ndarray,
    to_alpha: np.ndarray,
    to_background: np.ndarray,
) -> None:
    """One image's derivatives; the steps are undone from the last to the first."""
    height, width, channels = filled.shape
    last = 0
    for row in range(height):
        for column in range(width):
            known = step[row, column] != UNKNOWN
            share = alpha[row, column] if known else alpha[row, column] * 0
            along = share * 0
            for channel in range(channels):
                slope = gradient[row, column, channel]
                to_colour[row, column, channel] = share * slope
                to_background[row, column, channel] = (1 - share) * slope
                difference = filled[row, column, channel] - background[row, column, channel]
                along += slope * difference
            to_alpha[row, column] = along if known else 0
            if known:
                last = max(last, step[row, column])
    for number in range(last, 0, -1):
        for row in range(height):
            for column in range(width):
                if step[row, column] != number:
                    continue
                count = 0
                for y in range(max(row - 1, 0), min(row + 2, height)):
                    for x in range(max(column - 1, 0), min(column + 2, width)):
                        count += 1 if step[y, x] < number else 0
                for channel in range(channels):
                    slope = to_colour[row, column, channel] / count
                    to_colour[row, column, channel] = 0
                    for y in range(max(row - 1, 0), min(row + 2, height)):
                        for x in range(max(column - 1, 0), min(column + 2, width)):
                            if step[y, x] < number:
                                to_colour[y, x, channel] += slope
