"""The 21 keypoints of a posed hand together with their analytic Jacobian.

The Levenberg-Marquardt solver needs d(keypoints)/d(parameters) at every iteration. Forward-mode
differentiation of `skinning.pose_keypoints` gives the same matrix an order of magnitude more
slowly; it is the readable twin that the tests compare with this module.

Tangent vector of one hand, D = 51 + S entries:
    0:3    left-multiplicative increment of the global rotation, R <- exp(delta) R
    3:6    increment of `transl`
    6:51   increments of the 15 axis-angle vectors of `hand_pose`, MANO's order
    51:    increments of `betas`
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from fitter.conventions import MODEL_TO_KEYPOINTS, PARENTS
from fitter.hand_models.skinning import KEYPOINT_BONES, KeypointModel
from fitter.records import HandParams

GLOBAL = slice(0, 3)
TRANSL = slice(3, 6)
POSE = slice(6, 51)
BETAS = slice(51, None)

_SERIES_BELOW = 1e-2
"""Angle in radians below which Taylor series replace quotients that lose all their digits."""


class KeypointJacobian(NamedTuple):
    """Keypoints of B hands and how they move.

    Attributes:
        keypoints: (B, 21, 3) metres, canonical order, the camera's frame.
        jacobian: (B, 21, 3, D) d(keypoints)/d(tangent vector).
    """

    keypoints: Tensor
    jacobian: Tensor


def left_jacobian(rotation_vector: Tensor) -> Tensor:
    """Left Jacobian of SO(3): exp((w + d)^) = exp((J(w) d)^) exp(w^) to first order.

    Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics", eq. 145.

    Args:
        rotation_vector: (..., 3) radians.

    Returns:
        (..., 3, 3).
    """
    squared = rotation_vector.square().sum(-1)
    small = squared < _SERIES_BELOW**2
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    first = torch.where(
        small, 0.5 - squared / 24 + squared.square() / 720, (1 - angle.cos()) / safe
    )
    second = torch.where(
        small,
        1 / 6 - squared / 120 + squared.square() / 5040,
        (angle - angle.sin()) / (safe * angle),
    )
    hat = skew(rotation_vector)
    identity = torch.eye(3, dtype=hat.dtype, device=hat.device)
    return identity + first[..., None, None] * hat + second[..., None, None] * (hat @ hat)


def skew(vector: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3) with ``skew(a) @ b == cross(a, b)``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def retract(params: HandParams, step: Tensor) -> HandParams:
    """Move along a tangent vector.

    Args:
        params: of B hands.
        step: (B, D).
    """
    rotation = roma.rotvec_composition((step[:, GLOBAL], params.global_orient))
    return replace(
        params,
        global_orient=rotation,
        transl=params.transl + step[:, TRANSL],
        hand_pose=params.hand_pose + step[:, POSE].unflatten(-1, (15, 3)),
        betas=params.betas + step[:, BETAS],
    )


def keypoints_with_jacobian(model: KeypointModel, params: HandParams) -> KeypointJacobian:
    """Pose the 21 keypoints and differentiate them; equals `skinning.pose_keypoints`.

    Args:
        model: the reduced model, on the parameters' device and dtype.
        params: of B hands.
    """
    chain = _Chain.of(model, params)
    joints = chain.positions
    tips, tips_by_bone = _skin_tips(model, chain)

    offsets = (chain.rotations[:, KEYPOINT_BONES] @ model.keypoint_offsets[..., None])[..., 0]
    points = torch.cat([joints, tips], 1) + offsets
    d_global = -skew(points - joints[:, :1])
    d_transl = torch.eye(3, dtype=points.dtype, device=points.device).expand(*points.shape, 3)
    d_pose = _pose_derivative(model, chain, offsets, tips_by_bone)
    d_betas = _betas_derivative(model, chain)

    order = torch.tensor(MODEL_TO_KEYPOINTS, device=points.device)
    jacobian = torch.cat([d_global, d_transl, d_pose, d_betas], -1)
    return KeypointJacobian(points[:, order], jacobian[:, order])


class _Chain(NamedTuple):
    """The posed kinematic chain of B hands.

    Attributes:
        local: (B, 15, 3, 3) rotations of the non-root joints relative to their parents.
        turn: (B, 15, 3, 3) columns: world rotation axes of the axis-angle increments.
        rotations: (B, 16, 3, 3) world rotations.
        positions: (B, 16, 3) world positions, metres.
        rest: (B, 16, 3) rest positions, metres.
        tips: (B, 5, 3) rest positions of the fingertips, pose correctives included, metres.
    """

    local: Tensor
    turn: Tensor
    rotations: Tensor
    positions: Tensor
    rest: Tensor
    tips: Tensor

    @classmethod
    def of(cls, model: KeypointModel, params: HandParams) -> _Chain:
        local = roma.rotvec_to_rotmat(params.hand_pose)
        left = left_jacobian(params.hand_pose)
        rest = model.joint_template + torch.einsum(
            "jcs,bs->bjc", model.joint_shapedirs, params.betas
        )
        tips = model.tip_template + torch.einsum("vcs,bs->bvc", model.tip_shapedirs, params.betas)
        if model.tip_posedirs is not None:
            identity = torch.eye(3, dtype=local.dtype, device=local.device)
            tips = tips + torch.einsum(
                "vcp,bp->bvc", model.tip_posedirs, (local - identity).flatten(1)
            )

        # MANO's tree is five fingers of three joints: three steps, five fingers at once.
        local_f, left_f = local.unflatten(1, (5, 3)), left.unflatten(1, (5, 3))
        rest_f = rest[:, 1:].unflatten(1, (5, 3))
        rotation = roma.rotvec_to_rotmat(params.global_orient)[:, None].expand(-1, 5, -1, -1)
        root = rest[:, 0] + params.transl
        position, rest_parent = root[:, None].expand(-1, 5, -1), rest[:, :1].expand(-1, 5, -1)
        turns, rotations, positions = [], [], []
        for level in range(3):
            offset = rest_f[:, :, level] - rest_parent
            position = position + (rotation @ offset[..., None])[..., 0]
            turns.append(rotation @ left_f[:, :, level])
            rotation = rotation @ local_f[:, :, level]
            rest_parent = rest_f[:, :, level]
            rotations.append(rotation)
            positions.append(position)
        turn = torch.stack(turns, 2).flatten(1, 2)
        world = torch.stack(rotations, 2).flatten(1, 2)
        root_rotation = roma.rotvec_to_rotmat(params.global_orient)[:, None]
        return cls(
            local=local,
            turn=turn,
            rotations=torch.cat([root_rotation, world], 1),
            positions=torch.cat([root[:, None], torch.stack(positions, 2).flatten(1, 2)], 1),
            rest=rest,
            tips=tips,
        )


def _skin_tips(model: KeypointModel, chain: _Chain) -> tuple[Tensor, Tensor]:
    """Skinned fingertips (B, 5, 3) and each bone's share of them, w_b x_b (B, 5, 16, 3)."""
    offsets = chain.tips[:, :, None] - chain.rest[:, None]
    moved = torch.einsum("bjrc,bvjc->bvjr", chain.rotations, offsets) + chain.positions[:, None]
    shares = model.tip_weights[None, :, :, None] * moved
    return shares.sum(2), shares


