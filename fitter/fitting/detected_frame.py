"""What is known of a frame once the hands in each of its views are found."""

from __future__ import annotations

from dataclasses import dataclass

from fitter.fitting.detected_image import DetectedImage
from fitter.rig import Rig


@dataclass(frozen=True)
class DetectedFrame:
    """One moment as all cameras of a rig saw it.

    Attributes:
        rig: the cameras.
        views: of each camera of the rig, in its order; None for one that has no image of the frame.
            Images are without distortion: `DetectedImage.intrinsics` is all there is to know of a
            camera beside its pose.
    """

    rig: Rig
    views: tuple[DetectedImage | None, ...]
