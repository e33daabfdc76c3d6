"""The networks' losses against their formulas, written out in NumPy one hand at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from fitter.conventions import BONES
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints, pose_keypoints_from_rotations
from fitter.records import HandParams
from init_net.posing import HandPoints, hand_points, regressed_keypoints, weak_projection
from init_net.records import RegressedHands
from init_net.training import losses
from init_net.training.loss_weights import (
    GeometricWeights,
    ManoWeights,
    MaskWeights,
)
from init_net.training.losses import (
    axis_angle_error,
    bce_loss,
    dice_loss,
    geometric_terms,
    mano_terms,
    mask_terms,
    normalised,
    regularised_l1,
    squared_chords,
)
from tests.support.loss_cases import SURE, B, close, generator, randn, summed, turns


def hands(seed, size=0.5):
    scale = 4 + randn(B, 1, seed=seed + 1).abs()
    camera = torch.cat([scale, 0.1 * randn(B, 2, seed=seed + 2)], 1)
    return RegressedHands(turns(seed, size)[1], randn(B, 10, seed=seed + 3), camera)


@pytest.fixture(scope="module")
def model():
    return load_hand_model(dtype=torch.float64).keypoint_model()


@pytest.fixture
def said(model):
    regressed = hands(10)
    return regressed, hand_points(model, regressed)


@pytest.fixture
def true(model):
    truth = hands(20)
    return truth, hand_points(model, truth)


class TestPoints:
    def test_rotation_matrices_pose_as_axis_angle_does(self, model):
        vectors, matrices = turns(0)
        betas, zero = randn(B, 10), torch.zeros(B, 3, dtype=torch.float64)
        params = HandParams(vectors[:, 0], vectors[:, 1:], betas, zero)
        for found, expected in zip(
            pose_keypoints_from_rotations(model, matrices, betas),
            pose_keypoints(model, params),
            strict=True,
        ):
            close(found, expected)

    def test_keypoints_are_relative_to_the_wrist(self, model, said):
        found = regressed_keypoints(model, said[0])
        _, points = pose_keypoints_from_rotations(model, said[0].rotations, said[0].betas)
        assert not found[:, 0].any()
        close(found[:, 9] - found[:, 4], points[:, 9] - points[:, 4])

    def test_single_precision(self, model):
        found = regressed_keypoints(model.to(torch.float32), hands(10).to(torch.float32))
        assert found.dtype == torch.float32
        close(found.double(), regressed_keypoints(model, hands(10)), 1e-6)

    def test_weak_projection_of_an_example(self):
        points = torch.tensor([[[0.0, 0, 0], [0.05, -0.1, 0.3]]])
        found = weak_projection(points, torch.tensor([[4.0, 0.1, -0.2]]))
        close(found, torch.tensor([[[0.1, -0.2], [0.3, -0.6]]]), 1e-7)

    def test_own_camera_sees_the_wrist_at_its_place(self, said):
        regressed, points = said
        close(points.positions[:, 0], regressed.camera[:, 1:])
        shift = points.points[:, 12, :2] * regressed.camera[:, :1]
        close(points.positions[:, 12], regressed.camera[:, 1:] + shift)

    def test_gradient_is_finite_at_half_a_turn(self, model):
        matrices = torch.diag(torch.tensor([1.0, -1, -1])).double().expand(1, 16, 3, 3).clone()
        matrices.requires_grad_()
        still = RegressedHands(matrices, randn(1, 10), torch.ones(1, 3).double())
        regressed_keypoints(model, still).square().sum().backward()
        assert matrices.grad.isfinite().all() and matrices.grad[:, 0].any()


class TestMano:
    def test_seeber_equation_9(self, said, true):
        (regressed, points), (truth, true_points) = said, true
        terms = mano_terms(regressed, points, truth, true_points.positions, SURE)
        total = summed(terms, ManoWeights())
        for hand in range(B):
            chord = (regressed.rotations - truth.rotations)[hand].numpy() ** 2
            betas = regressed.betas[hand].numpy()
            expected = (
                10 * chord.sum() / 2 / 48
                + 1 * np.mean((betas - truth.betas[hand].numpy()) ** 2)
                + 100 * np.mean((points.positions - true_points.positions)[hand].numpy() ** 2)
                + 0.5 * np.linalg.norm(betas)
                + 1e-5 * float(regressed.camera[hand, 0] - truth.camera[hand, 0]) ** 2
            )
            close(total[hand], expected)

    def test_pose_is_the_printed_one_near_the_hand_at_rest(self, said):
        (a, first), (b, second) = turns(1, 1e-3), turns(2, 1e-3)
        regressed, points = said
        terms = mano_terms(
            replace(regressed, rotations=first),
            points,
            replace(regressed, rotations=second),
            points.positions,
            SURE,
        )
        printed = (a - b).square().mean((1, 2))
        torch.testing.assert_close(terms["pose"], printed, rtol=1e-3, atol=0)

    def test_seeber_equation_9_as_printed(self, said, true):
        """Every MSE over its numbers: 48 of the pose, 10 of the shape, 42 of the joints, 1 of the
        scale; lambda_1 = 10, lambda_2 = 1, lambda_3 = 100, lambda_4 = 0.5, lambda_5 = 1e-5."""
        (regressed, points), (truth, true_points) = said, true
        pose = randn(B, 48, seed=30)
        terms = mano_terms(regressed, points, truth, true_points.positions, SURE)
        terms["pose"] = axis_angle_error(pose, truth.rotations)
        total = summed(terms, ManoWeights())

        def mse(found, expected):
            return np.mean((np.asarray(found) - np.asarray(expected)) ** 2)

        for hand in range(B):
            p = Rotation.from_matrix(truth.rotations[hand].numpy()).as_rotvec().reshape(48)
            s = regressed.betas[hand].numpy()
            expected = (
                10 * mse(pose[hand], p)
                + 1 * mse(s, truth.betas[hand])
                + 100 * mse(points.positions[hand], true_points.positions[hand])
                + 0.5 * np.sqrt(np.sum(s**2))
                + 1e-5 * mse(regressed.camera[hand, 0], truth.camera[hand, 0])
            )
            close(total[hand], expected)

    def test_printed_pose_of_joints_that_are_not_known(self):
        vectors, matrices = turns(3, 0.5)
        matrices[1, 4] = torch.nan
        pose = randn(B, 48, seed=4).requires_grad_()
        found = axis_angle_error(pose, matrices)
        error = (pose.unflatten(1, (16, 3)) - vectors).detach()
        error[1, 4] = 0
        close(found, error.square().sum((1, 2)) / 48)
        found.sum().backward()
        assert pose.grad.isfinite().all() and not pose.grad[1, 12:15].any()

    def test_only_the_regulariser_is_left_for_the_truth(self, said):
        regressed, points = said
        terms = mano_terms(regressed, points, regressed, points.positions, SURE)
        assert all((terms[name] == 0).all() for name in ("pose", "shape", "joints_2d", "camera"))
        close(terms["shape_norm"], regressed.betas.norm(dim=1))


class TestGeometric:
    def test_zhao_terms(self, said, true):
        (regressed, points), (_, truth) = said, true
        weights = GeometricWeights(
            joints_3d=2.0, joints_2d=3.0, joints_3d_norm=5.0, bone=7.0, pose=11.0, shape=13.0
        )
        total = summed(geometric_terms(regressed, points, truth, SURE), weights)
        for hand in range(B):
            p, q = points.points[hand].numpy(), truth.points[hand].numpy()
            u, v = points.positions[hand].numpy(), truth.positions[hand].numpy()
            normal_p = (p - p[0]) / np.linalg.norm(p[9] - p[0])
            normal_q = (q - q[0]) / np.linalg.norm(q[9] - q[0])
            bones = 0.0
            for palm, tip in BONES:
                bones += np.sum(
                    (
                        (u[tip] - u[palm]) / np.linalg.norm(u[tip] - u[palm])
                        - (v[tip] - v[palm]) / np.linalg.norm(v[tip] - v[palm])
                    )
                    ** 2
                )
            angles = Rotation.from_matrix(regressed.rotations[hand, 1:].numpy()).magnitude()
            expected = (
                2 * np.sum((p - q) ** 2)
                + 3 * np.sum((u - v) ** 2)
                + 5 * np.sum((normal_p - normal_q) ** 2)
                + 7 * bones
                + 11 * np.sum(4 * np.sin(angles / 2) ** 2)
                + 13 * np.sum(regressed.betas[hand].numpy() ** 2)
            )
            close(total[hand], expected, 1e-9)

    def test_zero_for_the_truth(self, said):
        regressed, points = said
        still = replace(
            regressed,
            rotations=torch.eye(3).double().expand(B, 16, 3, 3),
            betas=torch.zeros(B, 10).double(),
        )
        for term in geometric_terms(
            still, points, points, torch.ones(len(points.points), 21).double()
        ).values():
            assert not term.any()

    def test_normalised_does_not_know_size_and_place(self):
        points = randn(B, 21, 3)
        close(normalised(3 * points + 7), normalised(points))
        close(normalised(points)[:, 9].norm(dim=-1), torch.ones(B).double())
        assert not normalised(points)[:, 0].any()

    def test_hand_without_a_length(self):
        points = randn(B, 21, 3)
        points[1, 9] = points[1, 0]
        points.requires_grad_()
        found = normalised(points)
        found.sum().backward()
        assert not found[1].any() and points.grad.isfinite().all()


class TestYu:
    def test_equation_4(self):
        predicted, truth = randn(B, 15, seed=1), randn(B, 15, seed=2)
        for hand in range(B):
            p, t = predicted[hand].numpy(), truth[hand].numpy()
            close(regularised_l1(predicted, truth)[hand], np.abs(p - t).sum() + np.abs(p).sum())

    def test_zero_alone_at_zero(self):
        zero = torch.zeros(B, 10)
        assert not regularised_l1(zero, zero).any()
        assert (regularised_l1(zero + 1, zero + 1) == 10).all()


class TestMasks:
    def test_written_out(self):
        logits = 2 * randn(B, 5, 5)
        mask = torch.rand(B, 5, 5, generator=generator(), dtype=torch.float64)
        terms = mask_terms(logits, mask)
        total = summed(terms, MaskWeights(bce=2.0, dice=3.0))
        for hand in range(B):
            p, y = 1 / (1 + np.exp(-logits[hand].numpy())), mask[hand].numpy()
            bce = np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)))
            dice = 1 - (2 * np.sum(p * y) + 1) / (np.sum(p**2) + np.sum(y**2) + 1)
            close(total[hand], 2 * bce + 3 * dice)

    def test_certain_and_right_is_zero(self):
        mask = (randn(B, 6, 6) > 0).double()
        logits = 100 * (2 * mask - 1)
        close(bce_loss(logits, mask), torch.zeros(B).double())
        close(dice_loss(logits, mask), torch.zeros(B).double())
        assert (dice_loss(-logits, mask) > 0.9).all()
        assert (bce_loss(-logits, mask) > 90).all()

    def test_border_that_is_partly_covered(self):
        mask = torch.rand(B, 6, 6, generator=generator(), dtype=torch.float64)
        close(dice_loss(torch.logit(mask), mask), torch.zeros(B).double())

    def test_empty_mask(self):
        nothing = torch.zeros(1, 6, 6)
        assert dice_loss(nothing - 100, nothing) == 0
        assert dice_loss(nothing + 100, nothing) > 0.9


class TestRotations:
    def test_angles(self):
        first, second = turns(1)[1], turns(2)[1]
        relative = (first.mT @ second).view(-1, 3, 3).numpy()
        angles = torch.tensor(Rotation.from_matrix(relative).magnitude()).view(B, 16)
        close(squared_chords(first, second), 4 * (angles / 2).sin().square(), 1e-9)

    @pytest.mark.parametrize("angle", [0.0, 1e-4, 3.0, np.pi])
    def test_extreme_angles(self, angle):
        turned = torch.tensor(Rotation.from_rotvec([0, angle, 0]).as_matrix())
        turned = turned.expand(1, 16, 3, 3).clone().requires_grad_()
        found = squared_chords(turned, torch.eye(3).double().expand(1, 16, 3, 3))
        found.sum().backward()
        close(found.detach(), torch.full((1, 16), 4 * np.sin(angle / 2) ** 2, dtype=torch.double))
        assert turned.grad.isfinite().all()


class TestReduction:
    def test_each_hand_on_its_own(self, said, true):
        (regressed, points), (truth, true_points) = said, true
        some = slice(1, 2)
        pairs = [
            (
                mano_terms(regressed, points, truth, true_points.positions, SURE),
                mano_terms(
                    regressed[some],
                    points[some],
                    truth[some],
                    true_points.positions[some],
                    SURE[some],
                ),
            ),
            (
                geometric_terms(regressed, points, true_points, SURE[: len(points.points)]),
                geometric_terms(regressed[some], points[some], true_points[some], SURE[some]),
            ),
        ]
        for whole, alone in pairs:
            for name, term in whole.items():
                assert term.shape == (B,)
                close(alone[name], term[some])

    def test_derivatives(self, model):
        """Of the chain from matrices, shape and camera to both papers' sums."""
        start, truth = hands(1), hands(5)
        true_points = hand_points(model, truth)[:1]

        def cost(rotations, betas, camera):
            regressed = RegressedHands(rotations, betas, camera)
            points = hand_points(model, regressed)
            mano = mano_terms(regressed, points, truth[:1], true_points.positions, SURE[:1])
            geometric = geometric_terms(regressed, points, true_points, SURE[: len(points.points)])
            return summed(mano, ManoWeights()), summed(geometric, GeometricWeights())

        arguments = (start.rotations[:1], start.betas[:1], start.camera[:1])
        assert gradcheck(cost, tuple(a.clone().requires_grad_() for a in arguments), fast_mode=True)

    def test_weights_are_as_printed(self):
        assert list(ManoWeights().model_dump().values()) == [10, 1, 100, 0.5, 1e-5]

    def test_points_are_a_batch(self):
        points = HandPoints(randn(B, 21, 3), randn(B, 21, 2))
        assert len(points[:2].points) == 2
        assert losses.REFERENCE_BONE == (0, 9)


