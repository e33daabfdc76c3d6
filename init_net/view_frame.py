"""Between the fit's targets, in a camera's frame, and what networks see, in the view frame."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.camera import rotation_to
from fitter.conventions import FINGERS, MODEL_FINGERS
from fitter.energies.keypoints import KeypointTargets
from fitter.fitting.observations import rays_of
from fitter.hand_models.keypoint_jacobian import in_canonical_order
from init_net.records import LifterInputs

_BONE_ROWS = [4 * MODEL_FINGERS.index(finger) + joint for finger in FINGERS for joint in range(4)]
"""Of each of `BONES` in the finger layout, whose fingers are in MANO's order."""


def lifter_inputs(targets: KeypointTargets, dtype: torch.dtype = torch.float32) -> LifterInputs:
    """What the lifter sees of B hands.

    Args:
        targets: of `fitter.fitting.observations.normalise`.
        dtype: of the result.
    """
    turn = rotation_to(targets.view)
    focal = targets.intrinsics[:, 0, 0]
    rays = rays_of(targets.intrinsics, in_canonical_order(targets.keypoints)) @ turn
    confidence = in_canonical_order(targets.keypoint_weight).clone()
    confidence[:, 0] *= 5  # its mass is shared out over the fingers
    depth = in_canonical_order(targets.relative_depth)
    has_depth = (targets.depth_weight > 0).flatten(1).any(-1)[:, None]
    bones = targets.bone_directions.flatten(1, 2)[:, _BONE_ROWS] @ turn
    has_bones = (targets.bone_weight > 0).flatten(1).any(-1)[:, None, None]
    return LifterInputs(
        positions=rays[..., :2] / rays[..., 2:] * focal[:, None, None],
        confidence=confidence,
        depth=torch.where(has_depth, depth, torch.nan),
        bones=torch.where(has_bones, bones, torch.nan),
        focal=focal,
    ).to(dtype)


def relative_joints(keypoints: Tensor, targets: KeypointTargets) -> Tensor:
    """What a lifter is to say of keypoints (B, 21, 3), metres, in the camera of `targets`:
    `LiftedHands.joints`."""
    points = keypoints @ rotation_to(targets.view)
    focal = targets.intrinsics[:, 0, 0, None, None]
    return focal * (points - points[:, :1]) / points[:, :1, 2:]


def in_camera(joints: Tensor, targets: KeypointTargets) -> Tensor:
    """Vectors (B, N, 3) of the view frame in the camera's axes."""
    return joints @ rotation_to(targets.view).mT


def view_rotations(targets: KeypointTargets) -> Tensor:
    """(B, 3, 3) rotations from the view frame to the camera's: ``x_camera = R x_view``."""
    return rotation_to(targets.view)
