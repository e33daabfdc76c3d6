"""A camera's lens: how it bends what a camera without distortion would show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self

import numpy as np

LensModel = Literal["pinhole", "fisheye"]
"""OpenCV's two models: polynomials of the tangent of the angle with the axis (`cv2.projectPoints`),
or of the angle itself (`cv2.fisheye.projectPoints`; Kannala and Brandt, PAMI 2006, equation 6)."""

COEFFICIENTS: Mapping[LensModel, tuple[int, ...]] = {
    "pinhole": (0, 4, 5, 8, 12, 14),
    "fisheye": (4,),
}
"""How many coefficients OpenCV takes of each."""

MOST_COEFFICIENTS = 14


def _none() -> np.ndarray:
    return np.zeros(0)


class HasLens(Protocol):
    """What has a lens: a `Lens`, or a camera of a rig."""

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) float64 K in pixels of the images that the lens makes."""

    @property
    def distortion(self) -> np.ndarray:
        """(D,) float64 coefficients of the model."""

    @property
    def model(self) -> LensModel:
        """What they are coefficients of."""


@dataclass(frozen=True, eq=False)
class Lens:
    """A camera with a lens that distorts, or with none (`is_straight`).

    Attributes:
        intrinsics: (3, 3) float64 K in pixels of the camera's own images; the centre of the
            top-left pixel is (0.5, 0.5).
        model: "pinhole" or "fisheye".
        distortion: (D,) float64 coefficients in OpenCV's order: (k1, k2, p1, p2, k3, ...) of a
            pinhole, D as in `COEFFICIENTS`; (k1, k2, k3, k4) of a fisheye.
        size: (width, height) in pixels of the images that K is for, or None where it is not said.
        scale: width of these images over that of the images it was calibrated with; not 1 for
            images that were resized.
    """

    intrinsics: np.ndarray
    model: LensModel = "pinhole"
    distortion: np.ndarray = field(default_factory=_none)
    size: tuple[int, int] | None = None
    scale: float = 1.0

    @property
    def is_straight(self) -> bool:
        """Whether straight lines stay straight: a pinhole without distortion."""
        return is_straight(self)

    def scaled_to(self, size: tuple[int, int]) -> Lens:
        """The same lens of images that were resized to (width, height); its size must be known."""
        assert self.size is not None
        wider, higher = size[0] / self.size[0], size[1] / self.size[1]
        matrix = self.intrinsics * np.array([[wider], [higher], [1.0]])
        return replace(self, intrinsics=matrix, size=size, scale=self.scale * wider)

    def as_json(self) -> dict[str, Any]:
        """What `of_json` takes."""
        said: dict[str, Any] = {
            "model": self.model,
            "K": self.intrinsics.tolist(),
            "distortion": self.distortion.tolist(),
        }
        return said if self.size is None else said | {"size": list(self.size)}

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """What `as_json` gave; a user's file is for `fitter.inputs.lens_files` to check."""
        size = said.get("size")
        return cls(
            np.array(said["K"], np.float64),
            said["model"],
            np.array(said["distortion"], np.float64),
            None if size is None else (int(size[0]), int(size[1])),
        )


def is_straight(camera: HasLens) -> bool:
    """Whether a camera keeps straight lines straight. A fisheye without coefficients does not."""
    return camera.model == "pinhole" and not camera.distortion.any()
