"""What a detector says of hands, and the axes in which its errors are measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from datasets.detector.keypoint_definition import palm_normal
from fitter.conventions import BONES
from fitter.records import TensorBatch

_PALM_END = [bone[0] for bone in BONES]
_TIP_END = [bone[1] for bone in BONES]
_KNUCKLES = (5, 9, 13, 17)


@dataclass(frozen=True)
class DetectedHands(TensorBatch):
    """What a detector says of B right hands.

    Positions and depths are crop units: shares of the side of the square crop around the true
    keypoints, as `fitter.fitting.keypoint_fit.normalise` has it.

    Attributes:
        positions: (B, 21, 2) crop units.
        confidence: (B, 21) in [0, 1].
        depth: (B, 21) crop units along the line of sight, relative to the wrist.
        bones: (B, 20, 3) unit directions of `fitter.conventions.BONES`, view frame (the camera's
            axes turned so that z is the line of sight through the hand).
    """

    positions: Tensor
    confidence: Tensor
    depth: Tensor
    bones: Tensor


def hand_axes(positions: Tensor) -> Tensor:
    """(B, 2, 2) rows: unit vectors in the image along the hand, from the wrist to the mean of
    the four knuckles, and across it; of positions (B, 21, 2)."""
    along = normalize(positions[:, _KNUCKLES].mean(1) - positions[:, 0], dim=-1)
    # A palm viewed along its line has no direction; any will do.
    along = torch.where(along.norm(dim=-1, keepdim=True) > 0.5, along, along.new_tensor([1.0, 0]))
    return torch.stack([along, torch.stack([-along[:, 1], along[:, 0]], -1)], 1)


def lean(bones: Tensor) -> Tensor:
    """(B, 2) the palm's normal in the image, times the hand's facing; of bones (B, 20, 3)."""
    normal = palm_normal(bones)
    return normal[:, :2] * normal[:, 2:]


def bone_state(states: Tensor) -> Tensor:
    """(B, 20) the worse of the states (B, 21) of each bone's ends."""
    return torch.maximum(states[:, _PALM_END], states[:, _TIP_END])


def bone_confidence(confidence: Tensor) -> Tensor:
    """(B, 20) product of the confidences (B, 21) of each bone's ends."""
    return confidence[:, _PALM_END] * confidence[:, _TIP_END]
