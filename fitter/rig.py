"""Calibrated cameras that see one scene: where each of them stands, and how it projects.

One frame for all, the rig's: metres, any origin and axes. A camera is a pinhole with a pose,
``x_cam = R x_rig + t``, and perhaps a lens whose distortion is OpenCV's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from fitter.lens import LensModel

BETWEEN = "\x01"
"""Between names in the text of `FrameNames`: it sorts before every other character, so that texts
sort as the names of their frames do. No name that is taken has it."""


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
            for none, else 4, 5, 8, 12 or 14; of a fisheye it is 4.
        size: (width, height) in pixels of the images that K is for, or None where it is not said.
        model: what they are coefficients of, see `fitter.lens.LensModel`.
    """

    name: str
    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    distortion: np.ndarray = field(default_factory=_undistorted)
    size: tuple[int, int] | None = None
    model: LensModel = "pinhole"

    @property
    def centre(self) -> np.ndarray:
        """(3,) float64 metres, its optical centre in the rig's frame."""
        return -self.rotation.T @ self.translation


@dataclass(frozen=True)
class Rig:
    """The cameras of a rig, at least one, in the order in which results have their views.

    It is checked where it is used (`fitter.inputs.rig_files.check_rig`) and not where it is made.
    """

    cameras: tuple[RigCamera, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cameras, each once."""
        return tuple(camera.name for camera in self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    def as_json(self) -> dict[str, Any]:
        """As a rig file has it (`fitter.inputs.rig_files`), without places of images."""
        return {"cameras": [_as_json(camera) for camera in self.cameras]}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Self:
        """What `as_json` gave; a user's file is for `fitter.inputs.rig_files` to check."""
        return cls(tuple(map(_camera, content["cameras"])))


def _as_json(camera: RigCamera) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": camera.name,
        "K": camera.intrinsics.tolist(),
        "R": camera.rotation.tolist(),
        "t": camera.translation.tolist(),
    }
    if len(camera.distortion):
        said["distortion"] = camera.distortion.tolist()
    if camera.model != "pinhole":
        said["model"] = camera.model
    if camera.size is not None:
        said["size"] = list(camera.size)
    return said


def _camera(said: Mapping[str, Any]) -> RigCamera:
    width, height = said.get("size", (None, None))
    return RigCamera(
        said["name"],
        np.array(said["K"], np.float64),
        np.array(said["R"], np.float64),
        np.array(said["t"], np.float64),
        np.array(said.get("distortion", ()), np.float64),
        None if width is None or height is None else (width, height),
        said.get("model", "pinhole"),
    )


@dataclass(frozen=True)
class FrameNames:
    """What a frame and its images are called.

    Attributes:
        name: of the frame: what its images' names have in common.
        images: of each camera of the rig, relative to the folder of all images; empty for one that
            has no image of the frame.
    """

    name: str
    images: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, to be listed and sorted like names of images."""
        return BETWEEN.join((self.name, *self.images))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """What `text` gave."""
        name, *images = text.split(BETWEEN)
        return cls(name, tuple(images))
