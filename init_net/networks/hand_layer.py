"""`HandLayer`: a hand model as a layer of a network, with the joints that data sets label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from fitter.conventions import MODEL_TO_KEYPOINTS
from fitter.hand_models import HandModel
from fitter.hand_models.keypoint_definitions import KeypointDefinition, fingertips
from fitter.hand_models.keypoint_model import (
    Chain,
    KeypointModel,
    displacement,
    local_rotations,
    pose_keypoints,
    pose_keypoints_from_rotations,
    pose_points,
)
from fitter.records import HandParams


class HandLayer(nn.Module):
    """A right hand's mesh and its 21 joints, relative to the wrist joint. It learns nothing, and
    nothing of it is stored with a network, so that weights carry no licensed model.

    Attributes:
        model: what poses the hand.
        regressor: (21, V) Yu et al. eq. 2: the model's joint regressor and its fingertip vertices
            as data sets label them, canonical order; a buffer.
    """

    regressor: Tensor

    def __init__(self, model: HandModel) -> None:
        """A layer of a right hand that is on the CPU."""
        super().__init__()
        self.model = model
        self._joints = KeypointDefinition.of(model, "mano").reduced
        regressor = torch.from_numpy(joint_regressor(model)).to(model.v_template.dtype)
        self.register_buffer("regressor", regressor, persistent=False)

    @cached_property
    def joints(self) -> KeypointModel:
        """The part of the model that its 21 joints depend on, on the layer's device and in its
        dtype; what `inverse_kinematics` takes."""
        like = self.model.v_template
        return self._joints.to(like.device, like.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What was made on another device or in another dtype is made again.
        self.__dict__.pop("joints", None)
        return super()._apply(fn, recurse)

    def regress(self, vertices: Tensor) -> Tensor:
        """(B, 21, 3) joints of any mesh (B, V, 3) of the model's topology, of its unit and frame:
        exact at rest alone, see `init_net.networks.joint_vae`."""
        return self.regressor @ vertices

    def forward(self, rotations: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Pose B hands.

        Args:
            rotations: (B, R + 1, 3, 3) of the wrist, then of each joint that rotates, relative to
                its parent.
            betas: (B, S).

        Returns:
            (B, V, 3) vertices and (B, 21, 3) joints, metres, relative to the wrist joint.
        """
        model = self.model
        chain = Chain.of(model.rest_joints(betas), rotations, model.skeleton)
        shaped = model.v_template + displacement(model.shapedirs, betas)
        vertices = pose_points(shaped, model.posedirs, model.skin_weights, chain)
        joints = pose_keypoints_from_rotations(self.joints, rotations, betas)[1]
        return vertices - joints[:, :1], joints - joints[:, :1]

    def posed(self, params: HandParams) -> tuple[Tensor, Tensor]:
        """As `forward`, of parameters; `transl` makes no difference."""
        found: tuple[Tensor, Tensor] = self(local_rotations(params), params.betas)
        return found

    def about_the_wrist(self, params: HandParams) -> HandParams:
        """The same hands with their wrist joint at the origin."""
        moved = replace(params, transl=torch.zeros_like(params.transl))
        wrist = pose_keypoints(self.joints, moved)[1][:, 0]
        return replace(params, transl=-wrist)


def joint_regressor(model: HandModel) -> np.ndarray:
    """(21, V) float64 `HandLayer.regressor` of a model."""
    data = model.data
    if data.keypoint_regressor is not None:
        return np.array(data.keypoint_regressor, np.float64)
    # A model without a regressor of keypoints has one of joints.
    assert data.joint_regressor is not None
    tips = np.zeros((5, len(data.v_template)))
    tips[np.arange(5), fingertips(model, "mano").numpy()] = 1
    rows: np.ndarray = np.concatenate([data.joint_regressor, tips])[list(MODEL_TO_KEYPOINTS)]
    return rows
