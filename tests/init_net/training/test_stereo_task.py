"""The two stages of a stereo network: what learns in each, on what, and from which pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fitter.hand_models import load_hand_model
from init_net.hand_model_id import current_hand_model
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, KeypointDropout, StereoConfig
from init_net.posing import regressed_keypoints, regressed_vertices
from init_net.records import FusedHands
from init_net.samples.config import StereoSamplesConfig
from init_net.samples.selection import in_portion
from init_net.samples.shards import ShardedSamples
from init_net.samples.stereo_samples import StereoCropper
from init_net.samples.stereo_shards import StereoShards, render_stereo_shards
from init_net.stereo_fusion import fuse
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.loop import Watch, train
from init_net.training.loss_weights import StereoWeights
from init_net.training.run_config import TrainRunConfig
from init_net.training.smoke import missing_start, smoke
from init_net.training.start import begin_with
from init_net.training.stereo_evaluation import StereoErrors
from init_net.training.stereo_task import seen_by_both
from init_net.training.tasks import build_task
from init_net.weights import load_network, save_weights
from tests.support import stereo_cases
from tests.support.errors import raises
from tests.support.rendered_samples import write_sightings

COUNT = 10
CPU = torch.device("cpu")
MONO = HandNetConfig(hidden=[24, 16], grid_channels=8, input_size=32)
STAGES = {
    "synthetic_adaption": {"trains": ["image_front"], "without": ["stereo"], "steps": 3},
    "stereo": {"trains": ["stereo"], "steps": 3},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "stereo"
    render_stereo_shards(path, pairs_of(path).source)
    for camera in ("left", "right"):
        write_sightings(ShardedSamples(path / camera), noise=0.5)
    return path


def pairs_of(folder) -> StereoSamplesConfig:
    return StereoSamplesConfig(folder=str(folder), count=COUNT, size=40)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights of a mono network."""
    mono = build_network(MONO, 5).eval()
    path = tmp_path_factory.mktemp("mono") / "handnet.safetensors"
    info = WeightsInfo(
        network=MONO, command="", steps=1, data={}, figures={}, hand_model=current_hand_model()
    )
    save_weights(path, mono, info)
    return path


@pytest.fixture
def configured(folder, start):
    def configured(stages=None, network=None, losses=None, **run) -> TrainConfig:
        return TrainConfig.model_validate(
            {
                "network": (network or StereoConfig(mono=MONO)).model_dump(),
                "pairs": pairs_of(folder).model_dump(),
                "stages": STAGES if stages is None else stages,
                "losses": losses or {},
                "optimiser": {
                    "batch_size": 4, "warmup_steps": 0, "ema_decay": 0.5, "learning_rate": 0.01,
                },
                "run": {
                    "device": "cpu", "start": str(start), "loaders": 0, "validate_every": 100,
                    "checkpoint_minutes": 60.0, **run,
                },
            }
        )  # fmt: skip

    return configured


def tensors(network) -> dict[str, list[torch.Tensor]]:
    """Of every part."""
    return {
        name: [tensor.clone() for tensor in part.state_dict().values()]
        for name, part in network.parts.items()
    }


def changed(before, after) -> set[str]:
    return {
        name
        for name, values in before.items()
        if not all(torch.equal(*pair) for pair in zip(values, after[name], strict=True))
    }


