"""The skinning core: one differentiable layer that poses every 16-joint hand model.

The function is SMPL's (Loper et al. 2015, "SMPL: A Skinned Multi-Person Linear Model", eqs. 2-10),
with MANO's skeleton and pose space (Romero et al. 2017, "Embodied Hands", eqs. 1-3):

    T(beta, theta) = T_bar + B_S(beta) + B_P(theta)                 template and blend shapes
    W(T, J, theta, w)_i = sum_k w_ki G'_k(theta, J(beta)) T_i       linear blend skinning

where G_k is the product of the rigid transforms from the root to joint k and G'_k is G_k with the
rest pose's transform removed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fitter.conventions import MODEL_TO_KEYPOINTS
from fitter.errors import InputError
from fitter.hand_models.model_data import HandModelData
from fitter.records import HandMesh, HandParams
from fitter.rotations import roma
from fitter.shapes import check_shapes

KEYPOINT_BONES = (*range(16), 15, 3, 6, 12, 9)
"""The bone that moves each of [16 joints, tips of thumb, index, middle, ring, little]."""


@dataclass(frozen=True)
class KeypointModel:
    """The part of a hand model that its 16 joints and 5 fingertips depend on.

    Attributes:
        joint_template: (16, 3) rest joints of the mean shape, metres, MANO's order.
        joint_shapedirs: (16, 3, S) their displacement for each unit of a shape coefficient.
        tip_template: (5, 3) rest fingertips, thumb to little.
        tip_shapedirs: (5, 3, S) as `joint_shapedirs`.
        tip_weights: (5, 16) skin weights of the fingertips.
        tip_posedirs: (5, 3, 135) pose blend shapes of the fingertips, or None.
        keypoint_offsets: (21, 3) as in `HandModelData`, zeros where that has None.
    """

    joint_template: Tensor
    joint_shapedirs: Tensor
    tip_template: Tensor
    tip_shapedirs: Tensor
    tip_weights: Tensor
    tip_posedirs: Tensor | None
    keypoint_offsets: Tensor

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`Tensor.to` on every tensor."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any]
        moved = {name: None if t is None else t.to(*args) for name, t in tensors.items()}
        return replace(self, **moved)


@dataclass(frozen=True)
class _Chain:
    """A posed skeleton: rotations (B, 16, 3, 3) local and global, joints (B, 16, 3) rest, posed."""

    local_rotations: Tensor
    global_rotations: Tensor
    rest_joints: Tensor
    joints: Tensor


def forward_kinematics(rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
    """Chain rotations from the root outwards (SMPL eqs. 3-4; the skeleton of MANO).

    Args:
        rotations: (B, 16, 3, 3) of each joint relative to its parent.
        rest_joints: (B, 16, 3) metres.

    Returns:
        (B, 16, 3, 3) rotations relative to the model frame and (B, 16, 3) posed joints, metres.
    """
    # Below the root the skeleton is five chains of three joints: all fingers advance together.
    fingers = rotations[:, 1:].unflatten(1, (5, 3))
    finger_joints = rest_joints[:, 1:].unflatten(1, (5, 3))
    roots = rest_joints[:, :1, None].expand(-1, 5, -1, -1)
    offsets = torch.diff(finger_joints, dim=2, prepend=roots)[..., None]
    rotation, position = rotations[:, :1], rest_joints[:, :1]
    chain_rotations, chain_positions = [], []
    for level in range(3):
        position = position + (rotation @ offsets[:, :, level])[..., 0]
        rotation = rotation @ fingers[:, :, level]
        chain_rotations.append(rotation)
        chain_positions.append(position)
    return (
        torch.cat([rotations[:, :1], torch.stack(chain_rotations, 2).flatten(1, 2)], 1),
        torch.cat([rest_joints[:, :1], torch.stack(chain_positions, 2).flatten(1, 2)], 1),
    )


def skin(
    points: Tensor, weights: Tensor, rotations: Tensor, rest_joints: Tensor, joints: Tensor
) -> Tensor:
    """Linear blend skinning (SMPL eq. 2), for any number J of joints.

    Args:
        points: (B, P, 3) in the rest pose, metres.
        weights: (P, J).
        rotations: (B, J, 3, 3) of the joints relative to the model frame.
        rest_joints: (B, J, 3) metres.
        joints: (B, J, 3) posed, metres.

    Returns:
        (B, P, 3) posed points, metres.
    """
    translations = joints - (rotations @ rest_joints[..., None])[..., 0]
    transforms = torch.cat([rotations, translations[..., None]], -1).flatten(2)
    blended = (weights @ transforms).unflatten(2, (3, 4))
    return (blended[..., :3] @ points[..., None])[..., 0] + blended[..., 3]


def pose_keypoints(model: KeypointModel, params: HandParams) -> tuple[Tensor, Tensor]:
    """Joints and keypoints alone: what `HandModel.forward` gives, without the mesh.

    Returns:
        (B, 16, 3) joints in MANO's order and (B, 21, 3) keypoints in canonical order, metres, in
        the frame `params` puts them in.
    """
    joints, tips, chain = _pose_reduced(model, _local_rotations(params), params.betas)
    transl = params.transl[:, None]
    joints = joints + transl
    return joints, _keypoints(joints, tips + transl, chain, model.keypoint_offsets)


def pose_keypoints_from_rotations(
    model: KeypointModel, rotations: Tensor, betas: Tensor
) -> tuple[Tensor, Tensor]:
    """`pose_keypoints` for rotation matrices: no axis-angle vector, whose gradient fails near pi.

    Args:
        model: any model's.
        rotations: (B, 16, 3, 3) of the root, then of each joint relative to its parent.
        betas: (B, n) shape coefficients.

    Returns:
        As `pose_keypoints`, for a `transl` of zero.
    """
    joints, tips, chain = _pose_reduced(model, rotations, betas)
    return joints, _keypoints(joints, tips, chain, model.keypoint_offsets)


class HandModel(torch.nn.Module):
    """A differentiable hand: parameters in, mesh out, batch first.

    The model's arrays are buffers that follow `Module.to` but stay out of `state_dict`, so that a
    checkpoint of a network that contains a hand never carries a licensed model.

    Attributes:
        data: the model as read, float64.
        faces: (F, 3) int64.
        v_template, shapedirs, posedirs, skin_weights, hands_mean, hands_components: as in
            `HandModelData`, in the module's dtype.
        joint_template: (16, 3) rest joints of the mean shape, metres.
        joint_shapedirs: (16, 3, S).
        tip_vertices: (5,) int64, thumb to little.
        keypoint_offsets: (21, 3) metres, see `HandModelData`; zeros where that has None.
    """

    faces: Tensor
    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None
    skin_weights: Tensor
    hands_mean: Tensor
    hands_components: Tensor
    joint_template: Tensor
    joint_shapedirs: Tensor
    tip_vertices: Tensor
    keypoint_offsets: Tensor

    def __init__(self, data: HandModelData, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.data = data
        regressor, offsets = data.joint_regressor, data.keypoint_offsets
        floating = {
            "v_template": data.v_template,
            "shapedirs": data.shapedirs,
            "posedirs": data.posedirs,
            "skin_weights": data.skin_weights,
            "hands_mean": data.hands_mean,
            "hands_components": data.hands_components,
            # Joints are linear in the shape, so the regressor is applied here, once (SMPL eq. 10).
            "joint_template": regressor @ data.v_template,
            "joint_shapedirs": np.einsum("jv,vcs->jcs", regressor, data.shapedirs),
            "keypoint_offsets": np.zeros((21, 3)) if offsets is None else offsets,
        }
        for name, array in floating.items():
            value = None if array is None else torch.as_tensor(array, dtype=dtype).contiguous()
            self.register_buffer(name, value, persistent=False)
        for name, indices in {"faces": data.faces, "tip_vertices": data.tip_vertices}.items():
            self.register_buffer(
                name, torch.tensor(np.asarray(indices, np.int64)), persistent=False
            )

    def forward(self, params: HandParams) -> HandMesh:
        """Pose the hand.

        Args:
            params: B hands; `betas` may have fewer components than the model, the rest are zero.

        Returns:
            Vertices, joints and keypoints in metres; differentiable in every field of `params`,
            also at zero rotation.

        Raises:
            InputError: `betas` has more components than the model.
            ValueError: another field of `params` has the wrong shape.
        """
        check_shapes(
            global_orient=(params.global_orient, ("B", 3)),
            hand_pose=(params.hand_pose, ("B", 15, 3)),
            betas=(params.betas, ("B", "S")),
            transl=(params.transl, ("B", 3)),
        )
        chain = _pose_chain(self.rest_joints(params.betas), _local_rotations(params))
        vertices = _pose_points(
            self.v_template + _displacement(self.shapedirs, params.betas),
            self.posedirs,
            self.skin_weights,
            chain,
        )
        transl = params.transl[:, None]
        vertices, joints = vertices + transl, chain.joints + transl
        tips = vertices.index_select(1, self.tip_vertices)
        return HandMesh(vertices, joints, _keypoints(joints, tips, chain, self.keypoint_offsets))

    def rest_joints(self, betas: Tensor) -> Tensor:
        """(B, 16, 3) joints of the rest pose in metres, for shapes (B, S) (SMPL eq. 10)."""
        return self.joint_template + _displacement(self.joint_shapedirs, betas)

    def pose_from_pca(self, coefficients: Tensor, flat_hand_mean: bool) -> Tensor:
        """`HandParams.hand_pose` (B, 15, 3) of coefficients (B, n) in the model's pose space.

        The first n components are used, n = 1..45. With `flat_hand_mean` zero is the template,
        without it zero is the mean pose.
        """
        components = self.hands_components[: coefficients.shape[1]]
        return self.pose_from_full(coefficients @ components, flat_hand_mean)

    def pose_from_full(self, pose: Tensor, flat_hand_mean: bool) -> Tensor:
        """`HandParams.hand_pose` (B, 15, 3) of a data set's axis-angle pose (B, 45).

        With `flat_hand_mean` the pose is relative to the template, as ours is; without it, to the
        mean pose, which is added here.
        """
        return (pose if flat_hand_mean else pose + self.hands_mean).unflatten(1, (15, 3))

    def keypoint_model(self) -> KeypointModel:
        """The part of this model that joints and keypoints depend on (shares no memory)."""
        tips = self.tip_vertices
        return KeypointModel(
            joint_template=self.joint_template.clone(),
            joint_shapedirs=self.joint_shapedirs.clone(),
            tip_template=self.v_template[tips],
            tip_shapedirs=self.shapedirs[tips],
            tip_weights=self.skin_weights[tips],
            tip_posedirs=None if self.posedirs is None else self.posedirs[tips],
            keypoint_offsets=self.keypoint_offsets.clone(),
        )

    def mirrored(self) -> HandModel:
        """The model of the other hand, same dtype and device.

        ``model.mirrored()(params.mirrored())`` is ``model(params)`` with x negated.
        """
        model = HandModel(self.data.mirrored(), self.v_template.dtype)
        return model.to(self.v_template.device)


def _displacement(basis: Tensor, coefficients: Tensor) -> Tensor:
    """Blend shapes (SMPL eqs. 8-9): (P, 3, N) basis, (B, n <= N) coefficients -> (B, P, 3)."""
    available, given = basis.shape[-1], coefficients.shape[-1]
    if given > available:
        raise InputError("model.betas", available=available, given=given)
    matrix = basis[..., :given].flatten(0, 1)
    return (coefficients @ matrix.T).unflatten(1, (-1, 3))


def _local_rotations(params: HandParams) -> Tensor:
    """(B, 16, 3, 3) rotation of each joint relative to its parent (Rodrigues, SMPL eq. 1)."""
    axis_angles = torch.cat([params.global_orient[:, None], params.hand_pose], 1)
    return roma.rotvec_to_rotmat(axis_angles)


def _pose_chain(rest_joints: Tensor, rotations: Tensor) -> _Chain:
    """Rotate the skeleton (SMPL eqs. 3-4): (B, 16, 3) and (B, 16, 3, 3) local rotations."""
    global_rotations, joints = forward_kinematics(rotations, rest_joints)
    return _Chain(rotations, global_rotations, rest_joints, joints)


def _pose_reduced(
    model: KeypointModel, rotations: Tensor, betas: Tensor
) -> tuple[Tensor, Tensor, _Chain]:
    """(B, 16, 3) joints and (B, 5, 3) fingertips, posed about the root, and the skeleton."""
    rest_joints = model.joint_template + _displacement(model.joint_shapedirs, betas)
    chain = _pose_chain(rest_joints, rotations)
    tips = _pose_points(
        model.tip_template + _displacement(model.tip_shapedirs, betas),
        model.tip_posedirs,
        model.tip_weights,
        chain,
    )
    return chain.joints, tips, chain


def _pose_points(shaped: Tensor, posedirs: Tensor | None, weights: Tensor, chain: _Chain) -> Tensor:
    """Pose shaped points (B, P, 3): pose blend shapes (SMPL eq. 9), then skinning (eq. 2)."""
    if posedirs is not None:
        rotations = chain.local_rotations[:, 1:]
        feature = rotations - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        shaped = shaped + _displacement(posedirs, feature.flatten(1))
    return skin(shaped, weights, chain.global_rotations, chain.rest_joints, chain.joints)


def _keypoints(joints: Tensor, tips: Tensor, chain: _Chain, offsets: Tensor) -> Tensor:
    """(B, 21, 3) keypoints in canonical order of (B, 16, 3) joints and (B, 5, 3) fingertips."""
    rotated = chain.global_rotations[:, KEYPOINT_BONES] @ offsets[..., None]
    points = (torch.cat([joints, tips], 1) + rotated[..., 0]).unbind(1)
    return torch.stack([points[index] for index in MODEL_TO_KEYPOINTS], 1)
