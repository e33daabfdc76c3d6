"""The trainings whose networks the tables of RealisticHands compare.

Each is a run of `train-hands` in a folder of its own: one that was killed goes on, one that is
whole is not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from measuring import BenchmarkError

from fitter.system.files import write_whole
from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import ShardedSamples
from init_net.samples.sightings import Sightings
from init_net.training.command import train_hands
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.run_folder import read_manifest

TRAINED_SHARE = 0.7
"""Of the samples; the others are measured on (Seeber 4.1)."""

EPOCHS = {"image": 120, "keypoint": 100, "fusion": 100, "finalize": 180}
"""Stages that regress hands, and how long each is (Seeber 4.1): steps have their proportions."""

MASKS = "segmentation"
"""The stage that comes last."""

MASK_SHARE = 0.2
"""Its steps, of those of all others together. The paper's 10 epochs beside 500 are of more samples
each: both of its data sets."""

COMPACT = (
    "network.encoder=mobilenetv3_small_050",
    "network.keypoint_dropout.all=0.0",
    "network.keypoint_dropout.single=0.0",
    "optimiser.batch_size=16",
    "optimiser.learning_rate=2.0e-3",
    "optimiser.warmup_steps=50",
    "optimiser.schedule=cosine",
    "optimiser.ema_decay=0.99",
    "augmentation.noise=0.0",
)
"""What all arms learn with: small batches, since the steps are few. No keypoints are taken away,
as the paper tells of none; of some hands the detector has seen none. Noise costs a third of a
batch."""

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Plan:
    """What is learned from, and for how long.

    Attributes:
        samples: folder of rendered samples that the detector has looked at.
        count: how many of them there are.
        validation: folder of others, which `train-hands` validates on: nothing is chosen by them.
        work: folder of the runs.
        held_out: hands that are measured, at most; refined: of these, those that are refined.
        pairs: folder of rendered pairs; pair_count: how many of them there are.
        options: further ones of `train-hands`, the same for all arms.
    """

    samples: Path
    count: int
    validation: Path
    work: Path
    held_out: int
    refined: int
    pairs: Path
    pair_count: int
    options: Sequence[str] = field(default_factory=tuple)

    @property
    def trained(self) -> int:
        """Leading samples that are learned from."""
        return round(TRAINED_SHARE * self.count)


@dataclass(frozen=True)
class Arm:
    """A training.

    Attributes:
        name: of what is varied, such as "multi-stage".
        preset: in ``configs/train``.
        steps: of the stages that regress hands, all together.
        seed: of the first weights, the batches and their variation.
    """

    name: str
    preset: str
    steps: int
    seed: int

    def __str__(self) -> str:
        return f"{self.name}-{self.steps}-{self.seed}"

    @property
    def needed(self) -> tuple[Arm, ...]:
        """Arms that are trained first, in order, and this one."""
        return (self,)

    def config(self, plan: Plan) -> TrainConfig:
        """Of the run."""
        words = [*COMPACT, *_samples(plan), *_RUN, *plan.options]
        config = load_train_config(self.preset, words)
        lengths = stage_steps(list(config.stages), self.steps)
        stages = {
            name: stage.model_copy(update={**_LIKE_THE_RUN, "steps": steps})
            for (name, stage), steps in zip(config.stages.items(), lengths, strict=True)
        }
        return config.model_copy(
            update={
                "stages": stages,
                "run": config.run.model_copy(update={"seed": self.seed}),
                "optimiser": config.optimiser.model_copy(update={"steps": self.steps}),
            }
        )


@dataclass(frozen=True)
class StereoArm(Arm):
    """A training on pairs, which begins with the network of another arm.

    Attributes:
        mono: that arm.
    """

    mono: Arm

    @property
    def needed(self) -> tuple[Arm, ...]:
        """See `Arm.needed`."""
        return (*self.mono.needed, self)

    def config(self, plan: Plan) -> TrainConfig:
        """Of the run; its stages are as long as the preset has them, in epochs."""
        encoder = COMPACT[0].replace("network.", "network.mono.")
        words = [
            encoder,
            f"pairs.folder={plan.pairs}",
            f"pairs.count={plan.pair_count}",
            f"run.start={plan.work / str(self.mono) / WEIGHTS}",
            *_RUN,
            *plan.options,
        ]
        config = load_train_config(self.preset, words)
        run = config.run.model_copy(update={"seed": self.seed})
        return config.model_copy(update={"run": run})


_LIKE_THE_RUN = dict.fromkeys(
    ("epochs", "learning_rate", "schedule", "decay_epochs", "decay_factor")
)
"""Options of stages that the run's take the place of."""

