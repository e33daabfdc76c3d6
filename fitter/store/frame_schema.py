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
from fitter.store.schema import IMAGE, HandRow, ImageRow
from fitter.store.variables import as_of, stored

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
    detection_score: float | None = as_of(HandRow, "detection_score")
    side_score: float | None = as_of(HandRow, "side_score")
    box: np.ndarray | None = as_of(HandRow, "box")
    keypoints_2d_detected: np.ndarray | None = as_of(HandRow, "keypoints_2d_detected")
    keypoint_confidence: np.ndarray | None = as_of(HandRow, "keypoint_confidence")
    keypoints_2d: np.ndarray | None = as_of(HandRow, "keypoints_2d")
    residual_px: float | None = as_of(HandRow, "residual_px")
    keypoint_visibility: np.ndarray | None = as_of(HandRow, "keypoint_visibility")
    mask_source: MaskSource | None = as_of(HandRow, "mask_source")
    mask_agreement: float | None = as_of(HandRow, "mask_agreement")
    mask_iou: float | None = as_of(HandRow, "mask_iou")


@dataclass(frozen=True, kw_only=True)
class ViewRow:
    """Everything stored about one view of a frame; `hands` in the order of the frame's slots."""

    view_status: ViewStatus | None = stored("state of the view", flags=VIEW_STATUS)
    view_error: str | None = stored("why the view failed; empty otherwise", dtype="string")
    image_width: int | None = as_of(ImageRow, "image_width")
    image_height: int | None = as_of(ImageRow, "image_height")
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
    file_size: int | None = as_of(ImageRow, "file_size")
    file_time: float | None = as_of(ImageRow, "file_time")
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
