"""Each energy of the keypoint fit against its equation in NumPy, and its derivatives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fitter.conventions import BONES
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.priors import PoseSpace, anatomical_limits, pose_prior, shape_prior
from fitter.energies.residuals import Quadratic
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomical_angles, anatomy_of
from fitter.hand_models.kinematics import keypoints_with_jacobian, retract
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandParams

BATCH = 4
Energy = Callable[[HandParams], Quadratic]


@pytest.fixture(scope="module")
def model():
    return load_hand_model("open_hand", dtype=torch.float64)


@pytest.fixture(scope="module")
def pose_space(model) -> PoseSpace:
    return PoseSpace.of(
        anatomy_of(model.data), load_pose_prior(), torch.zeros((), dtype=torch.float64)
    )


@pytest.fixture
def params() -> HandParams:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(BATCH, *shape, generator=generator, dtype=torch.float64)

    return HandParams(
        normal(3),
        normal(15, 3, scale=0.5),
        normal(10),
        normal(3, scale=0.05) + torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64),
    )


@pytest.fixture
def targets() -> KeypointTargets:
    generator = torch.Generator().manual_seed(5)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(BATCH, *shape, generator=generator, dtype=torch.float64)

    matrix = torch.tensor([[2.0, 0.0, 0.4], [0.0, 2.1, 0.6], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return KeypointTargets(
        keypoints=uniform(21, 2),
        confidence=uniform(21),
        intrinsics=matrix.expand(BATCH, 3, 3),
        view=torch.nn.functional.normalize(uniform(3) - 0.5 + matrix.new_tensor([0, 0, 2]), dim=-1),
        relative_depth=uniform(21) - 0.5,
        has_depth=torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64),
        bone_directions=torch.nn.functional.normalize(uniform(20, 3) - 0.5, dim=-1),
        has_bones=torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64),
    )


def test_reprojection_is_its_equation(model, params, targets) -> None:
    points = model(params).keypoints.numpy()
    found = reprojection(
        keypoints_with_jacobian(model.keypoint_model(), params), targets, scale=0.1
    ).value
    image = np.einsum("bij,bkj->bki", targets.intrinsics.numpy(), points)
    squared = (image[..., :2] / image[..., 2:] - targets.keypoints.numpy()) ** 2
    squared = squared.sum(-1) / 0.1**2
    expected = (targets.confidence.numpy() * squared / (1 + squared)).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_relative_depth_is_its_equation(model, params, targets) -> None:
    points = model(params).keypoints.numpy()
    found = relative_depth(
        keypoints_with_jacobian(model.keypoint_model(), params), targets, scale=0.2, gain=1.3
    ).value
    distance = np.einsum("bkc,bc->bk", points, targets.view.numpy())
    wrist = distance[:, :1]
    difference = (distance - wrist) * 2.0 / wrist - 1.3 * targets.relative_depth.numpy()
    rho = 2 * (np.sqrt(1 + (difference / 0.2) ** 2) - 1)
    expected = (targets.confidence.numpy() * rho).sum(-1) * targets.has_depth.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_bone_directions_are_their_equation(model, params, targets) -> None:
    points = model(params).keypoints.numpy()
    found = bone_directions(
        keypoints_with_jacobian(model.keypoint_model(), params), targets, scale=0.3
    ).value
    expected = np.zeros(BATCH)
    confidence = targets.confidence.numpy()
    for i, (near, far) in enumerate(BONES):
        bone = points[:, far] - points[:, near]
        unit = bone / np.linalg.norm(bone, axis=-1, keepdims=True)
        squared = ((unit - targets.bone_directions[:, i].numpy()) ** 2).sum(-1) / 0.3**2
        expected += confidence[:, near] * confidence[:, far] * 2 * (np.sqrt(1 + squared) - 1)
    np.testing.assert_allclose(found, expected * targets.has_bones.numpy(), rtol=1e-10)


def test_limits_are_their_equation(model, params, pose_space) -> None:
    anatomy = anatomy_of(model.data)
    angles = anatomical_angles(params.hand_pose, torch.as_tensor(anatomy.axes)).numpy()
    excess = np.maximum(angles - anatomy.upper, 0) + np.maximum(anatomy.lower - angles, 0)
    assert (excess > 0).any()
    found = anatomical_limits(params, pose_space).value
    np.testing.assert_allclose(found, (excess**2).sum((1, 2)), rtol=1e-10)


def test_pose_prior_is_the_nearest_component(model, params, pose_space) -> None:
    prior = load_pose_prior()
    axes = torch.as_tensor(anatomy_of(model.data).axes)
    angles = anatomical_angles(params.hand_pose, axes).flatten(1).numpy()
    peaks = np.log(prior.mixture_weights) + prior.mixture_log_norms
    energies = [
        ((angles - mean) @ factor) ** 2 @ np.ones(45) + 2 * (peaks.max() - peak)
        for mean, factor, peak in zip(
            prior.mixture_means, prior.mixture_precision_factors, peaks, strict=True
        )
    ]
    np.testing.assert_allclose(pose_prior(params, pose_space).value, np.min(energies, 0), rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["reprojection", "relative_depth", "bone_directions", "limits", "pose", "shape"]
)
def test_gradients_are_central_differences(name, model, params, targets, pose_space) -> None:
    reduced = model.keypoint_model()
    energies: dict[str, Energy] = {
        "reprojection": lambda p: reprojection(
            keypoints_with_jacobian(reduced, p), targets, scale=0.1
        ),
        "relative_depth": lambda p: relative_depth(
            keypoints_with_jacobian(reduced, p), targets, scale=0.2, gain=1.3
        ),
        "bone_directions": lambda p: bone_directions(
            keypoints_with_jacobian(reduced, p), targets, scale=0.3
        ),
        "limits": lambda p: anatomical_limits(p, pose_space),
        "pose": lambda p: pose_prior(p, pose_space),
        "shape": shape_prior,
    }
    energy = energies[name]
    found = energy(params).gradient
    for column in range(found.shape[1]):
        step = torch.zeros_like(found)
        step[:, column] = 1e-6
        slope = (energy(retract(params, step)).value - energy(retract(params, -step)).value) / 2e-6
        torch.testing.assert_close(found[:, column], slope, rtol=1e-5, atol=1e-5)


def test_hessians_are_positive_semidefinite(model, params, targets, pose_space) -> None:
    seen = keypoints_with_jacobian(model.keypoint_model(), params)
    for term in (
        reprojection(seen, targets, 0.1),
        relative_depth(seen, targets, 0.2, 1.3),
        bone_directions(seen, targets, 0.3),
        anatomical_limits(params, pose_space),
        pose_prior(params, pose_space),
        shape_prior(params),
    ):
        torch.testing.assert_close(term.hessian, term.hessian.transpose(1, 2))
        assert torch.linalg.eigvalsh(term.hessian).min() > -1e-6


def test_a_hand_behind_the_camera_has_no_finite_energy(model, params, targets) -> None:
    behind = params.transl.clone()
    behind[1, 2] = -0.6
    moved = HandParams(params.global_orient, params.hand_pose, params.betas, behind)
    value = reprojection(keypoints_with_jacobian(model.keypoint_model(), moved), targets, 0.1).value
    assert value.isinf().tolist() == [False, True, False, False]
