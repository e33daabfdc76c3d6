"""Who computes on one machine, and how the work is split.

A `Plan` splits blocks into batches of `ImageTask`s. `LocalExecutor` has hands detected in processes
of their own, fits them with the engine, and has overlays rendered in further processes.

ImageTask -> `detect_image` -> DetectedImage -> engine -> ImageRow
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.workers.batches import FittedBatch, Plan
    from fitter.workers.detection_pool import DetectionOptions, DetectionPool
    from fitter.workers.execution_options import ExecutionOptions
    from fitter.workers.image_detector import ImageDetector, detect_image
    from fitter.workers.local_executor import LocalExecutor
    from fitter.workers.overlay_renderer import OverlayRenderer
    from fitter.workers.overlays import overlay_hands

__all__ = [
    "DetectionOptions",
    "DetectionPool",
    "ExecutionOptions",
    "FittedBatch",
    "ImageDetector",
    "LocalExecutor",
    "OverlayRenderer",
    "Plan",
    "detect_image",
    "overlay_hands",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "DetectionOptions": "fitter.workers.detection_pool",
        "DetectionPool": "fitter.workers.detection_pool",
        "ExecutionOptions": "fitter.workers.execution_options",
        "FittedBatch": "fitter.workers.batches",
        "ImageDetector": "fitter.workers.image_detector",
        "LocalExecutor": "fitter.workers.local_executor",
        "OverlayRenderer": "fitter.workers.overlay_renderer",
        "Plan": "fitter.workers.batches",
        "detect_image": "fitter.workers.image_detector",
        "overlay_hands": "fitter.workers.overlays",
    },
)
