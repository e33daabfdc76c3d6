"""The lifter trained at once and in HandNet's stages: alone, and as the start of the whole fit.

    python benchmarks/lifter_stages.py work/lifter_stages --real FREIHAND_ROOT

The samples are those of the presets, in ``data`` below the current folder; `train-hands` renders
what is missing. Every arm is trained with every seed; its weights are measured on held-out renders
and on both halves of annotated photographs, laid out as FreiHAND is. What ships is measured in the
same run, and every difference is to that, hand by hand. Weights given by ``--further NAME=FILE``
are measured, too, whichever network they are of.

What is done is kept, arm by arm, in the folder: a command that was stopped goes on where it was.
``--csv`` writes a line an arm, seed and set.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lifter_stages_figures import SETS, KnownHands, Worth, photographed_hands, rendered_hands, worth
from measuring import BenchmarkError, add_set, parser, positive, run_command, use_threads
from rich.console import Console
from rich.table import Table

from fitter.config.options import Config, load_config
from init_net import read_info
from init_net.offer import SHIPPED
from init_net.training.command import train_hands
from init_net.training.evaluation import standard_error
from init_net.training.run_folder import WEIGHTS


@dataclass(frozen=True)
class Arm:
    """A way to train the lifter: a preset, and what is changed of it."""

    preset: str
    changes: tuple[str, ...] = ()


ARMS: Mapping[str, Arm] = {
    "at once": Arm("lifter"),
    "in stages": Arm("lifter_stages"),
    "in stages, the tail learns with the keypoints": Arm(
        "lifter_stages", ("stages.keypoint.trains=[keypoint_front, tail, head]",)
    ),
    "at once, twice as long": Arm("lifter", ("optimiser.steps=4000",)),
    "in stages, twice as long": Arm(
        "lifter_stages",
        (
            "stages.image.steps=960",
            "stages.keypoint.steps=800",
            "stages.fusion.steps=800",
            "stages.finalize.steps=1440",
        ),
    ),
}
"""What is compared; the first is how the weights that ship were trained."""


@dataclass(frozen=True)
class Candidate:
    """Weights to be measured.

    Attributes:
        name: of the arm.
        seed: of its training; None for weights that were there.
        network: lifter or handnet.
        file: path, or ``shipped``.
    """

    name: str
    seed: int | None
    network: str
    file: str

    @property
    def title(self) -> str:
        return self.name if self.seed is None else f"{self.name}, seed {self.seed}"

    def config(self, common: Config) -> Config:
        """Of a fit that starts from this network and no other."""
        files = {"lifter": None, "handnet": None, self.network: self.file, "source": "network"}
        return common.model_copy(update={"init": common.init.model_copy(update=files)})


def trained(name: str, seed: int, folder: Path) -> Candidate:
    """The weights of an arm, which is trained if it is not yet."""
    arm, run = ARMS[name], folder / f"{_slug(name)}-{seed}"
    if not (run / WEIGHTS).exists():
        changes = [*arm.changes, f"run.seed={seed}", "run.loaders=0"]
        words = [word for change in changes for word in ("--set", change)]
        try:
            train_hands([arm.preset, "--device", "cpu", "--out", str(run), *words])
        except SystemExit as end:
            if end.code:
                raise
    return Candidate(name, seed, "lifter", str(run / WEIGHTS))


def measured(
    candidate: Candidate, sets: Mapping[str, KnownHands], common: Config, folder: Path
) -> dict[str, Worth]:
    """Set -> what a candidate is worth there; measured if it is not yet."""
    path = folder / f"{_slug(candidate.title)}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    config = candidate.config(common)
    for name, known in sets.items():
        if name not in kept or len(kept[name]["alone"]) != len(known.truth):
            found = worth(config, candidate.network, known)
            kept[name] = {key: values.tolist() for key, values in vars(found).items()}
            path.write_text(json.dumps(kept))
    return {
        name: Worth(**{key: np.array(values) for key, values in kept[name].items()})
        for name in sets
    }


@dataclass(frozen=True)
class Line:
    """One candidate on one set: means over its hands, mm.

    Attributes:
        arm, seed: of the candidate; the seed is empty for weights that were there.
        hands: their set.
        count: of hands.
        alone, fitted: PA-MPJPE of the network and of the whole fit that starts from it.
        alone_more, fitted_more: how much more that is than what ships has on the same hands.
        alone_error, fitted_error: standard errors of these differences, over the hands.
    """

    arm: str
    seed: str
    hands: str
    count: int
    alone: float
    fitted: float
    alone_more: float
    alone_error: float
    fitted_more: float
    fitted_error: float

    @classmethod
    def of(cls, candidate: Candidate, hands: str, found: Worth, shipped: Worth) -> Line:
        alone, fitted = found.alone - shipped.alone, found.fitted - shipped.fitted
        return cls(
            candidate.name,
            "" if candidate.seed is None else str(candidate.seed),
            hands,
            len(alone),
            float(found.alone.mean()),
            float(found.fitted.mean()),
            float(alone.mean()),
            standard_error(alone),
            float(fitted.mean()),
            standard_error(fitted),
        )


def show(lines: Sequence[Line], console: Console) -> None:
    """A line an arm and set: means over its seeds, and how far seeds scatter."""
    table = Table("weights", "hands", "seeds", title="PA-MPJPE, mm; more than what ships: ± 1 se")
    for heading in ("alone", "more", "fit", "more"):
        table.add_column(heading, justify="right")
    for arm in dict.fromkeys(line.arm for line in lines):
        for hands in SETS:
            of_set = [line for line in lines if (line.arm, line.hands) == (arm, hands)]
            if of_set:
                table.add_row(arm, hands, str(len(of_set)), *_cells(of_set))
        table.add_section()
    console.print(table)


def _cells(lines: Sequence[Line]) -> Iterator[str]:
    """Of an arm on one set: errors of hands and seeds together, as if they were independent.

    That of N seeds has N - 1 degrees of freedom.
    """
    for key in ("alone", "fitted"):
        values, more, errors = (
            np.array([getattr(line, f"{key}{end}") for line in lines])
            for end in ("", "_more", "_error")
        )
        seeds = standard_error(more) if len(lines) > 1 else 0.0
        yield f"{values.mean():.2f}"
        # Hands are the same for all seeds: their error does not shrink with them.
        yield f"{more.mean():+.2f} ± {np.hypot(seeds, errors.mean()):.2f}"


def run(options: argparse.Namespace) -> list[Line]:
    """Train and measure all that is asked for; the lines so far are written after every arm."""
    common = load_config(None, options.set)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    sets = {SETS[0]: rendered_hands(options.samples, options.count, common)}
    if options.real is not None:
        sets |= zip(SETS[1:], photographed_hands(options.real, common), strict=True)
    given = [Candidate("what ships", None, "lifter", SHIPPED)]
    given += [_further(text) for text in options.further]
    lines: list[Line] = []
    shipped: dict[str, Worth] | None = None
    for candidate in _candidates(given, options):
        found = measured(candidate, sets, common, folder)
        shipped = shipped or found
        lines += [Line.of(candidate, name, found[name], shipped[name]) for name in sets]
        _write(lines, options.csv)
    return lines


def _candidates(given: Sequence[Candidate], options: argparse.Namespace) -> Iterator[Candidate]:
    yield from given
    for seed in range(options.seeds):
        for name in options.arms:
            yield trained(name, seed, options.folder)


def _further(text: str) -> Candidate:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise BenchmarkError(f"--further: expected NAME=FILE, found {text!r}")
    network = file if file in ("handnet", "lifter") else read_info(Path(file)).network.kind
    return Candidate(name, None, network, SHIPPED if file == network else file)


def _write(lines: Sequence[Line], path: Path | None) -> None:
    if path is None:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(vars(lines[0])), lineterminator="\n")
        writer.writeheader()
        for line in lines:
            writer.writerow(
                {
                    key: f"{value:.4f}" if isinstance(value, float) else value
                    for key, value in vars(line).items()
                }
            )


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "_")


def main(words: Sequence[str] | None = None) -> None:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("folder", type=Path, metavar="DIR", help="of weights and figures")
    options.add_argument("--samples", type=Path, default=Path("data/validation"), metavar="DIR",
                         help="held-out renders (default: data/validation)")  # fmt: skip
    options.add_argument("--count", type=positive, default=400, help="of them (default: 400)")
    options.add_argument("--real", type=Path, metavar="FREIHAND_ROOT")
    options.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS)[:2],
                         help="default: the first two")  # fmt: skip
    options.add_argument("--seeds", type=positive, default=3, help="of each arm (default: 3)")
    options.add_argument("--further", action="append", default=[], metavar="NAME=FILE",
                         help="weights, or handnet for those that ship")  # fmt: skip
    options.add_argument("--csv", type=Path, metavar="FILE", help="write the figures here, too")
    add_set(options)
    arguments = options.parse_args(words)
    use_threads(arguments.threads)
    show(run(arguments), Console(width=140))


if __name__ == "__main__":
    run_command(main)
