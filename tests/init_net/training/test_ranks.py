"""Several processes that torchrun has started train one network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from fitter.config.files import described_presets
from fitter.errors import sentence
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, SegmentationConfig
from init_net.records import CropInputs
from init_net.training.checkpoints import load_checkpoint
from init_net.training.config import TRAIN, load_train_config
from init_net.training.log import METRICS
from init_net.training.ranks import RankLostError, Ranks
from tests.support.errors import raises
from tests.support.torchrun import torchrun as run_torchrun
from tests.support.training_cases import ToyTask, small_config, trained

# What is dropped at random differs between ranks, and statistics of batches are of parts.
PLAIN = ("--set", "network.dropout=0", "--set", "network.feature_dropout=0")

TRAINS = """
import os, signal, sys
from datetime import timedelta
import init_net.training.ranks as ranks
import init_net.training.tasks as tasks
from fitter.errors import InputError
from init_net.training.command import train_hands
from tests.support.training_cases import ToyTask

def before(step):
    if os.environ.get("SIGNALLED") == os.environ["RANK"] and step == 8:
        os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))

def build_task(config, device, network):
    if os.environ.get("FAILS") == os.environ["RANK"]:
        # No samples here.
        raise InputError("training.no_start")
    return ToyTask(config, before)

tasks.build_task = build_task
if "FAILS" in os.environ:
    ranks._WORD = timedelta(seconds=2)
which = int(os.environ["RANK"]) if "OTHERS" in os.environ else 0
config = ["toy.yaml", os.environ.get("OTHERS")][which]
train_hands([config, *sys.argv[1:]])
"""


def torchrun(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_torchrun(folder, TRAINS, *PLAIN, *arguments, **environment)


def said_by(ended: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in ended.stderr.splitlines() if line.startswith("train-hands: ")]


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
    assert "find_unused_parameters" not in ended.stderr, "no warning of DDP's"


def test_one_that_dies_ends_the_run_in_a_sentence(ready, alone):
    """What was written is kept, and the same command ends with the same curve."""
    often = ("--out", "both", "--set", "run.checkpoint_minutes=0")
    ended = torchrun(ready, *often, SIGNALLED="1", SIGNAL="SIGKILL")
    assert ended.returncode != 0
    (line,) = said_by(ended)
    start, end = sentence("training.rank_lost", {"rank": 0, "reason": "REASON"}).split("REASON")
    assert line.startswith(f"train-hands: {start}") and line.endswith(end), ended.stderr
    # Closed or reset, as the system has it.
    assert "by peer" in line and "gloo" not in line
    assert "Error: [" not in ended.stderr, "no traceback of ours"
    assert load_checkpoint(Path("both/checkpoint.pt")).step == 8
    assert torchrun(ready, *often).returncode == 0
    assert_same_curve(curve(Path("both")), alone)


def test_all_stop_when_one_is_asked_to(ready, alone):
    """After the same step, with a checkpoint; the same command goes on."""
    ended = torchrun(ready, "--out", "both", SIGNALLED="1", SIGNAL="SIGTERM")
    assert ended.returncode != 0 and "lost touch" not in ended.stderr, ended.stderr
    assert load_checkpoint(Path("both/checkpoint.pt")).step == 10
    assert torchrun(ready, "--out", "both").returncode == 0
    assert_same_curve(curve(Path("both")), alone)


def test_ranks_prepare_their_own_rows_which_are_all_of_a_batch():
    task = ToyTask(small_config())
    whole = task.batch(3)
    parts = [task.batch(3, Ranks(rank, 2).rows(4)) for rank in (0, 1)]
    assert [len(part.focal) for part in parts] == [2, 2]
    assert torch.equal(torch.cat([part.positions for part in parts]), whole.positions)
    assert torch.equal(task.batch(3, Ranks().rows(4)).positions, whole.positions)


def test_what_one_alone_ends_for_is_said(ready):
    """Its machine lacks what the others have; the sentence is printed before torchrun ends all."""
    ended = torchrun(ready, "--out", "both", FAILS="1")
    assert ended.returncode != 0
    missing = f"train-hands: rank 1: {sentence('training.no_start', {})}"
    assert said_by(ended)[0] == missing, ended.stderr
    assert ended.stderr.count(missing) == 1
    assert "Error: [" not in ended.stderr, "no traceback of ours"
    # Before they are in touch, too.
    ended = torchrun(ready, "--out", "both", FAILS="none", OTHERS="gone.yaml")
    (line,) = said_by(ended)
    assert line.startswith("train-hands: rank 1: ") and "gone.yaml" in line, ended.stderr


def test_what_all_end_for_is_said_once(ready):
    ended = torchrun(ready, "--set", "optimiser.stepz=3")
    (line,) = said_by(ended)
    assert "optimiser.stepz" in line and "rank" not in line, ended.stderr


def encoders() -> dict[str, HandNetConfig | SegmentationConfig]:
    """Small networks with the encoders of the presets."""
    found = {}
    for name in described_presets(TRAIN):
        network = load_train_config(name).network
        network = getattr(network, "mono", network)
        if isinstance(network, HandNetConfig):
            small = HandNetConfig(encoder=network.encoder, input_size=64, hidden=[16])
        elif isinstance(network, SegmentationConfig):
            small = SegmentationConfig(encoder=network.encoder, input_size=64)
        else:
            continue
        found[f"{network.kind}-{network.encoder}"] = small
    return found


@pytest.mark.parametrize("network", encoders().values(), ids=encoders())
def test_a_network_of_ranks_with_gpus_says_what_it_says(network):
    """Their layers of normalisation see the whole batch and are else what they were, activations
    and all."""
    network = build_network(network, 0).eval()
    draws = torch.Generator().manual_seed(1)
    crops = CropInputs(
        torch.rand(2, 3, 64, 64, generator=draws),
        64 * torch.rand(2, 21, 2, generator=draws),
        torch.ones(2, 21),
    )
    kinds = (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d, torch.nn.SyncBatchNorm)
    with torch.no_grad():
        before = tensors_of(network(crops))
        names = [name for name, layer in network.named_modules() if isinstance(layer, kinds[:2])]
        found = Ranks(1, 2).synchronised(network, torch.device("cuda"))
        after = tensors_of(found(crops))
    assert found is network
    assert names and before
    synchronised = [name for name, layer in network.named_modules() if isinstance(layer, kinds)]
    assert synchronised == names
    assert all(isinstance(network.get_submodule(name), kinds[2]) for name in names)
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def tensors_of(said: object) -> list[torch.Tensor]:
    """All that a network says."""
    if isinstance(said, torch.Tensor):
        return [said]
    return [
        tensor for part in vars(said).values() if part is not None for tensor in tensors_of(part)
    ]


def test_errors_of_lost_ranks_and_others():
    """gloo's are of no type of their own; the reason is kept, advice and places are not."""
    lost = RuntimeError(
        "[/build/gloo/transport/tcp/pair.cc:561] Connection closed by peer [1.2.3.4]:9. This is "
        "typical.\nMore"
    )
    apart = RuntimeError("Gloo connectFullMesh failed with [../gloo/tcp/pair.cc:144] no route")
    ours = [
        RuntimeError("Invalid scalar type: gloo knows no such"),
        RuntimeError("[enforce fail at ../gloo/transport/tcp/pair.cc:446] 8 <= 4. 8 vs 4"),
    ]
    ranks = Ranks(1, 2)
    with raises(
        "training.rank_lost", RankLostError, rank=1, reason="Connection closed by peer [1.2.3.4]:9"
    ):
        fail(ranks, lost)
    with raises(
        "training.rank_lost", RankLostError, reason="Gloo connectFullMesh failed with no route"
    ):
        fail(ranks, apart)
    with raises("training.rank_lost", RankLostError, reason="no store"):
        fail(ranks, torch.distributed.DistNetworkError("no store"))
    for error in ours:
        with pytest.raises(RuntimeError) as seen:
            fail(ranks, error)
        assert seen.value is error


