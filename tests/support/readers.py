"""What readers are asked for by every test of them."""

import numpy as np
import torch

from datasets.annotations import AnnotatedImages, ModelParameters
from fitter.records import HandParams

ALLOWED_PIXELS = 0.5


def hand_params(parameters: ModelParameters) -> HandParams:
    """As a batch of one."""
    values = (parameters.global_orient, parameters.hand_pose, parameters.betas)
    return HandParams(*(torch.from_numpy(v)[None] for v in (*values, parameters.translation)))


def assert_projects(images: AnnotatedImages, allowed: float = ALLOWED_PIXELS) -> int:
    """Every hand's 3D keypoints lie where its 2D ones are; how many keypoints were compared."""
    compared = 0
    for place in range(len(images)):
        annotation = images.annotation(place)
        for hand in annotation.hands:
            there = np.isfinite(hand.keypoints_3d).all(1) & np.isfinite(hand.keypoints_2d).all(1)
            points = hand.keypoints_3d[there] @ annotation.intrinsics.T
            away = points[:, :2] / points[:, 2:] - hand.keypoints_2d[there]
            assert np.linalg.norm(away, axis=1).max(initial=0) < allowed
            compared += int(there.sum())
    return compared
