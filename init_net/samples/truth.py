"""Where the keypoints of samples are, whoever says it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.records import HandParams
from init_net.samples.shards import true_hands


def true_keypoints(
    model: KeypointModel, rows: Mapping[str, np.ndarray]
) -> tuple[HandParams, Tensor, Tensor]:
    """Parameters and keypoints of B samples.

    Args:
        model: right hands.
        rows: `HAND_FIELDS` and ``keypoints_3d`` of the samples.

    Returns:
        The parameters, NaN where they are not known; which hands have them, (B,) bool; and (B, 21,
        3) float64 keypoints in metres, camera frame: posed from the parameters, of the others those
        that are stored, NaN where they are not known either.
    """
    hands = true_hands(rows)
    is_posed = torch.stack([part.flatten(1).isfinite().all(1) for part in vars(hands).values()])
    known = is_posed.all(0)
    posed = pose_keypoints(model, hands)[1]
    stored = torch.from_numpy(rows["keypoints_3d"]).double()
    return hands, known, torch.where(known[:, None, None], posed, stored)
