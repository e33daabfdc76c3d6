"""Energies between the model's 21 keypoints and what a detector saw of them.

Each takes the keypoints with their Jacobian and returns one `Quadratic`, not yet weighted.
Positions are in crop units: the crop's K maps the hand's square box to [0, 1], so that no
constant depends on how large the hand is in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.conventions import BONES
from fitter.energies.residuals import Quadratic, charbonnier, geman_mcclure, quadratic_of
from fitter.hand_models.kinematics import KeypointJacobian
from fitter.records import TensorBatch


@dataclass(frozen=True)
class KeypointTargets(TensorBatch):
    """What is known of B hands (right ones, or mirrored left ones).

    Attributes:
        keypoints: (B, 21, 2) crop units.
        confidence: (B, 21) in [0, 1].
        intrinsics: (B, 3, 3) K of the crop.
        view: (B, 3) unit vector, camera frame, along the ray through the middle of the hand.
        relative_depth: (B, 21) crop units along `view`, relative to the wrist; 0 where unknown.
        has_depth: (B,) 1 where `relative_depth` is known, else 0.
        bone_directions: (B, 20, 3) unit vectors, camera frame; 0 where unknown.
        has_bones: (B,) 1 where `bone_directions` are known, else 0.
    """

    keypoints: Tensor
    confidence: Tensor
    intrinsics: Tensor
    view: Tensor
    relative_depth: Tensor
    has_depth: Tensor
    bone_directions: Tensor
    has_bones: Tensor


def reprojection(model: KeypointJacobian, targets: KeypointTargets, scale: float) -> Quadratic:
    """Distance between projected and detected keypoints, robust, weighted by confidence.

    Args:
        model: keypoints in the camera's frame.
        targets: what was detected.
        scale: crop units; a keypoint much farther off than this is taken for an outlier.

    Returns:
        Sum over keypoints of ``confidence * rho(distance^2 / scale^2)``, not finite for a hand
        any of whose keypoints is behind the camera.
    """
    x, y, z = model.keypoints.unbind(-1)
    visible = (z > 0).all(-1)
    inverse = 1 / torch.where(z > 0, z, torch.ones_like(z))
    zero = torch.zeros_like(z)
    normalised = torch.stack([x * inverse, y * inverse, torch.ones_like(z)], -1)
    linear = targets.intrinsics[:, None, :2]
    residual = ((linear @ normalised[..., None])[..., 0] - targets.keypoints) / scale
    d_normalised = torch.stack(
        [inverse, zero, -x * inverse**2, zero, inverse, -y * inverse**2], -1
    ).unflatten(-1, (2, 3))
    jacobian = (linear[..., :2] @ d_normalised) @ model.jacobian / scale

    rho, slope = geman_mcclure(residual.square().sum(-1))
    value = (targets.confidence * rho).sum(-1)
    weight = (targets.confidence * slope)[..., None].expand_as(residual)
    return quadratic_of(
        residual.flatten(1),
        jacobian.flatten(1, 2),
        weight.flatten(1),
        torch.where(visible, value, torch.full_like(value, torch.inf)),
    )


def relative_depth(
    model: KeypointJacobian, targets: KeypointTargets, scale: float, gain: float
) -> Quadratic:
    """Depth of the keypoints behind the wrist against the detector's, along the line of sight.

    Args:
        model: keypoints in the camera's frame.
        targets: what was detected.
        scale: crop units; where the loss turns from quadratic to linear.
        gain: true depth per unit of the detector's.

    Returns:
        Sum over keypoints of ``confidence * rho(difference^2 / scale^2)``.
    """
    focal = targets.intrinsics[:, 0, 0]
    distance = (model.keypoints @ targets.view[..., None])[..., 0]
    d_distance = (targets.view[:, None, None] @ model.jacobian)[:, :, 0]
    wrist, d_wrist = distance[:, :1], d_distance[:, :1]
    to_crop = (focal[:, None] / wrist)[..., None]
    depth = (distance - wrist) * to_crop[..., 0]
    residual = (depth - gain * targets.relative_depth) / scale
    jacobian = ((d_distance - d_wrist) * to_crop - (depth / wrist)[..., None] * d_wrist) / scale
    rho, slope = charbonnier(residual.square())
    mass = targets.confidence * targets.has_depth[:, None]
    return quadratic_of(residual, jacobian, mass * slope, (mass * rho).sum(-1))


def bone_directions(model: KeypointJacobian, targets: KeypointTargets, scale: float) -> Quadratic:
    """Directions of the 20 bones against those of the detector's weak 3D keypoints.

    Args:
        model: keypoints in the camera's frame.
        targets: what was detected.
        scale: length of the difference of unit vectors where the loss turns linear.

    Returns:
        Sum over bones of ``c_palm c_tip rho(|difference|^2 / scale^2)``, the product of the
        confidences of both ends as in S2HAND (Chen et al. 2021) eq. 4.
    """
    near, far = torch.tensor(BONES, device=model.keypoints.device).T
    bone = model.keypoints[:, far] - model.keypoints[:, near]
    d_bone = model.jacobian[:, far] - model.jacobian[:, near]
    length = bone.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    unit = bone / length
    along = unit[..., None, :] @ d_bone
    d_unit = (d_bone - unit[..., None] * along) / length[..., None]
    residual = (unit - targets.bone_directions) / scale
    rho, slope = charbonnier(residual.square().sum(-1))
    mass = targets.confidence[:, near] * targets.confidence[:, far] * targets.has_bones[:, None]
    weight = (mass * slope)[..., None].expand_as(residual)
    return quadratic_of(
        residual.flatten(1),
        (d_unit / scale).flatten(1, 2),
        weight.flatten(1),
        (mass * rho).sum(-1),
    )
