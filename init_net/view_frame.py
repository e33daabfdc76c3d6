"""Between normalised hands, in a camera's frame, and what networks see, in the view frame."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.camera import rotation_to
from fitter.fitting.observations import rays_of
from fitter.records import NormalisedHands
from init_net.records import LifterInputs


def lifter_inputs(hands: NormalisedHands, dtype: torch.dtype = torch.float32) -> LifterInputs:
    """What the lifter sees of B usable hands, in the given dtype."""
    rotation = rotation_to(hands.view_direction)
    focal = hands.intrinsics[:, 0, 0]
    rays = rays_of(hands.intrinsics, hands.keypoints) @ rotation
    has_depth = (hands.depth_weight > 0).any(-1, keepdim=True)
    has_bones = (hands.bone_weight > 0).any(-1)[:, None, None]
    return LifterInputs(
        positions=rays[..., :2] / rays[..., 2:] * focal[:, None, None],
        confidence=hands.confidence,
        depth=torch.where(has_depth, hands.relative_depth, torch.nan),
        bones=torch.where(has_bones, hands.bone_directions @ rotation, torch.nan),
        focal=focal,
        features=hands.features,
    ).to(dtype)


def relative_keypoints(keypoints: Tensor, hands: NormalisedHands) -> Tensor:
    """What a lifter is to say of keypoints (B, 21, 3), metres, in the camera of `hands`:
    `LiftedHands.keypoints`."""
    points = keypoints @ rotation_to(hands.view_direction)
    focal = hands.intrinsics[:, 0, 0, None, None]
    return focal * (points - points[:, :1]) / points[:, :1, 2:]


def in_camera(keypoints: Tensor, hands: NormalisedHands) -> Tensor:
    """Vectors (B, N, 3) of the view frame in the camera's axes."""
    return keypoints @ rotation_to(hands.view_direction).mT


def view_rotations(hands: NormalisedHands) -> Tensor:
    """(B, 3, 3) rotations from the view frame to the camera's: ``x_camera = R x_view``."""
    return rotation_to(hands.view_direction)


def view_focal(focal: Tensor, direction: Tensor) -> Tensor:
    """(B,) focal lengths that cameras have about a line of sight, in the unit of `focal`.

    An image is stretched away from its optical axis: by ``1 / cos^2`` along the way from its middle
    and by ``1 / cos`` across it, with the angle to the axis. What it shows of a hand there is what
    a camera turned to the hand would show with the geometric mean of both as much focal length.

    Args:
        focal: (B,) of the cameras.
        direction: (B, 3) unit vectors, lines of sight in the cameras' axes.
    """
    return focal * direction[:, 2] ** -1.5


def view_camera(focal: Tensor) -> Tensor:
    """(B, 3, 3) K of a camera that looks along the view frame's z axis, about the crop's middle, of
    focal lengths (B,) in its unit."""
    return torch.diag_embed(torch.stack([focal, focal, torch.ones_like(focal)], -1))
