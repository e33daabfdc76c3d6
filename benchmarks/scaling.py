"""What Ray costs `fit-hands`, and what a second worker gives.

python benchmarks/scaling.py photos/ --limit 200 -- --max-hands 1
python benchmarks/scaling.py photos/ --workers 1 2 4 --repeats 5

The whole command runs without Ray and with each number of Ray's workers, taking turns so that all
meet the same states of the machine. Rates are those of the command's log, from the start of the
work to its end; what the command takes before and after is its start-up. Ray's workers load their
model after the start of the work, which in a short run is most of it: what an image costs in
wall and processor time is therefore counted from the first block that is written on. Processor time
is that of all processes of the command, to within a quarter of a second.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from measuring import (
    BenchmarkError,
    fit_hands_command,
    logged,
    parse_with_rest,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from processes import Member, Running
from rich.console import Console
from rich.table import Table

from fitter.inputs.listing import ImageSource

ALONE = "without Ray"
WARM_UP = 8
"""Images of the run that is not counted: it compiles and loads what later runs find."""
BLOCKS = ("--set", "run.block_size=64")
"""Before the user's options: short blocks, so that the first is written soon."""
PAUSE = 0.25
"""Seconds between two observations."""


@dataclass(frozen=True)
class Measured:
    """One run of the command.

    Attributes:
        images: images done.
        hands: fitted in them.
        seconds: from the start of the work to its end.
        start_up: seconds of the command before and after.
        steady_images: images of these in blocks after the first.
        steady_seconds: from the moment when the first block was written to the end.
        cpu: seconds of processor time of all its processes in that time, by role.
        cpu_all: the same of the whole command, all roles.
    """

    images: int
    hands: int
    seconds: float
    start_up: float
    steady_images: int
    steady_seconds: float
    cpu: dict[str, float]
    cpu_all: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def steady(self) -> float:
        """Images a second from the first block on."""
        return self.steady_images / self.steady_seconds

    @property
    def wall_ms(self) -> float:
        """Of an image from the first block on."""
        return 1000 / self.steady

    @property
    def cpu_ms(self) -> float:
        """Of an image from the first block on."""
        return 1000 * sum(self.cpu.values()) / self.steady_images


@dataclass
class Run:
    """What is observed of a run: events of its log, and processor time by role.

    Attributes:
        block: the event of the block that was written first; `at_block`: the time then.
        ended: the event of the end; `at_end`: the time then.
        cpu: the time in all.
        seconds: wall time of the whole command.
    """

    block: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    at_block: dict[str, float] = field(default_factory=dict)
    at_end: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def write_list(images: str, limit: int | None, path: Path) -> int:
    """List images in a text file that fit-hands reads; how many they are."""
    source = ImageSource.of([images])
    paths = [str((source.root / name).resolve()) for name in source.names()][:limit]
    path.write_text("".join(f"{one}\n" for one in paths), encoding="utf-8")
    return len(paths)


def run_once(listing: Path, options: Sequence[str], folder: Path) -> Run:
    """Run the command once.

    Raises:
        BenchmarkError: it did not end well.
    """
    store, output = folder / "r.zarr", folder / "output.txt"
    store.with_name(f"{store.name}.log.jsonl").unlink(missing_ok=True)
    words = [fit_hands_command(), listing, "--out", store, "--overwrite", *BLOCKS, *options]
    found = Run()

    def add_up(members: list[Member]) -> None:
        found.cpu = running.family.cpu_by_role()
        found.block = found.block or logged(store, "block")
        found.ended = found.ended or logged(store, "ended")
        if found.block is not None and not found.at_block:
            found.at_block = found.cpu
        if found.ended is not None and not found.at_end:
            found.at_end = found.cpu

    with Running(words, output) as running:
        running.watch(each=add_up, pause=PAUSE)
    found.seconds = running.seconds
    # The last observation came after its end.
    if running.status not in (0, 1) or found.ended is None or found.block is None:
        said = output.read_text(errors="replace").strip().splitlines()[-1:]
        raise BenchmarkError(
            f"expected fit-hands {' '.join(options)} to end with 0 or 1, found {running.status}: "
            + "".join(said)
        )
    return found


def measure(listing: Path, options: Sequence[str], folder: Path) -> Measured:
    """The figures of one run.

    Raises:
        BenchmarkError: it did not end well, or was too short.
    """
    run = run_once(listing, options, folder)
    images = run.ended["images"] - run.block["images"]
    if not images:
        raise BenchmarkError(
            f"expected images for more than one block, found {run.ended['images']}; "
            "--set run.block_size=16 makes blocks shorter."
        )
    moments = [datetime.fromisoformat(event["time"]) for event in (run.block, run.ended)]
    return Measured(
        images=run.ended["images"],
        hands=run.ended["hands"],
        seconds=run.ended["seconds"],
        start_up=run.seconds - run.ended["seconds"],
        steady_images=images,
        steady_seconds=(moments[1] - moments[0]).total_seconds(),
        cpu={role: run.at_end[role] - run.at_block[role] for role in run.cpu},
        cpu_all=sum(run.cpu.values()),
    )


