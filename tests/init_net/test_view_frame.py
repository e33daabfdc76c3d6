"""What lifters see and say, in the view frame, and back in the camera's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fitter.camera import project, rotation_to
from fitter.conventions import BONES
from fitter.fitting.observations import ObservationBatch, normalise, unknown_features
from init_net.view_frame import (
    in_camera,
    lifter_inputs,
    relative_keypoints,
    view_focal,
    view_rotations,
)
from tests.support import rendered_samples

PALM_ENDS, TIP_ENDS = (list(ends) for ends in zip(*BONES, strict=True))
CONFIDENCE = torch.linspace(0.2, 1.0, 21)


class TestViewFrame:
    """Against the same by hand: a wide camera, hands away from its axis."""

    K = torch.tensor([[300.0, 0, 320], [0, 300, 200], [0, 0, 1]]).double()

    @pytest.fixture
    def hand(self):
        generator = torch.Generator().manual_seed(1)
        points = 0.06 * torch.randn(3, 21, 3, generator=generator).double()
        return points + torch.tensor([[0.3, 0.2, 0.5], [-0.4, 0.1, 0.45], [0.0, 0.0, 1.0]])[:, None]

    def observed(self, points, **changes) -> ObservationBatch:
        positions = project(points, self.K.expand(3, 3, 3))
        found = rendered_samples.exact_detection(points, positions, self.K.expand(3, 3, 3))
        given = {
            "keypoints": positions,
            "confidence": CONFIDENCE.double().expand(3, 21),
            "relative_depth": torch.tensor(found["depth"]),
            "relative_xyz": torch.tensor(found["xyz"]),
            "intrinsics": self.K.expand(3, 3, 3),
            "features": unknown_features(3, points),
            "is_left": torch.zeros(3, dtype=torch.bool),
        }
        return ObservationBatch(**{**given, **changes})

    def test_by_hand(self, hand):
        targets = normalise(self.observed(hand))
        inputs = lifter_inputs(targets, torch.float64)
        keypoints = relative_keypoints(hand, targets)
        pixels = project(hand, self.K.expand(3, 3, 3))
        for row in range(3):
            low, high = pixels[row].amin(0), pixels[row].amax(0)
            focal = 300 / (1.2 * (high - low).max())
            middle = 0.5 * (low + high)
            z = torch.cat([(middle - self.K[:2, 2]) / 300, torch.ones(1)])
            z = z / z.norm()
            # The least turn of the z axis to it, by Rodrigues' formula.
            axis, cosine = torch.tensor([-z[1], z[0], 0.0]).double(), z[2]
            cross = torch.tensor([[0, 0, axis[1]], [0, 0, -axis[0]], [-axis[1], axis[0], 0]])
            turn = torch.eye(3) + cross + cross @ cross / (1 + cosine)
            view = (turn.T @ hand[row].T).T
            assert float(inputs.focal[row]) == pytest.approx(float(focal))
            wanted = focal * view[:, :2] / view[:, 2:]
            torch.testing.assert_close(inputs.positions[row], wanted)
            relative = focal * (view - view[0]) / view[0, 2]
            torch.testing.assert_close(keypoints[row], relative)
            torch.testing.assert_close(inputs.depth[row], relative[:, 2])
            bones = torch.nn.functional.normalize(view[TIP_ENDS] - view[PALM_ENDS], dim=-1)
            torch.testing.assert_close(inputs.bones[row], bones)
            torch.testing.assert_close(view_rotations(targets)[row], turn)

    def test_bones_are_in_canonical_order(self, hand):
        targets = normalise(self.observed(hand))
        points = hand @ view_rotations(targets)
        palm, tip = (list(ends) for ends in zip(*BONES, strict=True))
        wanted = torch.nn.functional.normalize(points[:, tip] - points[:, palm], dim=-1)
        torch.testing.assert_close(lifter_inputs(targets, torch.float64).bones, wanted)

    def test_confidence_is_the_detectors(self, hand):
        found = lifter_inputs(normalise(self.observed(hand))).confidence
        torch.testing.assert_close(found, CONFIDENCE.expand(3, 21))

    def test_there_and_back(self, hand):
        targets = normalise(self.observed(hand))
        unit = (hand[:, 0] * targets.view_direction).sum(-1) / targets.intrinsics[:, 0, 0]
        back = unit[:, None, None] * in_camera(relative_keypoints(hand, targets), targets)
        torch.testing.assert_close(back, hand - hand[:, :1])

    def test_what_is_unknown_is_nan(self, hand):
        observed = self.observed(hand)
        depth, xyz = observed.relative_depth.clone(), observed.relative_xyz.clone()
        depth[1, 4], xyz[2, 8] = torch.nan, torch.nan
        inputs = lifter_inputs(normalise(replace(observed, relative_depth=depth, relative_xyz=xyz)))
        assert inputs.depth.isnan().all(1).tolist() == [False, True, False]
        assert inputs.bones.isnan().flatten(1).all(1).tolist() == [False, False, True]
        assert not inputs.depth[[0, 2]].isnan().any() and not inputs.bones[:2].isnan().any()


@pytest.mark.parametrize("direction", [(0.0, 0.0), (0.4, 0.0), (-0.3, 0.5)])
def test_a_small_area_across_the_line_of_sight_is_seen_at_the_views_focal_length(direction):
    depth, side, focal = 0.7, 1e-4, 300.0
    ray = torch.nn.functional.normalize(torch.tensor([[*direction, 1.0]]).double(), dim=-1)
    corners = side * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]).double()
    corners[:, 2] = depth
    K = torch.diag(torch.tensor([focal, focal, 1.0]).double())[None]
    seen = project((corners @ rotation_to(ray)[0].T)[None], K)[0]
    area = torch.linalg.det(seen[1:] - seen[0]).abs()
    expected = (view_focal(torch.tensor([focal]).double(), ray) * side / depth) ** 2
    torch.testing.assert_close(area[None], expected, rtol=1e-3, atol=0)
