"""Finding hands in images: 21 keypoints, side and weak depth of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.detection.detector import Detector, MediaPipeDetector
    from fitter.detection.mediapipe_task import require_bundle

__all__ = [
    "Detector",
    "MediaPipeDetector",
    "require_bundle",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Detector": "fitter.detection.detector",
        "MediaPipeDetector": "fitter.detection.detector",
        "require_bundle": "fitter.detection.mediapipe_task",
    },
)
