"""Each energy of the keypoint fit against its equation in NumPy, and its derivatives."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.conventions import BONES
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.priors import PoseSpace, anatomical_limits, pose_prior, shape_prior
from fitter.energies.residuals import Quadratic
from fitter.fitting.observations import unknown_features
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomical_angles, anatomy_of
from fitter.hand_models.keypoint_jacobian import by_finger
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandParams, NormalisedHands

BATCH = 4


@dataclass(frozen=True)
class Observed:
    """Observations in canonical order, from which the targets are made."""

    keypoints: Tensor
    confidence: Tensor
    intrinsics: Tensor
    view: Tensor
    depth: Tensor
    xyz: Tensor

    @property
    def targets(self) -> KeypointTargets:
        palm, tip = (list(ends) for ends in zip(*BONES, strict=True))
        bones = normalize(self.xyz[:, tip] - self.xyz[:, palm], dim=-1)
        has_depth = self.depth.isfinite().all(-1, keepdim=True)
        has_bones = bones.isfinite().flatten(1).all(-1, keepdim=True)
        return KeypointTargets.of(
            NormalisedHands(
                keypoints=self.keypoints,
                confidence=self.confidence,
                intrinsics=self.intrinsics,
                view_direction=self.view,
                relative_depth=self.depth.nan_to_num(),
                depth_weight=self.confidence[:, 1:] * has_depth,
                bone_directions=bones.nan_to_num(),
                bone_weight=self.confidence[:, palm] * self.confidence[:, tip] * has_bones,
                features=unknown_features(len(bones), bones),
                is_usable=torch.ones(len(bones), dtype=torch.bool),
            )
        )


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
def seen() -> Observed:
    generator = torch.Generator().manual_seed(5)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(BATCH, *shape, generator=generator, dtype=torch.float64)

    matrix = torch.tensor([[2.0, 0.0, 0.4], [0.0, 2.1, 0.6], [0.0, 0.0, 1.0]], dtype=torch.float64)
    depth, xyz = uniform(21) - 0.5, uniform(21, 3) - 0.5
    depth[3, 7] = torch.nan
    xyz[2, 9, 1] = torch.nan
    return Observed(
        keypoints=uniform(21, 2),
        confidence=uniform(21),
        intrinsics=matrix.expand(BATCH, 3, 3),
        view=normalize(uniform(3) - 0.5 + matrix.new_tensor([0, 0, 2]), dim=-1),
        depth=depth,
        xyz=xyz,
    )


@pytest.fixture
def points(model, params) -> Tensor:
    return by_finger(model(params).keypoints)


def test_reprojection_is_its_equation(model, params, points, seen) -> None:
    found = reprojection(points, seen.targets, scale=0.1).value
    image = np.einsum("bij,bkj->bki", seen.intrinsics, model(params).keypoints)
    squared = (image[..., :2] / image[..., 2:] - seen.keypoints.numpy()) ** 2
    squared = squared.sum(-1) / 0.1**2
    expected = (seen.confidence.numpy() * squared / (1 + squared)).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_relative_depth_is_its_equation(model, params, points, seen) -> None:
    found = relative_depth(points, seen.targets, scale=0.2).value
    distance = np.einsum("bkc,bc->bk", model(params).keypoints, seen.view)
    wrist = distance[:, :1]
    difference = (distance - wrist) * 2.0 / wrist - seen.depth.numpy()
    rho = 2 * (np.sqrt(1 + (difference / 0.2) ** 2) - 1)
    expected = (seen.confidence.numpy() * rho)[:, 1:].sum(-1)
    expected[3] = 0  # one of its depths is unknown
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_bone_directions_are_their_equation(model, params, points, seen) -> None:
    found = bone_directions(points, seen.targets, scale=0.3).value
    expected = np.zeros(BATCH)
    confidence = seen.confidence.numpy()

    def direction(positions: np.ndarray, near: int, far: int) -> np.ndarray:
        bone = positions[:, far] - positions[:, near]
        return bone / np.linalg.norm(bone, axis=-1, keepdims=True)

    for near, far in BONES:
        difference = direction(model(params).keypoints.numpy(), near, far)
        difference = difference - direction(seen.xyz.numpy(), near, far)
        squared = (difference**2).sum(-1) / 0.3**2
        expected += confidence[:, near] * confidence[:, far] * 2 * (np.sqrt(1 + squared) - 1)
    expected[2] = 0  # one of its positions is unknown
    np.testing.assert_allclose(found, expected, rtol=1e-10)


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


DATA_ENERGIES: dict[str, Callable[[Tensor, KeypointTargets], Quadratic]] = {
    "reprojection": lambda points, targets: reprojection(points, targets, 0.1),
    "relative_depth": lambda points, targets: relative_depth(points, targets, 0.2),
    "bone_directions": lambda points, targets: bone_directions(points, targets, 0.3),
}


@pytest.mark.parametrize("name", DATA_ENERGIES)
def test_data_gradients_are_derivatives_by_the_points(name, points, seen) -> None:
    energy = DATA_ENERGIES[name]
    moving = points.clone().requires_grad_()
    value = energy(moving, seen.targets).value
    (expected,) = torch.autograd.grad(value.sum(), moving)
    found = energy(points, seen.targets).gradient
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", DATA_ENERGIES)
def test_data_hessians_are_exact_where_residuals_vanish(name, model, params, points, seen) -> None:
    """Gauss-Newton drops the terms that are proportional to residuals, and only those."""
    energy = DATA_ENERGIES[name]
    canonical = model(params).keypoints
    image = canonical @ seen.intrinsics.mT
    distance = (canonical @ seen.view[..., None])[..., 0]
    depth = (distance / distance[:, :1] - 1) * 2.0
    targets = replace(
        seen, keypoints=image[..., :2] / image[..., 2:], depth=depth, xyz=canonical
    ).targets
    exact = torch.stack(
        [
            torch.autograd.functional.hessian(
                lambda flat, i=i: energy(flat.view(1, 5, 5, 3), targets[[i]]).value.sum(),
                points[i].flatten(),
            )
            for i in range(BATCH)
        ]
    ).view(BATCH, 5, 15, 5, 15)
    fingers = torch.arange(5)
    found = energy(points, targets)
    assert found.value.abs().max() < 1e-12
    torch.testing.assert_close(
        found.hessian.flatten(4).flatten(2, 3),
        exact[:, fingers, :, fingers].transpose(0, 1),
        rtol=1e-8,
        atol=1e-6,
    )
    assert exact.norm() > 1


def test_prior_derivatives_are_those_of_their_values(params, pose_space) -> None:
    def moved(name: str, values: Tensor) -> HandParams:
        return replace(params, **{name: values})

    for energy, name in (
        (lambda p: anatomical_limits(p, pose_space), "hand_pose"),
        (lambda p: pose_prior(p, pose_space), "hand_pose"),
        (shape_prior, "betas"),
    ):
        found = energy(params)
        start = getattr(params, name)
        slope = torch.func.grad(lambda x, n=name, e=energy: e(moved(n, x)).value.sum())
        torch.testing.assert_close(found.gradient, slope(start).flatten(1))
        if found.hessian.ndim == 2:
            curvature = torch.diag_embed(found.hessian)
        elif found.hessian.ndim == 4:
            curvature = torch.stack([torch.block_diag(*blocks) for blocks in found.hessian])
        else:
            curvature = found.hessian
        # All three are quadratic at almost every pose: their Hessian turns steps into slopes.
        step = 1e-7 * torch.ones_like(start)
        change = (slope(start + step) - slope(start - step)).flatten(1) / 2
        predicted = (curvature @ step.flatten(1)[..., None])[..., 0]
        torch.testing.assert_close(predicted, change, rtol=1e-6, atol=1e-12)


def test_hessians_are_positive_semidefinite(params, points, seen, pose_space) -> None:
    hessians = [
        energy(points, seen.targets).hessian.flatten(4).flatten(2, 3)
        for energy in DATA_ENERGIES.values()
    ]
    hessians += [anatomical_limits(params, pose_space).hessian]
    hessians += [pose_prior(params, pose_space).hessian]
    for hessian in hessians:
        torch.testing.assert_close(hessian, hessian.mT)
        assert torch.linalg.eigvalsh(hessian).min() > -1e-6


def test_a_hand_behind_the_camera_has_no_finite_energy(points, seen) -> None:
    behind = points.clone()
    behind[1, ..., 2] -= 1.2
    value = reprojection(behind, seen.targets, 0.1).value
    assert value.isinf().tolist() == [False, True, False, False]