class TestStages:
    @pytest.mark.parametrize("shared", [True, False])
    def test_each_moves_its_part_alone(self, configured, tmp_path, shared):
        config = configured(network=StereoConfig(mono=MONO, shared=shared))
        task = build_task(config, CPU)
        seen = []
        watch = Watch(entered=lambda stage: seen.append(tensors(task.network)))
        train(task, config, tmp_path, watch)
        seen.append(tensors(task.network))
        begun, adapted, done = seen
        assert changed(begun, adapted) == {"image_front"}
        assert changed(adapted, done) == {"stereo"}

    def test_the_first_learns_from_each_view_as_a_handnet_does(self, configured):
        task = build_task(configured(), CPU)
        batch = task.batch(0)
        terms = task.losses(batch, 0)
        assert "global_rotation" in terms
        assert not [name for name in terms if name.startswith("stereo_")]
        # Exchanged views are learned from alike.
        swapped = replace(batch, left=batch.right, right=batch.left)
        for name, term in task.losses(swapped, 0).items():
            torch.testing.assert_close(term, terms[name])

    def test_the_second_learns_the_fused_hand_by_eq_11(self, configured):
        config = configured(losses={"stereo_vertices": 3.0, "stereo_joints_3d": 5.0})
        task = build_task(config, CPU)
        first = task.plan.stages[1].first
        batch = task.batch(first)
        terms = task.losses(batch, first)
        assert {*terms} == {"stereo_vertices", "stereo_joints_3d"}
        model = load_hand_model(children=True)
        fused = fuse(task.network(batch.inputs), batch.inputs.geometry, model.keypoint_model())
        said = regressed_vertices(model, fused.hands).detach().numpy()
        true = regressed_vertices(model, batch.right.hands).numpy()
        joints, true_joints = fused.points.detach().numpy(), batch.right.points.numpy()
        for b in range(4):
            vertices = 3.0 * np.mean((said[b] - true[b]) ** 2)
            keypoints = 5.0 * np.mean((joints[b] - true_joints[b]) ** 2)
            assert terms["stereo_vertices"][b].item() == pytest.approx(vertices, rel=1e-4)
            assert terms["stereo_joints_3d"][b].item() == pytest.approx(keypoints, rel=1e-4)

    def test_without_stages_all_is_learned_and_every_weight_has_its_term(self, configured):
        every = dict.fromkeys(StereoWeights.model_fields, 1.0)
        task = build_task(configured(stages={}, losses=every), CPU)
        assert {*task.losses(task.batch(0), 0)} == {*every}

    def test_a_batch_is_that_of_its_step(self, configured):
        one, other = (build_task(configured(), CPU) for _ in range(2))
        assert torch.equal(one.batch(4).left.image, other.batch(4).left.image)
        assert not torch.equal(one.batch(4).left.image, one.batch(5).left.image)

    def test_rows_of_a_batch_are_what_they_are_in_all_of_it(self, configured):
        mono = MONO.model_copy(update={"keypoint_dropout": KeypointDropout(all=0.3, single=0.2)})
        config = configured(network=StereoConfig(mono=mono))
        task = build_task(config.model_copy(update={"run": TrainRunConfig(device="cpu")}), CPU)
        whole = task.batch(4)
        parts = [task.batch(4, slice(first, first + 2)) for first in (0, 2)]
        for side in ("left", "right"):
            for name, wanted in vars(getattr(whole, side)).items():
                found = torch.cat([getattr(getattr(part, side), name) for part in parts])
                torch.testing.assert_close(found, wanted, equal_nan=True, rtol=0, atol=0)
        assert torch.equal(torch.cat([part.rotation for part in parts]), whole.rotation)

    def test_the_stereo_layer_cannot_be_trained_where_it_is_not(self, configured):
        stages = {"stereo": {"trains": ["stereo"], "without": ["stereo"], "steps": 3}}
        with raises("training.absent_part", part="stereo"):
            build_task(configured(stages=stages), CPU)


