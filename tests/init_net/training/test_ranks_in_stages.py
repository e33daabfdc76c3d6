"""Two processes train networks of parts in stages: the toy, a HandNet and a stereo network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from init_net.hand_model_id import current_hand_model
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, StereoConfig
from init_net.samples.config import StereoSamplesConfig
from init_net.samples.shards import ShardedSamples
from init_net.samples.stereo_shards import render_stereo_shards
from init_net.training.checkpoints import load_checkpoint
from init_net.training.config import TrainConfig
from init_net.training.log import METRICS
from init_net.weights import save_weights
from tests.support.rendered_samples import write_sightings
from tests.support.staged_training import STAGES
from tests.support.task_cases import configured
from tests.support.torchrun import torchrun

TRAINS = """
import os, signal, sys
from pathlib import Path
import torch
from init_net.training.config import load_train_config
from init_net.training.loop import Watch, train
from init_net.training.ranks import Ranks
from init_net.training.tasks import build_task
from tests.support.staged_training import StagedTask, staged_config

out, file = Path(sys.argv[1]), sys.argv[2]
ranks, cpu = Ranks.of_environment(), torch.device("cpu")
config = staged_config(checkpoint_minutes=0) if file == "toy" else load_train_config(file)
found = {}

def values():
    return {
        f"{part}.{name}": value.clone()
        for part, module in task.network.parts.items()
        for name, value in module.state_dict().items()
    }

def entered(stage):
    found[stage.name] = values()

def step(done, loss):
    if os.environ.get("DIES") == os.environ["RANK"] and done == 8:
        os.kill(os.getpid(), signal.SIGKILL)

with ranks.joined(cpu):
    out.mkdir(exist_ok=True)
    task = StagedTask(config) if file == "toy" else build_task(config, cpu)
    train(task, config, out, Watch(entered=entered, step=step), ranks)
    found["end"] = values()
    torch.save(found, out / f"rank{ranks.rank}.pt")
    ranks.wait()
"""

States = dict[str, dict[str, Tensor]]
"""Of a network, as each stage is entered and at the end."""


def trained(folder: Path, out: str, file: str = "toy") -> tuple[States, States]:
    """What each of two ranks had."""
    ended = torchrun(folder, TRAINS, out, file)
    assert ended.returncode == 0, ended.stderr
    first, other = (torch.load(folder / out / f"rank{rank}.pt") for rank in (0, 1))
    return first, other


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Parts any value of which is another, bit for bit."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def assert_alike(states: tuple[States, States], learned: dict[str, set[str]]) -> None:
    """Ranks enter each stage with the same values and end with the same weights; in a stage what is
    `learned` moves, and all else is the same bit for bit on both."""
    for number, (name, parts) in enumerate(learned.items()):
        before, other = (rank[name] for rank in states)
        assert not moved(before, other), name
        after = list(states[0].values())[number + 1]
        assert moved(before, after) == parts, name
    one, other = (rank["end"] for rank in states)
    # Statistics are those of each rank's own last samples.
    weights = {name for name in one if "running" not in name}
    assert not moved({name: one[name] for name in weights}, other)


def test_stages_of_two_and_a_kill_in_the_second(tmp_path):
    """Statistics of batches and dropout are in each front."""
    states = trained(tmp_path, "whole")
    every = {"left", "right", "fusion", "head"}
    assert_alike(states, {name: set(stage.get("trains", every)) for name, stage in STAGES.items()})
    killed = torchrun(tmp_path, TRAINS, "killed", "toy", DIES="1")
    assert killed.returncode != 0
    checkpoint = load_checkpoint(tmp_path / "killed" / "checkpoint.pt")
    assert checkpoint.plan["stage"] == "Right" and 5 < checkpoint.step < 11
    resumed = trained(tmp_path, "killed")
    assert list(resumed[0]) == ["Right", "Fusion", "All", "end"]
    for rank, again in zip(states, resumed, strict=True):
        for name in ("Fusion", "All", "end"):
            assert not moved(rank[name], again[name]), name
    lines = [(tmp_path / name / METRICS).read_text() for name in ("whole", "killed")]
    whole, again = ([json.loads(line) for line in text.splitlines()] for text in lines)
    assert whole == again


def test_a_handnet_of_two(folder, tmp_path):
    small = HandNetConfig(hidden=[16], grid_channels=8, input_size=32)
    stages = {
        "Image": {"trains": ["image_front", "tail", "head"],
                  "without": ["keypoint_front", "fusion"], "steps": 2},
        "Fusion": {"trains": ["fusion"], "steps": 2},
    }  # fmt: skip
    optimiser = {"batch_size": 4, "warmup_steps": 0, "ema_decay": 0.5}
    config = configured(folder, "handnet", stages=stages)
    config = TrainConfig.model_validate({**config.resolved(), "optimiser": optimiser})
    write(tmp_path, config.model_copy(update={"network": small}))
    learned = {name: set(stage["trains"]) for name, stage in stages.items()}
    assert_alike(trained(tmp_path, "both", "config.yaml"), learned)


@pytest.fixture
def pairs(tmp_path) -> StereoSamplesConfig:
    """Rendered ones that a detector has looked at."""
    pairs = StereoSamplesConfig(folder=str(tmp_path / "pairs"), count=10, size=40)
    render_stereo_shards(tmp_path / "pairs", pairs.source)
    for camera in ("left", "right"):
        write_sightings(ShardedSamples(tmp_path / "pairs" / camera), noise=0.5)
    return pairs


def test_a_stereo_network_of_two(pairs, tmp_path):
    mono = HandNetConfig(hidden=[16], grid_channels=8, input_size=32)
    start = tmp_path / "mono.safetensors"
    hand_model = current_hand_model()
    info = WeightsInfo(
        network=mono, command="", steps=1, data={}, figures={}, hand_model=hand_model
    )
    save_weights(start, build_network(mono, 5).eval(), info)
    stages = {
        "SyntheticAdaption": {"trains": ["image_front"], "without": ["stereo"], "steps": 2},
        "Stereo": {"trains": ["stereo"], "steps": 2},
    }
    write(
        tmp_path,
        TrainConfig.model_validate(
            {
                "network": StereoConfig(mono=mono).model_dump(),
                "pairs": pairs.model_dump(),
                "stages": stages,
                "optimiser": {
                    "batch_size": 4,
                    "warmup_steps": 0,
                    "ema_decay": 0.5,
                    "learning_rate": 0.01,
                },
                "run": {"device": "cpu", "start": str(start)},
            }
        ),
    )
    states = trained(tmp_path, "both", "config.yaml")
    assert_alike(states, {name: set(stage["trains"]) for name, stage in stages.items()})


def write(folder: Path, config: TrainConfig) -> None:
    """Write a configuration."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config.resolved(), sort_keys=False))
