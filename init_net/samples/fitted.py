"""Rotations and shapes of annotated hands of which only the keypoints are known."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from fitter.hand_models import KeypointDefinition, inverse_kinematics, load_hand_model
from fitter.hand_models.keypoint_model import KeypointModel
from fitter.rotations import roma
from init_net.samples.crop_samples import CropSamples


@lru_cache(maxsize=1)
def _models() -> tuple[KeypointModel, KeypointModel]:
    """Right hands with keypoints as the detector marks them, and at joints and fingertips."""
    model = load_hand_model(dtype=torch.float64)
    return model.keypoint_model(), KeypointDefinition.of(model, "mano").reduced


def with_fitted(crops: CropSamples, asked: Tensor) -> CropSamples:
    """Crops with the rotations and shapes that their keypoints in space lead to.

    Data sets have parameters of MANO, which are not the open hand's: its joints and its shape are
    others at zero. Inverse kinematics makes the open hand's of the same keypoints. How far fingers
    are twisted about their bones no keypoints say: not at all.

    Args:
        crops: B.
        asked: (B,) bool, which of them; those that have rotations keep theirs, and those of which
            some keypoint is not known have none.
    """
    unknown = ~crops.rotations.isfinite().flatten(1).all(1)
    wanted = asked & unknown & crops.points.isfinite().flatten(1).all(1)
    if not bool(wanted.any()):
        return crops
    rotations, betas = crops.rotations.clone(), crops.betas.clone()
    for model, is_marks in zip(_models(), (True, False), strict=True):
        rows = (wanted & (crops.is_marks == is_marks)).nonzero()[:, 0]
        if len(rows) == 0:
            continue
        found = inverse_kinematics(model, crops.points[rows].double())
        vectors = torch.cat([found.global_orient[:, None], found.hand_pose], 1)
        rotations[rows] = roma.rotvec_to_rotmat(vectors).to(rotations)
        betas[rows] = 0
        betas[rows, : found.betas.shape[1]] = found.betas.to(betas)
    return replace(crops, rotations=rotations, betas=betas)
