"""What the decoders have in common: latent features in, a mesh out, and where it begins."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from fitter.hand_models import HandModel
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.networks.rotations import facing_hand

UNIT = 0.1
"""Metres of an output of 1 of a decoder's last layer: about a hand's half (not published)."""

SMALL_WEIGHTS = 1e-3
"""Standard deviation of the last layers' weights at first (not published)."""


class MeshDecoder(Protocol):
    """f of eq. 2."""

    def __call__(self, latent: Tensor) -> Tensor:
        """(B, V, 3) vertices, metres, relative to the wrist joint, view axes, of z (B, Z). Each
        hand depends on its own z alone."""
        ...


def facing_pose(model: HandModel) -> HandParams:
    """Where decoders begin (not published): one hand (B = 1) of mean pose and shape, fingers up and
    palm to the camera, `transl` zero.

    Args:
        model: a right hand, float32 on the CPU.
    """
    like = model.v_template.new_zeros(1, 3)
    pose = model.pose_from_full(like.new_zeros(1, 3 * model.skeleton.rotations), False)
    betas = like.new_zeros(1, model.shapedirs.shape[2])
    rotation = facing_hand(model(HandParams(like, pose, betas, like)).keypoints[0])
    return HandParams(roma.rotmat_to_rotvec(rotation)[None], pose, betas, like)


class SparseUp(nn.Module):
    """`init_net.networks.mesh_levels.UpSampling` of features.

    Attributes:
        vertices, weights: as there, buffers that are not stored with weights.
    """

    vertices: Tensor
    weights: Tensor

    def __init__(self, vertices: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("vertices", vertices, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, V, C) of (B, W, C)."""
        corners = (features.index_select(1, corner) for corner in self.vertices.unbind(1))
        parts = zip(corners, self.weights.unbind(1), strict=True)
        return torch.stack([corner * weight[:, None] for corner, weight in parts]).sum(0)
