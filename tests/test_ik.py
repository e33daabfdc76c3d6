"""Inverse kinematics on hands whose parameters are known: there and back, and what is no hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

import fitter.ik as ik
from datasets.pose_sampler import sample_hand_angles
from fitter.conventions import FINGERS, MODEL_FINGERS
from fitter.hand_models import ManoOptions, load_hand_model
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.skinning import HandModel, KeypointModel, pose_keypoints
from fitter.ik import inverse_kinematics, twist_angles
from fitter.records import HandMesh, HandParams
from tests.mano_files import fabricate, write_plain

JOINTS = [k for k in range(21) if k == 0 or k % 4]
"""The keypoints that are no fingertips."""
FIELDS = ("global_orient", "hand_pose", "betas", "transl")
TIP_VERTICES = (15, 3, 6, 12, 9)


@dataclass(frozen=True)
class Case:
    """A model and random hands of it."""

    hand: HandModel
    model: KeypointModel
    params: HandParams
    mesh: HandMesh
    twist: Tensor

    @classmethod
    def of(cls, hand: HandModel, count: int = 100) -> Case:
        model, params = hand.keypoint_model(), random_hands(hand, count)
        return cls(hand, model, params, hand(params), twist_angles(model, params))

    def errors(self, found: HandParams) -> Tensor:
        """(B, V) vertex errors, mm."""
        return 1e3 * (self.hand(found).vertices - self.mesh.vertices).norm(dim=-1)


def random_hands(hand: HandModel, count: int) -> HandParams:
    rng = np.random.default_rng(3)
    angles = torch.as_tensor(sample_hand_angles(rng, count))
    return HandParams(
        global_orient=torch.as_tensor(Rotation.random(count, random_state=4).as_rotvec()),
        hand_pose=hand_pose_from_angles(angles, anatomy_of(hand.data).axes),
        betas=torch.as_tensor(rng.normal(size=(count, hand.shapedirs.shape[-1]))),
        transl=torch.as_tensor(rng.normal(scale=0.2, size=(count, 3))),
    )


def mano_layout(folder) -> HandModel:
    """A file in MANO's layout, with blend shapes, whose fingertips follow two bones each."""
    arrays = fabricate(seed=1)
    tips, joints = list(TIP_VERTICES), arrays["J"]
    arrays["J_regressor"][:, tips] = 0
    arrays["J_regressor"] /= arrays["J_regressor"].sum(1, keepdims=True)
    arrays["v_template"][tips] = joints[tips] + [-0.025, 0.004, 0.0]
    arrays["shapedirs"][tips] *= 0.3
    arrays["weights"][tips] = 0.9 * np.eye(16)[tips] + 0.1 * np.eye(16)[np.array(tips) - 1]
    path = write_plain(folder / "MANO_RIGHT.pkl", arrays)
    return load_hand_model(path, dtype=torch.float64, mano=ManoOptions(fingertips=TIP_VERTICES))


@pytest.fixture(scope="module")
def open_hand() -> Case:
    return Case.of(load_hand_model("open_hand", dtype=torch.float64))


@pytest.fixture(scope="module")
def bare() -> Case:
    """The open hand whose keypoints are its joints and fingertip vertices."""
    return Case.of(HandModel(load_open_hand(keypoint_offsets=False), torch.float64))


@pytest.fixture(scope="module")
def mano(tmp_path_factory) -> Case:
    return Case.of(mano_layout(tmp_path_factory.mktemp("mano")))


@pytest.fixture(params=["open_hand", "bare", "mano"])
def case(request) -> Case:
    return request.getfixturevalue(request.param)


