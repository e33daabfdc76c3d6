"""The rasteriser's public face: what goes in, what comes out, and the rules every backend keeps.

The rules
    Pixel (row, column) is tested at its centre (column + 0.5, row + 0.5).
    A pixel belongs to a face when the three edge functions there have no differing signs, so both
    windings are drawn and the border is inside. An edge function is evaluated as
    ``(a - p) x (b - p)``, which changes its sign exactly when a and b change places: two faces
    that share an edge leave no gap along it, whatever the rounding. A pixel that several faces
    contain goes to the nearest, and of equally near ones to the lowest face index, so no pixel is
    hit twice.
    A face is dropped whole when one of its vertices is nearer than `RasterSettings.near`, is not
    finite, or lies further than `MAX_POSITION` pixels from the origin, or when its area in the
    picture is zero. There is no clipping: a mesh that crosses the near plane loses its crossing
    faces.
    Barycentrics and depth are perspective-correct: with screen-space weights b and depths z,
    ``1 / depth = sum_i b_i / z_i`` and ``barycentric_i = depth * b_i / z_i`` (Heckbert and
    Moreton, "Interpolation for polygon texture mapping and shading", 1991, rational linear
    interpolation). All arithmetic is float64 inside, in the same order in every backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fitter.camera import NEAR

Backend = Literal["cpu", "reference"]

MAX_POSITION = 1e9
"""Pixels; beyond it edge functions would lose the picture's own pixels to rounding."""


@dataclass(frozen=True)
class RasterSettings:
    """What a caller may choose; the same for every backend.

    Attributes:
        near: metres; faces with a vertex nearer than this are dropped.
    """

    near: float = NEAR

    def __post_init__(self) -> None:
        if not self.near > 0:
            raise ValueError(f"near must be a positive distance in metres, got {self.near}")


@dataclass(frozen=True)
class Fragments:
    """The visible surface, one fragment a pixel.

    Attributes:
        face_index: (B, H, W) int32, row of `faces` seen at the pixel, -1 where there is none.
        barycentrics: (B, H, W, 3), perspective-correct weights of that face's three vertices,
            each in [0, 1] and together 1; 0 where there is no face. Dtype of the vertices.
        depth: (B, H, W) metres along the camera's z; 0 where there is no face. Dtype of the
            vertices.
    """

    face_index: Tensor
    barycentrics: Tensor
    depth: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool: a face is seen here."""
        return self.face_index >= 0


def rasterize(
    vertices_screen: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    *,
    settings: RasterSettings | None = None,
    backend: Backend = "cpu",
) -> Fragments:
    """Find the nearest face at every pixel of a batch of pictures (see this module's rules).

    Args:
        vertices_screen: (B, V, 3) float32 or float64: x and y in pixels, depth in metres.
        faces: (F, 3) integer vertex indices, shared by the batch; either winding.
        image_size: (H, W) in pixels.
        settings: thresholds; None is `RasterSettings()`.
        backend: "cpu" is the Numba kernel, "reference" its readable and slow twin in PyTorch.

    Raises:
        ValueError: for a shape, dtype or index that does not fit, naming what was expected.
        NotImplementedError: for tensors that are not on the CPU.
    """
    _check(vertices_screen, faces, image_size)
    settings = settings or RasterSettings()
    if backend == "cpu":
        from fitter.raster.cpu import rasterize_cpu as implementation
    elif backend == "reference":
        from fitter.raster.reference import rasterize_reference as implementation
    else:
        raise ValueError(f"backend must be 'cpu' or 'reference', got {backend!r}")
    return implementation(vertices_screen, faces, image_size, settings)


def _check(vertices_screen: Tensor, faces: Tensor, image_size: tuple[int, int]) -> None:
    if vertices_screen.ndim != 3 or vertices_screen.shape[-1] != 3:
        raise ValueError(
            f"vertices_screen must be (B, V, 3), got shape {tuple(vertices_screen.shape)}"
        )
    if vertices_screen.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"vertices_screen must be float32 or float64, got {vertices_screen.dtype}")
    if faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(f"faces must be (F, 3), got shape {tuple(faces.shape)}")
    if faces.is_floating_point() or faces.is_complex() or faces.dtype == torch.bool:
        raise ValueError(f"faces must be integers, got {faces.dtype}")
    if vertices_screen.device.type != "cpu" or faces.device.type != "cpu":
        raise NotImplementedError(
            f"vertices_screen and faces must be on the CPU, got {vertices_screen.device} and "
            f"{faces.device}"
        )
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(f"image_size must be (H, W), both at least 1, got {image_size}")
    if faces.numel():
        lowest, highest = int(faces.min()), int(faces.max())
        if lowest < 0 or highest >= vertices_screen.shape[1]:
            raise ValueError(
                f"faces must index the {vertices_screen.shape[1]} vertices, got indices from "
                f"{lowest} to {highest}"
            )
