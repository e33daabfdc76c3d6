"""Offsets of a hand's vertices, in its rest pose and in another.

Skinning moves a vertex by the blend of its bones' transforms, so that what is added to the template
moves with the linear part of that blend (SMPL eq. 7): ``A = sum_k w_k R_k``, a rotation where one
bone moves the vertex, and nearly one elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.hand_models.keypoint_model import Chain, local_rotations
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams


def skinning_matrices(model: HandModel, params: HandParams) -> Tensor:
    """(B, V, 3, 3) the linear part of each vertex's transform in B poses."""
    joints = model.rest_joints(params.betas)
    chain = Chain.of(joints, local_rotations(params), model.skeleton)
    rotations = chain.global_rotations.flatten(2)
    return (model.skin_weights @ rotations).unflatten(-1, (3, 3))


def posed_offsets(model: HandModel, params: HandParams, rest: Tensor) -> Tensor:
    """(B, V, 3) metres, in the frame `params` puts the hand in, of offsets (B, V, 3) in the rest
    pose."""
    return (skinning_matrices(model, params) @ rest[..., None])[..., 0]


def rest_offsets(
    model: HandModel, params: HandParams, posed: Tensor, least: float
) -> tuple[Tensor, Tensor]:
    """The inverse of `posed_offsets`.

    Args:
        model, params: the hands.
        posed: (B, V, 3) metres.
        least: determinant below which a vertex's skin is folded too much to say.

    Returns:
        (B, V, 3) metres, and (B, V) bool where they are known; 0 elsewhere.
    """
    matrices = skinning_matrices(model, params)
    known = torch.linalg.det(matrices) > least
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    safe = torch.where(known[..., None, None], matrices, identity)
    found = torch.linalg.solve(safe, posed[..., None])[..., 0]
    return torch.where(known[..., None], found, 0.0), known
