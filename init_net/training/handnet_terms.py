"""All that a `HandNet` is trained on, for one batch of crops."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.hand_models import HandModel, KeypointDefinition
from init_net.posing import HandPoints, labelled_points
from init_net.records import CropPredictions, RegressedHands
from init_net.samples.crop_samples import CropSamples
from init_net.training.losses import (
    axis_angle_error,
    geometric_terms,
    mano_terms,
    squared_chords,
)


class HandNetTerms:
    """The terms of `init_net.training.loss_weights.ViewWeights`, by name, (B,) each."""

    def __init__(self, model: HandModel, device: torch.device) -> None:
        """Take a model of right hands in float32, with all shapes that samples have."""
        marks, joints = model.keypoint_model(), KeypointDefinition.of(model, "mano").reduced
        self._marks, self._joints = (each.to(torch.float32).to(device) for each in (marks, joints))

    def points(self, hands: RegressedHands, batch: CropSamples) -> HandPoints:
        """Keypoints of hands as a batch labels them."""
        # Under mixed precision a hand would be posed in halves: off by up to two millimetres.
        with torch.autocast(hands.betas.device.type, enabled=False):
            return labelled_points(self._marks, self._joints, hands, batch.is_marks)

    def __call__(self, said: CropPredictions, batch: CropSamples) -> dict[str, Tensor]:
        """Seeber eq. 9 and Zhao 3.5, and rotations compared as rotations.

        Args:
            said: of B crops, by a network whose head is there.
            batch: the crops, on the same device.
        """
        hands = said.hands
        assert hands is not None and said.pose is not None  # the head is there
        points = self.points(hands, batch)
        mano = mano_terms(hands, points, batch.hands, batch.positions, batch.keypoint_weight)
        geometric = geometric_terms(hands, points, batch.truth, batch.keypoint_weight)
        chords = squared_chords(hands.rotations, batch.rotations)
        return {
            **{f"mano_{name}": value for name, value in mano.items()},
            "mano_pose_axis_angle": axis_angle_error(said.pose, batch.rotations),
            **{f"geometric_{name}": value for name, value in geometric.items()},
            "global_rotation": chords[:, 0],
            "joint_rotations": chords[:, 1:].mean(1),
        }
