"""Trainings that a benchmark compares, and what is measured of them: each done once, whoever asks.

An arm is a run of `train-hands` in a folder of its own: one that was killed goes on, one that is
whole is not done again. What is measured of it is a JSON file, which is not made again either.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import yaml
from measuring import BenchmarkError, parser, positive

from fitter.errors import InputError
from fitter.system.files import write_whole
from fitter.system.lock import WriterLock
from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import ShardedSamples
from init_net.samples.sightings import FOUND, TOLD, Sightings
from init_net.training.command import train_hands
from init_net.training.config import TrainConfig
from init_net.training.run_folder import read_manifest

TRAINED_SHARE = 0.7
"""Of the samples; the others are measured on (Seeber 4.1)."""

WEIGHTS = "weights.safetensors"

RUN = (
    "run.device=cpu",
    "run.threads=1",
    "run.loaders=0",
    "run.log_every=25",
    "run.validate_every=1000000",
    "run.checkpoint_minutes=2",
)
"""How every arm runs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is learned from, and where it is kept.

    Attributes:
        samples: folder of rendered samples that the detector has looked at.
        count: how many of them there are.
        validation: folder of others, which `train-hands` validates on: nothing is chosen by them.
        work: folder of the runs.
        held_out: hands that are measured, at most.
        options: further ones of `train-hands`, the same for all arms.
    """

    samples: Path
    count: int
    validation: Path
    work: Path
    held_out: int
    options: Sequence[str] = field(default_factory=tuple)

    @property
    def trained(self) -> int:
        """Leading samples that are learned from."""
        return round(TRAINED_SHARE * self.count)

    @property
    def sources(self) -> list[str]:
        """Options of `train-hands`: what arms learn from."""
        return [
            f"data.folder={self.samples}",
            f"data.count={self.trained}",
            f"validation.folder={self.validation}",
            "validation.count=64",
        ]

    @property
    def measured_sightings(self) -> Sequence[int]:
        """How the detector saw hands that are measured: by itself, or told where to look, too."""
        return (FOUND, TOLD)


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Training(ABC, Generic[P]):
    """An arm.

    Attributes:
        name: of what is varied, such as "multi-stage".
        preset: in ``configs/train``.
        steps: how long it learns.
        seed: of the first weights, the batches and their variation.
    """

    name: str
    preset: str
    steps: int
    seed: int

    def __str__(self) -> str:
        return f"{self.name}-{self.steps}-{self.seed}"

    @property
    def needed(self) -> tuple[Training[P], ...]:
        """Arms that are trained first, in order, and this one."""
        return (self,)

    @abstractmethod
    def config(self, plan: P) -> TrainConfig:
        """Of the run."""


def plan_parser(description: str, parts: Sequence[str], results: Path) -> argparse.ArgumentParser:
    """A command line with what may be asked for, and the options of a plan.

    Args:
        description: of the benchmark.
        parts: that may be asked for.
        results: folder of the figures by default.
    """
    said = parser(description)
    said.add_argument("parts", nargs="+", choices=parts, metavar="PART", help=", ".join(parts))
    work = Path("runs") / "benchmarks" / results.name
    said.add_argument("--work", type=Path, default=work, metavar="DIR",
                      help=f"of the trainings (default: {work})")  # fmt: skip
    said.add_argument("--samples", type=Path, default=Path("data/train"), metavar="DIR",
                      help="rendered samples (default: data/train)")  # fmt: skip
    said.add_argument("--validation", type=Path, default=Path("data/validation"), metavar="DIR",
                      help="others (default: data/validation)")  # fmt: skip
    said.add_argument("--results", type=Path, default=results, metavar="DIR", help="of the figures")
    said.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: 0 1 2")
    add_counts(said, ("--count", 25_600, "samples"), ("--held-out", 1_000, "hands measured"))
    said.add_argument("--set", action="append", default=[], metavar="SECTION.OPTION=VALUE",
                      help="as for train-hands, for all arms")  # fmt: skip
    return said


def add_counts(said: argparse.ArgumentParser, *counts: tuple[str, int, str]) -> None:
    """Flags of whole numbers: name, default, and what they count."""
    for flag, default, what in counts:
        said.add_argument(flag, type=positive, default=default, metavar="N",
                          help=f"{what} (default: {default})")  # fmt: skip


def plan_options(given: argparse.Namespace) -> dict[str, Any]:
    """What a command line of `plan_parser` says of a `Plan`, by the names of its fields."""
    return {
        "samples": given.samples.absolute(),
        "count": given.count,
        "validation": given.validation.absolute(),
        "work": given.work,
        "held_out": given.held_out,
        "options": tuple(given.set),
    }


def trained(arm: Training[P], plan: P) -> Path:
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
        total = read_seconds(file) + time.process_time() - begun
        write_whole(file, json.dumps(total).encode())


def seconds_file(plan: Plan, arm: Training[Any]) -> Path:
    """Where the processor time of an arm stands; what a kill took is not in it."""
    return plan.work / f"{arm}.seconds.json"


def read_seconds(file: Path) -> float:
    """The processor time that such a file says; none where there is no file."""
    return float(json.loads(file.read_text())) if file.exists() else 0.0


def described(arm: Training[P], plan: P) -> dict[str, Any]:
    """How an arm was trained: its options as far as they are not where files lie."""
    config = read_manifest(plan.work / str(arm))["config"]
    stages = {
        name: {option: said for option, said in stage.items() if said not in (None, [])}
        for name, stage in config["stages"].items()
    }
    pairs = config.get("pairs")
    samples = _rendered(config["data"], plan) if pairs is None else {"pairs": pairs["count"]}
    samples |= {name: each["count"] for name, each in config.get("datasets", {}).items()}
    options = ("network", "optimiser", "losses", "augmentation")
    return {
        "preset": Path(arm.preset).stem,
        **{name: config[name] for name in options},
        **({"supervision": config["supervision"]} if config.get("supervision") else {}),
        "stages": stages,
        "samples": samples,
        "cpu_seconds": round(read_seconds(seconds_file(plan, arm))),
    }


def _rendered(data: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Which rendered samples were learned from; none where no step has a share of them."""
    learned = 0 if data["share"] == 0 else data["count"]
    return {"seed": data["seed"], "trained_on": learned, "all": plan.count}


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
    seen = seen_by_the_detector(samples, rest, plan.measured_sightings)[: plan.held_out]
    if len(seen) == 0:
        raise BenchmarkError(f"expected hands behind the first {plan.trained}, found none")
    return Cropper(samples.subset(seen), size, margin, None)


