"""Keypoints that regressed rotations, shape and camera describe, in space and in the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.hand_models import HandModel
from fitter.hand_models.keypoint_model import (
    Chain,
    KeypointModel,
    displacement,
    marked_keypoints,
    pose_keypoints_from_rotations,
    pose_points,
)
from fitter.records import TensorBatch
from init_net.records import RegressedHands


@dataclass(frozen=True)
class HandPoints(TensorBatch):
    """Keypoints of hands in space and in the image.

    Attributes:
        points: (B, 21, 3) metres relative to the wrist keypoint, view frame.
        positions: (B, 21, 2) crop units.
    """

    points: Tensor
    positions: Tensor


def weak_projection(points: Tensor, camera: Tensor) -> Tensor:
    """Where a weak-perspective camera sees points (Seeber 3.1: c = (t, delta)).

    Args:
        points: (B, N, 3) metres relative to the wrist keypoint, view frame.
        camera: (B, 3), see `RegressedHands.camera`.

    Returns:
        (B, N, 2) crop units.
    """
    return camera[:, None, :1] * points[..., :2] + camera[:, None, 1:]


def regressed_keypoints(model: KeypointModel, hands: RegressedHands) -> Tensor:
    """(B, 21, 3) keypoints in metres relative to the wrist keypoint, view frame.

    Args:
        model: of a right hand, in the dtype and on the device of `hands`.
        hands: B hands.

    Raises:
        InputError: the hands have more shape coefficients than the model.
    """
    _, keypoints = pose_keypoints_from_rotations(model, hands.rotations, hands.betas)
    return keypoints - keypoints[:, :1]


def labelled_points(
    marks: KeypointModel, joints: KeypointModel, hands: RegressedHands, is_marks: Tensor
) -> HandPoints:
    """`hand_points` in the definition that each hand's label has.

    Args:
        marks: model with keypoints where the detector marks them, see `hand_points`.
        joints: the same with keypoints at its joints and fingertips.
        hands: B hands.
        is_marks: (B,) bool, which of the two a label has.

    Returns:
        Points relative to the wrist keypoint of the label's definition. What the camera says is of
        the wrist keypoint that is marked.
    """
    _, marked = pose_keypoints_from_rotations(marks, hands.rotations, hands.betas)
    _, jointed = pose_keypoints_from_rotations(joints, hands.rotations, hands.betas)
    points = torch.where(is_marks[:, None, None], marked, jointed)
    positions = weak_projection(points - marked[:, :1], hands.camera)
    return HandPoints(points - points[:, :1], positions)


def hand_points(model: KeypointModel, hands: RegressedHands) -> HandPoints:
    """`regressed_keypoints` and where the hands' own cameras see them."""
    points = regressed_keypoints(model, hands)
    return HandPoints(points, weak_projection(points, hands.camera))


def regressed_vertices(model: HandModel, hands: RegressedHands) -> Tensor:
    """(B, V, 3) vertices in metres relative to the wrist keypoint, view frame.

    Of rotation matrices as they are: no axis-angle vector comes between, whose gradient fails near
    half a turn.

    Args:
        model: of a right hand, in the dtype and on the device of `hands`.
        hands: B hands.

    Raises:
        InputError: the hands have more shape coefficients than the model.
    """
    chain = Chain.of(model.rest_joints(hands.betas), hands.rotations, model.skeleton)
    shaped = model.v_template + displacement(model.shapedirs, hands.betas)
    vertices = pose_points(shaped, model.posedirs, model.skin_weights, chain)
    if model.keypoint_regressor is not None:
        return vertices - model.keypoint_regressor[:1] @ vertices
    tips = vertices.index_select(1, model.tip_vertices)
    keypoints = marked_keypoints(chain.joints, tips, chain, model.keypoint_offsets)
    return vertices - keypoints[:, :1]
