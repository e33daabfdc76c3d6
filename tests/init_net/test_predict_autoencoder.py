"""What an autoencoder says of crops is where fits begin: the hand that it draws, and its looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Prediction
from fitter.fitting.keypoint_fit import KeypointFit, fit_observations
from fitter.fitting.network_hand import predicted_looks
from fitter.fitting.network_prior import predicted_initialisations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandObservation, Side
from init_net.autoencoder_records import (
    AutoencoderInputs,
    AutoencoderPredictions,
    DecodedHands,
    HandCode,
)
from init_net.hand_decoder import HandDecoder
from init_net.networks.config import AutoencoderConfig
from init_net.placing import CropViews
from init_net.predict import Networks
from tests.support.autoencoder_cases import hand_codes
from tests.support.noise_crops import SIZE, K, crops_of

CPU = torch.device("cpu")
PLACES = ((0.0, 0.0, 0.6), (0.25, -0.12, 0.6), (-0.2, 0.1, 0.45))
STILL = FitConfig(max_iterations=0)
PERSPECTIVE = AutoencoderConfig(input_size=32)


class Says(nn.Module):
    """A network that says given codes of hands, in their order, however many it sees at once."""

    def __init__(self, config: AutoencoderConfig, code: HandCode) -> None:
        super().__init__()
        self.config, self.given, self.seen = config, code.to(torch.float32), 0

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"encoder": self, "estimator": self}

    def forward(self, inputs: AutoencoderInputs, absent: frozenset[str]) -> AutoencoderPredictions:
        assert absent == {"estimator"}
        first, self.seen = self.seen, self.seen + len(inputs.image)
        return AutoencoderPredictions(self.given[first : self.seen], None)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand_model("open_hand", dtype=torch.float64)


@pytest.fixture(scope="module")
def model(hand: HandModel) -> FitModel:
    zero = torch.zeros((), dtype=torch.float64)
    return FitModel(
        hand.keypoint_model(), PoseSpace.of(anatomy_of(hand.data), load_pose_prior(), zero)
    )


def observations(side: Side = "right") -> ObservationBatch:
    """Flat hands of keypoints at three places, two of them away from the middle of the image."""
    generator = torch.Generator().manual_seed(5)
    points = 0.04 * torch.randn(3, 21, 3, generator=generator).double() * torch.tensor([1, 1, 0.1])
    points = points + torch.tensor(PLACES).double()[:, None]
    pixels = project(points, torch.from_numpy(K).expand(3, 3, 3))
    if side == "left":
        pixels = torch.stack([SIZE[0] - pixels[..., 0], pixels[..., 1]], -1)
    found = [
        HandObservation(at.numpy(), np.ones(21), side, side_score=1.0, score=1.0) for at in pixels
    ]
    return ObservationBatch.of(found, [K] * 3, points)


def predicted(config: AutoencoderConfig, code: HandCode, observed: ObservationBatch) -> Prediction:
    networks = Networks({"s2hand": Says(config, code)}, CPU)
    return networks(normalise(observed), crops_of(observed)).initialisations["s2hand"]


def decoded(
    config: AutoencoderConfig, code: HandCode, views: CropViews
) -> tuple[DecodedHands, HandDecoder]:
    decoder = HandDecoder(config)
    return decoder(code.to(torch.float32), views.focal.float()).to(torch.float64), decoder


def still(model: FitModel, observed: ObservationBatch, said: Prediction) -> KeypointFit:
    """A fit without iterations; its parameters as of right hands."""
    fit = fit_observations(model, observed, STILL, [said], False)
    assert (fit.initialisation == 1).all()
    return replace(fit, params=fit.params.mirrored_where(observed.is_left))


def seen_at(vertices: Tensor, focal: Tensor) -> Tensor:
    """Positions (B, V, 2) in crop units about the crop's middle, of points of the view frame."""
    return focal[:, None, None] * vertices[..., :2] / vertices[..., 2:]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("scale", [1.0, 1.12])
