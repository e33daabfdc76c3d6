"""Cameras in a scene: where they stand, what they see, and where their pictures hang."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plane:
    """A picture as a rectangle in space.

    Attributes:
        centre: (3,) metres, the scene's frame.
        width, height: metres.
    """

    centre: np.ndarray
    width: float
    height: float


@dataclass(frozen=True)
class SceneCamera:
    """A camera of a scene, ``x_cam = R x + t``, and its picture.

    Attributes:
        name: of its image.
        intrinsics: (3, 3) float64 K in pixels of the whole image.
        size: (width, height) of the whole image, pixels.
        rotation: (3, 3) float64 R, from the scene's axes to the camera's (x right, y down, z
            forward).
        translation: (3,) float64 t, metres.
        pixels: (H, W, 3) uint8 RGB of the image, perhaps reduced; None where it is not to be had.
        rig_name: of the camera in its rig; None for the camera of a single image.
    """

    name: str
    intrinsics: np.ndarray
    size: tuple[int, int]
    rotation: np.ndarray
    translation: np.ndarray
    pixels: np.ndarray | None = None
    rig_name: str | None = None

    @property
    def centre(self) -> np.ndarray:
        """(3,) metres, its optical centre in the scene's frame."""
        return -self.rotation.T @ self.translation

    @property
    def field_of_view(self) -> float:
        """Radians, vertical, of a view from its centre along its axis that has the whole height of
        the image in it, wherever the principal point is."""
        above, below = self.intrinsics[1, 2], self.size[1] - self.intrinsics[1, 2]
        return float(2 * np.arctan(max(above, below) / self.intrinsics[1, 1]))

    def in_scene(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) of the camera's frame in that of the scene, metres."""
        return (points - self.translation) @ self.rotation

    def corners(self, depth: float) -> np.ndarray:
        """(4, 3) metres, the image's corners at a depth: upper left, upper right, lower right,
        lower left."""
        width, height = self.size
        pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], float)
        return self.in_scene(depth * pixels @ np.linalg.inv(self.intrinsics).T)

    def plane(self, depth: float) -> Plane:
        """The image at a depth, where every pixel lies on its own line of sight."""
        corners = self.corners(depth)
        width = float(np.linalg.norm(corners[1] - corners[0]))
        height = float(np.linalg.norm(corners[3] - corners[0]))
        return Plane(corners.mean(axis=0), width, height)

    def pixel_intrinsics(self) -> np.ndarray:
        """(3, 3) K in pixels of `pixels`.

        Raises:
            ValueError: there are none.
        """
        if self.pixels is None:
            raise ValueError(f"expected pixels of {self.name}, found none")
        height, width = self.pixels.shape[:2]
        return np.diag([width / self.size[0], height / self.size[1], 1.0]) @ self.intrinsics
