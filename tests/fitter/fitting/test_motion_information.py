"""What an image says of where a hand is, in the coordinates of its motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fitter.fitting.motion_information import (
    MotionInformation,
    motion_entries,
    motion_information,
    unpacked_motion,
)
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.motion import PoseBasis, place_of
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.hand_models.tangent import TangentLayout, retract
from fitter.solvers import Linearization

S, P = 10, 45


@pytest.fixture(scope="module")
def linearized(some) -> Linearization:
    generator = torch.Generator().manual_seed(1)
    size = TangentLayout.of(some).size
    root = torch.randn(len(some.betas), size, size, generator=generator, dtype=torch.float64)
    gradient = torch.randn(len(some.betas), size, generator=generator, dtype=torch.float64)
    return Linearization(torch.ones(len(root)).double(), gradient, root @ root.mT)


def said(linearized, some, model, components: int) -> MotionInformation:
    basis = basis_of(components)
    stored = motion_information(linearized, some, model, basis).numpy()
    assert stored.shape == (len(some.betas), motion_entries(components, S))
    return unpacked_motion(stored, components, S)


def basis_of(components: int) -> PoseBasis:
    data = load_open_hand()
    return PoseBasis.of(load_pose_prior(), anatomy_of(data).axes, components)


def test_the_cost_along_a_step_is_the_same_in_both_coordinates(linearized, some, model) -> None:
    found, basis = said(linearized, some, model, P), basis_of(P)
    generator = torch.Generator().manual_seed(2)
    step = 1e-4 * torch.randn(linearized.gradient.shape, generator=generator, dtype=torch.float64)
    step[:, TangentLayout.of(some).betas] = 0.0
    moved = retract(some, step)
    wanted = (linearized.gradient * step).sum(1) + 0.5 * (
        step[:, None] @ linearized.hessian @ step[..., None]
    ).flatten()
    place = (place_of(model.size, moved) - place_of(model.size, some)).numpy()
    pose = (moved.hand_pose - some.hand_pose).flatten(1).numpy() @ basis.forward.T
    x = np.concatenate([step[:, :3].numpy(), place, pose], 1)
    cost = (found.gradient * x).sum(1) + 0.5 * np.einsum("bi,bij,bj->b", x, found.hessian, x)
    np.testing.assert_allclose(cost, wanted.numpy(), rtol=5e-3, atol=1e-6)


def test_a_change_of_shape_moves_the_optimum_as_the_joint_cost_has_it(
    linearized, some, model
) -> None:
    found = said(linearized, some, model, P)
    betas = np.random.default_rng(3).normal(0, 1e-3, (len(some.betas), S))
    layout = TangentLayout.of(some)
    own = torch.ones(layout.size, dtype=torch.bool)
    own[layout.betas] = False
    held = torch.from_numpy(betas)[..., None]
    right = linearized.gradient[:, own] + (linearized.hessian[:, own][:, :, ~own] @ held)[..., 0]
    matrix = linearized.hessian[:, own][:, :, own]
    free = -torch.linalg.solve(matrix, right[..., None])[..., 0]
    step = torch.zeros_like(linearized.gradient)
    # Small, so that the coordinates change with it to first order.
    small = 1e-4
    step[:, own], step[:, ~own] = small * free, small * held[..., 0]
    place = (place_of(model.size, retract(some, step)) - place_of(model.size, some)) / small
    slope = found.gradient + np.einsum("bij,bj->bi", found.across, betas)
    x = -np.linalg.solve(found.hessian, slope[..., None])[..., 0]
    np.testing.assert_allclose(x[:, 3:6], place.numpy(), rtol=2e-2, atol=2e-2)


def test_what_is_left_of_the_pose_follows(linearized, some, model) -> None:
    kept = 12
    few, all_ = said(linearized, some, model, kept), said(linearized, some, model, P)
    n = 6 + kept
    matrix, gradient = all_.hessian, all_.gradient
    corner, own = matrix[:, :n, n:], matrix[:, n:, n:]
    hessian = matrix[:, :n, :n] - corner @ np.linalg.solve(own, matrix[:, n:, :n])
    slope = gradient[:, :n] - (corner @ np.linalg.solve(own, gradient[:, n:, None]))[..., 0]
    np.testing.assert_allclose(few.hessian, hessian, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(few.gradient, slope, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(few.pose, all_.pose[:, :kept], rtol=1e-5, atol=1e-6)


def test_a_hand_that_is_not_finite_says_nothing(linearized, some, model) -> None:
    spoilt = Linearization(linearized.cost.clone(), linearized.gradient, linearized.hessian)
    spoilt.cost[2] = torch.nan
    stored = motion_information(spoilt, some, model, basis_of(8))
    assert stored[2].isnan().all()
    assert stored[[0, 1, 3]].isfinite().all()
