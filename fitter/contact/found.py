"""Which points are near or inside closed meshes, and where they touch: the one search behind all
that this room measures, by kernels on a CPU and by plain PyTorch elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fitter.contact.kernels import fill_nearest
from fitter.contact.records import Surface
from fitter.contact.topology import check_closed
from fitter.numba_kernels import for_each_image
from fitter.shapes import check_shapes


class Found(NamedTuple):
    """Where each of P points meets each of B meshes; constants, all float64.

    Attributes:
        face: (B, P) int64 the nearest triangle, -1 for a point outside and beyond reach, -2 for one
            that is not finite or whose mesh is not.
        barycentrics: (B, P, 3) of the nearest point; 0 where there is none.
        normal: (B, P, 3) the gradient of the signed distance by the point, a unit vector; 0 where
            there is none.
    """

    face: Tensor
    barycentrics: Tensor
    normal: Tensor


Search = Callable[[Tensor, Surface, float], Found]
"""Points (B, P, 3), meshes, and how far outside of them points count, metres: -> `Found`."""


def find(points: Tensor, surface: Surface, reach: float) -> Found:
    """`Found` of points (B, P, 3) that are inside a mesh or no further than `reach` metres away.

    Raises:
        ValueError: a shape is another one.
        InputError: `contact.open`, the meshes have an open edge.
    """
    check(points, surface)
    if points.device.type == "cpu":
        return find_compiled(points, surface, reach)
    from fitter.contact.reference import find_reference

    return find_reference(points, surface, reach)


def check(points: Tensor, surface: Surface) -> None:
    """Refuse other shapes and open meshes, see `find`."""
    check_shapes(
        points=(points, ("B", "P", 3)),
        vertices=(surface.vertices, ("B", "V", 3)),
        faces=(surface.faces, ("F", 3)),
    )
    check_closed(surface.faces)


def nothing_found(points: Tensor, surface: Surface) -> tuple[Found, Tensor]:
    """The result before the search, and which points (B, P) can be searched for."""
    finite = points.isfinite().all(-1) & surface.vertices.isfinite().all(-1).all(-1)[:, None]
    face = torch.where(finite, -1, -2)
    empty = torch.zeros(points.shape, dtype=torch.float64, device=points.device)
    return Found(face, empty, empty.clone()), finite


@torch.no_grad()
def find_compiled(points: Tensor, surface: Surface, reach: float) -> Found:
    """`find` by kernels, a mesh a thread."""
    found, finite = nothing_found(points, surface)
    arrays = [part.numpy() for part in found]
    inputs = (_array(points), _array(surface.vertices))
    faces = np.ascontiguousarray(surface.faces.numpy(), np.int64)
    whole = finite.all(1).tolist()

    def search(mesh: int) -> None:
        own, vertices = (array[mesh] for array in inputs)
        into = tuple(array[mesh] for array in arrays)
        if whole[mesh]:
            fill_nearest(own, vertices, faces, reach, into)
            return
        rows = np.flatnonzero(finite[mesh].numpy())
        if len(rows):
            part = tuple(array[rows] for array in into)
            fill_nearest(own[rows], vertices, faces, reach, part)
            for array, values in zip(into, part, strict=True):
                array[rows] = values

    if len(faces) and points.shape[1]:
        for_each_image(search, len(points))
    return found


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float64)