class TestConfidence:
    """S2HAND eq. 3 and 4: a keypoint counts by its confidence, a bone by that of both ends."""

    CONFIDENCE = torch.rand(B, 21, generator=generator(7), dtype=torch.float64)

    def test_each_term_in_numpy(self, said, true):
        (regressed, points), (truth, true_points) = said, true
        mano = mano_terms(regressed, points, truth, true_points.positions, self.CONFIDENCE)
        geometric = geometric_terms(regressed, points, true_points, self.CONFIDENCE)
        for hand in range(B):
            sure = self.CONFIDENCE[hand].numpy()
            across = (points.positions - true_points.positions)[hand].numpy()
            deep = (points.points - true_points.points)[hand].numpy()
            close(mano["joints_2d"][hand], (sure[:, None] * across**2).mean())
            close(geometric["joints_2d"][hand], (sure[:, None] * across**2).sum())
            close(geometric["joints_3d"][hand], (sure[:, None] * deep**2).sum())
            bones = []
            for first, second in BONES:
                said_, true_ = (
                    p.positions[hand, second] - p.positions[hand, first]
                    for p in (points, true_points)
                )
                away = said_ / said_.norm() - true_ / true_.norm()
                bones.append(sure[first] * sure[second] * away.square().sum())
            close(geometric["bone"][hand], sum(bones))

    def test_what_is_not_known_is_what_counts_nothing(self, said, true):
        """NaN in the place of a truth of confidence 0 changes no term and no gradient."""
        (regressed, _), (truth, true_points) = said, true
        sure = self.CONFIDENCE.clone()
        sure[:, [3, 8]] = 0
        unknown = true_points.map(torch.clone)
        unknown.points[:, [3, 8]] = torch.nan
        unknown.positions[:, [3, 8]] = torch.nan
        model = load_hand_model(dtype=torch.float64).keypoint_model()
        found = []
        for known in (true_points, unknown):
            given = regressed.map(lambda value: value.clone().requires_grad_())
            points = hand_points(model, given)
            terms = {
                **mano_terms(given, points, truth, known.positions, sure),
                **{f"g_{k}": v for k, v in geometric_terms(given, points, known, sure).items()},
            }
            sum(term.sum() for term in terms.values()).backward()
            found.append([*terms.values(), given.rotations.grad, given.camera.grad])
        for one, other in zip(*found, strict=True):
            close(one, other)

    def test_a_network_that_has_diverged_still_shows(self, said, true):
        (regressed, points), (truth, true_points) = said, true
        lost = replace(regressed, betas=torch.full_like(regressed.betas, torch.nan))
        terms = mano_terms(lost, points, truth, true_points.positions, SURE)
        assert terms["shape"].isnan().all()
