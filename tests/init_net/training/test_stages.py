"""A run in stages: what learns, what stays as it was, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from init_net.training.checkpoints import load_checkpoint
from init_net.training.log import METRICS
from init_net.training.loop import Watch, train
from tests.support.errors import raises
from tests.support.paths import ROOT
from tests.support.staged_training import ENDS, STAGES, StagedTask, staged_config

DIES = """
import os, signal, sys
from pathlib import Path
from init_net.training.loop import Watch, train
from tests.support.staged_training import StagedTask, staged_config

folder, last = Path(sys.argv[1]), int(sys.argv[2])
config = staged_config(checkpoint_minutes=float(sys.argv[3]))
def step(done, loss):
    if done == last:
        os.kill(os.getpid(), signal.SIGKILL)
train(StagedTask(config), config, folder, Watch(step=step))
"""


def read(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


class States:
    """The values of a network as each stage is entered, and which parts are then in training."""

    def __init__(self, task: StagedTask) -> None:
        self.task, self.found, self.modes = task, [], {}

    def entered(self, stage) -> None:
        self.found.append(self.now())
        self.modes[stage.name] = {
            name: part.training for name, part in self.task.network.parts.items()
        }

    def now(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.task.network.state_dict().items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    config = staged_config()
    task = StagedTask(config)
    states = States(task)
    result = train(task, config, folder, Watch(entered=states.entered))
    assert (result.step, result.was_stopped) == (21, False)
    return folder, task, states


def moved(before, after) -> set[str]:
    """Parts any value of which is another, bit for bit."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("number", range(4))
def test_what_is_frozen_or_absent_stays_bit_for_bit(undisturbed, number):
    """Weights, statistics of normalisation and counters; all that learns has moved."""
    _, task, states = undisturbed
    found = [*states.found, states.now()]
    stage = task.plan.stages[number]
    learns = {"left", "right", "fusion", "head"} if stage.trains is None else stage.trains
    assert moved(found[number], found[number + 1]) == set(learns)
    assert states.modes[stage.name] == {
        name: name in learns for name in ("left", "right", "fusion", "head")
    }


def test_the_log_and_the_validations_tell_the_stage(undisturbed):
    folder, task, _ = undisturbed
    assert [(stage.name, stage.end) for stage in task.plan.stages] == list(ENDS.items())
    assert [stage.name for stage in task.judged] == list(STAGES)
    lines = read(folder)
    judged = {line["stage"]: line["step"] for line in lines if "validation/error" in line}
    assert judged == ENDS
    for line in lines:
        assert line["stage"] == task.plan.at(line["step"] - 1).name
    steps = [line["step"] for line in lines if "loss/total" in line]
    assert steps == [4, 5, 8, 11, 12, 15, 16, 20, 21]
    # A stage's own weights of losses.
    is_there = {line["stage"]: "loss/rotation" in line for line in lines if "loss/total" in line}
    assert is_there == {"Left": True, "Right": True, "Fusion": False, "All": True}


def test_the_mean_of_a_line_is_that_of_its_steps(tmp_path):
    """Lines at a stage's end are of fewer steps."""
    config, totals = staged_config(), []
    watch = Watch(step=lambda step, loss: totals.append(loss))
    train(StagedTask(config), config, tmp_path, watch)
    ends = [0, 4, 5, 8, 11, 12, 15, 16, 20, 21]
    lines = [line for line in read(tmp_path) if "loss/total" in line]
    for first, last, line in zip(ends, ends[1:], lines, strict=False):
        mean = sum(totals[first:last]) / (last - first)
        assert line["loss/total"] == pytest.approx(mean)


