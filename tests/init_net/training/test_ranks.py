"""Several processes that torchrun has started train one network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from init_net.training.checkpoints import load_checkpoint
from init_net.training.log import METRICS
from init_net.training.ranks import Ranks
from tests.support.errors import raises
from tests.support.paths import ROOT
from tests.support.training_cases import ToyTask, small_config, trained

# What is dropped at random differs between ranks, and statistics of batches are of parts.
PLAIN = ("--set", "network.dropout=0", "--set", "network.feature_dropout=0")

TRAINS = """
import os, signal, sys
import init_net.training.tasks as tasks
from init_net.training.command import train_hands
from tests.support.training_cases import ToyTask

def before(step):
    if os.environ.get("SIGNALLED") == os.environ["RANK"] and step == 8:
        os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))

tasks.build_task = lambda config, device: ToyTask(config, before)
train_hands(sys.argv[1:])
"""


def torchrun(folder: Path, *arguments: str, **environment: str):
    script = folder / "trains.py"
    script.write_text(TRAINS)
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            script, "toy.yaml", *PLAIN, *arguments,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def curve(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def assert_same_curve(one: list[dict], other: list[dict]) -> None:
    assert [line.keys() for line in one] == [line.keys() for line in other]
    for first, second in zip(one, other, strict=True):
        assert first == pytest.approx(second, rel=1e-4)


@pytest.fixture
def alone(ready, say) -> list[dict]:
    """The curve of one process."""
    assert trained(say, *PLAIN, "--out", "alone").status == 0
    return curve(Path("alone"))


def test_two_have_the_curve_of_one(ready, alone):
    """Each learns from half of every batch; one writes, validates and speaks."""
    ended = torchrun(ready, "--out", "both")
    assert ended.returncode == 0, ended.stderr
    assert_same_curve(curve(Path("both")), alone)
    one, other = (load_checkpoint(Path(name) / "checkpoint.pt") for name in ("alone", "both"))
    assert one.step == other.step == 12
    for name, value in one.average.items():
        torch.testing.assert_close(other.average[name], value, rtol=1e-3, atol=1e-5)
    assert (Path("both") / "weights.safetensors").exists()
    assert ended.stderr.count("weights after 12 of 12 steps") == 1
    assert ended.stderr.count("step 12: error") == 1


def test_one_that_dies_ends_the_run_in_a_sentence(ready, alone):
    """What was written is kept, and the same command ends with the same curve."""
    often = ("--out", "both", "--set", "run.checkpoint_minutes=0")
    ended = torchrun(ready, *often, SIGNALLED="1", SIGNAL="SIGKILL")
    assert ended.returncode != 0
    said = [line for line in ended.stderr.splitlines() if line.startswith("train-hands: another")]
    assert said == [
        "train-hands: another process of the run has ended, seen by rank 0; its own message says "
        "why. The same command continues from the last checkpoint"
    ], ended.stderr
    assert "Error: [" not in ended.stderr, "no traceback of ours"
    assert load_checkpoint(Path("both/checkpoint.pt")).step == 8
    assert torchrun(ready, *often).returncode == 0
    assert_same_curve(curve(Path("both")), alone)


def test_all_stop_when_one_is_asked_to(ready, alone):
    """After the same step, with a checkpoint; the same command goes on."""
    ended = torchrun(ready, "--out", "both", SIGNALLED="1", SIGNAL="SIGTERM")
    assert ended.returncode != 0 and "another process" not in ended.stderr, ended.stderr
    assert load_checkpoint(Path("both/checkpoint.pt")).step == 10
    assert torchrun(ready, "--out", "both").returncode == 0
    assert_same_curve(curve(Path("both")), alone)


def test_parts_of_a_batch_are_all_of_it():
    task = ToyTask(small_config())
    batch = task.batch(3)
    parts = [Ranks(rank, 2).part(batch) for rank in (0, 1)]
    assert [len(part.focal) for part in parts] == [2, 2]
    assert torch.equal(torch.cat([part.positions for part in parts]), batch.positions)
    assert Ranks().part(batch) is batch


def test_batches_that_cannot_be_shared_out():
    with raises("training.uneven_batch", file="optimiser.batch_size", found=4, count=3):
        Ranks(0, 3).require_even(4)


def test_the_environment_of_torchrun(monkeypatch):
    assert Ranks.of_environment() == Ranks(0, 1, 0)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    ranks = Ranks.of_environment()
    assert ranks == Ranks(5, 8, 1) and not ranks.is_first
    assert ranks.device(torch.device("cuda")) == torch.device("cuda:1")
    assert ranks.device(torch.device("cpu")) == torch.device("cpu")
