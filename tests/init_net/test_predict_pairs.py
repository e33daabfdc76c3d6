"""Pairs of crops in, hands in the rig's frame out: of a network that is right and a random one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fitter.camera import mirror_intrinsics, rotation_to
from fitter.fitting.initializer import ViewedRows
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.records import HandCrop, HandObservation
from fitter.rig import RigCamera
from fitter.rotations import roma
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, StereoConfig
from init_net.posing import regressed_keypoints
from init_net.predict_pairs import PairNetwork, SeenPair, view_prediction
from init_net.records import RegressedHands
from tests.support import stereo_cases as cases

SIDE, FOCAL = 96, 250.0
MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0])).double()


def camera(name: str, turn: float, centre: list[float]) -> RigCamera:
    R = roma.rotvec_to_rotmat(torch.tensor([0.02, turn, -0.03]).double()).numpy()
    K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    return RigCamera(name, K, R, -R @ np.array(centre))


RIGHT = camera("right", -0.12, [0.08, 0.01, 0.0])
LEFT = camera("left", 0.1, [-0.07, 0.0, 0.02])


def crop(seed: int, is_left: bool) -> HandCrop:
    """Pixels at random; a K of a window away from the optical axis."""
    rng = np.random.default_rng(seed)
    K = np.array([[FOCAL, 0, 40 + seed], [0, FOCAL, 20 - seed], [0, 0, 1]])
    if is_left:
        K = mirror_intrinsics(torch.from_numpy(K)[None], SIDE)[0].numpy()
    pixels = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    points = rng.uniform(10, 80, (21, 2))
    return HandCrop(pixels, None, None, K, points, np.ones(21), np.zeros((0, 21, 2)))


def view_axes(seen: HandCrop) -> torch.Tensor:
    """(3, 3) from the view frame to the (mirrored) camera's."""
    K = seen.intrinsics
    ray = torch.tensor([(SIDE / 2 - K[0, 2]) / FOCAL, (SIDE / 2 - K[1, 2]) / FOCAL, 1.0]).double()
    return rotation_to((ray / ray.norm())[None])[0]


class TrueNetwork(nn.Module):
    """Says of one hand in a rig what a weak-perspective camera of either view sees of it."""

    def __init__(self, rotations, betas, place, pair, cameras):
        super().__init__()
        self.config = SimpleNamespace(input_size=64, margin=1.4)
        self.register_parameter("nothing", nn.Parameter(torch.zeros(1)))
        self.hand, self.place = (rotations, betas), place
        self.views = [self.view(seen, each, pair.is_left) for seen, each in cameras]

    def view(self, seen, rig_camera, is_left):
        rotations, betas = self.hand
        R = torch.from_numpy(rig_camera.rotation)
        t = torch.from_numpy(rig_camera.translation)
        if is_left:  # of the mirrored hand in the mirrored rig
            R, t = MIRROR @ R @ MIRROR, MIRROR @ t
        axes = view_axes(seen).T
        R, t = axes @ R, axes @ t
        turned = rotations.clone()
        turned[:, 0] = R @ turned[:, 0]
        points = regressed_keypoints(
            cases.keypoint_model(), RegressedHands(turned, betas, torch.zeros(1, 3).double())
        )
        wrist = R @ self.place + t
        focal = FOCAL / SIDE * float(axes[2, 2]) ** -1.5
        scale = focal / (wrist[2] + points[0, :, 2].mean())
        return turned, torch.stack([scale, *(scale * wrist[:2])])[None]

    def forward(self, inputs, pictures):
        hands = [
            RegressedHands(turned, self.hand[1], seen).to(torch.float32)
            for turned, seen in self.views
        ]
        return cases.said(*hands, torch.full((1, 48), 0.3))


@pytest.mark.parametrize("is_left", [False, True])
def test_a_network_that_is_right_gives_the_hand_in_the_rig(is_left):
    pair = SeenPair(crop(1, is_left), crop(2, is_left), is_left)
    rotations = roma.rotvec_to_rotmat(0.5 * cases.randn(3, 1, 16, 3))
    betas, place = 0.3 * cases.randn(4, 1, 10), torch.tensor([0.03, -0.02, 0.45]).double()
    cameras = [(pair.right, RIGHT), (pair.left, LEFT)]
    if is_left:  # in the mirror the left camera is the right one
        cameras.reverse()
    network = PairNetwork(TrueNetwork(rotations, betas, place, pair, cameras))
    found = network([pair], RIGHT, LEFT).keypoints[0]
    points = regressed_keypoints(
        cases.keypoint_model(), RegressedHands(rotations, betas, torch.zeros(1, 3).double())
    )
    expected = points[0] + place
    if is_left:
        expected = expected @ MIRROR
    assert (found - expected).norm(dim=-1).max() < 1e-4


@pytest.fixture(scope="module")
def network():
    mono = HandNetConfig(hidden=[24, 16], grid_channels=8, input_size=64)
    return PairNetwork(build_network(StereoConfig(mono=mono), 3).eval())


def mirrored(camera: RigCamera) -> RigCamera:
    M = MIRROR.numpy()
    return replace(camera, rotation=M @ camera.rotation @ M, translation=M @ camera.translation)


def pairs_of(is_left: bool) -> list[SeenPair]:
    return [SeenPair(crop(k, is_left), crop(k + 10, is_left), is_left) for k in range(3)]


