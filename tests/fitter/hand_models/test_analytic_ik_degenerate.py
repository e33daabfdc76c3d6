"""Inverse kinematics of what is no hand, and of many hands at once."""

from __future__ import annotations

import pytest
import roma
import torch
from torch import Tensor

from fitter.hand_models import inverse_kinematics
from fitter.hand_models.keypoint_model import pose_keypoints
from tests.support.ik_cases import (
    FIELDS,
    bones_at_rest,
    close,
    known_hands,
    rest_params,
)


def no_bones(points: Tensor) -> Tensor:
    points[:, 7] = points[:, 6]
    points[:, 4] = points[:, 3]
    return points


def a_point(points: Tensor) -> Tensor:
    return points[:, :1].expand_as(points).clone()


def two_points(points: Tensor) -> Tensor:
    """No two whose distance no pose changes lie apart."""
    points = a_point(points)
    points[:, 1:5] += 0.1
    return points


def a_line(points: Tensor) -> Tensor:
    return points * torch.tensor([1.0, 0, 0]).to(points)


def a_palm_on_a_line(points: Tensor) -> Tensor:
    points[:, [0, 5, 9, 13, 17], 1:] = 0
    return points


def backwards(points: Tensor) -> Tensor:
    points[:, 6] = 2 * points[:, 5] - points[:, 6]
    return points


def another_hand(points: Tensor) -> Tensor:
    return points * torch.tensor([-1.0, 1, 1]).to(points)


def huge(points: Tensor) -> Tensor:
    return points * 1e6


def a_huge_palm_on_a_line(points: Tensor) -> Tensor:
    return huge(a_palm_on_a_line(points))


def tiny(points: Tensor) -> Tensor:
    return points * 1e-30


DEGENERATE = [
    no_bones,
    a_point,
    two_points,
    a_line,
    a_palm_on_a_line,
    backwards,
    another_hand,
    huge,
    a_huge_palm_on_a_line,
    tiny,
]


class TestWhatIsNoHand:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.parametrize("up_to_scale", [False, True])
    @pytest.mark.parametrize("shape_given", [False, True])
    @pytest.mark.parametrize("name", ["open_hand", "bare"])
    def test_is_finite_both_ways(self, name, shape_given, up_to_scale, dtype):
        case = known_hands(name)
        hands = torch.cat([pose_keypoints(case.model, rest_params())[1], case.mesh.keypoints[:3]])
        # All in one batch, because hands do not depend on one another.
        given = torch.cat(
            [change(hands.to(dtype, copy=True)) for change in DEGENERATE]
        ).requires_grad_()
        betas = torch.zeros(len(given), 10, dtype=dtype) if shape_given else None
        found = inverse_kinematics(case.model, given, betas, up_to_scale=up_to_scale)
        values = [getattr(found, name).flatten(1) for name in FIELDS]
        sum(value.square().sum() for value in values).backward()
        finite = torch.cat([*values, given.grad.flatten(1)], 1).isfinite().all(1)
        finite = finite.view(len(DEGENERATE), len(hands)).all(1)
        assert [c.__name__ for c, ok in zip(DEGENERATE, finite, strict=True) if not ok] == []

    def test_what_is_decomposed_has_the_size_that_gradients_are_damped_at(self, bare, monkeypatch):
        """roma damps the gradient of a palm on a line by 1e-5, in the unit of what it is given;
        beside numbers of 1e5 and more nothing would be damped, and rounding decides whether the
        gradient is finite."""
        taken = []
        whole = roma.special_procrustes
        monkeypatch.setattr(
            roma, "special_procrustes", lambda given: taken.append(given) or whole(given)
        )
        hands = pose_keypoints(bare.model, rest_params())[1]
        for change in (huge, a_huge_palm_on_a_line):
            inverse_kinematics(bare.model, change(hands.clone()), rest_params().betas)
        sizes = [given.norm().item() for given in taken]
        assert min(sizes) > 0.1 and max(sizes) <= 1 + 1e-9

    @pytest.mark.parametrize("joint", [1, 2, 13, 14])
    @pytest.mark.parametrize("off", [0.0, 1e-9, 1e-7, 1e-3])
    def test_a_bone_that_points_backwards_turns_by_pi(self, bare, joint, off):
        """The joint's finger is bent back over itself, but for `off` radians."""
        params = rest_params()
        bone = bones_at_rest(bare)[joint - 1]
        across = torch.linalg.cross(bone, torch.tensor([0.3, -0.5, 0.7], dtype=bone.dtype))
        params.hand_pose[0, joint - 1] = (torch.pi - off) * across / across.norm()
        points = pose_keypoints(bare.model, params)[1].requires_grad_()
        found = inverse_kinematics(bare.model, points, params.betas)
        assert abs(found.hand_pose[0, joint - 1].norm().item() - (torch.pi - off)) < 1e-8
        close(pose_keypoints(bare.model, found)[0], pose_keypoints(bare.model, params)[0], 2e-9)
        found.hand_pose.sum().backward()
        assert points.grad.isfinite().all()

    def test_a_bone_without_length_keeps_its_direction(self, bare):
        points = no_bones(pose_keypoints(bare.model, rest_params())[1])
        found = inverse_kinematics(bare.model, points, rest_params().betas)
        # What follows is seen from where the joint comes to lie, so that nothing has turned.
        close(found.hand_pose, torch.zeros_like(found.hand_pose), 1e-9)


