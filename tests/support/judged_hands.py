"""Fitted hands with all that a judge is told of them, made without a detector or a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fitter.camera import project
from fitter.fitting.initializer import Prediction, Predictions
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.quality.inputs import JudgedHands
from fitter.records import HandCrop, HandObservation, HandParams, NormalisedHands
from fitter.refinement.scene import SceneModel
from tests.support.refine_scenes import camera, true_hands

SIDE = 128


def judged_hands(
    scenes: SceneModel,
    count: int,
    fitted: HandParams | None = None,
    detected: bool = True,
    network_std: float | None = 0.02,
) -> JudgedHands:
    """Right hands as the model has them, seen without error.

    Args:
        scenes: the hand model.
        count: of hands.
        fitted: what the fit found; None for the truth.
        detected: a detector found the hands; else somebody gave their keypoints.
        network_std: of a network that says the truth, crop units; None for no network.
    """
    truth = true_hands(scenes, count)
    points = pose_keypoints(scenes.fit.keypoints, truth)[1]
    K = camera(count, SIDE)
    pixels = project(points, K)
    hands = [
        HandObservation(
            keypoints=pixels[i].numpy(),
            confidence=np.full(21, 0.9 if detected else 1.0),
            side="right",
            side_score=0.95,
            score=0.9,
            relative_depth=None,
            relative_xyz=points[i].numpy() if detected else None,
            presence=0.97 if detected else None,
        )
        for i in range(count)
    ]
    like = torch.zeros((), dtype=torch.float64)
    observed = normalise(ObservationBatch.of(hands, list(K.numpy()), like))
    right = truth if fitted is None else fitted
    zeros = torch.zeros(count, dtype=torch.int64)
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    crops = [
        HandCrop(image, None, None, K[i].numpy(), hands[i].keypoints, hands[i].confidence,
                 np.zeros((0, 21, 2)))
        for i in range(count)
    ]  # fmt: skip
    return JudgedHands(
        observed=hands,
        crops=crops,
        hands=observed,
        predictions=Predictions(_said(observed, points, network_std), [None] * count),
        fit=KeypointFit(right, zeros.double(), zeros + 5, zeros, zeros),
        right=right,
        offsets=None,
        log_focal=torch.zeros(count, dtype=torch.float64),
        image_keypoints=project(pose_keypoints(scenes.fit.keypoints, right)[1], K),
        image_sizes=torch.full((count, 2), float(SIDE), dtype=torch.float64),
        masks={},
        mask_iou={},
    )


def _said(
    observed: NormalisedHands, points: torch.Tensor, std: float | None
) -> dict[str, Prediction]:
    """What a network says that knows the truth."""
    if std is None:
        return {}
    scale = (observed.intrinsics[:, 0, 0] / points[:, 0, 2])[:, None, None]
    relative = scale * (points - points[:, :1])
    return {"lifter": Prediction(relative, torch.full_like(relative[..., :2], std))}


def mirrored(judged: JudgedHands) -> JudgedHands:
    """The same hands as left ones: what a detector says of the mirrored image."""
    flip = np.array([-1.0, 1.0, 1.0])
    hands = [
        replace(
            hand,
            keypoints=hand.keypoints * [-1, 1] + [SIDE, 0],
            side="left",
            relative_xyz=None if hand.relative_xyz is None else hand.relative_xyz * flip,
        )
        for hand in judged.observed
    ]
    points = judged.image_keypoints * torch.tensor([-1.0, 1.0]) + torch.tensor([float(SIDE), 0.0])
    return replace(judged, observed=hands, image_keypoints=points)
