"""What networks say of hands whose keypoints are known."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.fitting.initializer import Prediction
from fitter.fitting.observations import ObservationBatch, normalise


def perfect(points: Tensor, observed: ObservationBatch, std: float = 0.01) -> Prediction:
    """What a network that errs in nothing says of keypoints (B, 21, 3), camera axes."""
    targets = normalise(observed)
    points = torch.where(
        observed.is_left[:, None, None], points * points.new_tensor([-1.0, 1, 1]), points
    )
    distance = (points[:, :1] * targets.view_direction[:, None]).sum(-1, keepdim=True)
    keypoints = targets.intrinsics[:, 0, 0, None, None] * (points - points[:, :1]) / distance
    return Prediction(keypoints, torch.full_like(keypoints[..., :2], std))


def nothing(prediction: Prediction, *rows: int) -> Prediction:
    """A prediction whose network could not see some hands."""
    prediction = prediction.map(torch.clone)
    prediction.keypoints[list(rows)], prediction.std[list(rows)] = torch.nan, torch.nan
    return prediction
