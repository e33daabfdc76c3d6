"""Energies between the model's 21 keypoints and what a detector saw of them.

Each is a function of the keypoints' positions alone, in the finger layout of
`fitter.hand_models.keypoint_jacobian`, and returns one `Quadratic`, not yet weighted: value (B,),
gradient
(B, 5, 5, 3) and Gauss-Newton Hessian (B, 5, 5, 3, 5, 3) by the points of each finger. Which
parameters move the points is the kinematics' business.
Positions are in crop units: the crop's K maps the hand's square box to [0, 1], so that no
constant depends on how large the hand is in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fitter.energies.residuals import Quadratic, charbonnier, geman_mcclure
from fitter.hand_models.keypoint_jacobian import by_finger
from fitter.records import TensorBatch


@dataclass(frozen=True)
class KeypointTargets(TensorBatch):
    """What is known of B hands (right ones, or mirrored left ones), in the finger layout.

    Attributes:
        keypoints: (B, 5, 5, 2) crop units.
        keypoint_weight: (B, 5, 5) confidence in [0, 1]; the wrist's is shared out to its 5 entries.
        intrinsics: (B, 3, 3) K of the crop.
        view: (B, 3) unit vector, camera frame, along the ray through the middle of the hand.
        relative_depth: (B, 5, 5) crop units along `view`, relative to the wrist; 0 where unknown.
        depth_weight: (B, 5, 4) trust in the depths of all but the wrist, 0 where unknown: the
            detector's confidence, or what follows from a network's own spread.
        bone_directions: (B, 5, 4, 3) unit vectors, camera frame, palm to tip; 0 where unknown.
        bone_weight: (B, 5, 4) trust in the directions, 0 where unknown: the product of the
            detector's confidences of both ends, or what follows from a network's own spread.
    """

    keypoints: Tensor
    keypoint_weight: Tensor
    intrinsics: Tensor
    view: Tensor
    relative_depth: Tensor
    depth_weight: Tensor
    bone_directions: Tensor
    bone_weight: Tensor

    @classmethod
    def of(
        cls,
        keypoints: Tensor,
        confidence: Tensor,
        cameras: tuple[Tensor, Tensor],
        relative_depth: Tensor,
        relative_xyz: Tensor,
    ) -> Self:
        """Arrange observations by finger.

        Args:
            keypoints: (B, 21, 2) crop units, canonical order.
            confidence: (B, 21).
            cameras: `intrinsics` and `view`.
            relative_depth: (B, 21) crop units; a hand with any that is not finite has none.
            relative_xyz: (B, 21, 3) any unit, camera frame, only its bones' directions count; a
                hand with any that is not finite has none.
        """
        mass = by_finger(confidence)
        shares = mass.clone()
        shares[..., 0] /= 5
        has_depth = relative_depth.isfinite().all(-1)[:, None, None]
        bones = torch.nn.functional.normalize(by_finger(relative_xyz).diff(dim=2), dim=-1)
        has_bones = bones.isfinite().flatten(1).all(-1)[:, None, None]
        return cls(
            keypoints=by_finger(keypoints),
            keypoint_weight=shares,
            intrinsics=cameras[0],
            view=cameras[1],
            relative_depth=by_finger(relative_depth).nan_to_num(),
            depth_weight=mass[..., 1:] * has_depth,
            bone_directions=bones.nan_to_num(),
            bone_weight=mass[..., :-1] * mass[..., 1:] * has_bones,
        )

    def finite(self) -> Tensor:
        """(B,) bool: every value of the hand is finite."""
        values = vars(self).values()
        return torch.stack([value.flatten(1).isfinite().all(-1) for value in values]).all(0)


def reprojection(points: Tensor, targets: KeypointTargets, scale: float) -> Quadratic:
    """Distance between projected and detected keypoints, robust, weighted by confidence.

    Args:
        points: (B, 5, 5, 3) the camera's frame.
        targets: what was detected.
        scale: crop units; a keypoint much farther off than this is taken for an outlier.

    Returns:
        Sum over keypoints of ``confidence * rho(distance^2 / scale^2)``, infinite for a hand any
        of whose keypoints is not in front of the camera.
    """
    depth = points[..., 2:]
    rows = targets.intrinsics[:, :2]
    image = (points.flatten(1, 2) @ rows.mT).view_as(targets.keypoints) / depth
    residual = (image - targets.keypoints) / scale
    # With u = K_2 p / z: du/dp = (K_2 - u e_z^T) / z.
    jacobian = rows[:, None, None].repeat(1, 5, 5, 1, 1)
    jacobian[..., 2] -= image
    jacobian /= scale * depth[..., None]

    rho, slope = geman_mcclure(residual.square().sum(-1))
    value = (targets.keypoint_weight * rho).flatten(1).sum(-1)
    weight = (2 * targets.keypoint_weight * slope)[..., None]
    weighted = jacobian.mT * weight[..., None]
    gradient = (weighted @ residual[..., None])[..., 0]
    hessian = points.new_zeros(*points.shape, 5, 3)
    hessian.diagonal(dim1=2, dim2=4).copy_((weighted @ jacobian).permute(0, 1, 3, 4, 2))
    visible = (depth > 0).flatten(1).all(-1)
    return Quadratic(torch.where(visible, value, torch.inf), gradient, hessian)


def relative_depth(points: Tensor, targets: KeypointTargets, scale: float) -> Quadratic:
    """Depth of the keypoints behind the wrist against the one seen, along the line of sight.

    Args:
        points: (B, 5, 5, 3) the camera's frame.
        targets: what was detected.
        scale: crop units; where the loss turns from quadratic to linear.

    Returns:
        Sum over all keypoints but the wrist of ``confidence * rho(difference^2 / scale^2)``.
    """
    focal = targets.intrinsics[:, 0, 0, None, None]
    distance = (points.flatten(1, 2) @ targets.view[..., None]).view(points.shape[:3])
    wrist, others = distance[..., :1], distance[..., 1:]
    to_crop = focal / wrist
    residual = ((others - wrist) * to_crop - targets.relative_depth[..., 1:]) / scale
    # Derivatives by the five distances: every depth depends on its own and on the wrist's.
    by_wrist = -others * to_crop / (scale * wrist)
    by_own = torch.diag_embed((to_crop / scale).expand_as(others))
    jacobian = torch.cat([by_wrist[..., None], by_own], -1)

    rho, slope = charbonnier(residual.square())
    weighted = jacobian.mT * (2 * targets.depth_weight * slope)[:, :, None]
    gradient = weighted @ residual[..., None] * targets.view[:, None, None]
    outer = targets.view[:, :, None] * targets.view[:, None]
    hessian = (weighted @ jacobian)[:, :, :, None, :, None] * outer[:, None, None, :, None]
    return Quadratic((targets.depth_weight * rho).flatten(1).sum(-1), gradient, hessian)


def bone_directions(points: Tensor, targets: KeypointTargets, scale: float) -> Quadratic:
    """Directions of the 20 bones against those of the detector's weak 3D keypoints.

    Args:
        points: (B, 5, 5, 3) the camera's frame.
        targets: what was detected.
        scale: length of the difference of unit vectors where the loss turns linear.

    Returns:
        Sum over bones of ``c_palm c_tip rho(|difference|^2 / scale^2)``, the product of the
        confidences of both ends as in S2HAND (Chen et al. 2021) eq. 4.
    """
    bone = points.diff(dim=2)
    length = bone.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    unit = bone / length
    residual = (unit - targets.bone_directions) / scale
    # d(unit)/d(bone) = P / length with the projection P = I - unit unit^T, and P P = P.
    projection = -unit[..., :, None] * unit[..., None, :]
    projection.diagonal(dim1=-2, dim2=-1).add_(1)
    rho, slope = charbonnier(residual.square().sum(-1))
    weight = (2 * targets.bone_weight * slope)[..., None] / (length * scale)
    by_bone = weight * (projection @ residual[..., None])[..., 0]
    block = ((weight / (length * scale))[..., None] * projection).permute(0, 1, 3, 4, 2)

    gradient = torch.zeros_like(points)
    gradient[:, :, 1:] += by_bone
    gradient[:, :, :-1] -= by_bone
    hessian = points.new_zeros(*points.shape, 5, 3)
    hessian[:, :, 1:, :, 1:].diagonal(dim1=2, dim2=4).add_(block)
    hessian[:, :, :-1, :, :-1].diagonal(dim1=2, dim2=4).add_(block)
    hessian[:, :, 1:, :, :-1].diagonal(dim1=2, dim2=4).sub_(block)
    hessian[:, :, :-1, :, 1:].diagonal(dim1=2, dim2=4).sub_(block)
    return Quadratic((targets.bone_weight * rho).flatten(1).sum(-1), gradient, hessian)