_RUN = (
    "run.device=cpu",
    "run.threads=1",
    "run.loaders=0",
    "run.log_every=25",
    "run.validate_every=1000000",
    "run.checkpoint_minutes=2",
)


def _samples(plan: Plan) -> list[str]:
    """What all arms but those on pairs learn from."""
    return [
        f"data.folder={plan.samples}",
        f"data.count={plan.trained}",
        f"validation.folder={plan.validation}",
        "validation.count=64",
    ]


def stage_steps(names: Sequence[str], total: int) -> list[int]:
    """How long stages are: those that regress hands add up to `total`.

    Raises:
        BenchmarkError: there is another stage than those that are printed.
    """
    unknown = set(names) - {*EPOCHS, MASKS}
    if unknown:
        raise BenchmarkError(f"expected stages {[*EPOCHS, MASKS]}, found {sorted(unknown)}, too")
    epochs = [EPOCHS.get(name, 0) for name in names]
    ends = np.rint(total * np.cumsum(epochs) / max(sum(epochs), 1)).astype(int)
    steps = np.diff(ends, prepend=0).tolist()
    masks = round(MASK_SHARE * total)
    return [masks if name == MASKS else count for name, count in zip(names, steps, strict=True)]


def trained(arm: Arm, plan: Plan) -> Path:
    """The weights of an arm, trained as far as they are not yet.

    Raises:
        BenchmarkError: the training did not end well; what is done of it is kept.
    """
    *earlier, _ = arm.needed
    out = plan.work / str(arm)
    weights = out / WEIGHTS
    if weights.exists():
        return weights
    for each in earlier:
        trained(each, plan)
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_suffix(".yaml")
    # A section without options in a file has its defaults: what is not there is left out.
    options = {name: said for name, said in arm.config(plan).resolved().items() if said is not None}
    text = yaml.safe_dump(options, sort_keys=False)
    write_whole(file, text.encode())
    with _timed(seconds_file(plan, arm)):
        run_train_hands([str(file), "--out", str(out), "--quiet"])
    return weights


def run_train_hands(words: Sequence[str]) -> None:
    """`train-hands` in this process.

    Raises:
        BenchmarkError: it did not end well.
    """
    try:
        train_hands(list(words))
    except SystemExit as end:
        if end.code:
            raise BenchmarkError(f"train-hands ended with {end.code}: {' '.join(words)}") from None


@contextmanager
def _timed(file: Path) -> Iterator[None]:
    """Adds the processor time of a block to what a file says has been taken before."""
    begun = time.process_time()
    try:
        yield
    finally:
        total = _read_seconds(file) + time.process_time() - begun
        write_whole(file, json.dumps(total).encode())


def seconds_file(plan: Plan, arm: Arm) -> Path:
    """Where the processor time of an arm stands; what a kill took is not in it."""
    return plan.work / f"{arm}.seconds.json"


def _read_seconds(file: Path) -> float:
    return float(json.loads(file.read_text())) if file.exists() else 0.0


def described(arm: Arm, plan: Plan) -> dict[str, Any]:
    """How an arm was trained: its options as far as they are not where files lie."""
    config = read_manifest(plan.work / str(arm))["config"]
    stages = {
        name: {option: said for option, said in stage.items() if said not in (None, [])}
        for name, stage in config["stages"].items()
    }
    pairs = config.get("pairs")
    samples = (
        {"seed": config["data"]["seed"], "trained_on": plan.trained, "all": plan.count}
        if pairs is None
        else {"pairs": pairs["count"]}
    )
    options = ("network", "optimiser", "losses", "augmentation")
    return {
        "preset": Path(arm.preset).stem,
        **{name: config[name] for name in options},
        "stages": stages,
        "samples": samples,
        "cpu_seconds": round(_read_seconds(seconds_file(plan, arm))),
    }


def held_out(plan: Plan, size: int, margin: float) -> Cropper:
    """Crops of samples that no arm has learned from, in which the detector saw the hand.

    Args:
        plan: of the arms.
        size, margin: of the crops, as the network takes them.

    Raises:
        BenchmarkError: there are none.
    """
    samples = ShardedSamples(plan.samples, plan.count)
    rest = np.arange(plan.trained, plan.count)
    looks = Sightings(samples, [1]).read(rest, np.zeros_like(rest), ("found",))
    seen = rest[looks["found"] > 0][: plan.held_out]
    if len(seen) == 0:
        raise BenchmarkError(f"expected hands behind the first {plan.trained}, found none")
    return Cropper(samples.subset(seen), size, margin, None)


def write_result(file: Path, said: Mapping[str, Any]) -> None:
    """Figures of an arm, as JSON that differs only where figures do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps(said, indent=1) + "\n").encode())