def test_a_fit_without_iterations_leaves_the_hand_that_the_network_draws(
    hand: HandModel, model: FitModel, side: Side, scale: float
) -> None:
    """At 1 / s of its distance, where the model's size looks the same."""
    observed = observations(side)
    code = replace(hand_codes(PERSPECTIVE), scale=torch.full((3,), scale).double())
    fit = still(model, observed, predicted(PERSPECTIVE, code, observed))
    # K's principal point is the image's middle, so the mirrored hand's camera is the same.
    views = CropViews.of(crops_of(observed), torch.zeros((), dtype=torch.float64))
    wanted, _ = decoded(PERSPECTIVE, code, views)
    found = hand(fit.params).vertices @ views.to_camera
    torch.testing.assert_close(scale * found, wanted.vertices, rtol=0, atol=2e-6)
    torch.testing.assert_close(
        seen_at(found, views.focal), wanted.screen[..., :2], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(fit.params.betas, code.betas, rtol=0, atol=1e-6)


def test_a_hand_under_the_networks_own_focal_length_is_as_large_under_the_pictures(
    hand: HandModel, model: FitModel
) -> None:
    """The wrist is seen where the network sees it, and at its depth a length is as long."""
    config = PERSPECTIVE.model_copy(update={"focal": "predicted"})
    observed, code = observations(), hand_codes(PERSPECTIVE)
    own = torch.tensor([0.3, -0.2, 0.1]).double()
    code = replace(code, log_focal=own)
    fit = still(model, observed, predicted(config, code, observed))
    views = CropViews.of(crops_of(observed), torch.zeros((), dtype=torch.float64))
    wanted, _ = decoded(config, code, views)
    mesh = hand(fit.params)
    points = mesh.keypoints @ views.to_camera
    wrist = seen_at(points[:, :1], views.focal)
    torch.testing.assert_close(wrist, wanted.keypoints_2d[:, :1], rtol=0, atol=1e-5)
    metre = views.focal / points[:, 0, 2] / code.scale
    torch.testing.assert_close(
        metre, views.focal * own.exp() / wanted.keypoints[:, 0, 2], rtol=1e-5, atol=0
    )
    relative = (mesh.vertices - mesh.keypoints[:, :1]) @ views.to_camera
    shape = (wanted.vertices - wanted.keypoints[:, :1]) / code.scale[:, None, None]
    torch.testing.assert_close(relative, shape, rtol=0, atol=2e-6)


def test_an_orthographic_hand_is_placed_where_its_mean_depth_has_its_scale(
    hand: HandModel, model: FitModel
) -> None:
    config = AutoencoderConfig(camera="orthographic", appearance="components", light="even")
    observed, code = observations(), hand_codes(config)
    fit = still(model, observed, predicted(config, code, observed))
    views = CropViews.of(crops_of(observed), torch.zeros((), dtype=torch.float64))
    wanted, _ = decoded(config, code, views)
    points = hand(fit.params).keypoints @ views.to_camera
    torch.testing.assert_close(points - points[:, :1], wanted.keypoints, rtol=0, atol=2e-6)
    torch.testing.assert_close(views.focal / points[..., 2].mean(1), code.scale, rtol=1e-5, atol=0)
    scale = code.scale[:, None]
    torch.testing.assert_close(scale * points[:, 0, :2], code.transl[:, :2], rtol=0, atol=1e-5)


def coloured(model: HandModel, lit: bool = True) -> HandCode:
    code = hand_codes(PERSPECTIVE, vertices=len(model.v_template))
    light = torch.tensor([0.7, 1.0, 0.9, 0.8, 0.3, 1.0, 1.0, 1.0, 0.3, -0.4, -0.8]).double()
    return replace(code, lighting=light.expand(3, 11).clone() if lit else None)


def test_looks_are_the_networks_in_the_cameras_axes(hand: HandModel, model: FitModel) -> None:
    observed, code = observations(), coloured(hand)
    said = predicted(PERSPECTIVE, code, observed)
    found = predicted_looks(model, [said], torch.tensor([1, 1, 0]))
    assert found is not None and found.said.tolist() == [True, True, False]
    torch.testing.assert_close(found.colours[:2], code.colours[:2], rtol=0, atol=1e-6)
    views = CropViews.of(crops_of(observed), torch.zeros((), dtype=torch.float64))
    assert code.lighting is not None
    turned = (views.to_camera @ code.lighting[:, 8:, None])[..., 0]
    wanted = torch.cat([code.lighting[:, :8], turned], 1)
    torch.testing.assert_close(found.lighting[:2], wanted[:2], rtol=0, atol=1e-6)
    assert found.appearance.isnan().all()
    # None of it counts for fits that began elsewhere, or for hands of another model.
    assert predicted_looks(model, [said], torch.tensor([0, 0, -1])) is None
    grown = model.keypoints.joint_template * torch.linspace(1, 1.2, 16).double()[:, None]
    other = replace(model, keypoints=replace(model.keypoints, joint_template=grown))
    assert predicted_looks(other, [said], torch.tensor([1, 1, 1])) is None


def test_looks_of_skin_in_even_light() -> None:
    config = PERSPECTIVE.model_copy(update={"appearance": "components", "light": "even"})
    code = hand_codes(config)
    said = predicted(config, code, observations()).looks
    assert code.appearance is not None
    torch.testing.assert_close(said.appearance, code.appearance, rtol=0, atol=1e-6)
    assert said.lighting.isnan().all() and said.colours.shape == (3, 1, 3)
    bare = PERSPECTIVE.model_copy(update={"appearance": "none"})
    assert not predicted(bare, hand_codes(bare), observations()).looks.said.any()


def test_hands_of_another_model_than_the_fits_begin_by_their_keypoints(
    hand: HandModel, model: FitModel
) -> None:
    grown = model.keypoints.joint_template * torch.linspace(1, 1.2, 16).double()[:, None]
    other = replace(model, keypoints=replace(model.keypoints, joint_template=grown))
    observed = observations()
    said = predicted(PERSPECTIVE, coloured(hand), observed)
    hands = normalise(observed)
    found = predicted_initialisations(other, hands, said, as_said=True)
    wanted = predicted_initialisations(other, hands, said)
    for name, value in vars(found).items():
        assert torch.equal(value, getattr(wanted, name))


def test_hands_together_are_as_each_alone(hand: HandModel) -> None:
    """Also more than a network sees at once, and beside one without a crop."""
    one, code = observations(), coloured(hand)
    several = torch.arange(3).repeat(6)
    observed = one.map(lambda values: values[several])
    together = predicted(PERSPECTIVE, code[several], observed)
    for i in range(3):
        alone = predicted(PERSPECTIVE, code[i : i + 1], one[torch.tensor([i])])
        for name, values in vars(alone).items():
            wanted = getattr(together, name)[i::3]
            torch.testing.assert_close(
                values.expand_as(wanted), wanted, rtol=1e-5, atol=1e-6, equal_nan=True
            )
    crops = crops_of(one)
    networks = Networks({"s2hand": Says(PERSPECTIVE, code)}, CPU)
    said = networks(normalise(one), [crops[0], None, crops[2]]).initialisations["s2hand"]
    assert said.keypoints.isfinite().all((1, 2)).tolist() == [True, False, True]
    assert said.looks.said.tolist() == [True, False, True]


def test_a_hand_whose_code_is_not_finite_has_no_prediction(model: FitModel) -> None:
    code = hand_codes(PERSPECTIVE)
    code.pose[1, 0] = torch.nan
    observed = observations()
    said = predicted(PERSPECTIVE, code, observed)
    assert said.keypoints.isfinite().all((1, 2)).tolist() == [True, False, True]
    fit = fit_observations(model, observed, STILL, [said], False)
    assert fit.initialisation.tolist() == [1, 0, 1]
