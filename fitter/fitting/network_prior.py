"""What networks say of hands, in the fit to the keypoints: as initialisations and as a prior.

A prediction is 21 keypoints relative to the wrist with a standard deviation for each. As an
initialisation it is laid onto the image, and inverse kinematics turns it into the parameters of any
hand model; or it is the hand that the network itself poses, unchanged. As a prior it says where in
the image the keypoints lie, which corrects what the detector says of them, how deep they lie and
where the bones point. Its weight follows from its standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Prediction
from fitter.fitting.network_hand import own_hands
from fitter.fitting.observations import bones_of, ends_sum, rays_of
from fitter.hand_models import inverse_kinematics
from fitter.records import HandParams, NormalisedHands


def with_network_prior(
    hands: NormalisedHands, predictions: Sequence[Prediction], config: FitConfig
) -> NormalisedHands:
    """Hands to whose positions, depths and bone directions predictions are added, where one is
    finite.

    The weight of a predicted depth is ``c (s / sigma)^2``, with c of
    `FitConfig.network_depth_confidence`, s the scale of the energy and sigma the prediction's
    standard deviation: near zero the energy then is ``c (difference / sigma)^2``, times its weight.
    A bone's direction has the standard deviation of its two ends, over its length. No
    ``(s / sigma)^2`` exceeds `FitConfig.network_max_confidence`. Detector and network together are
    their mean, weighted by their weights, with the sum of these; since the network has seen what
    the detector says, that counts `FitConfig.detector_share` of its weight. Positions of a hand of
    which a network saw the features are the mean of both by `FitConfig.network_position_share`,
    and count `FitConfig.network_position_weight` times as much.

    Args:
        hands: B hands.
        predictions: of the same hands.
        config: scales and confidences.
    """
    if not predictions:
        return hands
    points, std = _fused(predictions)
    known = points.isfinite().flatten(1).all(-1) & std.isfinite().flatten(1).all(-1)
    depth = (points @ hands.view_direction[..., None])[..., 0]
    bones = bones_of(points)
    length = bones.norm(dim=-1).clamp_min(1e-6)
    variance = std.square().mean(-1)
    rotation_variance = ends_sum(variance) / length.square()

    one = points.new_ones(())  # else the factors were single precision, whatever the fit's is
    share = torch.where(known, config.detector_share, one)[:, None]
    # Keypoints that somebody else has placed are no guesses of the detector's to be corrected.
    corrected = known & hands.features.isfinite().flatten(1).any(-1)
    laid = project(laid_on_image(points, hands), hands.intrinsics)
    moved = torch.lerp(hands.keypoints, laid, config.network_position_share)
    keypoints = torch.where(corrected[:, None, None], moved, hands.keypoints)
    surer = torch.where(corrected, config.network_position_weight, one)[:, None]

    def weight(confidence: float, scale: float, squared: Tensor) -> Tensor:
        believed = confidence * (scale**2 / squared).clamp_max(config.network_max_confidence)
        return torch.where(known[:, None], believed, 0.0)

    both_depths, depth_weight = _mean(
        (hands.relative_depth[:, 1:], share * hands.depth_weight),
        (
            depth[:, 1:],
            weight(
                config.network_depth_confidence,
                config.relative_depth_scale,
                std[:, 1:, 1].square(),
            ),
        ),
    )
    directions, bone_weight = _mean(
        (hands.bone_directions, share * hands.bone_weight),
        (
            bones / length[..., None],
            weight(
                config.network_direction_confidence, config.bone_direction_scale, rotation_variance
            ),
        ),
    )
    return replace(
        hands,
        keypoints=keypoints,
        confidence=surer * hands.confidence,
        relative_depth=torch.cat([torch.zeros_like(depth[:, :1]), both_depths], 1),
        depth_weight=depth_weight,
        bone_directions=normalize(directions, dim=-1),
        bone_weight=bone_weight,
    )


def predicted_initialisations(
    model: FitModel, hands: NormalisedHands, prediction: Prediction, as_said: bool = False
) -> HandParams:
    """Parameters of B hands that a prediction leads to; NaN for a hand without one.

    The prediction is laid onto the image; its scale follows from the size of the model's bones.

    Args:
        model: right-hand model.
        hands: B hands.
        prediction: of the same hands.
        as_said: keep rotations, shape and place of hands whose network says them, as Seeber et al.
            begin (eq. 1: p and s of M(p + dp, s + ds), seen by the camera c).
    """
    laid = laid_on_image(prediction.keypoints, hands)
    found = inverse_kinematics(model.keypoints, laid, up_to_scale=True)
    return _as_said(model, prediction, found) if as_said else found


def _as_said(model: FitModel, prediction: Prediction, others: HandParams) -> HandParams:
    """The hands that a network poses; `others` where it poses none or another hand model.

    The keypoints tell which model it is: posed alike, none but the network's own has them.
    """
    own = own_hands(model, prediction)
    index = own.transl.isfinite().all(1).nonzero().flatten()
    return others.with_hands(index, own[index].to(others.betas.dtype))


def laid_on_image(keypoints: Tensor, hands: NormalisedHands) -> Tensor:
    """Predicted keypoints where they lie over the detected ones, at the distance one.

    They are shifted across the line of sight until their rays meet those of the detected keypoints,
    weighted by confidence, in the least squares sense.

    Args:
        keypoints: (B, 21, 3) see `Prediction.keypoints`.
        hands: the same hands.

    Returns:
        (B, 21, 3) in the camera's frame, in units of the wrist's distance.
    """
    weight = hands.confidence
    weight = torch.where((weight > 0).any(-1, keepdim=True), weight, 1.0)[..., None]
    focal = hands.intrinsics[:, 0, 0, None, None]
    relative = keypoints / focal
    depth = 1 + (relative @ hands.view_direction[..., None])
    rays = rays_of(hands.intrinsics, hands.keypoints)
    rays = rays / (rays @ hands.view_direction[..., None])
    shift = (weight * (rays * depth - relative)).sum(1, keepdim=True)
    return relative + shift / weight.sum(1, keepdim=True)


def _fused(predictions: Sequence[Prediction]) -> tuple[Tensor, Tensor]:
    """Mean of predictions weighted by their precision along the line of sight, and the least
    standard deviation.

    They have seen the same keypoints and err alike, so two are not surer than the surer one.
    """
    if len(predictions) == 1:
        return predictions[0].keypoints, predictions[0].std
    std = torch.stack([prediction.std for prediction in predictions])
    points = torch.stack([prediction.keypoints for prediction in predictions])
    known = points.isfinite().all(-1, keepdim=True) & std.isfinite().all(-1, keepdim=True)
    weight = torch.where(known, std[..., 1:] ** -2, 0.0)
    total = weight.sum(0)
    mean = (weight * torch.where(known, points, 0.0)).sum(0) / total
    return mean, torch.where(known, std, torch.inf).amin(0)


def _mean(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean of two values by their weights, and the sum of these. A value of weight 0 does not
    count, whatever it is. Values may have one dimension more than weights."""
    (value, weight), (other, other_weight) = first, second
    total = weight + other_weight
    share = torch.where(total > 0, other_weight / total.clamp_min(1e-12), 0.0)
    if value.ndim > weight.ndim:
        share = share[..., None]
    other = torch.where(share > 0, other, 0.0)
    return torch.where(share < 1, value, 0.0) * (1 - share) + other * share, total
