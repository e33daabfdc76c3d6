"""What was detected in a row of a run: an image, or a frame of several, whichever its task is.

Task, DetectedImages -> `joined` -> Detected -> `fit_rows` -> Row
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from fitter.engine import Engine
from fitter.fitting.detected_frame import DetectedFrame, view_row
from fitter.fitting.detected_image import DetectedImage
from fitter.hand_slots import image_row
from fitter.inputs.frame_sources import FrameTask, Task
from fitter.store.frame_schema import FrameRow
from fitter.store.row_kinds import Row

Detected = DetectedImage | DetectedFrame

UNFITTABLE = "worker.unfittable"
"""Code of the error of an image whose fit ended the process, see `without_hands`."""


def joined(task: Task, images: Sequence[DetectedImage]) -> Detected:
    """What was detected of a task.

    Args:
        task: an image or a frame.
        images: what was detected in each of `task.images`.
    """
    if isinstance(task, FrameTask):
        found = iter(images)
        views = tuple(None if view is None else next(found) for view in task.views)
        return DetectedFrame(task.rig, views)
    (image,) = images
    return image


def masks_in(detected: Detected) -> int:
    """Images that have a given mask; one that was left out counts for none."""
    return sum(image.has_mask and not image.is_left_out for image in _images(detected))


def objects_in(detected: Detected) -> int:
    """Images of which known objects are given, as far as they were read."""
    return sum(bool(image.objects) for image in _images(detected))


def _images(detected: Detected) -> list[DetectedImage]:
    """Those of a frame that are there, or the image itself."""
    if isinstance(detected, DetectedImage):
        return [detected]
    return [view for view in detected.views if view is not None]


def codes_of(
    names: Sequence[str], detected: Sequence[Detected], rows: Sequence[Row]
) -> dict[str, str]:
    """The codes of the errors of images that failed, by their names; of frames none."""
    return {
        name: found.error_code or UNFITTABLE
        for name, found, row in zip(names, detected, rows, strict=True)
        if isinstance(found, DetectedImage) and row.status == "failed"
    }


def fit_rows(engine: Engine, detected: Sequence[Detected]) -> list[Row]:
    """Fit images or frames together, which are all of one kind.

    Returns:
        A row each.
    """
    if isinstance(detected[0], DetectedImage):
        return [*engine.fit(cast("Sequence[DetectedImage]", detected))]
    return [*engine.fit_frames(cast("Sequence[DetectedFrame]", detected))]


def failed_row(detected: Detected, reason: str) -> Row:
    """The row of what cannot be fitted; an image that had failed before keeps its own reason."""
    if isinstance(detected, DetectedImage):
        return image_row(without_hands(detected, reason), [])
    views = tuple(map(view_row, detected.views))
    return FrameRow(frame_status="failed", frame_error=reason, views=views)


def without_hands(image: DetectedImage, reason: str) -> DetectedImage:
    """An image that cannot be fitted; one that had failed before stays as it is."""
    if image.size is None:
        return image
    return replace(image, size=None, hands=(), crops=(), error=reason, error_code=UNFITTABLE)
