"""`init_net.predict`: the networks as the engine calls them, and the weights that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import roma
import torch
from torch.nn.functional import normalize

from datasets.detector import DetectorNoise
from datasets.synthetic import SyntheticEngine, SyntheticSettings
from fitter.camera import project, rotation_to
from fitter.fitting.crops import crop_hands
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.metrics import mask_iou, pa_mpjpe
from fitter.records import HandObservation, HandParams
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig
from init_net.offer import InitNetOptions
from init_net.predict import Networks, load_networks
from init_net.records import LiftedHands, RegressedHands
from init_net.samples.crop_samples import weak_camera
from init_net.samples.hand_sampler import HandSampler
from init_net.view_frame import view_rotations
from init_net.weights import save_weights, weights_file
from tests.support.errors import raises

CPU = torch.device("cpu")
MARGIN = 1.4
ALL = InitNetOptions(handnet="shipped")
SIZE = (640, 480)
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
PLACES = ((0.0, 0.0, 0.6), (0.25, -0.12, 0.6), (-0.2, 0.1, 0.45))


@pytest.fixture(scope="module")
def model():
    return load_hand_model(dtype=torch.float64)


@pytest.fixture(scope="module")
def hands(model) -> HandParams:
    generator = torch.Generator().manual_seed(5)
    count = len(PLACES)
    draw = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return HandParams(
        roma.unitquat_to_rotvec(normalize(draw, dim=-1)),
        0.25 * torch.randn(count, 15, 3, generator=generator, dtype=torch.float64),
        torch.randn(count, 10, generator=generator, dtype=torch.float64),
        torch.tensor(PLACES, dtype=torch.float64),
    )


def seen(keypoints: torch.Tensor, side: str = "right") -> tuple[ObservationBatch, list]:
    """Hands (B, 21, 3) as a perfect detector without depth sees them; left ones mirrored."""
    matrix = torch.from_numpy(K).expand(len(keypoints), 3, 3)
    pixels = project(keypoints, matrix)
    if side == "left":
        pixels = torch.stack([SIZE[0] - pixels[..., 0], pixels[..., 1]], -1)
    found = [
        HandObservation(points.numpy(), np.ones(21), side, side_score=1.0, score=1.0)
        for points in pixels
    ]
    picture = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    crops = [crop_hands(picture, K, [hand], None, (128, MARGIN))[0] for hand in found]
    return ObservationBatch.of(found, [K] * len(found), keypoints), crops


class Truth(torch.nn.Module):
    """Says what is true of hands, in their order."""

    def __init__(self, answer, size: int = 96) -> None:
        super().__init__()
        self.answer, self.config = answer, SimpleNamespace(input_size=size)

    def forward(self, inputs):
        return self.answer

    def regress(self, inputs):
        return self(inputs)


def true_keypoints(model, hands: HandParams, side: str = "right") -> torch.Tensor:
    keypoints = pose_keypoints(model.keypoint_model(), hands)[1]
    observed, _ = seen(keypoints, side)
    targets = normalise(observed)
    distance = (keypoints[:, 0] * targets.view_direction).sum(-1)
    unit = targets.intrinsics[:, 0, 0] / distance
    return unit[:, None, None] * (keypoints - keypoints[:, :1])


def true_regressed(model, hands: HandParams) -> RegressedHands:
    """What a perfect HandNet says: rotations in the view frame, and the weak camera that fits."""
    keypoints = pose_keypoints(model.keypoint_model(), hands)[1]
    _, crops = seen(keypoints)
    rotations, positions = [], []
    for row, crop in enumerate(crops):
        side = len(crop.pixels)
        ray = np.linalg.solve(crop.intrinsics, [side / 2, side / 2, 1.0])
        turn = rotation_to(torch.from_numpy(ray / np.linalg.norm(ray))[None])[0]
        wrist = turn.T @ roma.rotvec_to_rotmat(hands.global_orient[row])
        pose = roma.rotvec_to_rotmat(hands.hand_pose[row])
        rotations.append(torch.cat([wrist[None], pose]))
        positions.append(
            ((keypoints[row] - keypoints[row, :1]) @ turn, torch.from_numpy(crop.keypoints))
        )
    cameras = [
        weak_camera(points[None], (pixels / 128 - 0.5)[None])[0] for points, pixels in positions
    ]
    return RegressedHands(torch.stack(rotations), hands.betas, torch.stack(cameras)).to(
        torch.float32
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_net_that_is_right_gives_the_true_keypoints(model, hands, side):
    """In the middle of the picture and away from it; a left hand's as of its mirror image."""
    keypoints = pose_keypoints(model.keypoint_model(), hands)[1]
    networks = Networks({"handnet": Truth(true_regressed(model, hands))}, CPU)
    observed, crops = seen(keypoints, side)
    guess = networks(normalise(observed), crops).initialisations["handnet"]
    wanted = true_keypoints(model, hands)
    if side == "left":
        # K's principal point is the picture's middle, so the mirrored camera is the same.
        torch.testing.assert_close(normalise(seen(keypoints, side)[0]).view_direction,
                                   normalise(seen(keypoints)[0]).view_direction)  # fmt: skip
    ratio = guess.keypoints.norm(dim=-1)[:, 1:] / wanted.norm(dim=-1)[:, 1:]
    assert (ratio - 1).abs().max() < 0.03
    torch.testing.assert_close(
        normalize(guess.keypoints[:, 1:], dim=-1), normalize(wanted[:, 1:], dim=-1),
        rtol=0, atol=1e-4,
    )  # fmt: skip
    assert guess.std.isnan().all()


