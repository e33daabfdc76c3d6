"""The hand that a HandNet poses is where a fit without iterations begins (Seeber et al., eq. 1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import project, rotation_to
from fitter.config.options import FitConfig
from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Prediction
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.network_prior import predicted_initialisations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model, pose_keypoints
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandCrop, HandObservation, HandParams
from fitter.views.joint_fit import fit_rows
from fitter.views.rows import RigRows, RootJoint
from init_net.crop_inputs import crop_inputs
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig
from init_net.networks.handnet import HandNet
from init_net.predict import Networks
from init_net.records import RegressedHands
from init_net.view_frame import view_focal
from tests.support.noise_crops import SIZE, K, crops_of

CPU = torch.device("cpu")
STILL = FitConfig(max_iterations=0)


@pytest.fixture(scope="module")
def model() -> FitModel:
    hand = load_hand_model("open_hand", dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    return FitModel(
        hand.keypoint_model(), PoseSpace.of(anatomy_of(hand.data), load_pose_prior(), zero)
    )


@pytest.fixture(scope="module")
def observed(model: FitModel) -> ObservationBatch:
    """Three right hands, two of them away from the middle of the image."""
    generator = torch.Generator().manual_seed(5)
    draw = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    hands = HandParams(
        roma.unitquat_to_rotvec(normalize(draw, dim=-1)),
        0.25 * torch.randn(3, 15, 3, generator=generator, dtype=torch.float64),
        torch.zeros(3, 10, dtype=torch.float64),
        torch.tensor([[0.0, 0, 0.6], [0.25, -0.12, 0.6], [-0.2, 0.1, 0.45]]).double(),
    )
    points = pose_keypoints(model.keypoints, hands)[1]
    pixels = project(points, torch.from_numpy(K).expand(3, 3, 3))
    found = [
        HandObservation(at.numpy(), np.ones(21), "right", side_score=1.0, score=1.0)
        for at in pixels
    ]
    return ObservationBatch.of(found, [K] * 3, points)


def network(betas: int = 10) -> HandNet:
    """A HandNet that has learned nothing, so that its hands are no hand's that was detected."""
    handnet = build_network(HandNetConfig(input_size=96, hidden=[32], betas=betas), 3).eval()
    assert isinstance(handnet, HandNet)
    return handnet


def said_of(observed: ObservationBatch, handnet: HandNet) -> tuple[Prediction, RegressedHands]:
    """The prediction, and what the network itself says of the same crops."""
    crops = crops_of(observed)
    said = Networks({"handnet": handnet}, CPU)(normalise(observed), crops)
    with torch.no_grad():
        hands = handnet.regress(crop_inputs(crops, 96, CPU))
    return said.initialisations["handnet"], hands


def views_of(crops: list[HandCrop]) -> tuple[Tensor, Tensor]:
    """Rotations (B, 3, 3) from the view frames to the camera's, and focal lengths, crop units."""
    middles = [np.linalg.solve(c.intrinsics, [c.side / 2, c.side / 2, 1.0]) for c in crops]
    ray = normalize(torch.from_numpy(np.stack(middles)), dim=-1)
    focal = torch.tensor([c.intrinsics[0, 0] / c.side for c in crops], dtype=torch.float64)
    return rotation_to(ray), view_focal(focal, ray)


