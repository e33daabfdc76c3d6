"""Seeber eq. 11 against its formula, and the mesh that it is taken of."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from fitter.hand_models import load_hand_model
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.posing import regressed_vertices
from init_net.training.losses import stereo_terms
from tests.support import stereo_cases as cases
from tests.support.stereo_cases import B, randn


class TestTerms:
    def points(self):
        return [randn(k, B, n, 3) for k, n in enumerate((50, 50, 21, 21))]

    def test_are_mean_squared_errors_of_each_hand(self):
        points = self.points()
        found = stereo_terms(*points)
        vertices, true_vertices, joints, true_joints = (each.numpy() for each in points)
        for b in range(B):
            for name, (said, true) in {
                "vertices": (vertices[b], true_vertices[b]),
                "joints_3d": (joints[b], true_joints[b]),
            }.items():
                total = sum(
                    (said[i][k] - true[i][k]) ** 2 for i in range(len(true)) for k in range(3)
                )
                assert found[name][b] == pytest.approx(total / (3 * len(true)))

    def test_have_the_right_gradients(self):
        points = [each[:, :4].clone().requires_grad_() for each in self.points()]
        assert gradcheck(lambda *given: tuple(stereo_terms(*given).values()), points)

    def test_a_hand_whose_truth_is_unknown_costs_nothing(self):
        points = self.points()
        points[1][1], points[3][1] = torch.nan, torch.nan
        for term in stereo_terms(*points).values():
            assert term[1] == 0 and (term[[0, 2]] > 0).all()


def test_vertices_of_rotations_are_those_of_axis_angle_vectors():
    model = load_hand_model(dtype=torch.float64, children=True)
    hands = cases.hands(0)
    vectors = roma.rotmat_to_rotvec(hands.rotations)
    params = HandParams(vectors[:, 0], vectors[:, 1:], hands.betas, torch.zeros(B, 3).double())
    mesh = model(params)
    expected = mesh.vertices - mesh.keypoints[:, :1]
    torch.testing.assert_close(regressed_vertices(model, hands), expected)
