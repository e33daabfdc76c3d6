"""Two views as one: eqs. 6 and 7 against transcriptions, in the right view's frame."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fitter.rotations import roma
from init_net.posing import regressed_keypoints, weak_projection
from init_net.records import StereoGeometry
from init_net.stereo_fusion import (
    NEAREST,
    fuse,
    fused_pose,
    left_camera_in_right_view,
    nearest_vectors,
    wrist_place,
)
from tests.support import stereo_cases as cases
from tests.support.stereo_cases import B, rand, randn

EXACT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module")
def model():
    return cases.keypoint_model()


def unit(seed, count=B):
    axis = randn(seed, count, 3)
    return axis / axis.norm(dim=1, keepdim=True)


def angle_between(one, other):
    """(...) radians between rotations given as axis-angle."""
    turn = roma.rotvec_to_rotmat(one).mT @ roma.rotvec_to_rotmat(other)
    return roma.rotmat_to_rotvec(turn).norm(dim=-1)


def row(hands, k):
    return hands.map(lambda tensor: tensor[k : k + 1])


class TestPose:
    def test_is_eq_6_number_by_number(self):
        right, left = 0.5 * randn(0, B, 16, 3), 0.5 * randn(1, B, 16, 3)
        w = rand(2, B, 48)
        fused = fused_pose(right, left, w).reshape(B, 48).numpy()
        ours, others = right.reshape(B, 48).numpy(), left.reshape(B, 48).numpy()
        for b in range(B):
            for k in range(48):
                expected = w[b, k] * ours[b, k] + (1 - w[b, k]) * others[b, k]
                assert fused[b, k] == pytest.approx(float(expected), abs=1e-12)

    @pytest.mark.parametrize(("weight", "taken"), [(1.0, 0), (0.0, 1)])
    def test_one_and_nothing_take_one_view_whole(self, weight, taken):
        views = randn(0, B, 16, 3), randn(1, B, 16, 3)
        fused = fused_pose(*views, torch.full((B, 48), weight, dtype=torch.float64))
        assert angle_between(fused, views[taken]).max() < 1e-7

    def test_two_hands_on_both_sides_of_half_a_turn_have_a_mean_between_them(self):
        """Just short of half a turn and just beyond: the vectors point in opposite directions."""
        axis = unit(3)[:, None]
        right, left = (math.pi - 0.01) * axis, -(math.pi - 0.03) * axis
        apart = angle_between(right, left)
        assert apart.max() < 0.041  # yet their mean, number by number, is nearly no turn at all
        assert (0.5 * (right + left)).norm(dim=-1).max() < 0.011
        vectors = [each.repeat(1, 16, 1) for each in (right, left)]
        fused = fused_pose(*vectors, torch.full((B, 48), 0.5, dtype=torch.float64))
        torch.testing.assert_close(angle_between(fused, vectors[0]), (apart / 2).repeat(1, 16))
        torch.testing.assert_close(angle_between(fused, vectors[1]), (apart / 2).repeat(1, 16))

    @pytest.mark.parametrize(("each", "jump"), [(False, 1e-5), (True, 0.3)])
    def test_hands_that_pass_half_a_turn_do_not_jump(self, each, jump):
        """Views 0.3 rad apart: with one weight a joint not at all; with one for each number, which
        means something else on either side, by less than the views are apart."""
        axis, w = unit(4)[:, None], rand(5, B, 48) if each else rand(5, B, 16).repeat(1, 3)
        w = w if each else w.view(B, 3, 16).mT.reshape(B, 48)
        found = []
        for step in np.linspace(math.pi - 1e-6, math.pi + 1e-6, 5):
            pair = [
                roma.rotmat_to_rotvec(roma.rotvec_to_rotmat((step + d) * axis)).repeat(1, 16, 1)
                for d in (0.0, 0.3)
            ]
            found.append(fused_pose(*pair, w))
        assert all(angle_between(*each).max() < jump for each in pairwise(found))

    def test_nearest_vectors_are_the_same_rotations_and_none_is_nearer(self):
        vectors = roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(3 * randn(6, 200, 3)))
        reference = roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(3 * randn(7, 200, 3)))
        found = nearest_vectors(vectors, reference)
        assert angle_between(found, vectors).max() < 1e-6
        turns = torch.arange(-3, 4).double()[:, None, None] * 2 * math.pi
        axis = vectors / vectors.norm(dim=1, keepdim=True)
        least = (vectors + turns * axis - reference).norm(dim=-1).amin(0)
        torch.testing.assert_close((found - reference).norm(dim=-1), least)
        assert (found != vectors).any(1).float().mean() > 0.05

    def test_no_turn_stays_none(self):
        reference = torch.tensor([[0.0, 0, math.pi], [0, 0, 0]]).double()
        assert torch.equal(nearest_vectors(torch.zeros_like(reference), reference), 0 * reference)


class TestCamera:
    def test_is_a_plain_transcription_of_the_geometry(self):
        hands, pairs, middle = cases.hands(0), cases.geometry(1), 0.05 * randn(2, B, 3)
        found = left_camera_in_right_view(hands.camera, pairs, middle).numpy()
        for b in range(B):
            scale, *place = hands.camera[b].tolist()
            m, R, T = (x[b].numpy() for x in (middle, pairs.rotation, pairs.translation))
            depth = float(pairs.left_focal[b]) / scale
            centre = [m[0] + place[0] / scale, m[1] + place[1] / scale, depth]
            there, turned = R @ centre + T, R @ m
            scale = float(pairs.right_focal[b]) / there[2]
            expected = [scale, scale * (there[0] - turned[0]), scale * (there[1] - turned[1])]
            np.testing.assert_allclose(found[b], expected, rtol=1e-12)

    def test_of_one_camera_twice_is_the_same(self):
        camera = cases.hands(0).camera
        found = left_camera_in_right_view(camera, cases.no_rig(), 0.05 * randn(1, B, 3))
        torch.testing.assert_close(found, camera, **EXACT)

    def test_there_and_back_is_the_same(self, model):
        said, pairs = cases.true_predictions(0)
        found = left_camera_in_right_view(
            said.left.camera, pairs, regressed_keypoints(model, said.left).mean(1)
        )
        torch.testing.assert_close(found, said.right.camera, **EXACT)

    def test_sees_a_distant_hand_where_the_right_camera_does(self, model):
        """A pinhole sees a hand that is many hands away about where the given camera does."""
        hands, pairs = cases.hands(3), cases.geometry(4)
        pairs = replace(pairs, translation=100 * pairs.translation)
        left = replace(hands, camera=hands.camera / torch.tensor([500.0, 1, 1]).double())
        points = regressed_keypoints(model, left)
        wrist = wrist_place(points, left.camera, pairs.left_focal)
        there = (points + wrist[:, None]) @ pairs.rotation.mT + pairs.translation[:, None]
        expected = pairs.right_focal[:, None, None] * there[..., :2] / there[..., 2:]
        camera = left_camera_in_right_view(left.camera, pairs, points.mean(1))
        found = weak_projection(points @ pairs.rotation.mT, camera)
        hand = float(0.1 * camera[:, 0].min())
        assert (found - expected).mean(1).abs().max() < 1e-3 * hand

    @pytest.mark.parametrize("beyond", [-0.5, 0.0, NEAREST])
    def test_of_a_hand_behind_the_right_camera_is_not_there(self, beyond):
        camera, pairs = cases.hands(0).camera, cases.no_rig()
        depth = pairs.left_focal / camera[:, 0]
        pairs.translation[1, 2] = beyond - float(depth[1])
        found = left_camera_in_right_view(camera, pairs)
        assert found[1].isnan().all()
        assert found[[0, 2]].isfinite().all()


class TestFuse:
    def test_is_eqs_6_and_7(self, model):
        said, pairs = cases.predictions(0), cases.geometry(1)
        found = fuse(said, pairs, model)
        middles = regressed_keypoints(model, said.left).mean(1)
        for b in range(B):
            R = pairs.rotation[b].numpy()
            ours, others = said.right.rotations[b].numpy(), said.left.rotations[b].numpy().copy()
            others[0] = R @ others[0]
            p_right, p_left = (Rotation.from_matrix(p).as_rotvec() for p in (ours, others))
            w = said.weights[b].reshape(16, 3).numpy()
            pose = Rotation.from_rotvec(w * p_right + (1 - w) * p_left).as_matrix()
            np.testing.assert_allclose(found.hands.rotations[b], pose, atol=1e-9)
            shape = (said.right.betas[b] + said.left.betas[b]) / 2
            torch.testing.assert_close(found.hands.betas[b], shape)
            one = slice(b, b + 1)
            xi = left_camera_in_right_view(said.left.camera[one], row(pairs, b), middles[one])
            torch.testing.assert_close(
                found.hands.camera[b], (said.right.camera[b] + xi[0]) / 2, **EXACT
            )

    def test_hands_that_both_views_have_right_stay_right_whatever_the_weights(self, model):
        said, pairs = cases.true_predictions(2)
        found = fuse(said, pairs, model)
        torch.testing.assert_close(found.hands.rotations, said.right.rotations, **EXACT)
        torch.testing.assert_close(found.hands.camera, said.right.camera, **EXACT)
        points = regressed_keypoints(model, said.right)
        torch.testing.assert_close(found.points, points, **EXACT)
        wrist = wrist_place(points, said.right.camera, pairs.right_focal)
        torch.testing.assert_close(found.wrist, wrist, **EXACT)

    def test_a_pair_seen_in_a_mirror_gives_the_mirrored_hand(self, model):
        said, pairs = cases.predictions(3), cases.geometry(4)
        mirror = torch.diag(torch.tensor([-1.0, 1, 1])).double()
        # Seen in a mirror an axis-angle vector has other signs, but the same weights.
        across = replace(
            pairs, rotation=mirror @ pairs.rotation @ mirror, translation=pairs.translation @ mirror
        )
        other = cases.said(
            cases.mirrored_hands(said.right), cases.mirrored_hands(said.left), said.weights
        )
        found, expected = fuse(other, across, model), fuse(said, pairs, model)
        mirrored = cases.mirrored_hands(expected.hands)
        torch.testing.assert_close(found.hands.rotations, mirrored.rotations, **EXACT)

    def test_views_that_change_places_give_the_same_fingers_and_shape(self, model):
        said, pairs = cases.predictions(5), cases.geometry(6)
        back = StereoGeometry(
            rotation=pairs.rotation.mT,
            translation=-(pairs.rotation.mT @ pairs.translation[..., None])[..., 0],
            left_focal=pairs.right_focal,
            right_focal=pairs.left_focal,
        )
        swapped = cases.said(said.left, said.right, 1 - said.weights)
        found, expected = fuse(swapped, back, model), fuse(said, pairs, model)
        torch.testing.assert_close(
            found.hands.rotations[:, 1:], expected.hands.rotations[:, 1:], **EXACT
        )
        torch.testing.assert_close(found.hands.betas, expected.hands.betas, **EXACT)

    def test_cameras_of_one_place_that_change_places_give_the_same_hand(self, model):
        said, pairs = cases.predictions(7), cases.no_rig()
        swapped = cases.said(said.left, said.right, 1 - said.weights)
        found, expected = fuse(swapped, pairs, model), fuse(said, pairs, model)
        for name in ("rotations", "betas", "camera"):
            torch.testing.assert_close(
                getattr(found.hands, name), getattr(expected.hands, name), **EXACT
            )

    def test_a_batch_is_what_its_pairs_are_alone(self, model):
        said, pairs = cases.predictions(8), cases.geometry(9)
        whole = fuse(said, pairs, model)
        for b in range(B):
            one = cases.said(row(said.right, b), row(said.left, b), said.weights[b : b + 1])
            alone = fuse(one, row(pairs, b), model)
            torch.testing.assert_close(alone.points[0], whole.points[b], rtol=0, atol=1e-12)
            torch.testing.assert_close(alone.wrist[0], whole.wrist[b], rtol=0, atol=1e-12)

    def test_without_weights_is_refused(self, model):
        said = replace(cases.predictions(0), weights=None)
        with pytest.raises(ValueError, match="weights expected"):
            fuse(said, cases.geometry(0), model)


class TestMissingViews:
    """The second of three pairs has something missing; its neighbours do not notice."""

    def fused(self, model, right=False, left=False, pairs=None):
        said = cases.predictions(10)
        for hands, missing in ((said.right, right), (said.left, left)):
            if missing:
                for tensor in (hands.rotations, hands.betas, hands.camera):
                    tensor[1] = torch.nan
        pairs = cases.geometry(11) if pairs is None else pairs
        return said, pairs, fuse(said, pairs, model)

    def assert_same_neighbours(self, model, found):
        expected = fuse(cases.predictions(10), cases.geometry(11), model)
        for b in (0, 2):
            assert torch.equal(found.points[b], expected.points[b])
            assert torch.equal(found.wrist[b], expected.wrist[b])

    def test_without_the_left_the_right_counts_alone(self, model):
        said, _, found = self.fused(model, left=True)
        torch.testing.assert_close(found.hands.rotations[1], said.right.rotations[1], **EXACT)
        assert torch.equal(found.hands.betas[1], said.right.betas[1])
        assert torch.equal(found.hands.camera[1], said.right.camera[1])
        self.assert_same_neighbours(model, found)

    def test_without_the_right_the_left_is_told_in_the_rights_frame(self, model):
        said, pairs, found = self.fused(model, right=True)
        wrist = pairs.rotation[1] @ said.left.rotations[1, 0]
        torch.testing.assert_close(found.hands.rotations[1, 0], wrist, **EXACT)
        torch.testing.assert_close(found.hands.rotations[1, 1:], said.left.rotations[1, 1:])
        middle = regressed_keypoints(model, row(said.left, 1)).mean(1)
        xi = left_camera_in_right_view(said.left.camera[1:2], row(pairs, 1), middle)
        torch.testing.assert_close(found.hands.camera[1:2], xi, **EXACT)
        self.assert_same_neighbours(model, found)

    def test_without_either_there_is_no_hand(self, model):
        _, _, found = self.fused(model, right=True, left=True)
        assert found.hands.rotations[1].isnan().all()
        assert found.wrist[1].isnan().all()
        self.assert_same_neighbours(model, found)

    def test_a_left_view_of_unknown_place_does_not_count(self, model):
        pairs = cases.geometry(11)
        pairs.rotation[1], pairs.translation[1] = torch.nan, torch.nan
        said, _, found = self.fused(model, pairs=pairs)
        torch.testing.assert_close(found.hands.rotations[1], said.right.rotations[1], **EXACT)
        assert torch.equal(found.hands.camera[1], said.right.camera[1])
        self.assert_same_neighbours(model, found)

    def test_a_left_view_that_places_the_hand_behind_counts_for_its_pose(self, model):
        pairs = cases.geometry(11)
        pairs.translation[1] = torch.tensor([0.0, 0.0, -3.0])
        said, _, found = self.fused(model, pairs=pairs)
        assert torch.equal(found.hands.camera[1], said.right.camera[1])
        expected = fuse(cases.predictions(10), cases.geometry(11), model).hands.rotations[1]
        torch.testing.assert_close(found.hands.rotations[1], expected, **EXACT)
        self.assert_same_neighbours(model, found)

    def test_nothing_that_is_missing_has_a_gradient(self, model):
        said = cases.predictions(10)
        leaves = [
            tensor.requires_grad_()
            for hands in (said.right, said.left)
            for tensor in (hands.rotations, hands.betas, hands.camera)
        ]
        absent = torch.tensor([False, True, False])

        def without(hands):
            return hands.map(
                lambda t: torch.where(absent.view(-1, *[1] * (t.dim() - 1)), torch.nan, t)
            )

        seen = cases.said(said.right, without(said.left), said.weights.requires_grad_())
        found = fuse(seen, cases.geometry(11), model)
        (found.points.square().sum() + found.wrist.square().sum()).backward()
        for leaf in (*leaves, seen.weights):
            assert leaf.grad is not None and leaf.grad.isfinite().all()
        assert not said.left.rotations.grad[1].any()
        assert said.left.rotations.grad[0].any()


class TestGradients:
    def test_of_the_pose(self):
        right, left, w = 0.7 * randn(0, 2, 16, 3), 0.7 * randn(1, 2, 16, 3), rand(2, 2, 48)
        inputs = [each.requires_grad_() for each in (right, left, w)]
        assert torch.autograd.gradcheck(fused_pose, inputs)

    def test_of_the_pose_across_half_a_turn(self):
        axis = unit(3, 2)[:, None].repeat(1, 16, 1)
        inputs = ((math.pi - 0.2) * axis, -(math.pi - 0.1) * axis, rand(4, 2, 48))
        assert torch.autograd.gradcheck(fused_pose, [each.requires_grad_() for each in inputs])

    def test_of_the_camera(self):
        pairs = cases.geometry(5, 2)

        def xi(camera, middle, rotation, translation):
            moved = replace(pairs, rotation=rotation, translation=translation)
            return left_camera_in_right_view(camera, moved, middle)

        inputs = (cases.hands(6, 2).camera, 0.05 * randn(7, 2, 3), pairs.rotation,
                  pairs.translation)  # fmt: skip
        assert torch.autograd.gradcheck(xi, [each.clone().requires_grad_() for each in inputs])

    def test_of_the_whole(self, model):
        said, pairs = cases.predictions(8, 1), cases.geometry(9, 1)

        def whole(w, right, left, shape, cameras):
            hands = [
                replace(each, rotations=roma.rotvec_to_rotmat(vectors), betas=shape, camera=camera)
                for each, vectors, camera in (
                    (said.right, right, cameras[:1]),
                    (said.left, left, cameras[1:]),
                )
            ]
            found = fuse(cases.said(*hands, w), pairs, model)
            return found.points, found.wrist

        vectors = [roma.rotmat_to_rotvec(each.rotations) for each in (said.right, said.left)]
        cameras = torch.cat([said.right.camera, said.left.camera])
        inputs = (said.weights, *vectors, said.right.betas, cameras)
        assert torch.autograd.gradcheck(whole, [each.clone().requires_grad_() for each in inputs])
