"""What Ray costs `fit-hands`, and what a second worker gives.

python benchmarks/scaling.py photos/ --limit 200 -- --max-hands 1
python benchmarks/scaling.py photos/ --workers 1 2 4 --repeats 5

The whole command runs without Ray and with each number of Ray's workers, taking turns so that all
meet the same states of the machine. Rates are those of the command's log, from the start of the
work to its end; what the command takes before and after is its start-up. Processor time is that of
all its processes between the same two moments, to within a quarter of a second.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import (
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

from datasets.listing import ImageSource
from fitter.records import InputError

ALONE = "without Ray"
WARM_UP = 8
"""Pictures of the run that is not counted: it compiles and loads what later runs find."""
PAUSE = 0.25
"""Seconds between two looks."""


@dataclass(frozen=True)
class Measured:
    """One run of the command.

    Attributes:
        images: pictures done.
        hands: fitted in them.
        seconds: from the start of the work to its end.
        start_up: seconds of the command before and after.
        cpu: seconds of processor time of all its processes during the work, by role.
        cpu_all: the same of the whole command, all roles.
    """

    images: int
    hands: int
    seconds: float
    start_up: float
    cpu: dict[str, float]
    cpu_all: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def wall_ms(self) -> float:
        """Of an image."""
        return 1000 * self.seconds / self.images

    @property
    def cpu_ms(self) -> float:
        """Of an image, during the work."""
        return 1000 * sum(self.cpu.values()) / self.images


def write_list(images: str, limit: int | None, path: Path) -> int:
    """List pictures in a text file that fit-hands reads; how many they are."""
    source = ImageSource.of([images])
    paths = [str((source.root / name).resolve()) for name in source.names()][:limit]
    path.write_text("".join(f"{one}\n" for one in paths), encoding="utf-8")
    return len(paths)


def measure(listing: Path, options: Sequence[str], folder: Path) -> Measured:
    """Run the command once.

    Raises:
        InputError: it did not end well.
    """
    store, output = folder / "r.zarr", folder / "output.txt"
    store.with_name(f"{store.name}.log.jsonl").unlink(missing_ok=True)
    words = [fit_hands_command(), listing, "--out", store, "--overwrite", *options]
    at_start: dict[str, float] = {}
    at_end: dict[str, float] = {}

    def look(members: list[Member]) -> None:
        cpu = running.family.cpu_by_role()
        if logged(store, "started") is None:
            at_start.update(cpu)
        if not at_end and logged(store, "ended") is not None:
            at_end.update(cpu)

    with Running(words, output) as running:
        running.watch(each=look, pause=PAUSE)
        total = running.family.cpu_by_role()
    ended = logged(store, "ended")
    if running.status not in (0, 1) or ended is None:
        said = output.read_text(errors="replace").strip().splitlines()[-1:]
        raise InputError(
            f"expected fit-hands {' '.join(options)} to end with 0 or 1, found {running.status}: "
            + "".join(said)
        )
    return Measured(
        images=ended["images"],
        hands=ended["hands"],
        seconds=ended["seconds"],
        start_up=running.seconds - ended["seconds"],
        cpu={role: (at_end or total)[role] - at_start.get(role, 0.0) for role in total},
        cpu_all=sum(total.values()),
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
    alone, *spread = names
    found = {}
    for name in spread:
        for unit in ("wall_ms", "cpu_ms"):
            more = _median(runs[name], unit) - _median(runs[alone], unit)
            found[f"{name}: {unit} an image more than {alone}"] = more
    for name in spread[1:]:
        rates = [_median(runs[each], "rate") for each in (name, spread[0])]
        found[f"{name}: rate over {spread[0]}"] = rates[0] / rates[1]
    return found


def _median(runs: Sequence[Measured], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def show(runs: dict[str, list[Measured]], comparison: dict[str, float]) -> None:
    table = Table(title="median (least to most)")
    for heading in ("", "images a second", "CPU ms an image", "start-up, s", "CPU s in all"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, some in runs.items():
        table.add_row(
            name,
            *(
                f"{_median(some, unit):.{digits}f} ({min(values):.{digits}f} to "
                f"{max(values):.{digits}f})"
                for unit, digits in (("rate", 2), ("cpu_ms", 1), ("start_up", 1), ("cpu_all", 1))
                for values in [[getattr(run, unit) for run in some]]
            ),
        )
    console = Console()
    console.print(table)
    for name, some in runs.items():
        roles = {role for run in some for role, seconds in run.cpu.items() if seconds > 0}
        parts = ", ".join(
            f"{role} {statistics.median(1000 * run.cpu[role] / run.images for run in some):.1f}"
            for role in some[0].cpu
            if role in roles
        )
        console.print(f"CPU ms an image, {name}: {parts}", highlight=False, soft_wrap=True)
    for name, value in comparison.items():
        console.print(f"{name}: {value:.3f}", highlight=False, soft_wrap=True)


def run(arguments: argparse.Namespace, rest: Sequence[str]) -> dict[str, object]:
    ways = variants(arguments, rest)
    runs: dict[str, list[Measured]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_list(arguments.images, min(WARM_UP, arguments.limit or WARM_UP), folder / "few.txt")
        measure(folder / "few.txt", rest, folder)
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
    options.add_argument("images", help="as for fit-hands: folder, picture, pattern or list")
    options.add_argument(
        "--workers", type=positive, nargs="+", default=[1, 2], help="Ray's (default: 1 2)"
    )
    options.add_argument("--ray", default="local", help="as for fit-hands (default: local)")
    options.add_argument("--limit", type=positive, help="take only so many pictures")
    options.add_argument(
        "--repeats", type=positive, default=3, help="runs of each way (default: 3)"
    )
    arguments, rest = parse_with_rest(options)
    use_threads(arguments.threads)
    write_json(arguments.json, run(arguments, rest))


if __name__ == "__main__":
    run_command(main)
