"""What the networks are trained on: published losses, term by term.

Each function gives one value a hand, (B,), or a dictionary of such terms without weights, whose
names are the fields of a section of `init_net.training.loss_weights`. Nothing here averages over a
batch. Truth that is not known is NaN: it costs nothing and moves nothing. Keypoints have a
confidence each, as in S2HAND (Chen et al. 2021) eq. 3 and 4; 1 is that of a true one. The terms of
Zhao 3.5 that need a renderer are in `fitter.energies.photometric`.

Positions in an image are in crop units, as in `init_net.records`. In which unit the papers measure
them is not published.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from fitter.energies.keypoints_2d import bone_orientation
from fitter.energies.regularisers import shape_norm, squared_norm
from fitter.rotations import roma
from init_net.posing import HandPoints
from init_net.records import LiftedHands, RegressedHands
from init_net.samples.lifter_samples import LifterSamples

REFERENCE_BONE = (0, 9)
"""Keypoints between which a normalised hand measures 1: wrist and base of the middle finger."""


def mano_terms(
    hands: RegressedHands,
    points: HandPoints,
    truth: RegressedHands,
    true_positions: Tensor,
    confidence: Tensor,
) -> dict[str, Tensor]:
    """The terms of Seeber eq. 9, in the order of `ManoWeights`.

    Printed, pose is the mean squared error of 48 axis-angle numbers, which is
    `axis_angle_error`. Here it is that of rotations: ``1/48 sum_j ||R_j - R*_j||_F^2 / 2``, the
    same to second order about the hand at rest. Axis-angle vectors jump at half a turn, which the
    wrist reaches. Not published: the scale's error is taken against its true value, and the norm
    of the shape is L2.

    Args:
        hands: B hands as regressed.
        points: theirs, of `hand_points`.
        truth: what is true of them.
        true_positions: (B, 21, 2) crop units.
        confidence: (B, 21) of these.
    """
    across = squared_distances(points.positions, true_positions)
    return {
        "pose": squared_chords(hands.rotations, truth.rotations).sum(1) / 48,
        "shape": known_error(hands.betas, truth.betas).square().mean(1),
        "joints_2d": (confidence * across).mean(1) / 2,
        "shape_norm": shape_norm(hands.betas),
        "camera": known_error(hands.camera[:, 0], truth.camera[:, 0]).square(),
    }


def axis_angle_error(pose: Tensor, truth: Tensor) -> Tensor:
    """L_pose of Seeber eq. 9 as it is printed: the mean squared error of 48 numbers.

    It jumps where the truth does, from one vector of half a turn to its opposite.

    Args:
        pose: (B, 48) axis-angle, radians, see `CropPredictions.pose`.
        truth: (B, 16, 3, 3) rotations, taken as vectors of half a turn at the most; NaN where they
            are not known.

    Returns:
        (B,) radians squared.
    """
    known = truth.isfinite().all(-1).all(-1)
    rest = torch.eye(3, dtype=truth.dtype, device=truth.device)
    vectors = roma.rotmat_to_rotvec(torch.where(known[..., None, None], truth, rest))
    vectors = torch.where(known[..., None], vectors, torch.nan)
    return known_error(pose, vectors.flatten(1)).square().mean(1)


def geometric_terms(
    hands: RegressedHands, points: HandPoints, truth: HandPoints, confidence: Tensor
) -> dict[str, Tensor]:
    """The terms of Zhao 3.5 that need no renderer, in the order of `GeometricWeights`.

    All are sums, as printed; with confidences the bones' is that of S2HAND eq. 4. The pose is
    regularised by ``sum_j ||R_j - I||_F^2 / 2`` over the 15 finger joints, which is ||theta||^2 of
    their axis-angle vectors to second order (Zhao has 30 components of a pose space).

    Args:
        hands: B hands as regressed.
        points: theirs, of `hand_points`.
        truth: the true ones.
        confidence: (B, 21) of these.
    """
    fingers = hands.rotations[:, 1:]
    rest = torch.eye(3, dtype=fingers.dtype, device=fingers.device)
    marked = truth.positions.isfinite().all(-1)
    positions = torch.where(marked[..., None], truth.positions, points.positions.detach())
    # `bone_orientation` is divided by the number of bones, 20; Zhao's norm is not.
    bone = 20 * bone_orientation(points.positions, positions, confidence * marked)
    unscaled = squared_distances(normalised(points.points), normalised(truth.points))
    return {
        "joints_3d": (confidence * squared_distances(points.points, truth.points)).sum(1),
        "joints_2d": (confidence * squared_distances(points.positions, truth.positions)).sum(1),
        "joints_3d_norm": (confidence * unscaled).sum(1),
        "bone": bone,
        "pose": squared_chords(fingers, rest.expand_as(fingers)).sum(1),
        "shape": squared_norm(hands.betas),
    }


def normalised(points: Tensor) -> Tensor:
    """Keypoints in "hand-centric coordinate" (Zhao 3.5, whose definition is not published).

    Here the wrist is the origin and `REFERENCE_BONE` measures 1.

    Args:
        points: (B, 21, 3), any unit and origin.

    Returns:
        (B, 21, 3) without unit; a hand without a length there gives zeros for finite points.
    """
    first, second = REFERENCE_BONE
    points = points - points[:, :1]
    squared = (points[:, second] - points[:, first]).square().sum(-1)[:, None, None]
    none = squared <= torch.finfo(points.dtype).tiny
    return torch.where(none, 0, points) / torch.where(none, 1, squared).sqrt()


def regularised_l1(predicted: Tensor, truth: Tensor) -> Tensor:
    """Yu eq. 4, for shapes and twists alike: ``||p - p*|| + ||p||``, L1 norms.

    Args:
        predicted: (B, ...) shape coefficients, or twists in radians, see
        `fitter.hand_models.analytic_ik.twist_angles`. truth: the same.

    Returns:
        (B,).
    """
    return ((predicted - truth).abs() + predicted.abs()).flatten(1).sum(1)


def stereo_terms(
    vertices: Tensor, true_vertices: Tensor, joints: Tensor, true_joints: Tensor
) -> dict[str, Tensor]:
    """The terms of Seeber eq. 11, which a hand of two views is trained on: mean squared errors.

    Which joints, and from where, is not published: the keypoints, and both they and the vertices
    relative to the wrist keypoint. What eq. 11 trains does not move the camera.

    Args:
        vertices, true_vertices: (B, V, 3) metres, the right view's frame.
        joints, true_joints: (B, 21, 3) likewise.
    """
    return {
        "vertices": known_error(vertices, true_vertices).square().mean((1, 2)),
        "joints_3d": known_error(joints, true_joints).square().mean((1, 2)),
    }


def mask_terms(logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """`bce_loss` and `dice_loss`, in the order of `MaskWeights`."""
    return {"bce": bce_loss(logits, mask), "dice": dice_loss(logits, mask)}


def bce_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Seeber eq. 10: ``-(y log(p) + (1 - y) log(1 - p))``, averaged over the pixels.

    Args:
        logits: (B, S, S), p being their sigmoid.
        mask: (B, S, S) in [0, 1].

    Returns:
        (B,).
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    return entropy.mean((1, 2))


def dice_loss(logits: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """``1 - (2 sum p y + s) / (sum p^2 + sum y^2 + s)``, over the pixels of each hand.

    The coefficient is that of Milletari et al. 2016, "V-Net", whose squares make it 1 for p = y on
    borders that cover part of a pixel, too; s keeps an empty mask from a quotient of zeros.
    `DiceLoss` of segmentation_models_pytorch has neither the squares nor the same s, so its values
    are others.

    Args:
        logits: (B, S, S), p being their sigmoid.
        mask: (B, S, S) in [0, 1].
        smooth: s, pixels.

    Returns:
        (B,) in [0, 1].
    """
    share = logits.sigmoid()
    common = (share * mask).sum((1, 2))
    total = (share.square() + mask.square()).sum((1, 2))
    return 1 - (2 * common + smooth) / (total + smooth)


def lifter_terms(lifted: LiftedHands, truth: LifterSamples) -> dict[str, Tensor]:
    """What `HandLifter` is trained on, in the order of `LifterWeights`.

    Args:
        lifted: B hands.
        truth: of the same hands.
    """
    return {
        "keypoints": keypoint_likelihood(lifted, truth.keypoints, truth.keypoint_weight),
        "rotation": squared_chords(lifted.rotations, truth.rotations).mean(1),
        "shape": known_error(lifted.betas, truth.betas).square().mean(1),
        "visibility": visibility_entropy(lifted.visibility, truth.visible),
        "size": size_likelihood(lifted.log_size, truth.metres),
    }


def visibility_entropy(logits: Tensor, visible: Tensor) -> Tensor:
    """Binary cross entropy of keypoints' visibility, averaged over those of which it is known.

    Args:
        logits: (B, 21).
        visible: (B, 21) 1 or 0, NaN where unknown.

    Returns:
        (B,), 0 for a hand of which nothing is known.
    """
    known = visible.isfinite()
    entropy = functional.binary_cross_entropy_with_logits(
        logits, torch.where(known, visible, 0), reduction="none"
    )
    return torch.where(known, entropy, 0).sum(1) / known.sum(1).clamp_min(1)


def size_likelihood(log_size: Tensor, metres: Tensor) -> Tensor:
    """Negative log-likelihood of a hand's size, Laplace in its logarithm; see
    `keypoint_likelihood`.

    Args:
        log_size: (B, 2) see `LiftedHands`.
        metres: (B,) true, of a crop unit.
    """
    mean, std = log_size.unbind(1)
    error = known_error(mean, metres.log()).abs()
    surprise = (math.sqrt(2) * std).log() + math.sqrt(2) * error / std
    return torch.where(metres.isfinite(), surprise, 0)


def keypoint_likelihood(
    lifted: LiftedHands,
    keypoints: Tensor,
    confidence: Tensor,
    density: Literal["laplace", "gaussian"] = "laplace",
) -> Tensor:
    """Negative log-likelihood of the true keypoints, given what was said and how sure it was.

    The heteroscedastic loss of Kendall & Gal 2017, "What Uncertainties Do We Need in Bayesian Deep
    Learning for Computer Vision?", eq. 5 (Gaussian), and its form for a Laplace density, which
    outliers sway less. `LiftedHands.std` is the standard deviation s of either:

        laplace     log(sqrt(2) s) + sqrt(2) |d| / s
        gaussian    log(sqrt(2 pi) s) + d^2 / (2 s^2)

    Args:
        lifted: B hands.
        keypoints: (B, 21, 3), true, as `LiftedHands.keypoints`.
        confidence: (B, 21) of these, a factor on the likelihood of each.
        density: which.

    Returns:
        (B,) mean over the coordinates of the 20 keypoints beside the wrist, which is the origin.

    Raises:
        ValueError: for another density.
    """
    error = known_error(lifted.keypoints, keypoints)[:, 1:]
    std = lifted.std[:, 1:][..., (0, 0, 1)]
    counts = confidence[:, 1:, None] * keypoints[:, 1:].isfinite()
    if density == "laplace":
        surprise = (math.sqrt(2) * std).log() + math.sqrt(2) * error.abs() / std
    elif density == "gaussian":
        surprise = (math.sqrt(2 * math.pi) * std).log() + (error / std).square() / 2
    else:
        raise ValueError(f"density must be 'laplace' or 'gaussian', got {density!r}")
    return (counts * surprise).mean((1, 2))


def squared_chords(predicted: Tensor, truth: Tensor) -> Tensor:
    """``||R - R*||_F^2 / 2 = 4 sin^2(angle / 2)``: the squared angle, for small ones.

    Smooth at every angle; beside 0, its gradient vanishes at half a turn alone.

    Args:
        predicted: (B, J, 3, 3) rotations.
        truth: the same; NaN where it is not known.

    Returns:
        (B, J).
    """
    return known_error(predicted, truth).square().sum((-2, -1)) / 2


def known_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """``predicted - truth``; 0, with no gradient, where the truth is NaN. What is predicted is not
    asked: a network that has diverged still shows."""
    return torch.where(truth.isfinite(), predicted - truth, 0)


def squared_distances(predicted: Tensor, truth: Tensor) -> Tensor:
    """(B, 21) ``||p_i - p*_i||^2`` of points (B, 21, D); 0 where the truth is not known."""
    return known_error(predicted, truth).square().sum(-1)
