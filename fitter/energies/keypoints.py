"""Energies between the model's 21 keypoints and what a detector saw of them.

Each is a function of the keypoints' positions alone, in the finger layout of
`fitter.hand_models.keypoint_jacobian`, and returns one `Quadratic`, not yet weighted: value (B,),
gradient (B, 5, 5, 3) and Gauss-Newton Hessian (B, 5, 5, 3, 5, 3) by the points of each finger. The
kinematics say which parameters move the points.
Positions are in crop units: the crop's K maps the hand's square box to [0, 1], so that no
constant depends on how large the hand is in the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from fitter.config.energies import DECLARATIONS, EnergyName, Need
from fitter.energies.declare import least_squares
from fitter.energies.residuals import Quadratic, charbonnier, geman_mcclure
from fitter.hand_models.keypoint_jacobian import bones_by_finger, by_finger
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.motion import HandMotion
from fitter.records import NormalisedHands, TensorBatch


@dataclass(frozen=True)
class KeypointTargets(TensorBatch):
    """`NormalisedHands` in the finger layout, in which the energies compute.

    Attributes:
        keypoints: (B, 5, 5, 2) crop units.
        keypoint_weight: (B, 5, 5) confidence in [0, 1]; a fifth of the wrist's at each of its 5
            entries.
        intrinsics: (B, 3, 3) K of the crop.
        view_direction: (B, 3) see `NormalisedHands`.
        relative_depth: (B, 5, 4) crop units, of all keypoints but the wrist.
        depth_weight: (B, 5, 4) confidence in the depths.
        bone_directions: (B, 5, 4, 3) unit vectors, camera frame, palm to tip.
        bone_weight: (B, 5, 4) confidence in the directions.
        hand_size: (B,) metres, see `fitter.hand_models.hand_size`; NaN where it is not known.
        betas: (B, S) shapes that are known; NaN where they are not.
        motion: where the other frames of a video expect the hands; None where they say nothing of
            any.
    """

    keypoints: Tensor
    keypoint_weight: Tensor
    intrinsics: Tensor
    view_direction: Tensor
    relative_depth: Tensor
    depth_weight: Tensor
    bone_directions: Tensor
    bone_weight: Tensor
    hand_size: Tensor
    betas: Tensor
    motion: HandMotion | None = None

    @property
    def known(self) -> KnownShape:
        """What is known of the shapes."""
        return KnownShape(self.hand_size, self.betas)

    def as_seen(self) -> Self:
        """The same with nothing known but what was seen: of neither shapes nor motion."""
        nothing = KnownShape.nothing(self.keypoint_weight)
        return replace(self, hand_size=nothing.size, betas=nothing.betas, motion=None)

    def of_known_shape(self, known: KnownShape) -> Self:
        """The same with these shapes known."""
        return replace(self, hand_size=known.size, betas=known.betas)

    def weights_of(self, weights: Mapping[EnergyName, float]) -> dict[EnergyName, float]:
        """Weights of energies, without those of motion where nothing is known of it."""
        if self.motion is not None:
            return dict(weights)
        return {n: w for n, w in weights.items() if Need.MOTION not in DECLARATIONS[n].needs}

    @classmethod
    def of(
        cls,
        hands: NormalisedHands,
        known: KnownShape | None = None,
        motion: HandMotion | None = None,
    ) -> Self:
        """Arrange hands, all of them usable, by finger.

        Args:
            hands: B of them.
            known: of their shapes; None for nothing.
            motion: see `motion`.
        """
        known = known or KnownShape.nothing(hands.confidence)
        weight = by_finger(hands.confidence)
        weight[..., 0] /= 5
        return cls(
            keypoints=by_finger(hands.keypoints),
            keypoint_weight=weight,
            intrinsics=hands.intrinsics,
            view_direction=hands.view_direction,
            relative_depth=bones_by_finger(hands.relative_depth[:, 1:]),
            depth_weight=bones_by_finger(hands.depth_weight),
            bone_directions=bones_by_finger(hands.bone_directions),
            bone_weight=bones_by_finger(hands.bone_weight),
            hand_size=known.size,
            betas=known.betas,
            motion=motion,
        )


@least_squares("keypoints", "points", "targets", "fit.keypoint_scale", by="points")
def reprojection(points: Tensor, targets: KeypointTargets, scale: float) -> Quadratic:
    """Distance of projected and detected keypoints: ``sum c rho(d^2 / scale^2)``, c the confidence
    and rho that of Geman and McClure, 1987.

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


@least_squares("relative_depth", "points", "targets", "fit.relative_depth_scale", by="points")
def relative_depth(points: Tensor, targets: KeypointTargets, scale: float) -> Quadratic:
    """Depths of the keypoints behind the wrist against those seen, along the line of sight:
    ``sum c rho(d^2 / scale^2)``, rho that of Charbonnier et al., 1994.

    Args:
        points: (B, 5, 5, 3) the camera's frame.
        targets: what was detected.
        scale: crop units; where the loss turns from quadratic to linear.

    Returns:
        Sum over all keypoints but the wrist of ``confidence * rho(difference^2 / scale^2)``.
    """
    focal = targets.intrinsics[:, 0, 0, None, None]
    distance = (points.flatten(1, 2) @ targets.view_direction[..., None]).view(points.shape[:3])
    wrist, others = distance[..., :1], distance[..., 1:]
    to_crop = focal / wrist
    residual = ((others - wrist) * to_crop - targets.relative_depth) / scale
    # Derivatives by the five distances: every depth depends on its own and on the wrist's.
    by_wrist = -others * to_crop / (scale * wrist)
    by_own = torch.diag_embed((to_crop / scale).expand_as(others))
    jacobian = torch.cat([by_wrist[..., None], by_own], -1)

    rho, slope = charbonnier(residual.square())
    weighted = jacobian.mT * (2 * targets.depth_weight * slope)[:, :, None]
    gradient = weighted @ residual[..., None] * targets.view_direction[:, None, None]
    outer = targets.view_direction[:, :, None] * targets.view_direction[:, None]
    hessian = (weighted @ jacobian)[:, :, :, None, :, None] * outer[:, None, None, :, None]
    return Quadratic((targets.depth_weight * rho).flatten(1).sum(-1), gradient, hessian)


@least_squares("bone_directions", "points", "targets", "fit.bone_direction_scale", by="points")
def bone_directions(points: Tensor, targets: KeypointTargets, scale: float) -> Quadratic:
    """Directions of the 20 bones against those seen: ``sum c rho(|v - v_seen|^2 / scale^2)``, v
    unit vectors, c after S2HAND (Chen et al. 2021) eq. 4, rho that of Charbonnier et al., 1994.

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
