"""Inverse kinematics on hands whose parameters are known: there and back, and its derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

import fitter.hand_models.analytic_ik as ik
from fitter.conventions import FINGERS, MODEL_FINGERS
from fitter.hand_models.analytic_ik import inverse_kinematics, twist_angles
from fitter.hand_models.keypoint_model import pose_keypoints
from tests.support.ik_cases import (
    FIELDS,
    bones_at_rest,
    close,
    known_hands,
    rest_params,
)

JOINTS = [k for k in range(21) if k == 0 or k % 4]
"""The keypoints that are no fingertips."""


class TestThereAndBack:
    @pytest.mark.parametrize(
        ("name", "limit"), [("open_hand", 2e-3), ("bare", 1e-12), ("mano", 3e-2)]
    )
    def test_true_shape_and_twist_give_the_hand_back(self, name, limit):
        case = known_hands(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas, case.twist)
        assert case.errors(found).max() < limit

    def test_more_rounds_give_all_digits(self, case, monkeypatch):
        monkeypatch.setattr(ik, "ROUNDS", 30)
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas, case.twist)
        close(found.hand_pose, case.params.hand_pose, 2e-12)
        close(found.transl, case.params.transl, 1e-15)
        # Near pi two rotation vectors are one rotation.
        close(*(roma.rotvec_to_rotmat(x.global_orient) for x in (found, case.params)), 1e-12)
        assert torch.equal(found.betas, case.params.betas)

    @pytest.mark.parametrize(
        ("name", "mean", "worst"), [("open_hand", 0.6, 1.2), ("bare", 0.6, 1.2), ("mano", 1.6, 3.2)]
    )
    def test_zero_twist_keeps_vertices_near(self, name, mean, worst):
        case = known_hands(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas)
        assert case.errors(found).mean() < mean
        assert case.errors(found).mean(1).max() < worst
        close(twist_angles(case.model, found), torch.zeros_like(case.twist), 1e-14)

    @pytest.mark.parametrize("name", ["bare", "mano"])
    def test_zero_twist_keeps_joints_where_keypoints_are_joints(self, name):
        case = known_hands(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas)
        close(case.hand(found).keypoints[:, JOINTS], case.mesh.keypoints[:, JOINTS], 1e-15)

    @pytest.mark.parametrize(
        ("name", "mean", "worst"), [("open_hand", 1.2, 2.0), ("bare", 1.2, 2.0), ("mano", 5.8, 9.5)]
    )
    def test_estimated_shape(self, name, mean, worst):
        """MANO's fabricated vertices move at random where its joints hardly do."""
        case = known_hands(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints)
        assert case.errors(found).mean() < mean
        assert case.errors(found).mean(1).max() < worst
        # Between the mean hand and the true one.
        off = (found.betas - case.params.betas).square().mean()
        assert off < 0.5 * case.params.betas.square().mean()

    @pytest.mark.parametrize(
        ("name", "limit"), [("open_hand", 0.04), ("bare", 1e-4), ("mano", 0.07)]
    )
    def test_shape_comes_back_where_lengths_are_believed(self, name, limit):
        case = known_hands(name)
        points = case.mesh.keypoints
        found = inverse_kinematics(case.model, points, twist=case.twist, length_noise=1e-6)
        assert case.errors(found).mean(1).max() < limit

    def test_a_mean_hand_has_zero_betas_however_its_lengths_are_believed(self, bare):
        mean = replace(bare.params, betas=torch.zeros_like(bare.params.betas))
        points = pose_keypoints(bare.model, mean)[1]
        for noise in (1e-5, 1e-2):
            found = inverse_kinematics(bare.model, points, twist=bare.twist, length_noise=noise)
            close(found.betas, mean.betas, 5e-6)

    def test_left_hands_are_mirrored_by_the_caller(self, open_hand):
        left = open_hand.hand.mirrored()
        points = left(open_hand.params.mirrored()).keypoints * torch.tensor([-1.0, 1, 1])
        found = inverse_kinematics(
            open_hand.model, points, open_hand.params.betas, open_hand.twist
        ).mirrored()
        seen = left(found).vertices * torch.tensor([-1.0, 1, 1])
        assert 1e3 * (seen - open_hand.mesh.vertices).norm(dim=-1).max() < 2e-3


