"""The prior of a hand's motion: its value, and its derivatives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.energies.motion import motion_prior
from fitter.hand_models.motion import HandMotion, place_of, transl_at
from fitter.hand_models.tangent import retract
from fitter.records import HandParams
from fitter.rotations import roma
from tests.fitter.fitting.conftest import hands, model, some

__all__ = ["hands", "model", "some"]

P = 45


def information(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(count, 6 + P, 6 + P, generator=generator, dtype=torch.float64)
    return root @ root.mT


def motion_of(model, hands: HandParams, off: float, seed: int) -> HandMotion:
    """Expected some way from where the hands are."""
    generator = torch.Generator().manual_seed(seed)

    def noise(values: Tensor) -> Tensor:
        drawn = torch.randn(values.shape, generator=generator, dtype=values.dtype)
        return values + off * drawn

    place, pose = place_of(model.size, hands), hands.hand_pose.flatten(1)
    matrix = information(len(place), seed)
    return HandMotion(noise(hands.global_orient), noise(place), noise(pose), matrix)


def test_it_is_least_where_the_hand_is_expected(model, some) -> None:
    there = motion_of(model, some, 0.0, 1)
    found = motion_prior(some, model.size, there)
    torch.testing.assert_close(found.value, torch.zeros(8, dtype=torch.float64), atol=1e-20, rtol=0)
    assert (motion_prior(some, model.size, motion_of(model, some, 0.1, 1)).value > 0.1).all()


def test_its_derivatives_are_those_of_its_value(model, some) -> None:
    expected = motion_of(model, some, 0.2, 2)
    found = motion_prior(some, model.size, expected)
    step = torch.zeros_like(found.gradient, requires_grad=True)
    value = motion_prior(retract(some, step), model.size, expected).value
    (gradient,) = torch.autograd.grad(value.sum(), step)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-7, atol=1e-7)


def test_its_hessian_is_right_where_the_hand_is_expected(model, some) -> None:
    some = some[:2]
    expected = motion_of(model, some, 0.0, 3)
    hessian = motion_prior(some, model.size, expected).hessian
    direction = torch.randn_like(hessian[..., 0])
    small = 1e-4
    value = motion_prior(retract(some, small * direction), model.size, expected).value
    wanted = (direction[:, None] @ hessian @ direction[..., None]).flatten() * small**2 / 2
    torch.testing.assert_close(value, wanted, rtol=1e-2, atol=0)


def test_without_information_it_is_nothing(model, some) -> None:
    expected = motion_of(model, some, 0.3, 4)
    silent = replace(expected, information=0 * expected.information)
    for part in motion_prior(some, model.size, silent):
        assert (part == 0).all()


def test_a_place_and_a_shape_make_a_hand_there(model, some) -> None:
    place = place_of(model.size, some)
    torch.testing.assert_close(transl_at(model.size, some.betas, place), some.transl)


def test_a_larger_hand_farther_away_has_the_same_place(model, some) -> None:
    larger = model.size.shaped(some, some.betas + 0.5)
    torch.testing.assert_close(place_of(model.size, larger), place_of(model.size, some))


@pytest.mark.parametrize("angle", [1e-8, 1e-3, 0.5, 2.5])
def test_a_difference_in_rotation_leads_from_one_to_the_other(angle: float) -> None:
    from fitter.hand_models.motion import rotation_difference

    generator = torch.Generator().manual_seed(5)
    mean = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    turn = torch.nn.functional.normalize(torch.randn(6, 3, generator=generator).double(), dim=1)
    matrix = roma.rotvec_to_rotmat(angle * turn) @ roma.rotvec_to_rotmat(mean)
    difference, slope = rotation_difference(roma.rotmat_to_rotvec(matrix), mean)
    torch.testing.assert_close(difference, angle * turn, rtol=1e-6, atol=1e-9)
    small = 1e-6 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    moved = roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(small) @ matrix)
    changed = rotation_difference(moved, mean)[0] - difference
    torch.testing.assert_close(changed, (slope @ small[..., None])[..., 0], rtol=1e-3, atol=1e-9)