def test_a_lifter_that_is_right_gives_the_true_keypoints(model, hands):
    keypoints = pose_keypoints(model.keypoint_model(), hands)[1]
    observed, crops = seen(keypoints)
    wanted = true_keypoints(model, hands)
    in_view = wanted @ view_rotations(normalise(observed))
    logits = torch.linspace(-3, 3, 63).view(3, 21)
    answer = LiftedHands(
        in_view, torch.full((3, 21, 2), 0.1), torch.eye(3).expand(3, 16, 3, 3), hands.betas,
        logits, torch.zeros(3, 2),
    )  # fmt: skip
    guess = Networks({"lifter": Truth(answer)}, CPU)(normalise(observed), crops).initialisations[
        "lifter"
    ]
    torch.testing.assert_close(guess.keypoints, wanted)
    assert (guess.std - 0.1).abs().max() < 1e-6
    wanted_visibility = (1 / (1 + (-logits.double()).exp())).to(guess.visible)
    torch.testing.assert_close(guess.visible, wanted_visibility, rtol=0, atol=1e-6)


@pytest.mark.parametrize("broken", ["nan", "inf", "K"])
def test_a_bad_hand_changes_nothing_for_the_others(model, hands, broken):
    networks = load_networks(ALL, ("lifter", "handnet", "segmentation"), MARGIN, CPU)
    observed, crops = seen(pose_keypoints(model.keypoint_model(), hands)[1])
    alone = networks(normalise(observed[[0, 2]]), [crops[0], crops[2]])
    bad, K_bad = observed.keypoints.clone(), observed.intrinsics.clone()
    if broken == "K":
        K_bad[1] = 0
    else:
        bad[1, 3] = float(broken)
    together = networks(normalise(replace(observed, keypoints=bad, intrinsics=K_bad)), crops)
    for name, guess in together.initialisations.items():
        assert guess.keypoints[1].isnan().all()
        torch.testing.assert_close(
            guess.keypoints[[0, 2]], alone.initialisations[name].keypoints, rtol=1e-4, atol=1e-5
        )
    assert together.masks[1] is None
    for mask, other in zip([together.masks[0], together.masks[2]], alone.masks, strict=True):
        np.testing.assert_allclose(mask, other, atol=1e-4)


def test_hands_without_a_crop_are_left_to_the_lifter(model, hands):
    networks = load_networks(ALL, ("lifter", "handnet", "segmentation"), MARGIN, CPU)
    observed, crops = seen(pose_keypoints(model.keypoint_model(), hands)[1])
    for given in ([None, crops[1], None], [None] * 3):
        guesses = networks(normalise(observed), given)
        assert guesses.initialisations["lifter"].keypoints.isfinite().all()
        shown = [crop is not None for crop in given]
        assert guesses.initialisations["handnet"].keypoints.isfinite().all((1, 2)).tolist() == shown
        assert [mask is not None for mask in guesses.masks] == shown


def test_a_given_mask_is_not_looked_for(model, hands):
    networks = load_networks(ALL, ("segmentation",), MARGIN, CPU)
    observed, crops = seen(pose_keypoints(model.keypoint_model(), hands)[1])
    crops[0] = replace(crops[0], given=np.zeros((128, 128), np.uint8))
    assert [mask is None for mask in networks(normalise(observed), crops).masks] == [
        True,
        False,
        False,
    ]


def test_masks_have_the_size_of_their_crops(model, hands):
    networks = load_networks(ALL, ("segmentation",), MARGIN, CPU)
    observed, crops = seen(pose_keypoints(model.keypoint_model(), hands)[1])
    small = replace(
        crops[0], pixels=crops[0].pixels[::2, ::2].copy(), keypoints=crops[0].keypoints / 2
    )
    masks = networks(normalise(observed), [small, *crops[1:]]).masks
    assert [mask.shape for mask in masks] == [(64, 64), (128, 128), (128, 128)]


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    """Weights of a HandNet with a decoder, and of one without."""
    folder, files = tmp_path_factory.mktemp("weights"), []
    for channels in ([8, 8, 8, 4, 4], None):
        config = HandNetConfig(
            encoder="mobilenetv3_small_050", hidden=[16], input_size=64, decoder_channels=channels
        )
        path = folder / f"{'with' if channels else 'without'}.safetensors"
        network = build_network(config, 0).eval()
        save_weights(path, network, WeightsInfo(config, "train-hands", 1, {}, {}))
        files.append(str(path))
    return files