def fail(ranks: Ranks, error: RuntimeError) -> None:
    with (
        patch.object(torch.distributed, "init_process_group", side_effect=error),
        ranks.joined(torch.device("cpu")),
    ):
        raise AssertionError("never in touch")


def test_batches_that_cannot_be_shared_out():
    with raises("training.uneven_batch", file="optimiser.batch_size", found=4, count=3):
        Ranks(0, 3).require_even(4)


@pytest.mark.parametrize(("count", "found"), [(1, 3), (4, 12)])
def test_no_process_gets_half_a_pair(count, found):
    wanted = {"count": count, "multiple": 2 * count}
    with raises("training.odd_batch", file="optimiser.batch_size", found=found, **wanted):
        Ranks(0, count).require_even(found, 2)
    Ranks(0, count).require_even(2 * found, 2)


def test_the_environment_of_torchrun(monkeypatch):
    assert Ranks.of_environment() == Ranks(0, 1, 0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    ranks = Ranks.of_environment()
    assert ranks == Ranks(5, 8, 1) and not ranks.is_first
    assert ranks.device(torch.device("cuda")) == torch.device("cuda:1")
    assert ranks.device(torch.device("cpu")) == torch.device("cpu")


def test_variables_of_a_scheduler_are_none_of_torchrun(monkeypatch):
    """It has started nobody else, and what it writes need be no number."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "x"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert Ranks.of_environment() == Ranks()
