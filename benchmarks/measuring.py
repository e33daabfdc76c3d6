"""What the benchmarks share: clocks, threads, options, the command and the JSON file."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from fitter.errors import UserError


@dataclass(frozen=True)
class Seconds:
    """Wall time and the processor time of this process, all threads together."""

    wall: float
    cpu: float


@dataclass
class Stopwatch:
    """Adds up the time of named parts."""

    parts: dict[str, Seconds] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        before = self.parts.get(name, Seconds(0.0, 0.0))
        self.parts[name] = Seconds(
            before.wall + time.perf_counter() - wall, before.cpu + time.process_time() - cpu
        )


def median_seconds(work: Callable[[], object], repeats: int) -> Seconds:
    """Median of several runs, after one that is not counted.

    CUDA works behind the caller's back: `work` must end in a result on the CPU, or wait itself.
    """
    work()
    runs = []
    for _ in range(repeats):
        watch = Stopwatch()
        with watch.part("run"):
            work()
        runs.append(watch.parts["run"])
    return Seconds(
        statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs)
    )


def parser(description: str) -> argparse.ArgumentParser:
    """A command line with the options that all benchmarks have."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    options.add_argument(
        "--threads", type=int, default=1, help="threads of PyTorch's operations (default: 1)"
    )
    return options


def add_set(options: argparse.ArgumentParser) -> None:
    """The flag ``--set``, as the commands have it."""
    options.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.OPTION=VALUE",
        help="as for fit-hands",
    )


def parse_with_rest(options: argparse.ArgumentParser) -> tuple[argparse.Namespace, list[str]]:
    """A benchmark's own options, and the words after ``--``, which are for fit-hands.

    They are split off first: argparse would take some of them for its own.
    """
    options.epilog = "What stands after -- are options of fit-hands, such as: -- --ray local"
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    return options.parse_args(words[:split]), words[split + 1 :]


def fit_hands_command() -> str:
    """The command `fit-hands` of the environment that the benchmark runs in.

    Raises:
        BenchmarkError: it is not installed there.
    """
    found = shutil.which("fit-hands", path=Path(sys.executable).parent)
    if found is None:
        raise BenchmarkError(f"expected fit-hands beside {sys.executable}, found nothing there.")
    return found


def logged(store: Path, event: str) -> dict[str, Any] | None:
    """The last event of its kind in the log beside a store, or None while there is none."""
    path = store.with_name(f"{store.name}.log.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in reversed(lines):
        # A run that was killed may have left half a line.
        with suppress(ValueError):
            if (found := json.loads(line))["event"] == event:
                return found
    return None


def remove_results(store: Path) -> None:
    """Remove a store and the files that a run keeps beside it."""
    if store.exists():
        shutil.rmtree(store)
    for beside in store.parent.glob(f"{store.name}.*"):
        beside.unlink()


class BenchmarkError(Exception):
    """A benchmark cannot measure what it was asked for; its text is the sentence for people."""


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text}")
    return number


def run_command(main: Callable[[], None]) -> None:
    """Run a benchmark; a mistake in its options is told in one sentence."""
    try:
        main()
    except (BenchmarkError, UserError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None


def use_threads(count: int) -> None:
    torch.set_num_threads(count)


def write_json(path: Path | None, figures: Mapping[str, object]) -> None:
    """Write figures together with what they were measured on; nothing without a path."""
    if path is None:
        return
    machine = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
    text = json.dumps({"machine": machine, **figures}, indent=2, default=asdict)
    path.write_text(text + "\n")
