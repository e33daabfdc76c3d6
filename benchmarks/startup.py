"""How long is it until the first image is fitted, or the command has refused?

    python benchmarks/startup.py

Every part is a process of its own, timed from its start to its end, several times, in turns: the
median is printed. `import fitter` alone, `fit-hands --help`, one small image (detected and fitted,
and fitted to given keypoints), and refusals: a bad argument, a folder that is missing, a store that
exists. A run that is not counted comes first, so that kernels are compiled and files are cached;
its time is told as "first".
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from measuring import (
    BenchmarkError,
    fit_hands_command,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from PIL import Image
from rich.console import Console
from rich.table import Table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
IMAGE = "open_palm.jpg"
SCALE = 0.5
"""Of the example's sides: the small image has 320 x 240 pixels."""


@dataclass(frozen=True)
class Part:
    """A process to be timed.

    Attributes:
        command: its program and arguments.
        status: the exit status that it must have.
    """

    command: list[str]
    status: int


@dataclass(frozen=True)
class Timed:
    """The seconds of one part.

    Attributes:
        first: of the run that does not count.
        median: of the runs that do.
        all: of each of these.
    """

    first: float
    median: float
    all: list[float]


def write_inputs(folder: Path) -> None:
    """A small image, its keypoints, and a folder that looks like a result store."""
    (folder / "images").mkdir()
    with Image.open(EXAMPLES / IMAGE) as image:
        size = (round(image.width * SCALE), round(image.height * SCALE))
        image.resize(size).save(folder / "images" / IMAGE, quality=95)
    truth = json.loads((EXAMPLES / "ground_truth.json").read_text())["hands"]
    hands = [
        {"side": hand["side"], "keypoints": [[SCALE * x for x in p] for p in hand["keypoints_2d"]]}
        for hand in truth
        if hand["image"] == IMAGE
    ]
    (folder / "keypoints.json").write_text(json.dumps({IMAGE: hands}))


def parts_in(folder: Path) -> dict[str, Part]:
    """What is timed, by name; the fitted image leaves the store that a later part finds."""
    fit_hands, images = fit_hands_command(), str(folder / "images")
    fitted, given = (str(folder / name) for name in ("fitted.zarr", "given.zarr"))
    keypoints = ["--keypoints", str(folder / "keypoints.json")]
    cpu = ["--device", "cpu", "--quiet"]
    refused, missing = [fit_hands, images, "--out"], str(folder / "missing")
    return {
        "import fitter": Part([sys.executable, "-c", "import fitter"], 0),
        "--help": Part([fit_hands, "--help"], 0),
        "one image": Part([fit_hands, images, "--out", fitted, "--overwrite", *cpu], 0),
        "one image, keypoints given": Part(
            [fit_hands, images, "--out", given, "--overwrite", *keypoints, *cpu], 0
        ),
        "refused: bad argument": Part([*refused, missing, "--set", "fit.max_iteration=3"], 2),
        "refused: missing folder": Part([fit_hands, missing, "--out", missing], 2),
        "refused: existing store": Part([*refused, fitted], 2),
    }


def seconds_of(part: Part) -> float:
    """Wall time of one process.

    Raises:
        BenchmarkError: it ended in another way than it must.
    """
    begun = time.perf_counter()
    done = subprocess.run(part.command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    if done.returncode != part.status:
        raise BenchmarkError(
            f"expected exit status {part.status} of {' '.join(part.command)}, found "
            f"{done.returncode}: {done.stderr.strip()}"
        )
    return seconds


def time_parts(parts: Mapping[str, Part], repeats: int) -> dict[str, Timed]:
    """Seconds of every part; the parts take turns, so that all meet the same states of the machine.

    Args:
        parts: by name, in the order in which they need each other.
        repeats: runs of each that count, after one that does not.
    """
    runs: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(1 + repeats):
        for name, part in parts.items():
            runs[name].append(seconds_of(part))
    return {
        name: Timed(first, statistics.median(rest), rest) for name, (first, *rest) in runs.items()
    }


def main() -> None:
    """Time the start and print it."""
    options = parser("The time until the first image is fitted or the command has refused.")
    options.add_argument("--repeats", type=positive, default=5, help="runs of each (default: 5)")
    options.add_argument(
        "--parts", nargs="+", metavar="PART", help='such as "import fitter" (default: all)'
    )
    given = options.parse_args()
    use_threads(given.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_inputs(folder)
        parts = parts_in(folder)
        wanted = given.parts or list(parts)
        if unknown := [name for name in wanted if name not in parts]:
            raise BenchmarkError(
                f"--parts: expected some of {', '.join(parts)}, found {unknown[0]!r}"
            )
        if "refused: existing store" in wanted and "one image" not in wanted:
            seconds_of(parts["one image"])
        timed = time_parts({name: parts[name] for name in parts if name in wanted}, given.repeats)
    table = Table(title=f"Seconds of whole processes, {given.repeats} runs")
    for heading in ("", "first", "median", "fastest"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, one in timed.items():
        table.add_row(name, *(f"{s:.2f}" for s in (one.first, one.median, min(one.all))))
    Console().print(table)
    write_json(given.json, {"seconds": timed})


if __name__ == "__main__":
    run_command(main)
