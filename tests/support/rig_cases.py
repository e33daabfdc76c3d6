"""Rigs of random cameras, hands before them, and what an ideal detector says of these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.fit_model import FitModel
from fitter.fitting.keypoint_fit import fit_keypoints
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.records import HandObservation, HandParams, NormalisedHands
from fitter.rotations import roma
from fitter.views.joint_fit import JointFit, fit_rows
from fitter.views.matching import match_hands
from fitter.views.rows import RigRows, RootJoint
from tests.support.keypoint_cases import observe


def random_rows(count: int, views: Sequence[int], seed: int = 0) -> RigRows:
    """Rows of `count` hands, as many for each as `views` says, in cameras of any pose from which a
    hand at the origin is half a metre away."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(views)
    quaternion = torch.randn(total, 4, generator=generator, dtype=torch.float64)
    away = torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64)
    return RigRows(
        hand=torch.arange(count).repeat_interleave(torch.tensor(views)),
        rotation=roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternion, dim=-1)),
        translation=away + 0.05 * torch.randn(total, 3, generator=generator, dtype=torch.float64),
        weight=torch.ones(total, dtype=torch.float64),
        count=count,
    )


def about_origin(model: FitModel, hands: HandParams) -> HandParams:
    """The hands with the middle of their keypoints at the origin."""
    middle = pose_keypoints(model.keypoints, hands)[1].mean(1)
    return HandParams(hands.global_orient, hands.hand_pose, hands.betas, hands.transl - middle)


def seen_in_rows(model: FitModel, rows: RigRows, hands: HandParams) -> NormalisedHands:
    """What the rows' cameras see of hands in the rig's frame, without error; no weak depth."""
    seen = rows.in_views(hands, RootJoint.of(model.keypoints))
    return normalise(observed(pose_keypoints(model.keypoints, seen)[1]))


def observed(points: Tensor) -> ObservationBatch:
    """Keypoints (N, 21, 3) in their cameras as observations of right hands."""
    return observe(points, weak=False)


def mono_fit(model: FitModel, seen: NormalisedHands, config: FitConfig) -> HandParams:
    return fit_keypoints(model, seen, config).params


def joint_fit(
    model: FitModel,
    rows: RigRows,
    seen: NormalisedHands,
    config: FitConfig,
    points: Tensor | None = None,
    known: KnownShape | None = None,
) -> JointFit:
    """`fit_rows` without networks."""
    if points is None:
        points = torch.full((rows.count, 21, 3), torch.nan, dtype=torch.float64)
    known = known or KnownShape.nothing(points)
    return fit_rows(model, rows, seen, config, [], True, known, points)


def matched_sets(frame: DetectedFrame) -> list[tuple[tuple[int, int], ...]]:
    """Of each hand of a frame the (view, place) that it was found at, sorted."""
    return sorted(tuple(hand.places.items()) for hand in match_hands(frame))


def rig_hand(keypoints: np.ndarray, side: str = "right", **changes: object) -> HandObservation:
    """A hand that a detector is sure of."""
    facts = {"side_score": 0.99, "score": 0.9, "confidence": np.ones(21)} | changes
    return HandObservation(keypoints=keypoints, side=side, **facts)