def _descendants(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(15, 16): entry (j, b) is 1 where bone b hangs on non-root joint j + 1 (itself included)."""
    table = torch.zeros(16, 16, dtype=dtype)
    for bone in range(16):
        joint = bone
        while joint >= 0:
            table[joint, bone] = 1
            joint = PARENTS[joint]
    return table[1:].to(device)


def _pose_derivative(
    model: KeypointModel, chain: _Chain, offsets: Tensor, tips_by_bone: Tensor
) -> Tensor:
    """(B, 21, 3, 45) in the order [16 joints, 5 tips].

    The part of point x that hangs on joint j, of weight s, turns about p_j: the increment of the
    world rotation with axis a moves it by ``a x (y - s p_j)``, y the weighted position.
    """
    below = _descendants(offsets.device, offsets.dtype)
    joints = chain.positions
    y_joints = below.T[None, :, :, None] * joints[:, :, None]
    y_tips = torch.einsum("jk,bvkc->bvjc", below, tips_by_bone)
    s_tips = model.tip_weights @ below.T
    share = torch.cat([below.T, s_tips], 0)
    y_offsets = below.T[KEYPOINT_BONES, :, None] * offsets[:, :, None]
    lever = (
        torch.cat([y_joints, y_tips], 1) + y_offsets - share[None, :, :, None] * joints[:, None, 1:]
    )
    derivative = -(skew(lever) @ chain.turn[:, None])
    derivative = derivative.transpose(2, 3)
    if model.tip_posedirs is not None:
        derivative = torch.cat(
            [derivative[:, :16], derivative[:, 16:] + _corrective_derivative(model, chain)], 1
        )
    return derivative.flatten(3)


def _corrective_derivative(model: KeypointModel, chain: _Chain) -> Tensor:
    """(B, 5, 3, 15, 3): what the pose correctives add to the fingertips' pose derivative."""
    posedirs = model.tip_posedirs.unflatten(-1, (15, 3, 3))
    parents = torch.tensor(PARENTS[1:], device=chain.turn.device)
    # d(local)/d(increment k) = (J_l e_k)^ local, with J_l = (parent rotation)^T turn.
    left = chain.rotations[:, parents].transpose(-1, -2) @ chain.turn
    d_local = skew(left.transpose(-1, -2)) @ chain.local[:, :, None]
    d_rest = torch.einsum("vcjrs,bjkrs->bvcjk", posedirs, d_local)
    blended = torch.einsum("vj,bjrc->bvrc", model.tip_weights, chain.rotations)
    return torch.einsum("bvrc,bvcjk->bvrjk", blended, d_rest)


def _betas_derivative(model: KeypointModel, chain: _Chain) -> Tensor:
    """(B, 21, 3, S) in the order [16 joints, 5 tips]."""
    basis = model.joint_shapedirs
    batch = chain.rotations.shape[0]
    parents = torch.tensor(PARENTS[1:], device=basis.device)
    steps = chain.rotations[:, parents] @ (basis[1:] - basis[parents])
    fingers = steps.unflatten(1, (5, 3)).cumsum(2).flatten(1, 2) + basis[0]
    d_joints = torch.cat([basis[:1].expand(batch, -1, -1, -1), fingers], 1)
    relative = model.tip_shapedirs[:, None] - basis[None]
    turned = torch.einsum("bjrc,vjcs->bvjrs", chain.rotations, relative)
    d_tips = torch.einsum("vj,bvjrs->bvrs", model.tip_weights, turned + d_joints[:, None])
    return torch.cat([d_joints, d_tips], 1)