def test_a_left_hand_is_the_mirror_image_of_a_right_one(network):
    right = network(pairs_of(False), RIGHT, LEFT)
    # The same crops: those of left hands are kept mirrored, with K as it then is.
    same = [SeenPair(right=pair.left, left=pair.right, is_left=True) for pair in pairs_of(False)]
    left = network(same, mirrored(LEFT), mirrored(RIGHT))
    torch.testing.assert_close(left.keypoints @ MIRROR, right.keypoints, rtol=1e-5, atol=1e-6)


def test_a_batch_is_what_its_hands_are_alone_whichever_views_there_are(network):
    first, second, third = pairs_of(False)
    pairs = [first, replace(second, left=None), replace(third, right=None),
             SeenPair(None, None, True)]  # fmt: skip
    together = network(pairs, RIGHT, LEFT)
    assert together.keypoints[:3].isfinite().all()
    assert together.keypoints[3].isnan().all()
    for k, pair in enumerate(pairs):
        alone = network([pair], RIGHT, LEFT)
        torch.testing.assert_close(
            alone.keypoints[0], together.keypoints[k], rtol=1e-5, atol=1e-5, equal_nan=True
        )


def test_a_rig_that_is_moved_moves_its_hands(network):
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, -0.8, 0.5]).double())
    shift = torch.tensor([0.4, -0.2, 1.0]).double()

    def moved(camera: RigCamera) -> RigCamera:
        R = camera.rotation @ turn.numpy().T
        return replace(camera, rotation=R, translation=camera.translation - R @ shift.numpy())

    here = network(pairs_of(False), RIGHT, LEFT).keypoints
    there = network(pairs_of(False), moved(RIGHT), moved(LEFT)).keypoints
    torch.testing.assert_close(there, here @ turn.T + shift, rtol=1e-5, atol=1e-5)


def test_no_pairs_give_no_hands(network):
    assert network([], RIGHT, LEFT).keypoints.shape == (0, 21, 3)


def observed(count: int, is_left: bool) -> list[HandObservation]:
    return [
        HandObservation(np.random.default_rng(k).uniform(200, 300, (21, 2)), np.ones(21),
                        "left" if is_left else "right", 1.0, 1.0)
        for k in range(count)
    ]  # fmt: skip


def normalised(hands: list[HandObservation]):
    like = torch.zeros((), dtype=torch.float64)
    return normalise(ObservationBatch.of(hands, [RIGHT.intrinsics] * len(hands), like))


@pytest.mark.parametrize("is_left", [False, True])
def test_a_fit_of_one_camera_takes_what_the_rig_knows(network, is_left):
    """Relative to the wrist, in units of the wrist's distance, in the (mirrored) camera's axes."""
    pairs = network(pairs_of(is_left), RIGHT, LEFT)
    hands = normalised(observed(3, is_left))
    found = view_prediction(pairs, RIGHT, hands, torch.full((3,), is_left))
    there = pairs.keypoints @ torch.from_numpy(RIGHT.rotation).T
    there = there + torch.from_numpy(RIGHT.translation)
    there = there @ MIRROR if is_left else there
    for k in range(3):
        depth = there[k, 0] @ hands.view_direction[k]
        expected = hands.intrinsics[k, 0, 0] * (there[k] - there[k, :1]) / depth
        torch.testing.assert_close(found.keypoints[k], expected)


@pytest.mark.parametrize("is_left", [False, True])
def test_rows_of_a_fit_are_put_in_pairs_whichever_camera_comes_first(network, is_left):
    """And hands of one view, of three, or with a view that cannot be used are left alone."""
    cameras = [LEFT, RIGHT, RIGHT, RIGHT, LEFT, LEFT, RIGHT, LEFT, RIGHT, LEFT]
    numbers = [0, 0, 1, 2, 2, 3, 3, 4, 4, 4]
    hands = observed(10, is_left)
    hands[6] = replace(hands[6], keypoints=np.full((21, 2), np.nan))
    crops = [crop(k, is_left) for k in range(10)]
    crops[4] = None
    detected = normalised(hands)
    left = torch.full((10,), is_left)
    rows = ViewedRows(detected, crops, torch.tensor(numbers), cameras, left)
    found = network.prediction(rows)
    known = found.keypoints.isfinite().flatten(1).all(1)
    assert known.tolist() == [True, True, False, True, True, *[False] * 5]
    assert found.std.isnan().all() and found.visible.isnan().all()
    pairs = [SeenPair(crops[1], crops[0], is_left), SeenPair(crops[3], None, is_left)]
    said = network(pairs, RIGHT, LEFT)
    for camera, places in ((RIGHT, [1, 3]), (LEFT, [0, 4])):
        index = torch.tensor(places)
        expected = view_prediction(said, camera, detected[index], left[index])
        torch.testing.assert_close(found.keypoints[index], expected.keypoints)


def test_rigs_of_different_frames_are_told_apart(network):
    """The same crops before cameras that stand elsewhere are a hand that lies elsewhere."""
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.3, 0.0]).double()).numpy()
    other = replace(LEFT, rotation=turn @ LEFT.rotation)
    detected = normalised(observed(2, False) * 2)
    crops = [crop(k, False) for k in range(2)] * 2
    rows = ViewedRows(
        detected, crops, torch.tensor([0, 0, 1, 1]), [RIGHT, LEFT, RIGHT, other],
        torch.zeros(4, dtype=torch.bool),
    )  # fmt: skip
    found = network.prediction(rows).keypoints
    assert (found[0] - found[2]).abs().max() > 1e-3
    alone = ViewedRows(
        detected[2:], crops[2:], torch.tensor([0, 0]), rows.cameras[2:], rows.is_left[2:]
    )
    torch.testing.assert_close(network.prediction(alone).keypoints, found[2:], rtol=1e-5, atol=1e-6)