class TestBatches:
    @pytest.mark.parametrize("with_betas", [True, False])
    def test_of_many_are_many_of_one(self, case, with_betas):
        points, betas = case.mesh.keypoints[:8], case.params.betas[:8] if with_betas else None
        together = inverse_kinematics(case.model, points, betas, case.twist[:8])
        for i in range(8):
            own = betas[i : i + 1] if with_betas else None
            alone = inverse_kinematics(case.model, points[i : i + 1], own, case.twist[i : i + 1])
            for name in FIELDS:
                close(getattr(together, name)[i], getattr(alone, name)[0], 1e-11)

    def test_of_none(self, case):
        found = inverse_kinematics(case.model, case.mesh.keypoints[:0])
        assert found.hand_pose.shape == (0, 15, 3) and found.betas.shape == (0, 10)

    @pytest.mark.parametrize("where", ["keypoints", "betas", "twist"])
    @pytest.mark.parametrize("up_to_scale", [False, True])
    def test_what_is_not_finite_stays_in_its_hand(self, open_hand, where, up_to_scale):
        values = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e9], dtype=torch.float64)
        bad, good = slice(1, None, 2), slice(0, None, 2)  # every other one of nine hands
        hands = {
            "keypoints": open_hand.mesh.keypoints[:9],
            "betas": open_hand.params.betas[:9],
            "twist": open_hand.twist[:9],
        }
        results = []
        for spoilt in (False, True):
            given = {name: tensor.clone() for name, tensor in hands.items()}
            if spoilt:
                given[where].flatten(1)[bad, -1] = values
            for tensor in given.values():
                tensor.requires_grad_()
            found = inverse_kinematics(open_hand.model, **given, up_to_scale=up_to_scale)
            sum(getattr(found, name).sum() for name in FIELDS).backward()
            results.append((found, [tensor.grad for tensor in given.values()]))
        (clean, clean_slopes), (found, slopes) = results
        for name in FIELDS:
            assert getattr(found, name)[bad].isnan().all()
            assert torch.equal(getattr(found, name)[good], getattr(clean, name)[good])
        for clean_slope, slope in zip(clean_slopes, slopes, strict=True):
            assert (slope[bad] == 0).all() and (clean_slope[bad].flatten(1) != 0).any(1).all()
            assert torch.equal(slope[good], clean_slope[good])

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"keypoints": torch.zeros(2, 20, 3)}, r"keypoints of shape \(2, 21, 3\)"),
            ({"betas": torch.zeros(1, 10)}, r"betas of shape \(2, 10\), got \(1, 10\)"),
            ({"betas": torch.zeros(2, 11)}, "at most 10 betas, got 11"),
            ({"twist": torch.zeros(2, 16)}, r"twist of shape \(2, 15\), got \(2, 16\)"),
        ],
    )
    def test_wrong_shapes_are_named(self, open_hand, change, said):
        given = {"keypoints": torch.zeros(2, 21, 3), **change}
        with pytest.raises(ValueError, match=said):
            inverse_kinematics(open_hand.model, **given)

    def test_fewer_betas_than_the_model_has(self, open_hand):
        betas = torch.nn.functional.pad(open_hand.params.betas[:, :4], (0, 6))
        points = open_hand.mesh.keypoints
        few = inverse_kinematics(open_hand.model, points, betas[:, :4])
        assert few.betas.shape == (100, 4)
        close(few.hand_pose, inverse_kinematics(open_hand.model, points, betas).hand_pose, 1e-12)
