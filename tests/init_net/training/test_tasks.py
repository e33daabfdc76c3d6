"""What networks learn from, what they lose, and the figures of networks that are right."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from datasets.synthetic import SyntheticSettings
from fitter.detection.networks.weights import detector_digest
from fitter.fitting.observations import normalise
from fitter.hand_models import load_hand_model
from fitter.records import TensorBatch
from init_net.offer import InitNetOptions
from init_net.posing import hand_points, regressed_keypoints
from init_net.predict import load_networks
from init_net.records import CropInputs, LiftedHands, LifterInputs, RegressedHands
from init_net.samples.config import HeldOutConfig
from init_net.samples.crop_samples import Cropper
from init_net.samples.detected_samples import DetectedSamples, observed_samples
from init_net.samples.shards import SampleSource, ShardedSamples
from init_net.samples.sightings import Sightings
from init_net.training.command import train_hands
from init_net.training.config import TrainConfig
from init_net.training.evaluation import crop_figures, lifter_figures, mask_figures
from init_net.training.log import METRICS
from init_net.training.tasks import build_task
from init_net.weights import read_info
from tests.support import rendered_samples
from tests.support.errors import raises

COUNT, UNSEEN, SIZE = 14, 5, 48
NETWORKS = {
    "lifter": {"kind": "lifter", "width": 32, "blocks": 1},
    "handnet": {"kind": "handnet", "input_size": 32, "hidden": [32]},
    "segmentation": {
        "kind": "segmentation", "input_size": 32, "decoder_channels": [16, 16, 8, 8, 8],
    },
}  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Samples to learn from, and others held out."""
    folder = tmp_path_factory.mktemp("samples")
    settings = SyntheticSettings()
    for name, seed, count in (("data", 31, COUNT), ("validation", 32, 6)):
        source = SampleSource(seed, count, SIZE, 1, settings)
        rendered_samples.render(folder / name, source, noise=0.5, unseen=(UNSEEN,), variants=2)
    return folder


def configured(
    folder: Path, network: str, batch_size: int = 4, seed: int = 0, **more
) -> TrainConfig:
    def samples(name: str, seed: int, count: int) -> dict:
        return {"folder": str(folder / name), "seed": seed, "count": count, "size": SIZE,
                "backgrounds": "procedural"}  # fmt: skip

    return TrainConfig.model_validate(
        {
            "network": NETWORKS[network],
            "data": samples("data", 31, COUNT),
            "validation": samples("validation", 32, 6),
            "optimiser": {"batch_size": batch_size},
            "run": {"device": "cpu", "seed": seed},
            **more,
        }
    )


def built(folder: Path, network: str, **options):
    return build_task(configured(folder, network, **options), CPU)


def same(first: TensorBatch, second: TensorBatch) -> bool:
    """Bit for bit; what is unknown, NaN, is as unknown in both."""
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]
    return all(torch.allclose(*pair, rtol=0, atol=0, equal_nan=True) for pair in pairs)