class TestOneNetworkForBoth:
    """The HandNet's own decoder, by `init.segmentation: handnet`."""

    def test_start_and_mask_of_one_look_are_those_of_two(self, model, hands, whole_file):
        options = InitNetOptions(lifter=None, handnet=whole_file[0], segmentation="handnet")
        observed, crops = seen(pose_keypoints(model.keypoint_model(), hands)[1])
        both = load_networks(options, ("handnet", "segmentation"), MARGIN, CPU)
        looks = []
        both._networks["handnet"].register_forward_hook(lambda *said: looks.append(1))
        together = both(normalise(observed), crops)
        assert len(looks) == 1, "the encoder sees the crops once"
        start = load_networks(options, ("handnet",), MARGIN, CPU)(normalise(observed), crops)
        masks = load_networks(options, ("segmentation",), MARGIN, CPU)(normalise(observed), crops)
        assert not masks.initialisations and masks.masks[0].shape == (128, 128)
        for found, expected in zip(together.masks, masks.masks, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
        torch.testing.assert_close(
            together.initialisations["handnet"].keypoints,
            start.initialisations["handnet"].keypoints,
        )
        assert both.digests["handnet"] == both.digests["segmentation"]

    def test_a_given_mask_stays(self, model, hands, whole_file):
        options = InitNetOptions(lifter=None, handnet=whole_file[0], segmentation="handnet")
        observed, crops = seen(pose_keypoints(model.keypoint_model(), hands)[1])
        crops[1] = replace(crops[1], given=np.zeros((128, 128), np.uint8))
        found = load_networks(options, ("handnet", "segmentation"), MARGIN, CPU)(
            normalise(observed), crops
        )
        assert [mask is None for mask in found.masks] == [False, True, False]
        assert found.initialisations["handnet"].keypoints.isfinite().all()

    def test_weights_without_a_decoder(self, whole_file):
        options = InitNetOptions(handnet=whole_file[1], segmentation="handnet")
        with raises("weights.no_decoder", file=Path(whole_file[1])):
            load_networks(options, ("segmentation",), MARGIN, CPU)

    def test_no_weights(self):
        options = InitNetOptions(handnet=None, segmentation="handnet")
        with raises("network.no_decoder_weights", file="init.handnet"):
            load_networks(options, ("segmentation",), MARGIN, CPU)

    def test_names_are_no_files(self, monkeypatch):
        monkeypatch.setattr("init_net.offer.Path.absolute", lambda path: Path("/here") / path)
        given = InitNetOptions(lifter="mine", handnet="shipped", segmentation="handnet")
        found = given.with_absolute_paths()
        assert (found.lifter, found.handnet, found.segmentation) == (
            "/here/mine", "shipped", "handnet",
        )  # fmt: skip
        # What ships is known by its name, whichever network asks.
        assert weights_file("handnet", "segmentation") == weights_file("segmentation")
        assert weights_file("handnet", "mine/segmentation") == Path("mine/segmentation")


class TestShippedWeights:
    """They do what their cards say, which they would not with inputs that mean something else."""

    def test_the_lifter(self):
        lifter = load_networks(ALL, ("lifter",), MARGIN, CPU)._networks["lifter"]
        hands = HandSampler(load_hand_model(), DetectorNoise.load(), 0.0).sample(400, (8, 8))
        hands = hands[(hands.confidence > 0).all(1)]
        with torch.no_grad():
            said = lifter(hands.inputs)
        error = pa_mpjpe(said.keypoints.numpy(), hands.keypoints.numpy()) / np.ptp(
            hands.keypoints.numpy(), axis=1
        ).max(-1)
        before = torch.cat([hands.positions, hands.depth[..., None]], -1)
        raw = pa_mpjpe(before.numpy(), hands.keypoints.numpy()) / np.ptp(
            hands.keypoints.numpy(), axis=1
        ).max(-1)
        assert error.mean() < 0.75 * raw.mean()
        within = ((said.keypoints - hands.keypoints).abs() < said.std[..., (0, 0, 1)])[:, 1:]
        assert 0.6 < within.float().mean() < 0.9

    def test_masks_and_hands_in_pictures(self):
        batch = SyntheticEngine(192, SyntheticSettings.unoccluded()).batch(77, range(16))
        observations = [
            HandObservation(points, np.ones(21), "right", side_score=1.0, score=1.0)
            for points in batch.keypoints_2d.numpy()
        ]
        matrices = batch.intrinsics.numpy()
        crops = [
            crop_hands(picture, matrix, [hand], mask > 0.5, (128, MARGIN))[0]
            for picture, matrix, hand, mask in zip(
                batch.image.numpy(), matrices, observations, batch.mask.numpy(), strict=True
            )
        ]
        truth = np.stack([crop.given_share for crop in crops]) > 0.5
        bare = [replace(crop, given=None) for crop in crops]
        observed = ObservationBatch.of(observations, list(matrices), batch.keypoints_2d)
        networks = load_networks(ALL, ("handnet", "segmentation"), MARGIN, CPU)
        guesses = networks(normalise(observed), bare)
        assert mask_iou(np.stack(guesses.masks) > 0.5, truth).mean() > 0.88
        keypoints = guesses.initialisations["handnet"].keypoints.numpy()
        assert 1000 * pa_mpjpe(keypoints, batch.keypoints_3d.numpy()).mean() < 20
