"""The analytic keypoint Jacobian against forward-mode differentiation of its readable twin."""

import pytest
import torch
from torch import Tensor

from fitter.hand_models.kinematics import (
    keypoints_with_jacobian,
    left_jacobian,
    retract,
    skew,
)
from fitter.hand_models.skinning import KeypointModel, pose_keypoints
from fitter.records import HandParams

SHAPES = 4


def random_model(generator: torch.Generator, with_posedirs: bool) -> KeypointModel:
    def normal(*shape: int, scale: float = 0.05) -> Tensor:
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = torch.rand(5, 16, generator=generator, dtype=torch.float64)
    return KeypointModel(
        joint_template=normal(16, 3),
        joint_shapedirs=normal(16, 3, SHAPES, scale=0.01),
        tip_template=normal(5, 3),
        tip_shapedirs=normal(5, 3, SHAPES, scale=0.01),
        tip_weights=weights / weights.sum(-1, keepdim=True),
        tip_posedirs=normal(5, 3, 135, scale=0.01) if with_posedirs else None,
        keypoint_offsets=normal(21, 3, scale=0.02),
    )


def random_params(generator: torch.Generator, batch: int, angle: float) -> HandParams:
    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    return HandParams(angle * normal(3), angle * normal(15, 3), normal(SHAPES), normal(3) + 0.5)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.02, 0.7, 1.5])
@pytest.mark.parametrize("with_posedirs", [False, True])
def test_equals_its_twin_and_forward_mode_derivatives(angle: float, with_posedirs: bool) -> None:
    generator = torch.Generator().manual_seed(7)
    model = random_model(generator, with_posedirs)
    params = random_params(generator, 3, angle)
    zero = torch.zeros(3, 51 + SHAPES, dtype=torch.float64)

    def moved(step: Tensor) -> Tensor:
        return pose_keypoints(model, retract(params, step))[1]

    fast = keypoints_with_jacobian(model, params)
    torch.testing.assert_close(fast.keypoints, moved(zero), rtol=0, atol=1e-12)
    # Central differences, because automatic differentiation of a composition of rotation vectors
    # passes through its singular representation at zero.
    for column in range(zero.shape[1]):
        step = zero.clone()
        step[:, column] = 1e-5
        slope = (moved(step) - moved(-step)) / 2e-5
        torch.testing.assert_close(fast.jacobian[..., column], slope, rtol=1e-7, atol=1e-8)


def test_left_jacobian_is_continuous_where_the_series_takes_over() -> None:
    axis = torch.tensor([0.6, -0.0, 0.8], dtype=torch.float64)
    below, above = left_jacobian(axis * (1e-2 - 1e-12)), left_jacobian(axis * (1e-2 + 1e-12))
    torch.testing.assert_close(below, above, rtol=0, atol=1e-11)


def test_skew_is_the_cross_product() -> None:
    a, b = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close((skew(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))