class TestBatches:
    @pytest.mark.parametrize("size", [1, 4, 5, COUNT, 2 * COUNT + 3])
    def test_every_sample_once_in_every_pass(self, folder, size):
        task = built(folder, "segmentation")
        steps = -(-3 * COUNT // size)
        chosen = np.concatenate([task._chosen(step, size) for step in range(steps)])
        passes = chosen[: 3 * COUNT].reshape(3, COUNT)
        assert (np.sort(passes, 1) == np.arange(COUNT)).all()
        assert not (passes[0] == passes[1]).all() and not (passes[1] == passes[2]).all()
        # Whatever was asked for before.
        last = task._chosen(steps - 1, size)
        assert (last == chosen[(steps - 1) * size :]).all()

    @pytest.mark.parametrize("network", NETWORKS)
    def test_seed_and_step_decide(self, folder, network):
        first, second = (built(folder, network) for _ in range(2))
        second.batch(9)
        wanted = first.batch(3)
        assert same(second.batch(3), wanted) and same(first.batch(3), wanted)
        other = built(folder, network, seed=1)
        for batch in (first.batch(4), other.batch(3)):
            assert not torch.equal(batch.rotations, wanted.rotations)
        assert all(value.device == CPU for value in vars(wanted).values())

    @pytest.mark.parametrize("size", [1, 2, 3, 8])
    def test_of_the_lifter(self, folder, size):
        """A quarter was seen by the detector itself, all but the sample that it did not see."""
        task = built(folder, "lifter", batch_size=size)
        batch = task.batch(0)
        assert all(len(value) == size for value in vars(batch).values())
        rendered = round(0.25 * size)
        shapes = ShardedSamples(folder / "data").column("betas")
        known = [bool((shapes == betas.numpy()).all(1).any()) for betas in batch.betas]
        assert known == [True] * rendered + [False] * (size - rendered)
        assert task._count == 2 * (COUNT - 1)
        # What was only sampled nobody has looked at.
        assert batch.features[rendered:].isnan().all() and batch.visible[rendered:].isnan().all()
        assert batch.visible[:rendered].isfinite().all() and batch.metres.isfinite().all()

    @pytest.mark.parametrize("looks", [1, 2])
    def test_the_lifter_learns_from_as_many_sightings_as_are_asked_for(self, folder, looks):
        config = configured(folder, "lifter")
        data = config.data.model_copy(update={"sightings": looks})
        task = build_task(config.model_copy(update={"data": data}), CPU)
        assert task._count == looks * (COUNT - 1)

    def test_figures_are_of_pictures_as_they_were_rendered(self, folder):
        for config in (HeldOutConfig(), configured(folder, "lifter").validation):
            assert config.sightings == 1
        with pytest.raises(ValidationError, match="sightings"):
            HeldOutConfig(sightings=2)

    @pytest.mark.parametrize("network", ["handnet", "segmentation"])
    def test_of_pictures(self, folder, network):
        """Varied, and some without the keypoints that the detector saw."""
        task = built(folder, network, batch_size=4 * COUNT)
        batch = task.batch(0)
        assert batch.image.shape == (4 * COUNT, 3, 32, 32)
        seen = (batch.confidence > 0).float().mean(1)
        assert 0.1 < (seen == 0).float().mean() < 0.5
        assert ((seen > 0) & (seen < 1)).any()
        plain = Cropper(ShardedSamples(folder / "data"), 32, 1.4, None).crop(range(COUNT), (0,))
        chosen = task._chosen(0, 4 * COUNT)
        assert torch.equal(batch.betas, plain.betas[chosen])
        assert ((batch.positions - plain.positions[chosen]).abs().amax((1, 2)) > 1e-3).all()


class TestLosses:
    @pytest.mark.parametrize("network", NETWORKS)
    def test_they_fall(self, folder, network):
        """On one batch that is seen again and again."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            task = built(folder, network, batch_size=6)
            batch = task.batch(0)
            optimiser = torch.optim.Adam(task.network.parameters(), 3e-3)
            totals = []
            for step in range(20):
                terms = task.losses(batch, step)
                assert all(term.shape == (6,) and term.isfinite().all() for term in terms.values())
                total = sum(term.mean() for term in terms.values())
                optimiser.zero_grad()
                total.backward()
                gradients = [p.grad for p in task.network.parameters() if p.grad is not None]
                assert all(gradient.isfinite().all() for gradient in gradients)
                optimiser.step()
                totals.append(float(total.detach()))
        assert np.mean(totals[-3:]) < totals[0] - 0.2 * abs(totals[0])

    @pytest.mark.parametrize("network", NETWORKS)
    def test_of_each_hand_alone(self, folder, network):
        task = built(folder, network)
        task.network.eval()
        batch = task.batch(0)
        together = task.losses(batch, 0)
        for row in range(2):
            alone = task.losses(batch[row : row + 1], 0)
            assert alone.keys() == together.keys()
            for name, term in alone.items():
                torch.testing.assert_close(term[0], together[name][row], rtol=1e-3, atol=1e-4)

    def test_weights(self, folder):
        plain = built(folder, "segmentation")
        given = built(folder, "segmentation", losses={"bce": 3.0, "dice": 0.0})
        given.network.load_state_dict(plain.network.state_dict())
        plain.network.eval(), given.network.eval()
        batch = plain.batch(0)
        terms = given.losses(batch, 0)
        assert terms.keys() == {"bce"}
        torch.testing.assert_close(terms["bce"], 3 * plain.losses(batch, 0)["bce"])

    @pytest.mark.parametrize(
        ("network", "known"), [
            ("lifter", "keypoints, rotation, shape, visibility, size"),
            ("segmentation", "bce, dice"),
            ("handnet", "mano_pose, mano_shape, mano_joints_2d, mano_shape_norm, mano_camera, "
             "geometric_joints_3d, geometric_joints_2d, geometric_joints_3d_norm, geometric_bone, "
             "geometric_pose, geometric_shape, global_rotation, joint_rotations"),
        ],
    )  # fmt: skip
    def test_one_that_there_is_not(self, folder, network, known):
        with raises("training.unknown_loss", file="losses.colour", known=known):
            built(folder, network, losses={"colour": 1.0})

    @pytest.mark.parametrize(("kind", "betas"), [("lifter", 4), ("handnet", 11)])
    def test_shapes_of_another_hand(self, folder, kind, betas):
        options = configured(folder, kind).resolved()
        options["network"]["betas"] = betas
        with raises("training.other_betas", file="network.betas", expected=10, found=betas):
            build_task(TrainConfig.model_validate(options), CPU)

    @pytest.mark.parametrize("network", ["handnet", "segmentation"])
    def test_a_batch_of_one_image(self, folder, network):
        with raises("training.small_batch", file="optimiser.batch_size"):
            built(folder, network, batch_size=1)

    def test_hands_are_posed_exactly_whatever_the_precision(self, folder):
        """Mixed precision is for the network: hands posed in halves would be off by millimetres."""
        task = built(folder, "handnet")
        batch = task.batch(0)
        said = replace(batch.hands, betas=batch.betas + 0.3, rotations=batch.rotations.roll(1, 0))
        task.network = Says(said)
        exact = task.losses(batch, 0)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = task.losses(batch, 0)
        for name, term in exact.items():
            torch.testing.assert_close(mixed[name], term, rtol=1e-5, atol=1e-7)


class Says(nn.Module):
    """A network that answers from a record, hand after hand, and keeps what it was asked."""

    def __init__(self, answers: TensorBatch | Tensor) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.answers, self.asked = answers, []

    def forward(self, inputs: LifterInputs | CropInputs) -> TensorBatch | Tensor:
        start = sum(len(given.confidence) for given in self.asked)
        count = len(self.answers.betas if isinstance(self.answers, TensorBatch) else self.answers)
        self.asked.append(inputs)
        start %= count
        return self.answers[start : start + len(inputs.confidence)]


def aligned_error(found: Tensor, true: Tensor) -> float:
    """Mean distance of points (B, 21, 3), each hand turned, scaled and moved onto the true one."""
    errors = []
    for a, b in zip(found, true, strict=True):
        a, b = a - a.mean(0), b - b.mean(0)
        u, s, vt = torch.linalg.svd(b.T @ a)
        signs = torch.ones(3).double()
        signs[2] = torch.det(u @ vt).sign()
        scale = (s * signs).sum() / a.square().sum()
        errors.append((scale * a @ (u @ signs.diag() @ vt).T - b).norm(dim=-1).mean())
    return float(torch.stack(errors).mean())


class TestFiguresOfLifters:
    @pytest.fixture
    def held_out(self, folder) -> DetectedSamples:
        return DetectedSamples.of(ShardedSamples(folder / "data"), as_rendered=True)

    def truth(self, held_out, std: float = 0.01) -> LiftedHands:
        hands = held_out.samples
        wide = torch.full_like(hands.keypoints[..., :2], std)
        size = torch.stack([hands.metres.log(), torch.full_like(hands.metres, 0.1)], 1)
        return LiftedHands(
            hands.keypoints, wide, hands.rotations, hands.betas, 4 * hands.visible - 2, size
        )

    def test_one_that_is_right(self, held_out, monkeypatch):
        monkeypatch.setattr("init_net.training.evaluation._BATCH", 5)
        network = Says(self.truth(held_out))
        figures = lifter_figures(network, held_out)
        assert [len(asked.focal) for asked in network.asked] == [5, 5, 3]
        assert figures["hands"] == COUNT - 1
        assert figures["pa_mpjpe_mm"] < 1e-3 and figures["auc"] == pytest.approx(1, abs=0.006)
        assert figures["within_std_across"] == figures["within_std_along"] == 1
        # Joints do not tell all of a shape, nor how bones are twisted.
        assert 0.05 < figures["pa_mpvpe_mm"] < 4
        assert figures["f_5"] > 0.8 and figures["f_15"] > 0.99

    def test_the_unit_is_millimetres_of_the_hand(self, held_out):
        """One fingertip is a centimetre too far in every hand."""
        truth = self.truth(held_out)
        keypoints = truth.keypoints.clone()
        keypoints[:, 12, 2] += 0.01 / held_out.samples.metres
        figures = lifter_figures(Says(replace(truth, keypoints=keypoints)), held_out)
        unit = held_out.samples.metres[:, None, None].double()
        wanted = aligned_error(unit * keypoints.double(), unit * truth.keypoints.double())
        assert figures["pa_mpjpe_mm"] == pytest.approx(1000 * wanted, rel=1e-4)
        assert 0.01 / 21 < wanted < 0.003

    def test_shares_within_the_spread_are_of_hands(self, held_out, monkeypatch):
        """The last batch is smaller, its hands count like others: in one of 13 all is off."""
        monkeypatch.setattr("init_net.training.evaluation._BATCH", 12)
        truth = self.truth(held_out)
        keypoints = truth.keypoints.clone()
        keypoints[-1, :, 0] += 0.02
        keypoints[-1, :, 2] -= 0.02
        figures = lifter_figures(Says(replace(truth, keypoints=keypoints)), held_out)
        assert figures["within_std_along"] == pytest.approx(12 / 13)
        assert figures["within_std_across"] == pytest.approx(12.5 / 13)


class TestFiguresOfPictures:
    @pytest.fixture
    def held_out(self, folder) -> Cropper:
        return Cropper(ShardedSamples(folder / "data"), 32, 1.4, None)

    @pytest.fixture
    def crops(self, held_out):
        return held_out.crop(range(COUNT), (0,))

    def test_a_handnet_that_is_right(self, held_out, crops, monkeypatch):
        monkeypatch.setattr("init_net.training.evaluation._BATCH", 6)
        network = Says(crops.hands)
        figures = crop_figures(network, held_out)
        assert [len(asked.image) for asked in network.asked] == [5, 5, 4]
        assert figures["hands"] == COUNT
        assert figures["pa_mpjpe_mm"] < 1e-3 and figures["pa_mpvpe_mm"] < 1e-3
        assert figures["auc"] == pytest.approx(1, abs=0.006)
        assert figures["f_5"] == figures["f_15"] == 1
        # What is left is that a weak camera cannot see a hand as a camera does.
        model = load_hand_model().keypoint_model().to(torch.float32)
        seen = hand_points(model, crops.hands).positions
        left = (seen - crops.positions).norm(dim=-1).mean() * 32
        assert figures["keypoints_2d_px"] == pytest.approx(float(left), rel=1e-4)
        assert left < 1

    def test_a_handnet_that_sees_open_hands(self, held_out, crops):
        """Against the same by hand."""
        hands = RegressedHands(
            torch.eye(3).expand(COUNT, 16, 3, 3), torch.zeros(COUNT, 10), crops.camera
        )
        figures = crop_figures(Says(hands), held_out)
        model = load_hand_model().keypoint_model().to(torch.float32)
        found = regressed_keypoints(model, hands).double()
        wanted = aligned_error(found, crops.points.double())
        assert figures["pa_mpjpe_mm"] == pytest.approx(1000 * wanted, rel=1e-4)
        assert figures["pa_mpjpe_mm"] > 5 and figures["f_5"] < 0.9

    @pytest.mark.parametrize("figures_of", [crop_figures, mask_figures])
    def test_with_nothing_but_the_picture(self, held_out, crops, figures_of):
        answers = crops.hands if figures_of is crop_figures else crops.mask
        network = Says(answers)
        figures_of(network, held_out)
        figures_of(network, held_out, with_keypoints=False)
        told, blind = network.asked
        assert torch.equal(told.confidence, crops.confidence)
        assert (blind.confidence == 0).all() and torch.equal(told.image, blind.image)

    def test_a_segmentation_that_is_right(self, held_out, crops):
        logits = torch.where(crops.mask > 0.5, 4.0, -4.0)
        figures = mask_figures(Says(logits), held_out)
        assert figures == {
            "mask_iou": 1, "mask_iou_median": 1, "pixel_accuracy": 1, "hands": COUNT,
        }  # fmt: skip
        figures = mask_figures(Says(-logits), held_out)
        assert figures["mask_iou"] == figures["pixel_accuracy"] == 0

    def test_a_segmentation_that_takes_all_for_the_hand(self, held_out, crops):
        figures = mask_figures(Says(torch.ones_like(crops.mask)), held_out)
        share = (crops.mask > 0.5).float().mean((1, 2))
        assert figures["mask_iou"] == pytest.approx(float(share.mean()))
        assert figures["mask_iou_median"] == pytest.approx(float(np.median(share)))
        assert figures["pixel_accuracy"] == pytest.approx(float(share.mean()))


@pytest.mark.parametrize("network", NETWORKS)
def test_validation(folder, network):
    """Of the held-out samples, not of those learned from; twice the same."""
    task = built(folder, network)
    task.network.eval()
    figures = task.validate()
    assert figures["hands"] == (5 if network == "lifter" else 6)
    assert all(np.isfinite(value) for value in figures.values())
    assert task.validate() == figures


def test_a_run_from_end_to_end(folder, tmp_path, say):
    """Samples and what was seen of them, a few steps, weights that lift hands with their eyes."""
    config = configured(folder, "lifter").resolved()
    config["optimiser"] |= {"steps": 4, "warmup_steps": 1}
    config["run"] |= {"log_every": 1, "validate_every": 4}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "run"
    told = say(tmp_path / "tiny.yaml", "--quiet", "--out", out, command=train_hands)
    assert (told.status, told.err) == (0, "")
    lines = [json.loads(line) for line in (out / METRICS).read_text().splitlines()]
    logged = str(lines)
    for name in ("keypoints", "rotation", "shape", "visibility", "size", "pa_mpjpe_mm"):
        assert name in logged, name
    path = out / "weights.safetensors"
    info = read_info(path)
    assert info.detector == detector_digest() and info.data["training"]["sightings"] == 2
    options = InitNetOptions(lifter=str(path))
    networks = load_networks(options, ["lifter"], 1.4, CPU)
    samples = ShardedSamples(folder / "data")
    which = (np.arange(3), np.zeros(3, np.int64))
    hands = normalise(observed_samples(samples, Sightings(samples), which))
    unseen = replace(hands, features=torch.full_like(hands.features, torch.nan))
    seen, blind = (
        networks(given, [None] * 3).initialisations["lifter"] for given in (hands, unseen)
    )
    for said in (seen, blind):
        assert said.keypoints.isfinite().all()
        assert ((said.visible > 0) & (said.visible < 1)).all()
    assert not torch.allclose(seen.keypoints, blind.keypoints, rtol=0, atol=1e-6)
