"""Stages that cannot be done are refused before anything starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from init_net.networks.config import AutoencoderConfig, HourglassConfig
from init_net.samples import conversion
from init_net.training import freezing, learnable, sources
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.loss_weights import AutoencoderWeights, LifterWeights
from init_net.training.plan import Supply, make_plan
from init_net.training.stage_checks import require_stages
from init_net.training.supervision_config import SupervisionConfig
from tests.support.annotated_pictures import Pictures, in_the_picture_alone
from tests.support.errors import raises
from tests.support.staged_training import PartedNetwork, staged_config
from tests.support.task_cases import configured

PARTS = "left, right, fusion, head"


@pytest.fixture
def parted(monkeypatch):
    monkeypatch.setattr(freezing, "build_network", lambda config, seed: PartedNetwork())


def staged(**stage) -> TrainConfig:
    return staged_config({"A": {"steps": 9}, "B": {"steps": 9, **stage}})


@pytest.mark.parametrize(
    ("stage", "code", "facts"),
    [
        ({"trains": ["lift", "head"]}, "training.unknown_part",
         {"file": "stages.B.trains", "part": "lift", "known": PARTS, "network": "lifter"}),
        ({"without": ["lift"]}, "training.unknown_part",
         {"file": "stages.B.without", "part": "lift", "known": PARTS, "network": "lifter"}),
        ({"without": ["head"]}, "training.needed_part",
         {"file": "stages.B.without", "part": "head", "known": "left, right, fusion"}),
        ({"trains": ["left", "head"], "without": ["left"]}, "training.absent_part",
         {"file": "stages.B", "part": "left"}),
        ({"sources": {"data": 0.5, "photos": 0.5}}, "training.unknown_source",
         {"file": "stages.B.sources", "source": "photos", "known": "data"}),
        ({"sources": {"data": 0.5}}, "training.stage_shares",
         {"file": "stages.B.sources", "expected": "shares that add up to 1, found 0.5"}),
        ({"schedule": "linear"}, "training.no_decay", {"file": "stages.B", "schedule": "linear"}),
        ({"schedule": "steps"}, "training.no_decay", {"file": "stages.B", "schedule": "steps"}),
        ({"steps": 2}, "training.long_warmup", {"file": "stages.B", "warmup": 2, "found": 2}),
    ],
)  # fmt: skip
def test_one_that_makes_no_sense(parted, stage, code, facts):
    with raises(code, **facts):
        require_stages(staged(**stage))


def test_a_network_without_parts_has_none_to_freeze(monkeypatch):
    monkeypatch.setattr(freezing, "build_network", lambda config, seed: torch.nn.Linear(1, 1))
    with raises("training.unknown_part", file="stages.B.trains", part="width", known="none"):
        require_stages(staged(trains=["width"]))
    require_stages(staged(learning_rate=1e-4))


@pytest.mark.parametrize(
    ("network", "without", "reason"),
    [
        ("lifter", ["image_front"], "nothing is left out, or fusion and one front"),
        ("lifter", ["fusion"], "nothing is left out, or fusion and one front"),
        ("handnet", ["image_front"], "fusion needs both fronts"),
        ("handnet", ["fusion"], "without fusion one of its fronts has to be left out"),
        ("handnet", ["head"], "its head or its segmentation is there, or it says nothing"),
    ],
)
def test_parts_that_cannot_be_missed_together(tmp_path, network, without, reason):
    stages = {"A": {"steps": 900, "without": without}}
    with raises("training.impossible_parts", file="stages.A.without", reason=reason):
        require_stages(configured(tmp_path, network, stages=stages))


def test_a_network_of_which_nothing_is_left(parted, monkeypatch):
    monkeypatch.setattr(PartedNetwork, "optional_parts", frozenset(PARTS.split(", ")))
    with raises("training.no_parts", file="stages.B.without"):
        require_stages(staged(without=PARTS.split(", ")))


def test_stages_that_can_be_done(parted):
    require_stages(staged_config())


@pytest.mark.parametrize("length", [{}, {"steps": 3, "epochs": 1.0}])
def test_either_epochs_or_steps(tmp_path, length):
    (tmp_path / "a.yaml").write_text(
        f"network: {{kind: lifter}}\nstages: {{A: {length or '{}'}}}\n".replace("'", "")
    )
    with raises("training.stage_length"):
        load_train_config(tmp_path / "a.yaml")


def test_losses_of_a_stage():
    config = staged(losses={"colour": 1.0})
    known = ", ".join(LifterWeights.model_fields)
    with raises("training.unknown_loss", file="stages.B.losses.colour", known=known):
        make_plan(config, Supply([8], 4))
    config = staged(losses=dict.fromkeys(LifterWeights.model_fields, 0.0))
    with raises("training.no_loss", file="stages.B.losses"):
        make_plan(config, Supply([8], 4))


def test_a_stage_of_fewer_epochs_than_its_warm_up():
    config = staged_config({"A": {"epochs": 0.2}})
    with raises("training.long_warmup", file="stages.A", warmup=2, found=2):
        make_plan(config, Supply([40], 4))


@pytest.mark.parametrize(
    ("length", "decay", "found"),
    [
        ({"epochs": 3}, 4, (40.0, 30)),
        ({"steps": 9}, 2, (20.0, 9)),
        # The warm-up takes two steps, so that eight are left.
        ({"steps": 10}, 0.9, (9.0, 10)),
    ],
)
def test_a_decay_that_is_longer_than_its_stage(length, decay, found):
    config = staged_config({"A": {**length, "schedule": "linear", "decay_epochs": decay}})
    facts = {"warmup": 2, "decay": found[0], "found": found[1]}
    with raises("training.long_decay", file="stages.A", **facts):
        make_plan(config, Supply([40], 4))
    enough = staged_config({"A": {"steps": 10, "schedule": "linear", "decay_epochs": 0.8}})
    (stage,) = make_plan(enough, Supply([40], 4)).stages
    assert stage.learning_rate(2) == enough.optimiser.learning_rate


class TestFrozenAtRandom:
    """What is there and does not learn has learned before."""

    @pytest.mark.parametrize("preset", ["handnet_stages", "handnet_published", "lifter_stages"])
    def test_presets_begin_with_nothing(self, preset):
        freezing.require_learned(load_train_config(preset))

    @pytest.mark.parametrize("preset", ["stereo", "stereo_published"])
    def test_a_stereo_network_begins_with_a_mono_network(self, preset):
        parts = "fusion, head, keypoint_front, original_front, segmentation, tail"
        with raises("training.frozen_random", file="stages.synthetic_adaption.trains", parts=parts):
            freezing.require_learned(load_train_config(preset))
        freezing.require_learned(load_train_config(preset, ["run.start=mono.safetensors"]))

    def test_parts_that_a_run_begins_with(self, parted):
        stages = {"A": {"trains": ["left"], "without": ["right", "fusion"], "steps": 9}}
        with raises("training.frozen_random", file="stages.A.trains", parts="head"):
            freezing.require_learned(staged_config(stages))
        start = {"start": "w.safetensors", "start_parts": {"head": "head"}}
        freezing.require_learned(staged_config(stages, **start))
        with raises("training.frozen_random", parts="head"):
            start["start_parts"] = {"left": "left"}
            freezing.require_learned(staged_config(stages, **start))


class TestDataSets:
    @pytest.fixture
    def learning(self, tmp_path, monkeypatch):
        def make(images: Pictures, network: str, **stages) -> TrainConfig:
            conversion._opened.cache_clear()
            sources.annotated_source.cache_clear()
            monkeypatch.setattr(conversion, "open_dataset", lambda *which: images)
            given = {"dataset": "pictures", "folder": "here", "samples": str(tmp_path / "kept")}
            return configured(tmp_path, network, datasets={"B": given}, stages=stages)

        return make

    def test_one_without_what_a_stage_compares(self, learning):
        """In the stage that learns from it, with the losses of that stage."""
        flat = Pictures(in_the_picture_alone)
        deep = {"mano_joints_2d": 0.0, "mano_camera": 0.0, "geometric_bone": 0.0}
        stages = {"First": {"steps": 9}, "Deep": {"steps": 9, "losses": deep}}
        wanted = "keypoints in 3D and K: no loss compares positions in the image"
        where = "stages.Deep.sources.B (pictures)"
        with raises("training.lacks", file=where, network="handnet", expected=wanted):
            learnable.require_learnable(learning(flat, "handnet", **stages))
        stages["Deep"]["sources"] = {"data": 1.0}
        said = learnable.require_learnable(learning(flat, "handnet", **stages))
        assert said == {"datasets.B": "keypoints in 3D nor rotations and shape"}

    def test_one_that_no_stage_learns_from_is_not_asked(self, learning):
        nowhere = Pictures(lambda row, hand: replace(hand, keypoints_2d=np.full((21, 2), np.nan)))
        config = learning(nowhere, "handnet", A={"steps": 9, "sources": {"data": 1.0}})
        assert learnable.require_learnable(config) == {}
        assert list(config.learned_from) == ["data"]

    @pytest.mark.parametrize("option", ["datasets", "validation_datasets"])
    def test_one_that_is_not_there(self, tmp_path, option):
        given = {"dataset": "freihand", "folder": str(tmp_path / "no"), "samples": "kept"}
        config = configured(tmp_path, "handnet", **{option: {"B": given}})
        where = f"{option}.B.folder={tmp_path / 'no'}: {tmp_path / 'no'}"
        with raises("dataset.lacks", file=where, what="folder"):
            learnable.require_learnable(config)

    def autoencoder(self, learning, images: Pictures, supervision: str, **losses) -> TrainConfig:
        """Of the losses alone that are given."""
        config = learning(images, "handnet")
        none = dict.fromkeys(AutoencoderWeights.model_fields, 0.0)
        network = AutoencoderConfig(estimator=HourglassConfig())
        given = SupervisionConfig.model_validate({"keypoints": supervision})
        return config.model_copy(
            update={"network": network, "supervision": given, "losses": {**none, **losses}}
        )

    @pytest.mark.parametrize("loss", ["location", "pixel", "rgb", "estimator", "shape"])
    def test_an_autoencoder_learns_from_keypoints_in_2d(self, learning, loss):
        for supervision in ("detected", "annotated"):
            config = self.autoencoder(
                learning, Pictures(in_the_picture_alone), supervision, **{loss: 1.0}
            )
            assert learnable.require_learnable(config) == {}

    @pytest.mark.parametrize(
        ("loss", "wanted"), [
            ("joints_3d", "keypoints in 3D in the camera, and K"),
            ("joints_3d_norm", "keypoints in 3D and K"),
            ("mask", "masks"),
            ("depth", "rotations and shape"),
        ],
    )  # fmt: skip
    def test_an_autoencoder_whose_losses_compare_more(self, learning, loss, wanted):
        """Refused where nothing is left to learn; said where something is."""
        flat = Pictures(in_the_picture_alone, masks=False)
        with raises("training.lacks", network="autoencoder", expected=wanted):
            learnable.require_learnable(self.autoencoder(learning, flat, "detected", **{loss: 1.0}))
        config = self.autoencoder(learning, flat, "detected", location=1.0, **{loss: 1.0})
        assert learnable.require_learnable(config) == {"datasets.B": wanted}
        whole = self.autoencoder(learning, Pictures(), "detected", **{loss: 1.0})
        assert learnable.require_learnable(whole) == {}

    def test_an_autoencoder_may_be_measured_on_pictures_without_space(self, learning):
        config = self.autoencoder(learning, Pictures(in_the_picture_alone), "detected", location=1)
        held_out = config.datasets["B"].model_copy(update={"samples": "elsewhere"})
        config = config.model_copy(update={"validation_datasets": {"V": held_out}})
        assert learnable.require_learnable(config) == {}


def test_pairs_and_stereo_networks_go_together(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("network: {kind: handnet}\npairs: {count: 4}\n")
    with raises("training.pairs", file=str(file), network="handnet"):
        load_train_config(file)
    file.write_text("network: {kind: stereo}\n")
    with raises("training.no_pairs", file=str(file), network="stereo"):
        load_train_config(file)
