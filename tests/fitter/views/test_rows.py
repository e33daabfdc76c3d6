"""Hands from the rig's frame to cameras and back, and their derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.fitting.keypoint_fit import KeypointProblem
from fitter.hand_models import pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.tangent import TangentLayout, retract
from fitter.records import HandParams
from fitter.rotations import roma
from fitter.solvers import Linearization
from fitter.views.joint_fit import without_priors
from fitter.views.joint_problem import JointProblem
from fitter.views.rows import RootJoint, pull_back
from tests.support.rig_cases import random_rows, seen_in_rows

VIEWS = [2, 1, 3]


def points_of(model, hands: HandParams) -> Tensor:
    return pose_keypoints(model.keypoints, hands)[1]


def test_a_hand_in_a_camera_is_where_the_camera_sees_it(model, hands) -> None:
    rows, root = random_rows(3, VIEWS), RootJoint.of(model.keypoints)
    seen = rows.in_views(hands[:3], root)
    expected = points_of(model, hands[:3])[rows.hand] @ rows.rotation.mT
    expected = expected + rows.translation[:, None]
    torch.testing.assert_close(points_of(model, seen), expected, rtol=0, atol=1e-9)
    back = rows.to_rig(seen, root)
    expected = points_of(model, hands[:3])[rows.hand]
    torch.testing.assert_close(points_of(model, back), expected, rtol=0, atol=1e-9)


def test_the_mirrored_camera_sees_the_mirror_image(model, hands) -> None:
    """Of a point: what the mirrored rig says of the mirrored point is the mirrored answer."""
    rows = random_rows(3, VIEWS)
    is_left = torch.tensor([True, False, True])
    mirrored = rows.mirrored_where(is_left)
    points = torch.randn(len(rows), 3, dtype=torch.float64)
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    left = is_left[rows.hand][:, None]
    seen = (rows.rotation @ points[..., None])[..., 0] + rows.translation
    given = torch.where(left, flip * points, points)
    found = (mirrored.rotation @ given[..., None])[..., 0] + mirrored.translation
    torch.testing.assert_close(found, torch.where(left, flip * seen, seen))
    assert (torch.linalg.det(mirrored.rotation) > 0.99).all()


def test_hands_are_selected_with_all_their_rows_and_may_repeat() -> None:
    rows = random_rows(3, VIEWS)
    part, places = rows.select(torch.tensor([2, 0, 2]))
    assert places.tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
    assert part.hand.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert part.count == 3
    torch.testing.assert_close(part.rotation, rows.rotation[places])


def test_a_row_of_no_weight_does_not_count_whatever_it_says() -> None:
    rows = random_rows(2, [2, 1])
    rows.weight[1] = 0.0
    values = torch.tensor([[1.0], [torch.nan], [2.0]], dtype=torch.float64)
    assert rows.sum(rows.weighted(values)).tolist() == [[1.0], [2.0]]


def test_derivatives_are_pulled_back_by_the_derivative_of_the_rows(model, hands) -> None:
    """T by autograd: how the tangent vectors of the rows follow that of the hand."""
    rows, root = random_rows(3, VIEWS), RootJoint.of(model.keypoints)
    three = hands[:3]
    size = TangentLayout.of(three).size
    there = rows.in_views(three, root)

    def tangents(step: Tensor) -> Tensor:
        moved = rows.in_views(retract(three, step), root)
        turn, before = (roma.rotvec_to_rotmat(each.global_orient) for each in (moved, there))
        rotation = roma.rotmat_to_rotvec(turn @ before.mT)
        parts = [rotation, moved.transl, moved.betas, moved.hand_pose.flatten(1)]
        return torch.cat(parts, 1)

    zero = torch.zeros(3, size, dtype=torch.float64)
    # (N, D, B, D), of which each row follows its own hand alone.
    full = torch.autograd.functional.jacobian(tangents, zero)
    T = full[torch.arange(len(rows)), :, rows.hand]
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(len(rows), size, generator=generator, dtype=torch.float64)
    factor = torch.randn(len(rows), size, size, generator=generator, dtype=torch.float64)
    hessian = factor @ factor.mT
    slope, curved = pull_back(rows, root, gradient, hessian)
    torch.testing.assert_close(slope, (gradient[:, None] @ T)[:, 0], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(curved, T.mT @ hessian @ T, rtol=1e-8, atol=1e-7)


def joint_problem(model, hands: HandParams, views: list[int], config: FitConfig) -> JointProblem:
    rows = random_rows(len(views), views)
    seen = seen_in_rows(model, rows, hands)
    alone = KeypointProblem(model, KeypointTargets.of(seen), without_priors(config))
    known = KnownShape.nothing(hands.transl)
    return JointProblem(model, rows, alone, config.energies, known)


def moved(hands: HandParams, scale: float = 0.05) -> HandParams:
    generator = torch.Generator().manual_seed(4)
    size = TangentLayout.of(hands).size
    step = torch.randn(len(hands.transl), size, generator=generator, dtype=torch.float64)
    step[:, 3:6] *= 0.1
    return retract(hands, scale * step)


def test_the_gradient_of_a_hand_in_many_views_is_that_of_autograd(model, hands) -> None:
    three = hands[:3]
    problem = joint_problem(model, three, VIEWS, FitConfig())
    begun = moved(three)
    step = torch.zeros(3, TangentLayout.of(three).size, dtype=torch.float64, requires_grad=True)
    cost = problem.linearize(retract(begun, step)).cost
    (expected,) = torch.autograd.grad(cost.sum(), step)
    found = problem.linearize(begun)
    torch.testing.assert_close(found.gradient, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.hessian, found.hessian.mT, rtol=1e-9, atol=1e-9)


def test_priors_count_once_a_hand(model, hands) -> None:
    """Two views that are one and the same, each counted for a half, are that one view."""
    config, begun = FitConfig(), moved(hands[:1])
    one = joint_problem(model, hands[:1], [1], config)
    twice = one.rows.select(torch.tensor([0, 0]))[0]
    twice.hand.zero_()
    rows = type(twice)(twice.hand, twice.rotation, twice.translation, 0.5 * twice.weight, 1)
    seen = one.seen.select(torch.tensor([0, 0]))
    both = JointProblem(model, rows, seen, one.weights, one.known)
    for part, whole in zip(
        vars(both.linearize(begun)).values(), vars(one.linearize(begun)).values(), strict=True
    ):
        torch.testing.assert_close(part, whole, rtol=1e-10, atol=1e-10)


def test_selected_problems_are_the_same_problems(model, hands) -> None:
    three, begun = hands[:3], moved(hands[:3])
    problem = joint_problem(model, three, VIEWS, FitConfig())
    index = torch.tensor([2, 0, 2])
    found: Linearization = problem.select(index).linearize(begun[index])
    whole = problem.linearize(begun)
    for part, expected in zip(vars(found).values(), vars(whole).values(), strict=True):
        torch.testing.assert_close(part, expected[index], rtol=1e-10, atol=1e-10)


def test_a_known_size_is_no_direction_to_go(model, hands) -> None:
    three = hands[:3]
    problem = joint_problem(model, three, VIEWS, FitConfig())
    size = model.size(three.betas) * 1.05
    known = KnownShape(size, torch.full((3, 1), torch.nan, dtype=torch.float64))
    held = JointProblem(model, problem.rows, problem.seen, problem.weights, known)
    found = held.linearize(three)
    _, slope = model.size.with_slope(known.sized(model.size, three).betas)
    along = (found.gradient[:, TangentLayout.of(three).betas] * slope).sum(-1)
    assert along.abs().max() < 1e-9
