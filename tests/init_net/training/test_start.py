"""Weights that a run begins with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from init_net.networks.build import build_network
from init_net.training.config import TrainConfig
from init_net.training.start import begin_with
from init_net.training.tasks import build_task, require_trainable
from init_net.weights import load_network
from tests.support.errors import raises
from tests.support.task_cases import CPU, NETWORKS, configured


class TestStart:
    def test_a_network_begins_with_weights(self, folder, tmp_path):
        from init_net.hand_model_id import current_hand_model
        from init_net.model_card import WeightsInfo
        from init_net.weights import load_network, save_weights

        config = configured(folder, "handnet")
        path = tmp_path / "w.safetensors"
        info = WeightsInfo(
            network=config.network, command="", steps=0, data={}, figures={},
            hand_model=current_hand_model(10),
        )  # fmt: skip
        save_weights(path, build_network(config.network, 5).eval(), info)
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


class TestStartOfParts:
    """Weights of one network in parts of another."""

    @pytest.fixture
    def saved(self, tmp_path):
        from init_net.hand_model_id import current_hand_model
        from init_net.model_card import WeightsInfo
        from init_net.weights import save_weights

        def save(network: dict) -> Path:
            config = TrainConfig.model_validate({"network": network}).network
            path = tmp_path / "w.safetensors"
            info = WeightsInfo(
                network=config, command="", steps=0, data={}, figures={},
                hand_model=current_hand_model(10),
            )  # fmt: skip
            save_weights(path, build_network(config, 5).eval(), info)
            return path

        return save

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
            require_trainable(configured(folder, "handnet", run=run))
