"""Attributes of the visible surface and their gradients: the kernel behind `shading.interpolate`.

On the CPU a loop over the pixels that show a face does what the tensor version below says, at a
tenth of its time. Elsewhere the tensor version runs; it never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fitter.numba_kernels import compile_kernel, for_each_image


def interpolate_tensors(
    face_index: Tensor, barycentrics: Tensor, faces: Tensor, attributes: Tensor
) -> Tensor:
    """The weighted sum of three corners at every pixel, on any device.

    Args:
        face_index: (B, H, W) int32, -1 where there is no face.
        barycentrics: (B, H, W, 3).
        faces: (B, F, 3) int64.
        attributes: (B, A, C), dtype of the barycentrics.

    Returns:
        (B, H, W, C), 0 where there is no face.
    """
    batch, rows = attributes.shape[:2]
    seen = face_index >= 0
    first_face = torch.arange(batch, device=faces.device).view(-1, 1, 1) * faces.shape[1]
    corners = faces.reshape(-1, 3)[face_index.long().clamp_min(0) + first_face]  # (B, H, W, 3)
    # Pixels without a face look at image 0's row 0, whatever their own table's row 0 holds.
    first_row = torch.arange(batch, device=faces.device).view(-1, 1, 1, 1) * rows
    corners = torch.where(seen[..., None], corners + first_row, 0)
    values = attributes.reshape(batch * rows, -1)[corners]  # (B, H, W, 3, C)
    return torch.where(seen[..., None], (barycentrics[..., None] * values).sum(dim=-2), 0)


class InterpolateOnCpu(torch.autograd.Function):
    """`interpolate_tensors` as a kernel, for tensors on the CPU; same arguments, same values."""

    @staticmethod
    def forward(
        ctx: Any, face_index: Tensor, barycentrics: Tensor, faces: Tensor, attributes: Tensor
    ) -> Tensor:
        """See `interpolate_tensors`.

        Raises:
            ValueError: a seen face has no row in `faces`, or a corner none in `attributes`.
        """
        ctx.save_for_backward(face_index, barycentrics, faces, attributes)
        result = attributes.new_zeros((*face_index.shape, attributes.shape[-1]))
        arrays = image_arrays(face_index, barycentrics, faces, attributes, result)
        if not all(run_kernel(_forward, arrays)):
            raise ValueError(
                f"expected a row of the face table for every face seen, and indices below "
                f"{attributes.shape[1]} in it; the table has {faces.shape[1]} rows with indices "
                f"from {int(faces.min())} to {int(faces.max())} and face {int(face_index.max())} "
                f"is seen"
            )
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives with respect to barycentrics and attributes."""
        _, barycentrics, _, attributes = ctx.saved_tensors
        to_barycentrics = torch.zeros_like(barycentrics, memory_format=torch.contiguous_format)
        to_attributes = torch.zeros_like(attributes, memory_format=torch.contiguous_format)
        arrays = image_arrays(*ctx.saved_tensors, gradient, to_barycentrics, to_attributes)
        run_kernel(_backward, arrays)
        return None, to_barycentrics, None, to_attributes


def image_arrays(*tensors: Tensor) -> list[list[np.ndarray]]:
    """Contiguous arrays of every image: the kernels are compiled for them alone."""
    return [
        [np.ascontiguousarray(image) for image in tensor.detach().numpy()]
        if not tensor.is_contiguous()
        else list(tensor.detach().numpy())
        for tensor in tensors
    ]


def run_kernel(kernel: Callable, arguments: Sequence[Sequence[Any]]) -> list[Any]:
    """Results of the kernel for every image, given each argument for all images."""
    images = list(zip(*arguments, strict=True))
    return for_each_image(lambda index: kernel(*images[index]), len(images))


@compile_kernel
def _forward(
    face_index: np.ndarray,
    barycentrics: np.ndarray,
    faces: np.ndarray,
    attributes: np.ndarray,
    result: np.ndarray,
) -> bool:
    """Fill one image (H, W, C) preset to 0; False when an index lies outside its table."""
    height, width, channels = result.shape
    for row in range(height):
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                continue
            if face >= faces.shape[0]:
                return False
            for corner in range(3):
                index = faces[face, corner]
                if index < 0 or index >= attributes.shape[0]:
                    return False
                weight = barycentrics[row, column, corner]
                for channel in range(channels):
                    result[row, column, channel] += weight * attributes[index, channel]
    return True


@compile_kernel
def _backward(
    face_index: np.ndarray,
    barycentrics: np.ndarray,
    faces: np.ndarray,
    attributes: np.ndarray,
    gradient: np.ndarray,
    to_barycentrics: np.ndarray,
    to_attributes: np.ndarray,
) -> None:
    """Add one image's derivatives to arrays preset to 0."""
    height, width, channels = gradient.shape
    for row in range(height):
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                continue
            for corner in range(3):
                index = faces[face, corner]
                weight = barycentrics[row, column, corner]
                along = weight * 0
                for channel in range(channels):
                    slope = gradient[row, column, channel]
                    along += slope * attributes[index, channel]
                    to_attributes[index, channel] += weight * slope
                to_barycentrics[row, column, corner] = along
