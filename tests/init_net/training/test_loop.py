import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig, SegmentationConfig
from init_net.training.checkpoints import find_checkpoint, load_checkpoint
from init_net.training.config import TrainConfig
from init_net.training.log import METRICS
from init_net.training.loop import Watch, train
from init_net.training.optimisation import LearningRate, WeightAverage, make_optimiser
from init_net.training.run_config import OptimiserConfig
from init_net.training.same_run import first_difference
from init_net.training.stage_config import StageConfig
from tests.support.paths import ROOT
from tests.support.training_cases import ToyTask, small_config

REPOSITORY = ROOT


def whole(config: OptimiserConfig) -> LearningRate:
    """The learning rate of a run without stages."""
    return LearningRate.of(config, StageConfig(steps=config.steps), config.steps, 1.0)


def read_metrics(folder: Path) -> list[dict]:
    """The lines of a run's log, in order."""
    return [json.loads(line) for line in (folder / METRICS).read_text("utf-8").splitlines()]


DIES = """
import os, signal, sys
from pathlib import Path
from init_net.training.loop import Watch, train
from tests.support.training_cases import ToyTask, small_config

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

folder, how, minutes = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
config = small_config(checkpoint_minutes=minutes)
if how == "after step 9":
    watch = Watch(step=lambda step, loss: die() if step == 9 else None)
else:
    watch = Watch()
    fsync, count = os.fsync, iter(range(10**6))
    # One each for file and folder, of the log and then of one checkpoint after the other.
    os.fsync = lambda handle: die() if next(count) == int(how) else fsync(handle)
train(ToyTask(config), config, folder, watch)
"""


