"""What is stored of frames: moments that several calibrated cameras have seen.

A frame's hands are `HandRow`s in the rig's frame; what each camera saw of them stands in its
`ViewRow`. So a store of frames has the dimensions ``frame``, ``view`` and ``hand``.
"""

# The defaults below are dataclass fields, made by a function that only adds their metadata:
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fitter.records import MaskSource
from fitter.store.schema import IMAGE, MASK_SOURCES, HandRow, stored

VIEW_STATUS = ("none", "ok", "no_hand", "failed", "missing")
FRAME_STATUS = ("pending", "ok", "no_hand", "failed")

FrameStatus = Literal["ok", "no_hand", "failed"]
ViewStatus = Literal["ok", "no_hand", "failed", "missing"]


@dataclass(frozen=True, kw_only=True)
class ViewHandRow:
    """What one camera saw of one hand of a frame; all None but `view_weight` where it saw nothing
    of it."""

    view_weight: float | None = stored(
        "how far the view counted in the fit of the hand: 1 in full, less where it disagreed with "
        "the other views, 0 where it does not show the hand",
        units="1",
    )
    detection_score: float | None = stored(
        "the detector's confidence that this is a hand, in [0, 1]", units="1"
    )
    side_score: float | None = stored("probability of side, in [0.5, 1]", units="1")
    box: np.ndarray | None = stored(
        "box around the detected keypoints", "corner", units="pixel", frame=IMAGE
    )
    keypoints_2d_detected: np.ndarray | None = stored(
        "keypoints as detected", "keypoint xy", units="pixel", frame=IMAGE
    )
    keypoint_confidence: np.ndarray | None = stored(
        "confidence of the detected keypoints, in [0, 1]", "keypoint", units="1"
    )
    keypoints_2d: np.ndarray | None = stored(
        "projection of the fitted hand's keypoints that correspond to the detected ones",
        "keypoint xy",
        units="pixel",
        frame=IMAGE,
    )
    residual_px: float | None = stored(
        "root mean square distance of keypoints_2d from keypoints_2d_detected", units="pixel"
    )
    keypoint_visibility: np.ndarray | None = stored(
        "probability that each keypoint of the fitted hand is seen in the image",
        "keypoint",
        units="1",
    )
    mask_source: MaskSource | None = stored(
        "where the hand's mask came from; a rejected one contradicted its keypoints and was not "
        "used",
        flags=MASK_SOURCES,
    )
    mask_agreement: float | None = stored(
        "how far the mask agreed with keypoints and mesh before it was used, in [0, 1]", units="1"
    )
    mask_iou: float | None = stored(
        "intersection over union of the fitted mesh and the mask, where the mask has weight",
        units="1",
    )


@dataclass(frozen=True, kw_only=True)
class ViewRow:
    """Everything stored about one view of a frame; `hands` in the order of the frame's slots."""

    view_status: ViewStatus | None = stored("state of the view", flags=VIEW_STATUS)
    view_error: str | None = stored("why the view failed; empty otherwise", dtype="string")
    image_width: int | None = stored("width, upright", dtype="int32", units="pixel")
    image_height: int | None = stored("height, upright", dtype="int32", units="pixel")
    intrinsics: np.ndarray | None = stored(
        "camera matrix K of the full image, without distortion", "row column", "float64", "pixel",
        IMAGE,
    )  # fmt: skip
    view_hands_beyond: int | None = stored(
        "detections in the view that belong to no stored hand of the frame, most of them to hands "
        "beyond its slots",
        dtype="int32",
        units="1",
    )
    file_size: int | None = stored(
        "size of the image's file when it was read", dtype="int64", units="byte"
    )
    file_time: float | None = stored(
        "time of the last change of the image's file, seconds since 1970, UTC",
        dtype="float64",
        units="s",
    )
    inputs_digest: int | None = stored(
        "digest of the keypoints, mask and size given for the image; 0 for none",
        dtype="int64",
        units="1",
    )
    hands: tuple[ViewHandRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """Everything stored about one frame.

    Attributes:
        hands: in the order of their slots, in the rig's frame; what belongs to single views is None
            in them and stands in `views`.
        views: of each camera, in the order of the rig.
    """

    frame_status: FrameStatus | None = stored("state of the frame", flags=FRAME_STATUS)
    frame_error: str | None = stored("why the frame failed; empty otherwise", dtype="string")
    hands_beyond: int | None = stored(
        "hands of the frame beyond its slots, which are not stored", dtype="int32", units="1"
    )
    hands: tuple[HandRow, ...] = ()
    views: tuple[ViewRow, ...] = ()

    @property
    def status(self) -> FrameStatus | None:
        """As of `ImageRow`."""
        return self.frame_status

    @property
    def error(self) -> str | None:
        """As of `ImageRow`."""
        return self.frame_error