class TestPairs:
    def test_seven_tenths_are_learned_from_and_the_others_held_out(self, configured, monkeypatch):
        task = build_task(configured(), CPU)
        learned, held_out = set(), []
        for step in range(0, 40):
            learned |= {tuple(row) for row in task.batch(step % 3).right.betas.tolist()}
        crops = StereoCropper.crop

        def looked_at(cropper, indices, seed):
            found = crops(cropper, indices, seed)
            held_out.extend(tuple(row) for row in found.right.betas.tolist())
            return found

        monkeypatch.setattr(StereoCropper, "crop", looked_at)
        figures = task.validate(task.plan.stages[0])
        assert figures["hands"] == 3 == len(held_out)
        assert not learned & set(held_out)
        assert len(learned) <= 7

    @pytest.mark.parametrize(
        ("network", "pairs", "said"),
        [
            (StereoConfig(mono=MONO), None, "a section pairs, which a network of the kind stereo"),
            (MONO, StereoSamplesConfig(), "no section pairs for a network of the kind handnet"),
        ],
    )
    def test_a_stereo_network_and_pairs_go_together(self, network, pairs, said):
        with pytest.raises(ValidationError, match=said):
            TrainConfig.model_validate(
                {"network": network.model_dump(), "pairs": pairs and pairs.model_dump()}
            )

    @pytest.mark.parametrize(("count", "last"), [(1, 0.7), (10, 0.0001), (10, 0.99), (10, 1)])
    def test_some_are_learned_from_and_some_held_out(self, count, last):
        with raises("training.few_pairs", count=count):
            load_train_config("stereo", [f"pairs.count={count}", f"pairs.portion=[0, {last}]"])

    @pytest.mark.parametrize("portion", [(0, 0.25), (0.5, 0.75), (0, 0.7), (0.05, 1)])
    @pytest.mark.parametrize("count", range(1, 9))
    def test_what_is_counted_is_what_is_learned_from(self, count, portion):
        """Also where a share ends in the middle of a pair."""
        learned = int(in_portion(np.arange(count), portion).sum())
        if 0 < learned < count:
            StereoSamplesConfig(count=count, portion=portion)
        else:
            said = f"found {learned} and {count - learned} of {count}"
            with pytest.raises(ValidationError, match=said):
                StereoSamplesConfig(count=count, portion=portion)

    @pytest.mark.parametrize("option", ["datasets", "validation_datasets"])
    def test_nothing_else_is_learned_from(self, option, tmp_path):
        given = f"{option}: {{x: {{dataset: freihand, folder: nowhere}}}}"
        (tmp_path / "a.yaml").write_text(f"network: {{kind: stereo}}\npairs: {{}}\n{given}\n")
        with raises("training.unpaired", option=option):
            load_train_config(tmp_path / "a.yaml")


class TestStart:
    def test_both_views_and_the_original_front_begin_as_the_mono_network(self, configured, start):
        mono, network = load_network(start), build_task(configured(), CPU).network
        for part in ("image_front", "keypoint_front", "fusion", "tail", "head"):
            values = [*mono.parts[part].state_dict().values()]
            assert not changed({part: values}, tensors(network))
        original = {"original_front": [*mono.image_front.state_dict().values()]}
        assert not changed(original, tensors(network))

    @pytest.mark.parametrize("size", [64, 96])
    def test_a_smoke_test_begins_with_weights_of_one_and_of_a_whole_run(
        self, configured, tmp_path, size
    ):
        whole = MONO.model_copy(update={"input_size": 96})
        own = MONO.model_copy(update={"input_size": size})
        info = WeightsInfo(
            network=own, command="", steps=6, data={}, figures={}, hand_model=current_hand_model()
        )
        path = tmp_path / "mono.safetensors"
        save_weights(path, build_network(own, 1), info)
        config = configured(network=StereoConfig(mono=whole), start=str(path))
        small = smoke(config)
        assert small.network.mono == own
        begin_with(build_network(small.network, 0), small)
        absent = configured(network=config.network, start=str(tmp_path / "none"))
        assert missing_start(absent) == str(tmp_path / "none")
        assert smoke(absent).run.start is None  # it learns nothing, and begins at random

    def test_a_mono_network_of_other_options_is_refused(self, configured):
        other = StereoConfig(mono=MONO.model_copy(update={"hidden": [24, 20]}))
        with raises("training.other_start", option="network.mono.hidden", found=[24, 16]):
            build_task(configured(network=other), CPU)

    def test_weights_of_an_adapted_network_see_real_pictures_as_the_mono_network_does(
        self, configured, start, tmp_path
    ):
        config = configured()
        task = build_task(config, CPU)
        train(task, config, tmp_path)
        info = WeightsInfo(
            network=config.network,
            command="",
            steps=6,
            data={},
            figures={},
            hand_model=current_hand_model(),
        )
        save_weights(tmp_path / "stereo.safetensors", task.network, info)
        network, mono = load_network(tmp_path / "stereo.safetensors"), load_network(start)
        inputs = task.batch(0).inputs
        with torch.no_grad():
            real, rendered = network(inputs, pictures="real"), network(inputs)
            expected = mono(inputs.right).hands
        same, other = (
            (said.right.rotations - expected.rotations).abs().max() for said in (real, rendered)
        )
        assert same < 1e-6 and other > 10 * same


class Known(torch.nn.Module):
    """Says of each view what is true, but for the betas of the right one."""

    def __init__(self, cropper, off: float) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        pairs = cropper.crop(range(len(cropper.pairs)), (0,))
        self.right = replace(pairs.right.hands, betas=pairs.right.betas + off)
        self.left = pairs.left.hands

    def forward(self, inputs, pictures):
        count = len(inputs.left_focal)
        return stereo_cases.said(self.right[:count], self.left[:count], torch.ones(count, 48))


