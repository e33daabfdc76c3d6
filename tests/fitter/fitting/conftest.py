"""Hands whose keypoints are fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.poses.sampler import sample_hand_angles
from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import FLEXION, anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandParams


@pytest.fixture(scope="module")
def model() -> FitModel:
    open_hand = load_hand_model("open_hand", dtype=torch.float64)
    like = torch.zeros((), dtype=torch.float64)
    space = PoseSpace.of(anatomy_of(open_hand.data), load_pose_prior(), like)
    return FitModel(open_hand.keypoint_model(), space)


@pytest.fixture(scope="module")
def hands(model) -> HandParams:
    """24 hands in front of the camera: 12 open ones, then 12 fists."""
    rng = np.random.default_rng(5)
    angles = sample_hand_angles(rng, 400)
    curl = angles[:, :, FLEXION].mean(1)
    order = np.argsort(curl)
    angles = torch.as_tensor(angles[np.concatenate([order[20:32], order[-32:-20]])])
    pose = torch.einsum("nja,jac->njc", angles, model.pose_space.axes)

    def normal(scale: float, *shape: int) -> Tensor:
        return torch.as_tensor(rng.normal(scale=scale, size=(24, *shape)))

    middle = torch.tensor([0.0, 0.0, 0.55], dtype=torch.float64)
    return HandParams(normal(1.0, 3), pose, normal(0.3, 10), middle + normal(0.04, 3))


@pytest.fixture(scope="module")
def some(hands) -> HandParams:
    """Four open hands and four fists."""
    return hands[torch.tensor([0, 3, 6, 9, 12, 15, 18, 21])]
