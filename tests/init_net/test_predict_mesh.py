"""What a mesh network says of crops is where fits begin: the parametric hand, at its own place."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fitter.camera import project
from fitter.config import load_config
from fitter.config.options import FitConfig
from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandObservation
from init_net.mesh_records import MeshDraws, MeshInputs, MeshPredictions
from init_net.networks.config import MeshNetConfig
from init_net.networks.hand_layer import HandLayer
from init_net.offer import WSIM
from init_net.placing import CropViews
from init_net.predict import Networks, load_networks
from init_net.predict_mesh import MeshHands
from init_net.samples.crop_samples import weak_camera
from tests.support.errors import raises
from tests.support.mesh_cases import on_rows, open_hand, random_predictions
from tests.support.noise_crops import SIZE, K, crops_of
from tests.support.offered import offered_networks

CPU = torch.device("cpu")
PLACES = ((0.0, 0.0, 0.6), (0.25, -0.12, 0.6), (-0.2, 0.1, 0.45))
MODEL = open_hand()


class Says(nn.Module):
    """A network that says given hands, in their order."""

    def __init__(self, given: MeshPredictions) -> None:
        super().__init__()
        self.config, self.given, self.seen = MeshNetConfig(input_size=32), given, 0
        self.hand = HandLayer(load_hand_model())

    def forward(self, inputs: MeshInputs, *, draws: MeshDraws) -> MeshPredictions:
        first, self.seen = self.seen, self.seen + len(inputs.image)
        return on_rows(self.given, lambda field: field[first : self.seen].float())


def observed(points: Tensor, side: str = "right") -> ObservationBatch:
    """Of points (B, 21, 3) metres, camera frame, of right hands; a left one is seen mirrored."""
    pixels = project(points, torch.from_numpy(K).expand(len(points), 3, 3))
    if side == "left":
        pixels = torch.stack([SIZE[0] - pixels[..., 0], pixels[..., 1]], -1)
    found = [HandObservation(at.numpy(), torch.ones(21).numpy(), side, side_score=1.0, score=1.0)
             for at in pixels]  # fmt: skip
    return ObservationBatch.of(found, [K] * len(points), points)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_fit_without_iterations_leaves_the_parametric_hand(side):
    """Its mesh, from its wrist joint, in the view frame's axes; seen where a camera that sees it as
    this one does would have it, within centimetres of depth."""
    said = random_predictions(MODEL)
    # Hands at `PLACES`, turned as their crops' view frames say; where these see them.
    seen = observed(said.parametric_joints + torch.tensor(PLACES).double()[:, None], side)
    views = CropViews.of(crops_of(seen), torch.zeros((), dtype=torch.float64))
    place = torch.einsum("bc,bcd->bd", torch.tensor(PLACES).double(), views.to_camera)
    in_view = said.parametric_joints + place[:, None]
    flat = views.focal[:, None, None] * in_view[..., :2] / in_view[..., 2:]
    said = replace(said, camera=weak_camera(said.parametric_joints, flat))
    networks = Networks({"wsim": Says(said)}, CPU)
    prediction = networks(normalise(seen), crops_of(seen)).initialisations["wsim"]
    zero = torch.zeros((), dtype=torch.float64)
    model = FitModel(
        MODEL.keypoint_model(), PoseSpace.of(anatomy_of(MODEL.data), load_pose_prior(), zero)
    )
    fit = fit_observations(model, seen, FitConfig(max_iterations=0), [prediction], False)
    assert (fit.initialisation == 1).all()
    mesh = MODEL(fit.params.mirrored_where(seen.is_left))
    found = (mesh.vertices - mesh.joints[:, :1]) @ views.to_camera
    torch.testing.assert_close(found, said.parametric_vertices, rtol=0, atol=5e-6)
    wrist = (mesh.joints[:, :1] @ views.to_camera)[:, 0]
    expected = MeshHands(Says(said), CPU).posed(said, views.focal)
    assert (wrist - place).norm(dim=-1).max() < 0.06
    assert (expected.wrist - wrist).norm(dim=-1).max() < 0.04  # from joint to keypoint


def test_a_hand_without_a_crop_is_not_spoken_of():
    said = random_predictions(MODEL)
    seen = observed(said.parametric_joints + torch.tensor(PLACES).double()[:, None])
    crops = crops_of(seen)
    kept = on_rows(said, lambda field: field[[0, 2]])
    found = Networks({"wsim": Says(kept)}, CPU)(normalise(seen), [crops[0], None, crops[2]])
    prediction = found.initialisations["wsim"]
    assert bool(prediction.keypoints[1].isnan().all())
    torch.testing.assert_close(
        prediction.betas[[0, 2]], kept.betas.float().double(), rtol=0, atol=1e-7
    )


class TestBadInput:
    def test_no_weights(self):
        with raises("network.not_wanted", file="init.wsim"):
            load_networks(WSIM.options(), ["wsim"], 1.4, CPU)

    def test_weights_that_are_not_there(self):
        options = WSIM.options(wsim="nowhere.safetensors")
        with raises("weights.missing"):
            load_networks(options, ["wsim"], 1.4, CPU)

    def test_it_is_offered(self):
        with offered_networks():
            given = load_config(None, ["init.networks=wsim", "init.wsim=mine.safetensors"])
            assert [each.name for each in given.asked_networks] == ["wsim", "segmentation"]