def close(found: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


class TestThereAndBack:
    @pytest.mark.parametrize(
        ("name", "limit"), [("open_hand", 2e-3), ("bare", 1e-12), ("mano", 3e-2)]
    )
    def test_true_shape_and_twist_give_the_hand_back(self, name, limit, request):
        case = request.getfixturevalue(name)
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
    def test_zero_twist_keeps_vertices_near(self, name, mean, worst, request):
        case = request.getfixturevalue(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas)
        assert case.errors(found).mean() < mean
        assert case.errors(found).mean(1).max() < worst
        close(twist_angles(case.model, found), torch.zeros_like(case.twist), 1e-14)

    @pytest.mark.parametrize("name", ["bare", "mano"])
    def test_zero_twist_keeps_joints_where_keypoints_are_joints(self, name, request):
        case = request.getfixturevalue(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints, case.params.betas)
        close(case.hand(found).keypoints[:, JOINTS], case.mesh.keypoints[:, JOINTS], 1e-15)

    @pytest.mark.parametrize(
        ("name", "mean", "worst"), [("open_hand", 1.2, 2.0), ("bare", 1.2, 2.0), ("mano", 5.8, 9.5)]
    )
    def test_estimated_shape(self, name, mean, worst, request):
        """MANO's fabricated vertices move at random where its joints hardly do."""
        case = request.getfixturevalue(name)
        found = inverse_kinematics(case.model, case.mesh.keypoints)
        assert case.errors(found).mean() < mean
        assert case.errors(found).mean(1).max() < worst
        # Between the mean hand and the true one.
        off = (found.betas - case.params.betas).square().mean()
        assert off < 0.5 * case.params.betas.square().mean()

    @pytest.mark.parametrize(
        ("name", "limit"), [("open_hand", 0.04), ("bare", 1e-4), ("mano", 0.07)]
    )
    def test_shape_comes_back_where_lengths_are_believed(self, name, limit, request):
        case = request.getfixturevalue(name)
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
        assert metric.betas[:, 0].abs().max() < 0.1 and bare.params.betas[:, 0].abs().max() > 2

    def test_turning_and_moving_the_keypoints_turns_and_moves_the_hand(self, open_hand):
        turn = torch.as_tensor(Rotation.from_rotvec([0.5, -1.0, 2.0]).as_matrix())
        points, root = open_hand.mesh.keypoints, open_hand.model.joint_template[0]
        first = inverse_kinematics(open_hand.model, points)
        second = inverse_kinematics(open_hand.model, points @ turn.mT + torch.tensor([3.0, 4, 5]))
        close(second.hand_pose, first.hand_pose, 1e-12)
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
        close(alone.betas.double(), exact.betas, 1e-4)
        close(alone.hand_pose.double(), exact.hand_pose, 2e-5)


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


def rest_params() -> HandParams:
    zeros = torch.zeros(1, 17, 3, dtype=torch.float64)
    betas = torch.zeros(1, 10, dtype=torch.float64)
    return HandParams(zeros[:, 0].clone(), zeros[:, 1:16].clone(), betas, zeros[:, 16].clone())


def bones_at_rest(case: Case) -> Tensor:
    """(15, 3) from every joint but the last of a finger, whose row means nothing, to the next."""
    joints = case.model.joint_template
    return torch.diff(joints[1:], dim=0, append=joints[:1])


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
    def test_against_differences(self, name, given, up_to_scale, request):
        case = request.getfixturevalue(name)
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


def no_bones(points: Tensor) -> Tensor:
    points[:, 7] = points[:, 6]
    points[:, 4] = points[:, 3]
    return points


def a_point(points: Tensor) -> Tensor:
    return points[:, :1].expand_as(points).clone()


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


def tiny(points: Tensor) -> Tensor:
    return points * 1e-30


DEGENERATE = [no_bones, a_point, a_line, a_palm_on_a_line, backwards, another_hand, huge, tiny]


class TestWhatIsNoHand:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.parametrize("change", DEGENERATE)
    def test_is_finite_both_ways(self, open_hand, bare, change, dtype):
        for case in (open_hand, bare):
            rest = pose_keypoints(case.model, rest_params())[1]
            points = change(torch.cat([rest, case.mesh.keypoints[:3]]).to(dtype))
            for betas in (None, torch.zeros(4, 10, dtype=dtype)):
                for up_to_scale in (False, True):
                    given = points.clone().requires_grad_()
                    found = inverse_kinematics(case.model, given, betas, up_to_scale=up_to_scale)
                    assert all(getattr(found, name).isfinite().all() for name in FIELDS)
                    sum(getattr(found, name).square().sum() for name in FIELDS).backward()
                    assert given.grad.isfinite().all()

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
        close(found.hand_pose[0, joint - 1].norm().detach(), torch.tensor(torch.pi - off), 1e-8)
        close(pose_keypoints(bare.model, found)[0], pose_keypoints(bare.model, params)[0], 2e-9)
        found.hand_pose.sum().backward()
        assert points.grad.isfinite().all()

    def test_a_bone_without_length_keeps_its_direction(self, bare):
        points = pose_keypoints(bare.model, rest_params())[1]
        bent = inverse_kinematics(bare.model, no_bones(points.clone()), rest_params().betas)
        # The index's next bone is seen from where its joint comes to lie, and the tip's from there.
        assert bent.hand_pose[0, 1].norm() > 1
        points[:, 8] = points[:, 7]
        still = inverse_kinematics(bare.model, points, rest_params().betas)
        # A tip that is missing: the joint is where its keypoint is, and sees no direction.
        close(still.hand_pose, torch.zeros_like(still.hand_pose), 1e-3)


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

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 1e9])
    @pytest.mark.parametrize("where", ["keypoints", "betas", "twist"])
    @pytest.mark.parametrize("up_to_scale", [False, True])
    def test_what_is_not_finite_stays_in_its_hand(self, open_hand, bad, where, up_to_scale):
        good = {
            "keypoints": open_hand.mesh.keypoints[:3],
            "betas": open_hand.params.betas[:3],
            "twist": open_hand.twist[:3],
        }
        results = []
        for spoilt in (False, True):
            given = {name: tensor.clone() for name, tensor in good.items()}
            if spoilt:
                given[where][1].view(-1)[-1] = bad
            for tensor in given.values():
                tensor.requires_grad_()
            found = inverse_kinematics(open_hand.model, **given, up_to_scale=up_to_scale)
            sum(getattr(found, name).sum() for name in FIELDS).backward()
            results.append((found, [tensor.grad for tensor in given.values()]))
        (clean, clean_slopes), (found, slopes) = results
        for name in FIELDS:
            assert getattr(found, name)[1].isnan().all()
            assert torch.equal(getattr(found, name)[[0, 2]], getattr(clean, name)[[0, 2]])
        for clean_slope, slope in zip(clean_slopes, slopes, strict=True):
            assert (slope[1] == 0).all() and (clean_slope[1] != 0).any()
            assert torch.equal(slope[[0, 2]], clean_slope[[0, 2]])

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
