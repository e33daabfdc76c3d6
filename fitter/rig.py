"""Calibrated cameras that see one scene: where each of them stands, and how it projects.

One frame for all, the rig's: metres, any origin and axes. A camera is a pinhole with a pose,
``x_cam = R x_rig + t``, and perhaps a lens whose distortion is OpenCV's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def _undistorted() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class RigCamera:
    """One camera of a rig.

    Attributes:
        name: by which files and results tell it from the others.
        intrinsics: (3, 3) float64 K in pixels of its images.
        rotation: (3, 3) float64, from the rig's axes to the camera's (x right, y down, z forward).
        translation: (3,) float64 metres: where the rig's origin lies in the camera's frame.
        distortion: (D,) float64 coefficients in OpenCV's order (k1, k2, p1, p2, k3, ...); D is 0
            for none, else 4, 5, 8, 12 or 14.
        size: (width, height) in pixels of the images that K is for, or None where it is not said.
    """

    name: str
    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    distortion: np.ndarray = field(default_factory=_undistorted)
    size: tuple[int, int] | None = None

    @property
    def centre(self) -> np.ndarray:
        """(3,) float64 metres, its optical centre in the rig's frame."""
        return -self.rotation.T @ self.translation


@dataclass(frozen=True)
class Rig:
    """The cameras of a rig, at least one, in the order in which results have their views."""

    cameras: tuple[RigCamera, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cameras, each once."""
        return tuple(camera.name for camera in self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)
