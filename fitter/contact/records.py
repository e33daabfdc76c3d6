"""Closed meshes of hands and objects, and what is measured between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # an object's mesh is NumPy arrays: who reads it need not load PyTorch
    from torch import Tensor


@dataclass(frozen=True)
class Surface:
    """B closed meshes of the same triangles.

    Attributes:
        vertices: (B, V, 3) metres.
        faces: (F, 3) int64, counter-clockwise seen from outside, without an open edge: an open
            wrist is closed by a fan over its own vertices, so that V is that of the hand model.
    """

    vertices: Tensor
    faces: Tensor


@dataclass(frozen=True)
class SignedDistance:
    """Where P points are to each of B closed meshes.

    Attributes:
        distance: (B, P) metres to the nearest point of the surface, negative inside; NaN for a
            point or a mesh that is not finite. Differentiable in points and vertices.
        closest: (B, P, 3) that nearest point.
        face: (B, P) int64 the triangle that it lies in, -1 where the distance is NaN.
        barycentrics: (B, P, 3) of that point in its triangle.
    """

    distance: Tensor
    closest: Tensor
    face: Tensor
    barycentrics: Tensor


@dataclass(frozen=True)
class ObjectMesh:
    """A rigid thing that hands may touch.

    Attributes:
        name: for messages, such as that of its file.
        vertices: (V, 3) float64 metres, the object's own frame.
        faces: (F, 3) int64, closed, counter-clockwise seen from outside.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class PosedObject:
    """An object where a picture shows it.

    Attributes:
        mesh: of it.
        rotation: (3, 3) float64, translation: (3,) float64 metres: x_camera = R x_object + t.
        hand: the side of the hands that it draws to it; None for both.
    """

    mesh: ObjectMesh
    rotation: np.ndarray
    translation: np.ndarray
    hand: Literal["left", "right"] | None = None

    @property
    def vertices(self) -> np.ndarray:
        """(V, 3) float64 metres, camera frame."""
        posed: np.ndarray = self.mesh.vertices @ self.rotation.T + self.translation
        return posed