def run_until_killed(folder: Path, how: str, minutes: float) -> None:
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
    ended = subprocess.run(
        [sys.executable, "-c", DIES, folder, how, str(minutes)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def same(one, other) -> bool:
    """Whether two nested values are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def trained(folder: Path, watch: Watch | None = None, task: ToyTask | None = None, **run):
    config = small_config(**run)
    folder.mkdir(exist_ok=True)
    return train(task or ToyTask(config), config, folder, watch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    result = trained(folder)
    assert (result.step, result.first, result.was_stopped) == (12, 0, False)
    return folder


def same_run(one: Path, other: Path) -> bool:
    first, second = (load_checkpoint(folder / "checkpoint.pt") for folder in (one, other))
    names = ("step", "network", "average", "updates", "optimiser", "sums", "figures")
    return (one / METRICS).read_bytes() == (other / METRICS).read_bytes() and all(
        same(getattr(first, name), getattr(second, name)) for name in names
    )


def test_the_log_holds_means_of_losses_and_validations(undisturbed):
    lines = read_metrics(undisturbed)
    assert [line["step"] for line in lines if "loss/total" in line] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "validation/error" in line] == [5, 10, 12]
    for line in lines:
        if "loss/total" in line:
            assert line["loss/total"] == pytest.approx(line["loss/keypoints"] + line["loss/betas"])
            rate = whole(small_config().optimiser).at(line["step"] - 1)
            assert line["learning_rate"] == rate
    assert lines[-2]["loss/total"] < lines[0]["loss/total"]


def test_the_mean_in_the_log_is_that_of_the_steps(undisturbed, tmp_path):
    totals = []
    trained(tmp_path / "r", Watch(step=lambda step, loss: totals.append(loss)))
    lines = [line for line in read_metrics(undisturbed) if "loss/total" in line]
    means = [(a + b) / 2 for a, b in zip(totals[::2], totals[1::2], strict=True)]
    assert [line["loss/total"] for line in lines] == pytest.approx(means)


@pytest.mark.parametrize("loaders", [0, 3])
def test_the_number_of_loaders_changes_nothing(undisturbed, tmp_path, loaders):
    task = ToyTask(small_config())
    trained(tmp_path / "r", task=task, loaders=loaders)
    # Only `run.loaders` differs in what the checkpoint says, and the weights not at all.
    assert task.seen == list(range(12))
    assert same_run(undisturbed, tmp_path / "r")


def test_another_seed_changes_the_losses(undisturbed, tmp_path):
    trained(tmp_path / "r", seed=1)
    assert not same_run(undisturbed, tmp_path / "r")


def test_a_stopped_and_then_killed_run_continues_as_if_undisturbed(undisturbed, tmp_path):
    folder = tmp_path / "r"
    asked = iter(range(100))
    # In the midst of a line of the log, and where a validation is due.
    result = trained(folder, Watch(stop=lambda: next(asked) == 5))
    assert (result.step, result.was_stopped, result.figures) == (5, True, {})
    run_until_killed(folder, "after step 9", minutes=60.0)
    lines = read_metrics(folder)
    assert load_checkpoint(folder / "checkpoint.pt").step == 5 and lines[-1]["step"] == 8
    with (folder / METRICS).open("a") as file:
        file.write('{"step": 9, "los')  # as a machine that goes down leaves it
    result = trained(folder)
    assert (result.first, result.step) == (5, 12)
    assert same_run(undisturbed, folder)


@pytest.mark.parametrize("nth", [6, 7, 9])
def test_a_kill_while_a_checkpoint_is_written_costs_nothing_but_time(undisturbed, tmp_path, nth):
    folder = tmp_path / "r"
    folder.mkdir()
    run_until_killed(folder, str(nth), minutes=0.0)
    found = find_checkpoint(folder)
    assert found is not None and 1 <= load_checkpoint(found).step <= 4
    trained(folder)
    assert same_run(undisturbed, folder)


def test_the_checkpoint_before_the_last_is_kept_and_stands_in(undisturbed, tmp_path):
    folder = tmp_path / "r"
    asked = iter(range(100))
    trained(folder, Watch(stop=lambda: next(asked) == 7), checkpoint_minutes=0.0)
    last, before = folder / "checkpoint.pt", folder / "checkpoint-previous.pt"
    assert [load_checkpoint(path).step for path in (last, before)] == [7, 6]
    last.unlink()  # as a kill between two renames leaves it
    assert trained(folder).first == 6
    assert same_run(undisturbed, folder)
    assert sorted(path.suffix for path in folder.iterdir() if path.is_file()) == [
        ".jsonl", ".pt", ".pt",
    ]  # fmt: skip


def test_a_finished_run_is_left_as_it_is(undisturbed, tmp_path):
    before = {path.name: path.read_bytes() for path in undisturbed.glob("*.*")}
    result = trained(undisturbed)
    assert (result.first, result.step) == (12, 12) and result.figures["error"] > 0
    assert {path.name: path.read_bytes() for path in undisturbed.glob("*.*")} == before


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    trained(tmp_path / "r")
    assert torch.equal(torch.rand(3), wanted)


def test_what_is_validated_are_the_averaged_weights(undisturbed):
    found = load_checkpoint(undisturbed / "checkpoint.pt")
    task = ToyTask(small_config())
    task.network.eval()
    with torch.no_grad():
        task.network.load_state_dict(found.average)
        averaged = task.validate()
        task.network.load_state_dict(found.network)
        assert task.validate() != averaged
    assert averaged == found.figures


def test_a_gradient_is_clipped_to_its_longest(tmp_path):
    class Recording(ToyTask):
        norms = ()

        def losses(self, batch, step):
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            if gradients:
                self.norms += (torch.cat([g.flatten() for g in gradients]).norm().item(),)
            return super().losses(batch, step)

    config = small_config(optimiser={"clip_norm": 1e-3})
    task = Recording(config)
    train(task, config, tmp_path)
    assert task.norms == pytest.approx([1e-3] * 11, rel=1e-3)
    unclipped = min(line["gradient_norm"] for line in read_metrics(tmp_path) if len(line) > 2)
    assert unclipped > 1e-3, "what is logged is the gradient as it was"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_near(undisturbed, tmp_path, precision):
    trained(tmp_path / "r", precision=precision)
    one, other = (read_metrics(folder)[-1] for folder in (undisturbed, tmp_path / "r"))
    assert one != other
    assert other["validation/error"] == pytest.approx(one["validation/error"], rel=0.05)


def test_a_gradient_beyond_float16_costs_its_step_alone(tmp_path):
    class Steep(ToyTask):
        weights = ()

        def losses(self, batch, step):
            self.weights += (self.network.embed.weight.detach().clone(),)
            terms = super().losses(batch, step)
            # A finite loss whose scaled gradient is beyond float32.
            return {**terms, "keypoints": terms["keypoints"] * (1e35 if step == 4 else 1.0)}

    config = small_config(precision="float16")
    tasks = [Steep(config) for _ in range(3)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train(tasks[0], config, whole)
    moved = [not torch.equal(*pair) for pair in itertools.pairwise(tasks[0].weights)]
    assert moved == [step != 4 for step in range(11)]
    asked = iter(range(100))
    train(tasks[1], config, parts, Watch(lambda: next(asked) == 5))
    scaler = load_checkpoint(parts / "checkpoint.pt").scaler
    assert scaler["scale"] == 2.0**15, "half of the first one"
    train(tasks[2], config, parts)
    assert same_run(whole, parts)
    assert load_checkpoint(whole / "checkpoint.pt").scaler["_growth_tracker"] == 7


def test_tensorboard_is_told_the_same(undisturbed):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(undisturbed / "tensorboard")).Reload()
    told = [(event.step, event.value) for event in events.Scalars("loss/total")]
    logged = [(line["step"], line["loss/total"]) for line in read_metrics(undisturbed)
              if "loss/total" in line]  # fmt: skip
    assert told == [(step, pytest.approx(value, rel=1e-6)) for step, value in logged]


def test_the_learning_rate_rises_linearly_and_falls_along_half_a_cosine():
    config = OptimiserConfig(steps=101, warmup_steps=20, learning_rate=2e-3, final_fraction=0.1)
    rates = [whole(config).at(step) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4) and rates[9] == pytest.approx(1e-3)
    assert rates[19] == rates[20] == 2e-3
    assert rates[60] == pytest.approx((2e-3 + 2e-4) / 2), "half way between warm-up and end"
    assert rates[40] == pytest.approx(2e-4 + 1.8e-3 * (1 + math.cos(math.pi / 4)) / 2)
    assert rates[100] == pytest.approx(2e-4)
    assert all(a >= b for a, b in itertools.pairwise(rates[20:]))
    assert whole(OptimiserConfig(steps=1, warmup_steps=0)).at(0) == 1e-3


def test_the_average_follows_its_formula():
    network = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.BatchNorm1d(1))
    values = [3.0, -1.0, 4.0, 10.0]

    def set_to(value: float) -> None:
        network[0].weight.data.fill_(value)
        network[1].running_mean.fill_(2 * value)
        network[1].num_batches_tracked.fill_(int(abs(value)))

    set_to(values[0])
    average, by_hand = WeightAverage(network, decay=0.26), values[0]
    for n, value in enumerate(values[1:], 1):
        set_to(value)
        average.update_parameters(network)
        decay = min(0.26, (1 + n) / (10 + n))  # 2/11, 3/12, then 0.26
        by_hand = decay * by_hand + (1 - decay) * value
    assert torch.allclose(average.values()["0.weight"], torch.full((1, 2), by_hand))
    assert torch.allclose(average.values()["1.running_mean"], torch.tensor([2 * by_hand]))
    assert average.values()["1.num_batches_tracked"] == 10
    with average.applied(network):
        assert torch.allclose(network[0].weight, torch.full((1, 2), by_hand))
        assert not network[1].training
    assert torch.equal(network[0].weight, torch.full((1, 2), 10.0)) and network[1].training


@pytest.mark.parametrize("kind", ["lifter", "segmentation"])
def test_the_average_is_that_of_earlier_versions_and_goes_on(kind):
    """Written out, bit for bit; one that goes on from what a checkpoint keeps is the same one."""
    sizes = {"lifter": LifterConfig(width=16, blocks=1),
             "segmentation": SegmentationConfig(input_size=32)}  # fmt: skip
    network = build_network(sizes[kind], 0)
    generator = torch.Generator().manual_seed(3)
    average, again = WeightAverage(network, 0.999), WeightAverage(network, 0.999)
    wanted = {name: value.clone() for name, value in network.state_dict().items()}
    for n in range(1, 8):
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)
        average.update_parameters(network)
        again.restore({name: v.clone() for name, v in again.values().items()}, n - 1)
        again.update_parameters(network)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                wanted[name].lerp_(value, 1 - min(0.999, (1 + n) / (10 + n)))
            else:
                wanted[name].copy_(value)
    assert average.updates == again.updates == 7
    assert same(average.values(), wanted) and same(again.values(), wanted)


def test_weights_that_do_not_move_are_their_own_average():
    network = torch.nn.Linear(50, 50)
    average = WeightAverage(network, 0.999)
    for _ in range(20):
        average.update_parameters(network)
    assert same(average.values(), dict(network.state_dict()))


def test_biases_and_scales_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    groups = make_optimiser(network, OptimiserConfig(weight_decay=0.3)).param_groups
    shapes = {group["weight_decay"]: [p.ndim for p in group["params"]] for group in groups}
    assert shapes == {0.3: [4], 0.0: [1, 1, 1]}


def test_every_option_is_described():
    for name, field in TrainConfig.model_fields.items():
        assert field.description or name not in ("network", "losses"), name
        for option, inner in getattr(field.annotation, "model_fields", {}).items():
            assert inner.description, f"{name}.{option}"


def test_the_first_difference_is_of_what_shapes_a_run():
    one = small_config().resolved()
    elsewhere = json.loads(json.dumps(one))
    elsewhere["data"] |= {"folder": "/other", "workers": 7}
    elsewhere["run"] |= {"device": "cuda", "loaders": 9, "checkpoint_minutes": 1.0}
    assert first_difference(one, elsewhere) is None
    elsewhere["optimiser"]["steps"] = 13
    elsewhere["run"]["seed"] = 1
    assert first_difference(one, elsewhere) == ("optimiser.steps", 12, 13)
    # Of an earlier version, with options that are gone: with these values they changed nothing.
    earlier = json.loads(json.dumps(one))
    earlier["augmentation"] |= {"keypoint_dropout": 0.0, "all_keypoints_dropout": 0.0}
    assert first_difference(one, earlier) is None
    earlier["augmentation"]["keypoint_dropout"] = 0.1
    assert first_difference(one, earlier) == ("augmentation.keypoint_dropout", None, 0.1)
    del elsewhere["optimiser"]["steps"]
    assert first_difference(one, elsewhere) == ("optimiser.steps", 12, None)
    assert first_difference(elsewhere, one) == ("run.seed", 1, 0)
