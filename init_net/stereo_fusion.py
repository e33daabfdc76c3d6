"""Two views of a hand as one: Seeber 3.3, eqs. 6 and 7, in the right view's frame and in metres.

    StereoPredictions, StereoGeometry -> `fuse` -> FusedHands

What a network says of a view is in that view's own frame. So before eq. 6 the left view's wrist is
turned into the right view's frame, and eq. 7 has xi for the camera. A view that is not there has
NaN in its predictions, and the other one counts alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fitter.hand_models.keypoint_model import KeypointModel
from fitter.rotations import roma
from init_net.posing import regressed_keypoints
from init_net.records import FusedHands, RegressedHands, StereoGeometry, StereoPredictions

NEAREST = 0.05
"""Metres in front of a camera that a hand has at least (not published): nearer, it is taken to be
misplaced."""

_SHORTEST = 1e-12
"""Radians below which a turn has no axis."""


def fuse(
    predictions: StereoPredictions, geometry: StereoGeometry, model: KeypointModel
) -> FusedHands:
    """Hands of both views, by eqs. 6 and 7.

    A view takes no part in a hand where its prediction is not finite; the left one neither where
    its place to the right one is not. The camera of a left view that places the hand behind the
    right camera, or nearer than `NEAREST`, is left out, while its pose and shape still count.

    Args:
        predictions: of B pairs, with weights.
        geometry: of the same pairs.
        model: keypoints of the right hand that the networks regress, of the dtype and on the device
            of the predictions.

    Raises:
        ValueError: the predictions have no weights.
        InputError: the hands have more shape coefficients than the model.
    """
    if predictions.weights is None:
        raise ValueError("weights expected, found None: the stereo layer was left out")
    left = _in_right_view(predictions.left, geometry, model)
    right, left = _filled(predictions.right, left), _filled(left, predictions.right)
    vectors = fused_pose(_vectors(right), _vectors(left), predictions.weights)
    hands = RegressedHands(
        rotations=roma.rotvec_to_rotmat(vectors),
        betas=(right.betas + left.betas) / 2,
        camera=(right.camera + left.camera) / 2,
    )
    points = regressed_keypoints(model, hands)
    return FusedHands(hands, points, wrist_place(points, hands.camera, geometry.right_focal))


def fused_pose(right: Tensor, left: Tensor, weights: Tensor) -> Tensor:
    """Seeber eq. 6: ``p_right = w p_right + (1 - w) p_left``, number by number.

    Axis-angle vectors jump at half a turn, which the wrist reaches: of two hands that differ by a
    degree one may be v and the other about -v, and their mean no turn at all. So the left view's
    vectors are first exchanged for those of the same rotations that are nearest to the right view's
    (not published). Where the right view's hand passes half a turn its numbers still change their
    meaning, so that the mean may jump, by less than the views are apart.

    Args:
        right, left: (B, 16, 3) axis-angle, radians, both in the right view's frame.
        weights: (B, 48) w, row by row.

    Returns:
        (B, 16, 3) axis-angle, radians; may be longer than half a turn.
    """
    w = weights.unflatten(1, (16, 3))
    return w * right + (1 - w) * nearest_vectors(left, right)


def nearest_vectors(vectors: Tensor, reference: Tensor) -> Tensor:
    """Axis-angle vectors of the same rotations that lie nearest to others.

    ``v`` and ``v - 2 pi v / |v|`` are one rotation; others of it are longer.

    Args:
        vectors: (..., 3) radians, of length pi at most.
        reference: (..., 3) radians, likewise.
    """
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    around = vectors - 2 * math.pi * vectors / length.clamp_min(_SHORTEST)
    ours, other = ((each - reference).square().sum(-1, keepdim=True) for each in (vectors, around))
    return torch.where(other < ours, around, vectors)


def left_camera_in_right_view(
    camera: Tensor, geometry: StereoGeometry, middle: Tensor | None = None
) -> Tensor:
    """xi of Seeber eq. 7: the left view's weak-perspective camera as one of the right view.

    Its form is not published. A weak-perspective camera sees the whole hand at one depth,
    ``focal / scale``, which is that of the hand's middle, and the middle at ``scale m + t``; so the
    middle is at

        C = (m_x + t_x / scale, m_y + t_y / scale, focal / scale)

    in the left view frame and at ``C' = R C + T`` in the right one. There

        scale' = focal' / C'_z        t' = scale' (C' - R m)_xy

    Args:
        camera: (B, 3) of the left view, see `RegressedHands.camera`.
        geometry: of the pairs.
        middle: (B, 3) metres, m, the middle of the hand relative to its wrist keypoint in the left
            view frame; None for the wrist itself.

    Returns:
        (B, 3) of the right view; NaN where the hand is not in front of its camera.
    """
    if middle is None:
        middle = torch.zeros_like(camera)
    scale, place = camera[:, :1], camera[:, 1:]
    depth = geometry.left_focal[:, None] / scale
    centre = torch.cat([middle[:, :2] + place / scale, depth], 1)
    turned = torch.stack([centre, middle], 1) @ geometry.rotation.mT
    centre, middle = turned[:, 0] + geometry.translation, turned[:, 1]
    in_front = centre[:, 2:] > NEAREST
    # Both branches of a `where` have gradients: behind the camera there is no quotient either.
    scale = geometry.right_focal[:, None] / torch.where(in_front, centre[:, 2:], 1)
    seen = torch.cat([scale, scale * (centre - middle)[:, :2]], 1)
    return torch.where(in_front, seen, torch.nan)


def wrist_place(points: Tensor, camera: Tensor, focal: Tensor) -> Tensor:
    """Where the wrist keypoint is that a weak-perspective camera sees.

    The camera's depth ``focal / scale`` is that of the hand's middle.

    Args:
        points: (B, N, 3) metres relative to the wrist keypoint, view frame.
        camera: (B, 3), see `RegressedHands.camera`.
        focal: (B,) crop units, see `init_net.view_frame.view_focal`.

    Returns:
        (B, 3) metres, view frame.
    """
    scale = camera[:, :1]
    depth = focal[:, None] / scale - points[..., 2].mean(1, keepdim=True)
    return torch.cat([camera[:, 1:] / scale, depth], 1)


def _in_right_view(
    left: RegressedHands, geometry: StereoGeometry, model: KeypointModel
) -> RegressedHands:
    """What the left view says, in the right view's frame; NaN where it cannot be told there."""
    middle = regressed_keypoints(model, left).mean(1)
    wrist = geometry.rotation[:, None] @ left.rotations[:, :1]
    return RegressedHands(
        rotations=torch.cat([wrist, left.rotations[:, 1:]], 1),
        betas=left.betas,
        camera=left_camera_in_right_view(left.camera, geometry, middle),
    )


def _filled(hands: RegressedHands, others: RegressedHands) -> RegressedHands:
    """Hands, those that are not there in the place of which others stand; cameras likewise."""
    there = hands.rotations.isfinite().flatten(1).all(1) & hands.betas.isfinite().all(1)
    placed = there & hands.camera.isfinite().all(1)
    return RegressedHands(
        rotations=torch.where(there[:, None, None, None], hands.rotations, others.rotations),
        betas=torch.where(there[:, None], hands.betas, others.betas),
        camera=torch.where(placed[:, None], hands.camera, others.camera),
    )


def _vectors(hands: RegressedHands) -> Tensor:
    """(B, 16, 3) axis-angle, radians."""
    return roma.rotmat_to_rotvec(hands.rotations)