def require_own(
    model: FitModel, found: HandParams, hands: RegressedHands, crops: list[HandCrop]
) -> None:
    """M(p, s) as the network says it, and the camera that sees it is its camera c."""
    to_camera, focal = views_of(crops)
    orient = to_camera.mT @ roma.rotvec_to_rotmat(found.global_orient)
    rotations = torch.cat([orient[:, None], roma.rotvec_to_rotmat(found.hand_pose)], 1)
    torch.testing.assert_close(rotations, hands.rotations.double(), rtol=0, atol=2e-6)
    torch.testing.assert_close(found.betas, hands.betas.double(), rtol=0, atol=1e-6)
    points = pose_keypoints(model.keypoints, found)[1] @ to_camera
    scale = focal / points[..., 2].mean(1)
    camera = torch.cat([scale[:, None], scale[:, None] * points[:, 0, :2]], 1)
    torch.testing.assert_close(camera, hands.camera.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_fit_without_iterations_leaves_the_hand_as_the_network_says_it(
    model: FitModel, observed: ObservationBatch, side: str
) -> None:
    if side == "left":
        mirrored = observed.keypoints * torch.tensor([-1.0, 1]) + torch.tensor([SIZE[0], 0])
        observed = replace(observed, keypoints=mirrored, is_left=~observed.is_left)
    said, hands = said_of(observed, network())
    fit = fit_observations(model, observed, STILL, [said], False)
    assert (fit.initialisation == 1).all() and (fit.iterations == 0).all()
    # K's principal point is the image's middle, so the mirrored hand's camera is the same.
    require_own(model, fit.params.mirrored_where(observed.is_left), hands, crops_of(observed))


def test_a_fit_with_iterations_begins_where_inverse_kinematics_lays_it(
    model: FitModel, observed: ObservationBatch
) -> None:
    said, _ = said_of(observed, network())
    nothing = Prediction(said.keypoints, said.std)
    found = fit_observations(model, observed, FitConfig(), [said], False)
    wanted = fit_observations(model, observed, FitConfig(), [nothing], False)
    for name, value in vars(found.params).items():
        assert torch.equal(value, getattr(wanted.params, name))


def test_a_hand_in_one_view_of_a_rig_is_the_networks_too(
    model: FitModel, observed: ObservationBatch
) -> None:
    said, hands = said_of(observed, network())
    turns = roma.random_rotmat(3).double()
    rows = RigRows(torch.arange(3), turns, torch.randn(3, 3).double(), torch.ones(3).double(), 3)
    nowhere = torch.full((3, 21, 3), torch.nan, dtype=torch.float64)
    known = KnownShape.nothing(nowhere)
    fit = fit_rows(model, rows, normalise(observed), STILL, [said], False, known, nowhere)
    seen = rows.in_views(fit.hands.params, RootJoint.of(model.keypoints))
    require_own(model, seen, hands, crops_of(observed))


def test_a_hand_in_several_views_is_that_of_one_of_them(
    model: FitModel, observed: ObservationBatch
) -> None:
    """Placed where lines of sight meet; the triangulated pose is for hands that no network saw."""
    said, hands = said_of(observed, network())
    identity = torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    rows = RigRows(torch.tensor([0, 0, 1]), identity, torch.zeros(3, 3).double(),
                   torch.ones(3).double(), 2)  # fmt: skip
    points = torch.randn(2, 21, 3, generator=torch.Generator().manual_seed(1)).double() * 0.05
    points = points + torch.tensor([0.0, 0, 0.6]).double()
    known = KnownShape.nothing(points)
    unseen = said.map(lambda values: values.clone().index_fill_(0, torch.tensor(2), torch.nan))
    fit = fit_rows(model, rows, normalise(observed), STILL, [unseen], False, known, points).hands
    own = roma.rotmat_to_rotvec(hands.rotations[:2, 1:].double())
    apart = (fit.params.hand_pose[0] - own).abs().flatten(1).amax(1)
    assert apart.min() < 1e-5
    there = pose_keypoints(model.keypoints, fit.params)[1]
    torch.testing.assert_close(there[0].mean(0), points[0].mean(0))
    assert fit.initialisation.tolist() == [1, 0]


@pytest.mark.parametrize("other", ["shapes", "hand"])
def test_another_hand_models_parameters_are_not_taken(
    model: FitModel, observed: ObservationBatch, other: str
) -> None:
    """More shapes than the fit's model has, or another shape of its rest pose."""
    said, _ = said_of(observed, network(11 if other == "shapes" else 10))
    if other == "hand":
        grown = model.keypoints.joint_template * torch.linspace(1, 1.2, 16).double()[:, None]
        model = replace(model, keypoints=replace(model.keypoints, joint_template=grown))
    hands = normalise(observed)
    found = predicted_initialisations(model, hands, said, as_said=True)
    wanted = predicted_initialisations(model, hands, said)
    for name, value in vars(found).items():
        assert torch.equal(value, getattr(wanted, name))
