"""Hands as the lifter sees them, with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fitter.records import TensorBatch
from init_net.records import LifterInputs


@dataclass(frozen=True)
class LifterSamples(TensorBatch):
    """B hands: `inputs` fields of `LifterInputs`, and the truth.

    Attributes:
        positions, confidence, depth, bones, focal, features: see `LifterInputs`.
        keypoints: (B, 21, 3) see `LiftedHands`.
        rotations: (B, 16, 3, 3) see `LiftedHands`.
        betas: (B, S).
        visible: (B, 21) 1 for keypoints that are seen, 0 for hidden ones; NaN where unknown.
        metres: (B,) of a crop unit at the wrist's distance.
        weight: (B,) how far each hand counts; keypoint_weight: (B, 21) each of its keypoints.

    Of the truth, what is not known is NaN.
    """

    positions: Tensor
    confidence: Tensor
    depth: Tensor
    bones: Tensor
    focal: Tensor
    features: Tensor
    keypoints: Tensor
    rotations: Tensor
    betas: Tensor
    visible: Tensor
    metres: Tensor
    weight: Tensor
    keypoint_weight: Tensor

    @classmethod
    def together(cls, parts: Sequence[LifterSamples]) -> LifterSamples:
        """The hands of all parts, in order."""
        names = vars(parts[0])
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    @property
    def inputs(self) -> LifterInputs:
        """What the lifter sees."""
        return LifterInputs(
            self.positions, self.confidence, self.depth, self.bones, self.focal, self.features
        )


def rotated(hands: LifterSamples, angle: Tensor) -> LifterSamples:
    """Hands rotated about the line of sight by angles (B,), radians: the camera rolled back."""
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rotation = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1], -1)
    rotation = rotation.unflatten(-1, (3, 3))
    wrist = rotation[:, None] @ hands.rotations[:, :1]
    return replace(
        hands,
        positions=hands.positions @ rotation[:, :2, :2].mT,
        bones=hands.bones @ rotation.mT,
        keypoints=hands.keypoints @ rotation.mT,
        rotations=torch.cat([wrist, hands.rotations[:, 1:]], 1),
    )