def test_a_stage_begins_with_the_averaged_weights_that_were_validated(undisturbed):
    """The last one leaves the network as its last step did, beside its average."""
    folder, task, states = undisturbed
    lines = {line["step"]: line for line in read(folder) if "validation/error" in line}
    again = StagedTask(staged_config())
    again.network.eval()
    for stage, values in zip(task.plan.stages, states.found[1:], strict=False):
        again.network.load_state_dict(values)
        with torch.no_grad():
            figures = again.validate(stage)
        assert figures["error"] == lines[stage.end]["validation/error"]
    last = load_checkpoint(folder / "checkpoint.pt")
    assert not torch.equal(last.network["head.1.weight"], last.average["head.1.weight"])
    assert last.updates == 6, "of the last stage alone"
    assert last.plan == {"stage": "All", "stages": [list(end) for end in ENDS.items()]}


def test_the_optimiser_is_of_the_stage(undisturbed):
    """It has no memory of an earlier stage, nor of parts that do not learn."""
    config = staged_config()
    asked = iter(range(100))
    folder = undisturbed[0].parent / "optimiser"
    folder.mkdir()
    train(StagedTask(config), config, folder, Watch(stop=lambda: next(asked) == 13))
    found = load_checkpoint(folder / "checkpoint.pt")
    assert found.plan["stage"] == "Fusion" and found.step == 13
    assert [int(state["step"]) for state in found.optimiser["state"].values()] == [2, 2]


def test_rates_are_those_of_the_stages(undisturbed):
    _, task, _ = undisturbed
    left, right, fusion, whole = task.plan.stages
    warm = [left.learning_rate(step) for step in range(3)]
    assert warm == pytest.approx([0.5e-3, 1e-3, 1e-3])
    # Constant, and to 0 over the last half epoch: three steps.
    rates = [right.learning_rate(5 + step) for step in range(6)]
    assert rates == pytest.approx([1e-3, 2e-3, 2e-3, 2e-3, 4e-3 / 3, 2e-3 / 3])
    assert fusion.rate.schedule == "cosine"
    rates = [whole.learning_rate(15 + step) for step in range(6)]
    assert rates == pytest.approx([0.5e-3, 1e-3, 1e-3, 0.5e-3, 0.5e-3, 0.5e-3])


@pytest.mark.parametrize("last", [3, 5, 9, 11, 13, 15, 18])
def test_a_killed_run_continues_as_if_undisturbed(undisturbed, tmp_path, last):
    """In every stage, and between two."""
    ended = subprocess.run(
        [sys.executable, "-c", DIES, tmp_path, str(last), "0" if last % 2 else "60"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    config = staged_config(checkpoint_minutes=0.0 if last % 2 else 60.0)
    result = train(StagedTask(config), config, tmp_path)
    # The last checkpoint is of the step before, or of the last stage that ended.
    whole = max(end for end in (0, *ENDS.values()) if end < last)
    assert result.first == (last - 1 if last % 2 else whole)
    folder = undisturbed[0]
    assert (tmp_path / METRICS).read_bytes() == (folder / METRICS).read_bytes()
    one, other = (load_checkpoint(path / "checkpoint.pt") for path in (folder, tmp_path))
    for name in ("network", "average"):
        assert not moved(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("loaders", [0, 3])
def test_batches_prepared_ahead_are_those_of_their_steps(undisturbed, tmp_path, loaders):
    config = staged_config(loaders=loaders)
    train(StagedTask(config), config, tmp_path)
    assert (tmp_path / METRICS).read_bytes() == (undisturbed[0] / METRICS).read_bytes()


def test_a_run_whose_samples_have_become_more_is_refused(tmp_path):
    config = staged_config()
    asked = iter(range(100))
    train(StagedTask(config), config, tmp_path, Watch(stop=lambda: next(asked) == 3))
    longer = {**STAGES, "Right": {**STAGES["Right"], "epochs": 2.0}}
    task = StagedTask(config)
    task.plan = StagedTask(staged_config(longer)).plan
    with raises("training.other_plan", expected=["Right", 17], found=["Right", 11]):
        train(task, config, tmp_path)
