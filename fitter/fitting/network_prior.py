"""What networks say of hands, in the fit to the keypoints: as starts, and beside the weak 3D.

A guess is 21 keypoints relative to the wrist with a spread for each. As a start it is laid onto the
picture and turned into the parameters of any hand model by inverse kinematics. As a cue it says how
deep the keypoints lie and where the bones point, which is what 2D keypoints do not show; how far it
is believed follows from its spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.config.options import FitConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Prediction
from fitter.fitting.observations import rays_of
from fitter.hand_models import inverse_kinematics
from fitter.hand_models.keypoint_jacobian import by_finger, in_canonical_order
from fitter.records import HandParams


def with_network_prior(
    targets: KeypointTargets, guesses: Sequence[Prediction], config: FitConfig
) -> KeypointTargets:
    """Targets to whose weak 3D guesses are added, for hands that have one that is finite.

    The trust in a depth is ``t (s / sigma)^2``, with t of `FitConfig.network_depth_confidence`, s
    the scale of the energy and sigma the guess's spread: near zero the energy then is
    ``t (difference / sigma)^2``, times its weight. A bone's direction has the spread of its two
    ends, over its length. No ``(s / sigma)^2`` exceeds `FitConfig.network_max_confidence`.
    Detector and network together are their mean, weighted by their trusts, with the sum of these.

    Args:
        targets: B hands.
        guesses: of the same hands.
        config: scales and trusts.
    """
    if not guesses:
        return targets
    joints, spread = _fused(guesses)
    known = joints.isfinite().flatten(1).all(-1) & spread.isfinite().flatten(1).all(-1)
    points, spread = by_finger(joints), by_finger(spread)
    depth = (points @ targets.view[:, None, :, None])[..., 0]
    bones = points.diff(dim=2)
    length = bones.norm(dim=-1).clamp_min(1e-6)
    variance = spread.square().mean(-1)
    turn = (variance[..., 1:] + variance[..., :-1]) / length.square()

    def trust(weight: float, scale: float, squared: Tensor) -> Tensor:
        believed = weight * (scale**2 / squared).clamp_max(config.network_max_confidence)
        return torch.where(known[:, None, None], believed, 0.0)

    depth_weight = trust(
        config.network_depth_confidence, config.relative_depth_scale, spread[..., 1:, 1].square()
    )
    bone_weight = trust(config.network_direction_confidence, config.bone_direction_scale, turn)
    both_depths = torch.zeros_like(targets.relative_depth)
    both_depths[..., 1:], depth_weight = _mean(
        (targets.relative_depth[..., 1:], targets.depth_weight), (depth[..., 1:], depth_weight)
    )
    directions, bone_weight = _mean(
        (targets.bone_directions, targets.bone_weight), (bones / length[..., None], bone_weight)
    )
    return replace(
        targets,
        relative_depth=both_depths,
        depth_weight=depth_weight,
        bone_directions=normalize(directions, dim=-1),
        bone_weight=bone_weight,
    )


def predicted_initialisations(
    model: FitModel, targets: KeypointTargets, guess: Prediction
) -> HandParams:
    """Parameters of B hands that a guess leads to; NaN for a hand without one.

    The guess, whose keypoints lie as they would at the distance one, is shifted across the line of
    sight until it lies over the detected keypoints, weighted by their confidence, in the least
    squares sense; its scale follows from the size of the model's bones.
    """
    keypoints = in_canonical_order(targets.keypoints)
    mass = in_canonical_order(targets.keypoint_weight)
    # The wrist's mass is shared out over the fingers.
    mass = torch.cat([5 * mass[:, :1], mass[:, 1:]], 1)
    mass = torch.where((mass > 0).any(-1, keepdim=True), mass, 1.0)[..., None]
    focal = targets.intrinsics[:, 0, 0, None, None]
    relative = guess.joints / focal
    depth = 1 + (relative @ targets.view[..., None])
    rays = rays_of(targets.intrinsics, keypoints)
    rays = rays / (rays @ targets.view[..., None])
    shift = (mass * (rays * depth - relative)).sum(1, keepdim=True) / mass.sum(1, keepdim=True)
    return inverse_kinematics(model.keypoints, relative + shift, up_to_scale=True)


def _fused(guesses: Sequence[Prediction]) -> tuple[Tensor, Tensor]:
    """Mean of guesses weighted by their precision along the line of sight, and the least spread.

    They have seen the same keypoints and err alike, so two are not surer than the surer one.
    """
    if len(guesses) == 1:
        return guesses[0].joints, guesses[0].spread
    spread = torch.stack([guess.spread for guess in guesses])
    joints = torch.stack([guess.joints for guess in guesses])
    known = joints.isfinite().all(-1, keepdim=True) & spread.isfinite().all(-1, keepdim=True)
    weight = torch.where(known, spread[..., 1:] ** -2, 0.0)
    total = weight.sum(0)
    mean = (weight * torch.where(known, joints, 0.0)).sum(0) / total
    return mean, torch.where(known, spread, torch.inf).amin(0)


def _mean(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean of two values weighted by their masses, and the sum of these; what has no mass does not
    count, whatever it is. Values may have one dimension more than masses."""
    (value, mass), (other, other_weight) = first, second
    total = mass + other_weight
    share = torch.where(total > 0, other_weight / total.clamp_min(1e-12), 0.0)
    if value.ndim > mass.ndim:
        share = share[..., None]
    other = torch.where(share > 0, other, 0.0)
    return torch.where(share < 1, value, 0.0) * (1 - share) + other * share, total