class TestErrors:
    def test_two_views_are_measured_on_the_same_pairs_as_one(self, folder):
        cropper = StereoCropper(StereoShards(folder), 32, 1.4, None)
        errors = StereoErrors.of(Known(cropper, 2.0), cropper)
        figures = errors.figures()
        # Shapes are averaged: half the error is left.
        assert figures["mono_pa_mpvpe_mm"] > 1.6 * figures["stereo_pa_mpvpe_mm"] > 0
        gained, error = errors.gain()
        difference = errors.mono.aligned.vertices - errors.stereo.aligned.vertices
        assert gained == pytest.approx(difference.mean())
        assert error == pytest.approx(difference.std(ddof=1) / COUNT**0.5)
        assert figures["weight"] == 1 and figures["hands"] == COUNT
        assert figures["stereo_f_15"] >= figures["mono_f_15"]
        assert {*errors.mono.standard_errors()} <= {*errors.mono.figures()}

    def test_what_is_true_has_no_error(self, folder):
        cropper = StereoCropper(StereoShards(folder), 32, 1.4, None)
        errors = StereoErrors.of(Known(cropper, 0.0), cropper)
        assert errors.stereo.aligned.vertices.max() < 0.01
        # Weak perspective: the place is known to a few hundredths of the distance.
        assert errors.stereo.place.mean() < 25


@pytest.mark.parametrize(
    ("preset", "mono"),
    [("stereo", "handnet_stages"), ("stereo_published", "handnet_published")],
)
class TestPresets:
    def test_take_the_weights_of_the_mono_network_of_their_name(self, preset, mono):
        assert load_train_config(preset).network.mono == load_train_config(mono).network

    def test_train_the_image_front_and_then_the_stereo_layer(self, preset, mono):
        adaption, stereo = load_train_config(preset).stages.values()
        assert (adaption.epochs, adaption.trains, adaption.without) == (
            2,
            ["image_front"],
            ["stereo"],
        )
        assert (stereo.epochs, stereo.trains, stereo.without) == (8, ["stereo"], [])

    def test_are_small_in_a_smoke_test(self, preset, mono):
        whole = load_train_config(preset)
        config = smoke(whole)
        assert config.network.input_size == 64
        assert 20 * config.pairs.count < whole.pairs.count and config.pairs.folder.endswith(
            "-smoke"
        )


def test_keypoints_of_the_fused_hand_are_in_the_right_view(folder):
    cropper = StereoCropper(StereoShards(folder), 32, 1.4, None)
    pairs = cropper.crop(range(COUNT), (0,))
    model = load_hand_model(children=True).keypoint_model()
    found = fuse(Known(cropper, 0.0)(pairs.inputs, "rendered"), pairs.inputs.geometry, model)
    torch.testing.assert_close(found.points, pairs.right.points, rtol=0, atol=1e-4)
    assert torch.equal(found.points, regressed_keypoints(model, found.hands))


class TestPictures:
    """What TensorBoard shows of held-out pairs."""

    def test_both_views_in_either_stage(self, configured):
        task = build_task(configured(), CPU)
        task.network.eval()
        with torch.no_grad():
            adapted, fused = (task.pictures(stage) for stage in task.plan.stages)
        assert adapted.shape == fused.shape and adapted.dtype == np.uint8
        # Truth of a view, what is said of it, and the same of the right one.
        for k, (one, other) in enumerate(zip(*(np.split(x, 4, 1) for x in (adapted, fused)),
                                             strict=True)):  # fmt: skip
            assert (one == other).all() == (k in (0, 2))

    def test_a_true_hand_is_seen_where_it_is(self, folder):
        """From its place in the right view, in both; crops beside the middle of an image are
        stretched, which is what is left. A baseline left out would be ten times that."""
        cropper = StereoCropper(StereoShards(folder), 32, 1.4, None)
        pairs = cropper.crop(range(COUNT), (0,))
        true = FusedHands(pairs.right.hands, pairs.right.points, pairs.right_wrist)
        for view, seen in zip(
            (pairs.left, pairs.right), seen_by_both(true, pairs.inputs), strict=True
        ):
            torch.testing.assert_close(seen, view.positions, rtol=0, atol=0.05)
