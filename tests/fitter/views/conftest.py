"""Hands about the origin of a rig."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from views_data import SampledHands

from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandParams


@pytest.fixture(scope="session")
def model() -> FitModel:
    open_hand = load_hand_model("open_hand", dtype=torch.float64)
    space = PoseSpace.of(
        anatomy_of(open_hand.data), load_pose_prior(), torch.zeros((), dtype=torch.float64)
    )
    return FitModel(open_hand.keypoint_model(), space)


@pytest.fixture(scope="session")
def sampled(model) -> SampledHands:
    return SampledHands.of(model, 6, seed=3)


@pytest.fixture(scope="session")
def hands(sampled) -> HandParams:
    return sampled.right


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
