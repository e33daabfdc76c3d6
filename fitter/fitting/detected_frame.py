"""What is known of a frame once the hands in each of its views are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fitter.fitting.detected_image import DetectedImage
from fitter.rig import Rig
from fitter.store.frame_schema import ViewHandRow, ViewRow


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


def view_row(
    image: DetectedImage | None, hands: Sequence[ViewHandRow] = (), hands_beyond: int = 0
) -> ViewRow:
    """The row of one view of a frame.

    Args:
        image: what was detected in it; None where there is no image.
        hands: what it saw of each hand of the frame.
        hands_beyond: detections in it that belong to no hand of the frame that is stored.
    """
    if image is None:
        return ViewRow(view_status="missing", hands=tuple(hands))
    size, changed = image.file or (None, None)
    row = ViewRow(
        view_status="failed",
        file_size=size,
        file_time=changed,
        inputs_digest=image.inputs_digest,
        hands=tuple(hands),
    )
    if image.size is None:
        return replace(row, view_error=image.error)
    return replace(
        row,
        view_status="ok" if image.hands else "no_hand",
        image_width=image.size[0],
        image_height=image.size[1],
        intrinsics=image.intrinsics,
        view_hands_beyond=hands_beyond,
    )
