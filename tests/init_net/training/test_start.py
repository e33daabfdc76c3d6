"""Weights that a run begins with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from init_net.hand_model_id import current_hand_model
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import AutoencoderConfig
from init_net.training import start
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.run_folder import check_run, claimed
from init_net.training.start import begin_with, begun
from init_net.training.tasks import build_task
from init_net.weights import load_network, save_weights
from tests.support.errors import raises
from tests.support.mano_files import fabricate, write_plain
from tests.support.small_mano import write_small_mano
from tests.support.task_cases import CPU, NETWORKS, configured
from tests.support.training_cases import SMALL, trained


@pytest.fixture
def saved(tmp_path):
    """Writes weights of a network to a file."""

    def save(network: dict, seed: int = 5, name: str = "w") -> Path:
        config = TrainConfig.model_validate({"network": network}).network
        path = tmp_path / f"{name}.safetensors"
        info = WeightsInfo(
            network=config, command="", steps=0, data={}, figures={},
            hand_model=current_hand_model(10),
        )  # fmt: skip
        save_weights(path, build_network(config, seed).eval(), info)
        return path

    return save


class TestStart:
    def test_a_network_begins_with_weights(self, folder, saved):
        path = saved(NETWORKS["handnet"])
        config = configured(folder, "handnet")
        run = {"device": "cpu", "seed": 0, "start": str(path)}
        task = build_task(configured(folder, "handnet", run=run), CPU)
        wanted = load_network(path).state_dict()
        for name, value in task.network.state_dict().items():
            assert torch.equal(value, wanted[name])
        assert all(p.requires_grad for p in task.network.parameters())
        other = config.network.model_copy(update={"hidden": [16]})
        wider = configured(folder, "handnet", run=run).model_copy(update={"network": other})
        with raises("training.other_start", file=path, option="network.hidden"):
            build_task(wider, CPU)


AUTOENCODER = {
    "kind": "autoencoder", "encoder": "mobilenetv3_small_050", "hidden": [8], "input_size": 32,
}  # fmt: skip


class TestHandModels:
    """A network that poses MANO begins with weights that were learned with the same file."""

    @pytest.fixture
    def files(self, tmp_path):
        """Weights of MANO's network, which keep the file's name alone, and its file."""
        file = write_small_mano(tmp_path / "MANO_RIGHT.pkl")
        config = AutoencoderConfig(**AUTOENCODER, hand_model=str(file))
        public = config.model_copy(update={"hand_model": file.name})
        info = WeightsInfo(public, "", 0, {}, {}, hand_model=current_hand_model(10, str(file)))
        weights = tmp_path / "w.safetensors"
        save_weights(weights, build_network(config, 5).eval(), info)
        return weights, file

    @pytest.fixture
    def run_of(self):
        def config(weights, hand_model, **run):
            network = {**AUTOENCODER, "hand_model": str(hand_model)}
            values = {"network": network, "run": {"start": str(weights), **run}}
            return TrainConfig.model_validate(values)

        return config

    @pytest.mark.parametrize("parts", [None, {"encoder": "encoder", "texture": "texture"}])
    def test_the_file_is_the_runs_own(self, files, run_of, parts):
        weights, file = files
        network = begun(run_of(weights, file, start_parts=parts))
        wanted = load_network(weights, hand_model=str(file))
        for name in parts or network.parts:
            for ours, theirs in zip(
                network.parts[name].parameters(), wanted.parts[name].parameters(), strict=True
            ):
                assert torch.equal(ours, theirs)

    def test_another_hand_is_refused(self, files, run_of, tmp_path):
        weights, file = files
        other = write_plain(tmp_path / "other_right.pkl", fabricate())
        found = current_hand_model(10, str(file))
        for source in (str(other), "open_hand"):
            expected = current_hand_model(10, source)
            with raises("weights.other_hand_model", file=weights, expected=expected, found=found):
                begun(run_of(weights, source))

    @pytest.mark.parametrize(
        "parts", [None, {"geometry": "geometry"}, {"encoder": "encoder", "texture": "texture"}]
    )
    def test_weights_of_the_open_hand_are_no_start_for_mano(self, files, run_of, parts, tmp_path):
        """Of as many coefficients, which mean another hand."""
        _, file = files
        config = AutoencoderConfig(**AUTOENCODER)
        weights = tmp_path / "open.safetensors"
        info = WeightsInfo(config, "", 0, {}, {}, hand_model=current_hand_model(10))
        save_weights(weights, build_network(config, 5).eval(), info)
        found, expected = info.hand_model, current_hand_model(10, str(file))
        with raises("weights.other_hand_model", file=weights, expected=expected, found=found):
            begun(run_of(weights, file, start_parts=parts))
        # What an encoder looks at is no hand model's.
        begun(run_of(weights, file, start_parts={"encoder": "encoder"}))


class TestGoingOn:
    """What a run began with is in its checkpoint."""

    def test_the_weights_may_lie_elsewhere_or_be_gone(self, ready, say, saved, tmp_path):
        path = saved(SMALL.model_dump())
        few = ("--set", "optimiser.steps=12")
        assert trained(say, *few, "--set", f"run.start={path}").status == 0
        moved = path.rename(tmp_path / "moved.safetensors")
        for given in (moved, path):
            told = trained(say, *few, "--set", f"run.start={given}")
            assert (told.status, told.err) == (0, "")

    def test_a_run_that_has_done_nothing_needs_them(self, ready, say, saved):
        path = saved(SMALL.model_dump())
        config = load_train_config("toy.yaml", [f"run.start={path}"])
        with claimed(Path("runs/toy"), config, "train-hands toy.yaml"):
            pass
        path.unlink()
        told = trained(say, "--set", f"run.start={path}")
        assert told.status == 2 and str(path) in told.err

    def test_other_weights_are_another_run(self, ready, saved):
        path, other = (saved(SMALL.model_dump(), seed, str(seed)) for seed in (5, 6))
        config = load_train_config("toy.yaml", [f"run.start={path}"])
        with claimed(Path("runs/toy"), config, "train-hands toy.yaml"):
            pass
        assert check_run(Path("runs/toy"), config)
        with raises("training.other_start_file", file=Path("runs/toy/run.json")):
            check_run(Path("runs/toy"), load_train_config("toy.yaml", [f"run.start={other}"]))
        with raises("training.other_run", option="run.start", expected=None):
            check_run(Path("runs/toy"), load_train_config("toy.yaml"))

    def test_they_are_read_once(self, ready, say, saved, monkeypatch):
        read, loads = [], start.load_network
        monkeypatch.setattr(start, "load_network", lambda *a, **k: read.append(a) or loads(*a, **k))
        assert trained(say, "--set", f"run.start={saved(SMALL.model_dump())}").status == 0
        assert len(read) == 1


class TestStartOfParts:
    """Weights of one network in parts of another."""

    def begun(self, folder, path, parts):
        run = {"device": "cpu", "seed": 0, "start": str(path), "start_parts": parts}
        config = configured(folder, "handnet", run=run)
        network = build_network(config.network, 0)
        begin_with(network, config)
        return network, build_network(config.network, 0)

    def test_those_that_are_named_begin_with_them(self, folder, saved):
        """Whatever the others' sizes; all else is as random as without."""
        network = {**NETWORKS["handnet"], "hidden": [16]}
        path = saved(network)
        begun, random = self.begun(folder, path, {"image_front": "image_front", "tail": "tail"})
        theirs = load_network(path).parts
        for name, part in begun.parts.items():
            wanted = theirs[name] if name in ("image_front", "tail") else random.parts[name]
            for key, value in part.state_dict().items():
                assert torch.equal(value, wanted.state_dict()[key]), (name, key)

    @pytest.mark.parametrize(
        ("parts", "code", "facts"),
        [
            ({"eyes": "tail"}, "training.unknown_start", {"part": "eyes"}),
            ({"tail": "eyes"}, "training.unknown_start", {"part": "eyes"}),
            ({"image_front": "keypoint_front"}, "training.other_start_part",
             {"part": "image_front", "found": "keypoint_front"}),
        ],
    )  # fmt: skip
    def test_parts_that_do_not_fit(self, folder, saved, parts, code, facts):
        with raises(code, **facts):
            self.begun(folder, saved(NETWORKS["handnet"]), parts)

    def test_of_no_weights(self, folder):
        run = {"device": "cpu", "start_parts": {"tail": "tail"}}
        with raises("training.no_start", file="run.start_parts"):
            begun(configured(folder, "handnet", run=run))

    def test_of_a_file_that_is_not_there(self, folder):
        def begin(start: str) -> None:
            begun(configured(folder, "handnet", run={"device": "cpu", "start": start}))

        with raises("training.start_missing", file=Path("elsewhere/w.safetensors")):
            begin("elsewhere/w.safetensors")
        with raises("training.start_missing", file=Path("runs/mine/weights.safetensors")):
            begin("runs/mine/weights.safetensors")
        file = "runs/joint_vae/weights.safetensors"
        with raises("training.start_not_trained", file=Path(file), preset="joint_vae"):
            begin(file)
