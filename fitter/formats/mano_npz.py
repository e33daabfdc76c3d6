"""MANO's parameters as NumPy's npz, under the names that smplx takes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from fitter.conventions import MIRROR_AXIS_ANGLE
from fitter.formats.hand_record import HandRecord
from fitter.formats.mano_fit import ManoHand
from fitter.hand_models.model_data import HandModelData

KEYS: dict[str, str] = {
    "global_orient": "(N, 3) axis-angle of the wrist, model to camera",
    "hand_pose": "(N, 45) axis-angle of the other joints about the flat hand: for layers with "
    "`flat_hand_mean=True`, `use_pca=False`",
    "hand_pose_from_mean": "(N, 45) the same about the mean pose: for layers with "
    "`flat_hand_mean=False`",
    "betas": "(N, 10) shape",
    "transl": "(N, 3) metres, camera frame; the hand turns about its root joint first",
    "is_rhand": "(N,) bool: right hands; a left hand's parameters are for MANO's left model, or "
    "for the right one mirrored in x",
    "image_name": "(N,) text",
    "hand": "(N,) slot of the hand in its image, from 0 on",
    "score": "(N,) float32, NaN where there is none",
    "intrinsics": "(N, 3, 3) K of the image, pixels",
    "vertex_error_mm": "(N,) mean distance of MANO's vertices from the fitted surface; of a "
    "hand that was fitted with MANO the mean length of its offsets, 0 without any",
    "keypoint_error_mm": "(N,) mean distance of the two models' 21 keypoints",
}
"""Names of the arrays and what they hold; N hands."""


def mano_npz(hands: Sequence[tuple[HandRecord, ManoHand]], model: HandModelData) -> bytes:
    """An npz file of hands.

    Args:
        hands: at least one, each with what it came from.
        model: MANO, whose mean pose `hand_pose_from_mean` is relative to.
    """
    rows = [found.row for _, found in hands]

    def stacked(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows], np.float32)

    pose = stacked("hand_pose").reshape(len(rows), -1)
    # A left hand's mean pose is the right one's mirrored, as its parameters are.
    flips = np.tile(MIRROR_AXIS_ANGLE, pose.shape[1] // 3)
    is_right = np.array([row.side == "right" for row in rows])
    means = np.where(is_right[:, None] == (model.side == "right"), 1.0, flips) * model.hands_mean
    none = np.full((3, 3), np.nan)
    arrays = {
        "global_orient": stacked("global_orient"),
        "hand_pose": pose,
        "hand_pose_from_mean": (pose - means).astype(np.float32),
        "betas": stacked("betas"),
        "transl": stacked("transl"),
        "is_rhand": is_right,
        "image_name": np.array([record.image_name for record, _ in hands]),
        "hand": np.array([-1 if r.slot is None else r.slot for r, _ in hands]),
        "score": np.array([np.nan if r.score is None else r.score for r in rows], np.float32),
        "intrinsics": np.array(
            [none if r.image.intrinsics is None else r.image.intrinsics for r, _ in hands]
        ),
        "vertex_error_mm": np.array([found.vertex_error_mm for _, found in hands]),
        "keypoint_error_mm": np.array([found.keypoint_error_mm for _, found in hands]),
    }
    assert arrays.keys() == KEYS.keys()
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()
