"""The keypoint fit of a hand with NIMBLE's joints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.energies.priors import PoseSpace, anatomical_limits, pose_prior
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Prediction
from fitter.fitting.keypoint_fit import fit_keypoints, fit_observations
from fitter.fitting.observations import normalise
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior, mixture_log_density, on_skeleton
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.metrics import pa_mpjpe
from fitter.records import HandParams
from fitter.solvers.status import Status
from tests.support.jointed_hands import SHAPES, jointed_data, jointed_hand, possible_pose
from tests.support.keypoint_cases import (
    TRUSTING,
    fitted_keypoints,
    keypoints_of,
    mirrored,
    observe,
)

COUNT = 8


@pytest.fixture(scope="module")
def model() -> FitModel:
    like = torch.zeros((), dtype=torch.float64)
    space = PoseSpace.of(anatomy_of(jointed_data()), load_pose_prior(), like)
    return FitModel(jointed_hand().keypoint_model(), space)


@pytest.fixture(scope="module")
def hands() -> HandParams:
    rng = np.random.default_rng(5)

    def normal(scale: float, *shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.normal(scale=scale, size=(COUNT, *shape)))

    middle = torch.tensor([0.0, 0.0, 0.55], dtype=torch.float64)
    pose = possible_pose(COUNT, metacarpals=1.0)
    return HandParams(normal(1.0, 3), pose, normal(0.3, SHAPES), middle + normal(0.04, 3))


@pytest.mark.parametrize("side", ["right", "left"])
def test_perfect_observations_give_the_hand_back(model, hands, side) -> None:
    truth = keypoints_of(model, hands)
    observed = observe(truth)
    if side == "left":
        observed, truth = mirrored(observed), truth * torch.tensor([-1.0, 1, 1])
    result = fit_observations(model, observed, TRUSTING)
    found = fitted_keypoints(model, result, observed.is_left)
    pixels = (project(found, observed.intrinsics) - observed.keypoints).norm(dim=-1).mean(1)
    assert pixels.max() < 0.5
    assert 1000 * pa_mpjpe(found.numpy(), truth.numpy()).max() < 3
    assert result.params.hand_pose.shape == (COUNT, 19, 3)
    assert (result.status == Status.CONVERGED).all()


def test_a_network_places_it(model, hands) -> None:
    """Its keypoints become a start by inverse kinematics, and the fit goes on from it."""
    truth = keypoints_of(model, hands)
    normalised = normalise(observe(truth)).with_depth_gain(1.0)
    scale = normalised.intrinsics[:, 0, 0, None, None] / truth[:, :1, 2:]
    relative = scale * (truth - truth[:, :1])
    said = Prediction(relative, torch.full((COUNT, 21, 2), 0.01).double())
    result = fit_keypoints(model, normalised, TRUSTING, [said], from_keypoints=False)
    assert (result.initialisation == 1).all()
    found = keypoints_of(model, result.params)
    assert 1000 * pa_mpjpe(found.numpy(), truth.numpy()).max() < 3


def test_a_hand_that_cannot_be_fitted_has_the_shape_of_the_others(model, hands) -> None:
    observed = observe(keypoints_of(model, hands))
    observed.keypoints[2] = torch.nan
    result = fit_observations(model, observed, TRUSTING)
    assert result.status[2] == Status.DIVERGED
    assert result.params.hand_pose[2].isnan().all()
    assert (result.status[[0, 1, 3]] != Status.DIVERGED).all()


def test_the_prior_is_twice_the_negative_log_density(model) -> None:
    """Of the nearest component, up to a constant; and its derivatives are those of autograd."""
    anatomy = anatomy_of(jointed_data())
    prior, space = on_skeleton(load_pose_prior(), anatomy), model.pose_space
    pose = possible_pose(4, metacarpals=0.5).requires_grad_()
    params = HandParams(torch.zeros(4, 3), pose, torch.zeros(4, SHAPES), torch.zeros(4, 3))
    found = pose_prior(params, space)
    angles = torch.einsum("njc,jac->nja", pose.detach(), torch.as_tensor(anatomy.axes))
    density = mixture_log_density(prior, angles.flatten(1).numpy())
    # The sum over components exceeds their maximum by no more than their number.
    gap = found.value.detach().numpy() + 2 * density
    assert np.ptp(gap) < 2 * np.log(len(prior.mixture_means))
    gradient = torch.autograd.grad(found.value.sum(), pose)[0]
    torch.testing.assert_close(found.gradient, gradient.flatten(1))
    assert found.hessian.shape == (4, 57, 57)


def test_a_metacarpal_beyond_its_limit_costs(model) -> None:
    row = NIMBLE_SKELETON.pose_names.index("index_cmc")
    angles = torch.zeros(1, 19, 3).double()
    angles[0, row, 0] = model.pose_space.upper[row, 0] + 0.1
    pose = (angles[..., None, :] @ model.pose_space.axes)[..., 0, :]
    zeros = torch.zeros(1, 3).double()
    params = HandParams(zeros, pose, torch.zeros(1, SHAPES).double(), zeros)
    found = anatomical_limits(params, model.pose_space)
    torch.testing.assert_close(found.value, torch.tensor([0.01]).double())
    assert found.hessian.shape == (1, 19, 3, 3)