def variants(arguments: argparse.Namespace, rest: Sequence[str]) -> dict[str, list[str]]:
    """The options of each way to run, by its name."""
    found = {ALONE: list(rest)}
    if importlib.util.find_spec("ray") is None:
        print("Ray is not installed: without it alone")
        return found
    for workers in arguments.workers:
        more = ["--ray", arguments.ray, "--workers", str(workers)]
        found[f"Ray, {workers} worker{'s' if workers > 1 else ''}"] = [*rest, *more]
    return found


def compare(runs: dict[str, list[Measured]]) -> dict[str, float]:
    """What one way costs or gives beside another, of the medians."""
    names = list(runs)
    alone, *with_ray = names
    found = {}
    for name in with_ray:
        for unit in ("wall_ms", "cpu_ms"):
            more = _median(runs[name], unit) - _median(runs[alone], unit)
            found[f"{name}: {unit} an image more than {alone}"] = more
    for name in with_ray[1:]:
        for unit in ("rate", "steady"):
            ratios = [_median(runs[each], unit) for each in (name, with_ray[0])]
            found[f"{name}: {unit} over {with_ray[0]}"] = ratios[0] / ratios[1]
    return found


def _median(runs: Sequence[Measured], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def show(runs: dict[str, list[Measured]], comparison: dict[str, float]) -> None:
    table = Table(title="median (least to most); steady: from the first block on")
    units = {"rate": ("images / s", 2), "steady": ("steady", 2), "cpu_ms": ("steady CPU ms", 1),
             "start_up": ("start-up s", 1)}  # fmt: skip
    table.add_column("")
    for heading, _ in units.values():
        table.add_column(heading, justify="right")
    for name, some in runs.items():
        cells = []
        for unit, (_, digits) in units.items():
            values = [getattr(run, unit) for run in some]
            shown = [statistics.median(values), min(values), max(values)]
            middle, least, most = (f"{value:.{digits}f}" for value in shown)
            cells.append(f"{middle}\n({least}-{most})")
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    for name, some in runs.items():
        roles = {role for run in some for role, seconds in run.cpu.items() if seconds > 0}
        shares = {
            role: statistics.median(1000 * run.cpu[role] / run.steady_images for run in some)
            for role in some[0].cpu
            if role in roles
        }
        parts = ", ".join(f"{role} {share:.1f}" for role, share in shares.items())
        console.print(f"CPU ms an image, {name}: {parts}", highlight=False, soft_wrap=True)
    for name, value in comparison.items():
        console.print(f"{name}: {value:.3f}", highlight=False, soft_wrap=True)


def run(arguments: argparse.Namespace, rest: Sequence[str]) -> dict[str, object]:
    ways = variants(arguments, rest)
    runs: dict[str, list[Measured]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_list(arguments.images, min(WARM_UP, arguments.limit or WARM_UP), folder / "few.txt")
        run_once(folder / "few.txt", rest, folder)
        count = write_list(arguments.images, arguments.limit, folder / "all.txt")
        for repeat in range(arguments.repeats):
            # Back and forth, so that a machine that slows down favours nobody.
            for way in list(ways)[:: 1 if repeat % 2 == 0 else -1]:
                runs[way].append(measure(folder / "all.txt", ways[way], folder))
                print(f"{way}: {runs[way][-1].rate:.2f} images a second", flush=True)
    comparison = compare(runs)
    show(runs, comparison)
    return {"images": count, "options": rest, "runs": runs, "comparison": comparison}


def main() -> None:
    options = parser("Images a second of fit-hands without Ray and with its workers.")
    options.add_argument("images", help="as for fit-hands: folder, image, pattern or list")
    options.add_argument(
        "--workers", type=positive, nargs="+", default=[1, 2], help="Ray's (default: 1 2)"
    )
    options.add_argument("--ray", default="local", help="as for fit-hands (default: local)")
    options.add_argument("--limit", type=positive, help="take only so many images")
    options.add_argument(
        "--repeats", type=positive, default=3, help="runs of each way (default: 3)"
    )
    arguments, rest = parse_with_rest(options)
    use_threads(arguments.threads)
    write_json(arguments.json, run(arguments, rest))


if __name__ == "__main__":
    run_command(main)
