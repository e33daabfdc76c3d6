"""What is true of the hands of crops, as a `MeshNet` is compared with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.hand_models import (
    HandModel,
    KeypointDefinition,
    load_hand_model,
    twist_angles,
)
from fitter.hand_models.keypoint_model import KeypointModel
from fitter.records import HandParams, TensorBatch
from fitter.rotations import roma
from init_net.hand_model_id import OPEN_HAND
from init_net.networks.config import MeshNetConfig
from init_net.samples.crop_samples import CropSamples
from init_net.samples.joined import fitting_shapes


@dataclass(frozen=True)
class MeshTruth(TensorBatch):
    """B right hands, view axes, metres, relative to the wrist joint; NaN where it is not known.

    Attributes:
        joints: (B, 21, 3) joints and fingertips.
        joint_weight: (B, 21) how far each counts; 0 of a hand whose keypoints are a detector's
            marks, which are no joints.
        vertices: (B, V, 3) of the network's mesh.
        betas: (B, S), twist: (B, 15) radians, see `fitter.hand_models.twist_angles`.
    """

    joints: Tensor
    joint_weight: Tensor
    vertices: Tensor
    betas: Tensor
    twist: Tensor


class TrueMeshes:
    """Says it. The parameters of samples are the open hand's: of a network on another hand model
    joints alone are known."""

    def __init__(self, config: MeshNetConfig, vertices: int, device: torch.device) -> None:
        """Load the hand model of the samples.

        Args:
            config: of the network.
            vertices: V of its mesh.
            device: of the batches.
        """
        self._shapes, self._vertices = config.betas, vertices
        self._model: HandModel | None = None
        self._joints: KeypointModel | None = None
        if config.hand_model == OPEN_HAND:
            self._model = load_hand_model(children=True).to(device)
            self._joints = KeypointDefinition.of(self._model, "mano").reduced

    @torch.no_grad()
    def __call__(self, crops: CropSamples) -> MeshTruth:
        """Of B crops, on the device of the model."""
        B, like = len(crops.points), crops.points
        vertices = like.new_full((B, self._vertices, 3), torch.nan)
        betas, twist = (
            like.new_full((B, self._shapes), torch.nan),
            like.new_full((B, 15), torch.nan),
        )
        known = torch.cat([crops.rotations.flatten(1), crops.betas], 1).isfinite().all(1)
        if self._model is not None and self._joints is not None and bool(known.any()):
            vectors = roma.rotmat_to_rotvec(crops.rotations[known])
            nowhere = torch.zeros_like(vectors[:, 0])
            hands = HandParams(vectors[:, 0], vectors[:, 1:], crops.betas[known], nowhere)
            mesh = self._model(hands)
            vertices[known] = mesh.vertices - mesh.joints[:, :1]
            betas[known] = fitting_shapes(hands.betas, self._shapes)
            twist[known] = twist_angles(self._joints, hands)
        is_joint = ~crops.is_marks[:, None] & crops.points.isfinite().all(-1)
        return MeshTruth(
            joints=torch.where(is_joint[..., None], crops.points, torch.nan),
            joint_weight=crops.keypoint_weight * ~crops.is_marks[:, None],
            vertices=vertices,
            betas=betas,
            twist=twist,
        )
