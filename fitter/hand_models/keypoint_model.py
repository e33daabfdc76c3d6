"""The part of a hand model that its joints and 21 keypoints depend on.

It is small whatever the mesh: a keypoint that is a combination of skinned vertices,
``x_k = sum_v c_kv x_v``, is multiplied out once into vectors that are fixed to bones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from fitter.conventions import MODEL_TO_KEYPOINTS
from fitter.errors import InputError
from fitter.hand_models.kinematics import forward_kinematics, with_still_joints
from fitter.hand_models.skeleton import MANO_SKELETON, Skeleton
from fitter.records import HandParams
from fitter.rotations import roma

KEYPOINT_BONES = (*range(16), 15, 3, 6, 12, 9)
"""The bone that moves each of [16 joints, tips of thumb, index, middle, ring, little]."""


@dataclass(frozen=True)
class RegressedKeypoints:
    """21 keypoints, canonical order, that are combinations ``sum_v c_kv x_v`` of posed vertices.

    With linear blend skinning (SMPL eq. 2), ``x_v = sum_j w_vj (R_j (t_v - j_j) + p_j)``, j_j the
    rest joints and p_j the posed ones, and with ``W_kj = sum_v c_kv w_vj`` they are

        x_k = sum_j R_j (a_kj - W_kj j_j) + W_kj p_j,    a_kj = sum_v c_kv w_vj t_v,

    where a_kj is affine in the shape coefficients and the elements of R - I as t_v is.

    Attributes:
        weights: (21, J) W_kj, each row of sum 1.
        template: (21, J, 3) metres, a_kj of the mean shape in the rest pose.
        shapedirs: (21, J, 3, S) their change for each unit of a shape coefficient.
        posedirs: (21, J, 3, 9 R) their change for each unit of an element of R - I; None in a
            model without pose blend shapes.
    """

    weights: Tensor
    template: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`Tensor.to` on every tensor."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any]
        moved = {name: None if t is None else t.to(*args) for name, t in tensors.items()}
        return replace(self, **moved)


@dataclass(frozen=True)
class KeypointModel:
    """The part of a hand model that its J joints and 21 keypoints depend on.

    Attributes:
        joint_template: (J, 3) rest joints of the mean shape, metres, the skeleton's order.
        joint_shapedirs: (J, 3, S) their displacement for each unit of a shape coefficient.
        tip_template: (5, 3) rest fingertips, thumb to little.
        tip_shapedirs: (5, 3, S) as `joint_shapedirs`.
        tip_weights: (5, J) skin weights of the fingertips.
        tip_posedirs: (5, 3, 9 R) pose blend shapes of the fingertips, or None.
        keypoint_offsets: (21, 3) as in `HandModelData`, zeros where that has None.
        skeleton: the tree of the joints, R of which rotate beside the root.
        regressed: the keypoints; None where they are joints and fingertips with their offsets.
    """

    joint_template: Tensor
    joint_shapedirs: Tensor
    tip_template: Tensor
    tip_shapedirs: Tensor
    tip_weights: Tensor
    tip_posedirs: Tensor | None
    keypoint_offsets: Tensor
    skeleton: Skeleton = MANO_SKELETON
    regressed: RegressedKeypoints | None = None

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`Tensor.to` on every tensor."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "skeleton"}
        moved: dict[str, Any]
        moved = {name: None if t is None else t.to(*args) for name, t in parts.items()}
        return replace(self, **moved)

    def rest_keypoints(self) -> tuple[Tensor, Tensor]:
        """(21, 3) keypoints of the mean hand at rest, canonical order, metres, and (21, 3, S) their
        displacement for each unit of a shape coefficient."""
        if self.regressed is not None:
            return self.regressed.template.sum(1), self.regressed.shapedirs.sum(1)
        points = torch.cat([self.joint_template, self.tip_template]) + self.keypoint_offsets
        basis = torch.cat([self.joint_shapedirs, self.tip_shapedirs])
        order = MODEL_TO_KEYPOINTS
        return torch.stack([points[k] for k in order]), torch.stack([basis[k] for k in order])


@dataclass(frozen=True)
class Chain:
    """A posed skeleton.

    Attributes:
        local_rotations: (B, R + 1, 3, 3) of the root and of each joint that rotates, relative to
            its parent.
        global_rotations: (B, J, 3, 3) relative to the model's frame.
        rest_joints: (B, J, 3) metres; joints: (B, J, 3) the same posed.
    """

    local_rotations: Tensor
    global_rotations: Tensor
    rest_joints: Tensor
    joints: Tensor

    @classmethod
    def of(cls, rest_joints: Tensor, rotations: Tensor, skeleton: Skeleton) -> Self:
        """Rotate the skeleton (SMPL eqs. 3-4): (B, J, 3) and (B, R + 1, 3, 3) local rotations."""
        every = with_still_joints(rotations, skeleton)
        world, joints = forward_kinematics(every, rest_joints, skeleton)
        return cls(rotations, world, rest_joints, joints)

    @property
    def feature(self) -> Tensor:
        """(B, 9 R) the elements of R - I, which drive pose blend shapes."""
        rotations = self.local_rotations[:, 1:]
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        return (rotations - identity).flatten(1)


def pose_keypoints(model: KeypointModel, params: HandParams) -> tuple[Tensor, Tensor]:
    """Joints and keypoints alone: what `HandModel.forward` gives, without the mesh.

    Returns:
        (B, J, 3) joints in the skeleton's order and (B, 21, 3) keypoints in canonical order,
        metres, in the frame `params` puts them in.
    """
    chain = _posed(model, local_rotations(params), params.betas)
    transl = params.transl[:, None]
    if model.regressed is not None:
        keypoints = _regressed(model.regressed, chain, params.betas) + transl
        return chain.joints + transl, keypoints
    tips, joints = _tips(model, chain, params.betas) + transl, chain.joints + transl
    return joints, marked_keypoints(joints, tips, chain, model.keypoint_offsets)


def pose_keypoints_from_rotations(
    model: KeypointModel, rotations: Tensor, betas: Tensor
) -> tuple[Tensor, Tensor]:
    """`pose_keypoints` for rotation matrices: no axis-angle vector, whose gradient fails near pi.

    Args:
        model: any model's.
        rotations: (B, R + 1, 3, 3) of the root, then of each joint that rotates relative to its
            parent.
        betas: (B, n) shape coefficients.

    Returns:
        As `pose_keypoints`, for a `transl` of zero.
    """
    chain = _posed(model, rotations, betas)
    if model.regressed is not None:
        return chain.joints, _regressed(model.regressed, chain, betas)
    tips = _tips(model, chain, betas)
    return chain.joints, marked_keypoints(chain.joints, tips, chain, model.keypoint_offsets)


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


def pose_points(shaped: Tensor, posedirs: Tensor | None, weights: Tensor, chain: Chain) -> Tensor:
    """Pose shaped points (B, P, 3): pose blend shapes (SMPL eq. 9), then skinning (eq. 2).

    Args:
        shaped: (B, P, 3) metres, in the rest pose.
        posedirs: (P, 3, 9 R), or None.
        weights: (P, J).
        chain: the posed skeleton.

    Returns:
        (B, P, 3) metres.
    """
    if posedirs is not None:
        shaped = shaped + displacement(posedirs, chain.feature)
    return skin(shaped, weights, chain.global_rotations, chain.rest_joints, chain.joints)


def displacement(basis: Tensor, coefficients: Tensor) -> Tensor:
    """Blend shapes (SMPL eqs. 8-9): (P, 3, N) basis, (B, n <= N) coefficients -> (B, P, 3).

    Raises:
        InputError: there are more coefficients than components.
    """
    available, given = basis.shape[-1], coefficients.shape[-1]
    if given > available:
        raise InputError("model.betas", available=available, given=given)
    matrix = basis[..., :given].flatten(0, 1)
    return (coefficients @ matrix.T).unflatten(1, (-1, 3))


def local_rotations(params: HandParams) -> Tensor:
    """(B, R + 1, 3, 3) rotation of each joint relative to its parent (Rodrigues, SMPL eq. 1)."""
    axis_angles = torch.cat([params.global_orient[:, None], params.hand_pose], 1)
    return roma.rotvec_to_rotmat(axis_angles)


def marked_keypoints(joints: Tensor, tips: Tensor, chain: Chain, offsets: Tensor) -> Tensor:
    """(B, 21, 3) keypoints in canonical order of MANO's joints (B, 16, 3) and fingertips (B, 5, 3),
    beside which they lie by offsets (21, 3) that are fixed to bones."""
    rotated = chain.global_rotations[:, KEYPOINT_BONES] @ offsets[..., None]
    points = (torch.cat([joints, tips], 1) + rotated[..., 0]).unbind(1)
    return torch.stack([points[index] for index in MODEL_TO_KEYPOINTS], 1)


def _posed(model: KeypointModel, rotations: Tensor, betas: Tensor) -> Chain:
    rest_joints = model.joint_template + displacement(model.joint_shapedirs, betas)
    return Chain.of(rest_joints, rotations, model.skeleton)


def _tips(model: KeypointModel, chain: Chain, betas: Tensor) -> Tensor:
    """(B, 5, 3) fingertips, posed about the root."""
    shaped = model.tip_template + displacement(model.tip_shapedirs, betas)
    return pose_points(shaped, model.tip_posedirs, model.tip_weights, chain)


def _regressed(keypoints: RegressedKeypoints, chain: Chain, betas: Tensor) -> Tensor:
    """(B, 21, 3) keypoints, posed about the root, by the formula of `RegressedKeypoints`."""
    count = keypoints.weights.shape[1]
    fixed = keypoints.template.flatten(0, 1)
    fixed = fixed + displacement(keypoints.shapedirs.flatten(0, 1), betas)
    if keypoints.posedirs is not None:
        fixed = fixed + displacement(keypoints.posedirs.flatten(0, 1), chain.feature)
    fixed = fixed.unflatten(1, (-1, count))
    bones, joints = chain.global_rotations, chain.joints
    shifts = joints - (bones @ chain.rest_joints[..., None])[..., 0]
    # (B, 21, 3 J) @ (B, 3 J, 3)
    turned = fixed.flatten(2) @ bones.mT.flatten(1, 2)
    return turned + keypoints.weights @ shifts