class TestScaleAndFrame:
    @pytest.mark.parametrize("unit", [1e-12, 1e-3, 1.0, 2e4])
    def test_any_unit_with_the_shape_given(self, bare, unit):
        found = inverse_kinematics(
            bare.model, unit * bare.mesh.keypoints, bare.params.betas, bare.twist, up_to_scale=True
        )
        assert bare.errors(found).max() < 1e-4

    def test_an_unknown_unit_makes_a_hand_of_about_the_mean_size(self, bare):
        metric = inverse_kinematics(bare.model, bare.mesh.keypoints, up_to_scale=True)
        other = inverse_kinematics(bare.model, 300 * bare.mesh.keypoints, up_to_scale=True)
        for name in FIELDS:
            close(getattr(other, name), getattr(metric, name), 1e-11)
        # As far from the camera as it is larger.
        ratio = metric.transl.norm(dim=-1) / bare.params.transl.norm(dim=-1)
        assert ratio.min() > 0.7 and ratio.max() < 1.4 and ratio.std() > 0.05
        # The size is the first of the open hand's components.
        assert metric.betas[:, 0].abs().max() < 0.15 and bare.params.betas[:, 0].abs().max() > 2

    def test_turning_and_moving_the_keypoints_turns_and_moves_the_hand(self, open_hand):
        turn = torch.as_tensor(Rotation.from_rotvec([0.5, -1.0, 2.0]).as_matrix())
        points = open_hand.mesh.keypoints
        first = inverse_kinematics(open_hand.model, points)
        second = inverse_kinematics(open_hand.model, points @ turn.mT + torch.tensor([3.0, 4, 5]))
        close(second.hand_pose, first.hand_pose, 1e-10)
        close(second.betas, first.betas, 1e-10)
        close(
            roma.rotvec_to_rotmat(second.global_orient),
            turn @ roma.rotvec_to_rotmat(first.global_orient),
            1e-13,
        )
        root = open_hand.hand.rest_joints(first.betas)[:, 0]
        close(
            second.transl + root, (first.transl + root) @ turn.mT + torch.tensor([3.0, 4, 5]), 1e-13
        )

    def test_float32_stays_and_suffices(self, open_hand):
        points = open_hand.mesh.keypoints.float()
        betas, twist = open_hand.params.betas.float(), open_hand.twist.float()
        found = inverse_kinematics(open_hand.model, points, betas, twist)
        assert {getattr(found, name).dtype for name in FIELDS} == {torch.float32}
        assert open_hand.errors(found.to(torch.float64)).max() < 2.5e-3
        alone = inverse_kinematics(open_hand.model, points)
        exact = inverse_kinematics(open_hand.model, points.double())
        close(alone.betas.double(), exact.betas, 2e-5)
        close(alone.hand_pose.double(), exact.hand_pose, 1e-5)
        alone = inverse_kinematics(open_hand.model, points, length_noise=1e-4)
        exact = inverse_kinematics(open_hand.model, points.double(), length_noise=1e-4)
        close(alone.betas.double(), exact.betas, 2e-4)

    def test_far_away_no_digit_is_lost(self, open_hand):
        # On a grid, so that moving the keypoints rounds nothing.
        points = (open_hand.mesh.keypoints * 2**14).round().float() / 2**14
        near = inverse_kinematics(open_hand.model, points)
        far = inverse_kinematics(open_hand.model, points + torch.tensor([0.0, 0.0, 64.0]))
        assert torch.equal(far.hand_pose, near.hand_pose)


