"""The space of a hand's parameters: how far a step goes, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from fitter.hand_models.tangent import (
    GLOBAL,
    TRANSL,
    HandManifold,
    TangentLayout,
    exp_and_left_jacobian,
    skew,
)
from fitter.records import HandParams
from fitter.solvers import LevenbergMarquardt, Linearization, levenberg_marquardt

SHAPES = 2
LAYOUT = TangentLayout(SHAPES, 15)
D = LAYOUT.size


def hands(count: int) -> HandParams:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(count, *shape, dtype=torch.float64)

    return HandParams(zeros(3), zeros(15, 3), zeros(SHAPES), zeros(3))


@dataclass
class Pull:
    """A problem that wants every tangent coordinate at `target` (D,) at once."""

    target: Tensor

    def linearize(self, params: HandParams) -> Linearization:
        pose = params.hand_pose.flatten(1)
        state = torch.cat([params.global_orient, params.transl, params.betas, pose], 1)
        gap = state - self.target
        curvature = 2 * torch.eye(D, dtype=gap.dtype).expand(len(gap), D, D)
        return Linearization(gap.square().sum(-1), 2 * gap, curvature)

    def select(self, index: Tensor) -> Pull:
        return self


@pytest.mark.parametrize("part", [GLOBAL, slice(LAYOUT.pose.start + 6, LAYOUT.pose.start + 9)])
def test_no_joint_rotates_farther_than_allowed_in_a_step(part: slice) -> None:
    target = torch.zeros(D, dtype=torch.float64)
    target[part] = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64)
    target[TRANSL], target[LAYOUT.betas] = 0.6, -1.2
    options = LevenbergMarquardt(max_iterations=1, damping=1e-9)
    manifold = HandManifold(15, max_rotation=0.5)
    params = levenberg_marquardt(Pull(target), hands(1), options, manifold).params
    angles = torch.cat([params.global_orient[:, None], params.hand_pose], 1).norm(dim=-1)
    torch.testing.assert_close(angles.max(), angles.new_tensor(0.5), rtol=1e-6, atol=0)
    # The whole step is shortened, not its rotations alone: it keeps its direction.
    torch.testing.assert_close(params.transl, params.transl.new_full((1, 3), 0.1))
    torch.testing.assert_close(params.betas, params.betas.new_full((1, SHAPES), -0.2))


def test_steps_that_are_short_enough_stay_as_they_are() -> None:
    step = 0.1 * torch.randn(4, D, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(HandManifold(15, max_rotation=1.0).shortened(step), step)


def test_the_rotation_and_its_left_jacobian_are_those_of_the_vector() -> None:
    """J(w) is the integral of exp(s w^) over s in [0, 1] (Sola et al., section 7.1)."""
    generators = skew(torch.eye(3, dtype=torch.float64)).flatten(1)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for angle in (0.0, 1e-160, 1e-9, 1e-5, 1e-3, 0.1, 1.0, 3.0):
        vector = angle * torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
        on_the_way = roma.rotvec_to_rotmat(torch.as_tensor((nodes + 1) / 2)[:, None] * vector)
        mean = (torch.as_tensor(weights / 2)[:, None, None] * on_the_way).sum(0)
        rotation, left = exp_and_left_jacobian(vector, generators)
        torch.testing.assert_close(left, mean, rtol=0, atol=1e-13)
        torch.testing.assert_close(rotation, roma.rotvec_to_rotmat(vector), rtol=0, atol=1e-13)


def test_skew_is_the_cross_product() -> None:
    a, b = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close((skew(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))