def seen_by_the_detector(
    samples: ShardedSamples, rows: np.ndarray, sightings: Sequence[int]
) -> np.ndarray:
    """Those rows of samples whose hand the detector saw as it is in the picture, in one of the ways
    `sightings`: FOUND by itself, or TOLD where to look."""
    looks = Sightings(samples, [1] * len(samples.sets)).read(rows, np.zeros_like(rows), ("found",))
    return rows[np.isin(looks["found"], sightings)]


@dataclass(frozen=True)
class Asked(Generic[P]):
    """What a benchmark can be asked for, and how its arms are named.

    Attributes:
        parts: table or figure -> what is measured for it, and on which arms.
        thrice: arms that decide, which several seeds are asked of unless seeds are named.
        arm_of: the arm of a name, a number of steps and a seed.
    """

    parts: Mapping[str, tuple[str, Sequence[str]]]
    thrice: frozenset[str]
    arm_of: Callable[[str, int, int], Training[P]]

    def arms(
        self, parts: Sequence[str], steps: int, seeds: Sequence[int], decided: bool
    ) -> list[tuple[str, Any]]:
        """What is measured on which arm: the first seed of all of them before the second of any.

        Args:
            parts: that are wanted.
            steps: of each arm.
            seeds: in order.
            decided: from the second seed on only those arms that decide.
        """
        said = [
            (self.parts[part][0], self.arm_of(name, steps, seed))
            for seed in seeds
            for part in parts
            for name in self.parts[part][1]
            if not decided or seed == seeds[0] or name in self.thrice
        ]
        return list(dict.fromkeys(said))


def write_result(file: Path, said: Mapping[str, Any]) -> None:
    """Figures of an arm, as JSON that differs only where figures do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps(said, indent=1) + "\n").encode())


def measured(
    file: Path, arm: Training[P], plan: P, measure: Callable[[Path], Mapping[str, Any]]
) -> bool:
    """Train and measure an arm where that is not done yet; whether it is done now.

    It is not where somebody else trains the arm.

    Args:
        file: of the result.
        arm: which.
        plan: of the arms.
        measure: what is said of the weights.
    """
    if file.exists():
        return True
    with alone(arm, plan) as is_free:
        if not is_free:
            return False
        said = {"arm": arm.name, "steps": arm.steps, "seed": arm.seed}
        write_result(file, {**said, **measure(trained(arm, plan))})
    print(file, file=sys.stderr)
    return True


@contextmanager
def alone(arm: Training[P], plan: P) -> Iterator[bool]:
    """Whether nobody else is at an arm, nor at those that it needs and that are not trained yet;
    nobody is while it lasts."""
    with ExitStack() as locks:
        try:
            for each in arm.needed:
                if each == arm or not (plan.work / str(each) / WEIGHTS).exists():
                    locks.callback(_locked(plan, each).release)
        except InputError as error:
            if error.code != "run.busy":
                raise
            print(f"{arm}: another process is at it", file=sys.stderr)
            yield False
            return
        yield True


def _locked(plan: Plan, arm: Training[Any]) -> WriterLock:
    plan.work.mkdir(parents=True, exist_ok=True)
    return WriterLock(plan.work / f"{arm}.arm")