class TestTwist:
    def test_is_found_in_a_composed_rotation(self, open_hand):
        rng = np.random.default_rng(1)
        rest = open_hand.hand.rest_joints(torch.zeros(1, 10).double())[0].numpy()
        tips = open_hand.model.tip_template + open_hand.model.keypoint_offsets[16:]
        for joint in range(1, 16):
            last = joint % 3 == 0
            finger = FINGERS.index(MODEL_FINGERS[(joint - 1) // 3])
            bone = (tips[finger].numpy() if last else rest[joint + 1]) - rest[joint]
            bone /= np.linalg.norm(bone)
            across = np.cross(bone, rng.normal(size=3))
            across *= rng.uniform(0, np.pi) / np.linalg.norm(across)
            angle = rng.uniform(-np.pi, np.pi)
            turn = Rotation.from_rotvec(across) * Rotation.from_rotvec(angle * bone)
            params = rest_params()
            params.hand_pose[0, joint - 1] = torch.as_tensor(turn.as_rotvec())
            expected = torch.zeros(1, 15, dtype=torch.float64)
            expected[0, joint - 1] = angle
            close(twist_angles(open_hand.model, params), expected, 1e-12)

    def test_of_more_than_half_a_turn_is_the_shorter_one_back(self, open_hand):
        params = rest_params()
        bone = bones_at_rest(open_hand)[0]
        params.hand_pose[0, 0] = 5 * bone / bone.norm()
        twist = twist_angles(open_hand.model, params)
        assert abs(twist[0, 0].item() - (5 - 2 * torch.pi)) < 1e-12

    def test_what_is_given_comes_back(self, case):
        generator = torch.Generator().manual_seed(2)
        twist = 6 * torch.rand(100, 15, generator=generator, dtype=torch.float64) - 3
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas, twist)
        close(twist_angles(case.model, found), twist, 1e-12)

    def test_beside_a_swing_by_pi_there_is_none(self, open_hand):
        params = rest_params()
        across = torch.linalg.cross(*bones_at_rest(open_hand)[[0, 3]])
        params.hand_pose[0, 0] = torch.pi * across / across.norm()
        pose = params.hand_pose.clone().requires_grad_()
        twist = twist_angles(open_hand.model, replace(params, hand_pose=pose))
        twist.sum().backward()
        assert twist[0, 0] == 0
        assert pose.grad.isfinite().all() and (pose.grad[0, 0] == 0).all()


def assert_slopes(function, inputs: list[Tensor]) -> None:
    """Along random directions, its generator's seed fixed, which takes a tenth of the time."""
    assert torch.autograd.gradcheck(
        function, inputs, eps=1e-7, atol=1e-5, fast_mode=True, check_undefined_grad=False
    )


class TestDerivatives:
    @pytest.mark.parametrize(
        ("given", "up_to_scale"), [("all", False), ("keypoints", False), ("all", True)]
    )
    @pytest.mark.parametrize("name", ["open_hand", "mano"])
    def test_against_differences(self, name, given, up_to_scale):
        case = known_hands(name)
        points = case.mesh.keypoints[:2].clone()
        # No keypoints of the model itself: lengths are off, and no angle is zero.
        generator = torch.Generator().manual_seed(5)
        points += 0.004 * torch.randn(points.shape, generator=generator, dtype=points.dtype)
        inputs = [points, case.params.betas[:2].clone(), case.twist[:2].clone()]
        inputs = inputs[: 3 if given == "all" else 1]

        def function(*tensors: Tensor) -> tuple[Tensor, ...]:
            found = inverse_kinematics(case.model, *tensors, up_to_scale=up_to_scale)
            return tuple(getattr(found, name) for name in FIELDS)

        for tensor in inputs:
            tensor.requires_grad_()
        assert_slopes(function, inputs)

    def test_at_the_rest_pose(self, bare):
        """Where all angles are zero, and the axis of none is defined."""
        points = pose_keypoints(bare.model, rest_params())[1].requires_grad_()
        betas = rest_params().betas

        def function(tensor: Tensor) -> tuple[Tensor, Tensor]:
            found = inverse_kinematics(bare.model, tensor, betas)
            return found.global_orient, found.hand_pose

        assert_slopes(function, [points])
