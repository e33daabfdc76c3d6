"""What `fit-hands` makes of a folder in which most images are damaged.

python benchmarks/damaged.py work/
python benchmarks/damaged.py work/ --damaged 10000 --good 200 --seed 7

The folder holds good images (the examples in other sizes, in every format) and damaged ones (as
the tests make them). All good ones must be fitted, and each damaged one must have a reason in its
row or have been read; wall time and the memory of the command with its children are measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from measuring import (
    BenchmarkError,
    add_set,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from PIL import Image
from rich.console import Console
from rich.table import Table

from fitter.store.schema import IMAGE_STATUS

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
from tests.support.picture_fuzz import damaged_images  # noqa: E402

FORMS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("jpg", "RGB", {"quality": 90}),
    ("jpg", "RGB", {"quality": 80, "progressive": True}),
    ("png", "RGB", {"compress_level": 1}),
    ("webp", "RGB", {"quality": 90}),
    ("bmp", "RGB", {}),
    ("tif", "RGB", {"compression": "tiff_lzw"}),
    ("png", "RGBA", {"compress_level": 1}),
    ("jpeg", "CMYK", {"quality": 95}),
    ("tiff", "RGB", {"compression": "jpeg", "quality": 90}),
    ("webp", "RGB", {"lossless": True, "method": 0}),
)
"""Ending, mode and how it is saved: what the good images take turns in."""

SCALES = (1.0, 0.8, 1.25)
"""Of the examples' size; MediaPipe finds their hands in all of these."""


@dataclass(frozen=True)
class Measured:
    """One run of the command.

    Attributes:
        status: its exit status.
        seconds: wall time.
        peak_bytes: the largest sum of resident memory over the process and its children; pages
            that they share count once for each.
    """

    status: int
    seconds: float
    peak_bytes: int


def write_good(folder: Path, count: int) -> None:
    """Write the examples in other sizes and formats, each combination once before any repeats."""
    examples = sorted((ROOT / "examples").glob("*.jpg"))
    folder.mkdir(parents=True)
    for index in range(count):
        ending, mode, options = FORMS[index % len(FORMS)]
        example = examples[(index + index // (len(FORMS) * len(SCALES))) % len(examples)]
        scale = SCALES[index // len(FORMS) % len(SCALES)]
        with Image.open(example) as image:
            size = (round(scale * image.width), round(scale * image.height))
            changed = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).convert(mode)
        changed.save(folder / f"{index:05d}_{example.stem}.{ending}", **options)


def write_damaged(folder: Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True)
    with Image.open(ROOT / "examples" / "open_palm.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((160, 120)))
    for name, content in damaged_images(seed, count, pixels):
        (folder / name).write_bytes(content)


def tree_bytes(root: int) -> int:
    """Resident memory of a process and all that descend from it."""
    parents, resident = {}, {}
    page = os.sysconf("SC_PAGE_SIZE")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:  # a process may end while it is observed
                # Its name stands in brackets and may hold anything; then the state and the parent.
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                resident[int(folder.name)] = page * int(fields[21])
                parents[int(folder.name)] = int(fields[1])
            except OSError:
                continue
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(resident.get(pid, 0) for pid in family)


def run_measured(command: list[object], log: Path) -> Measured:
    """Run a command, what it prints going to a file, and measure its memory all the time."""
    peak, start = 0, time.perf_counter()
    with log.open("wb") as file:
        words = [str(word) for word in command]
        with subprocess.Popen(words, stdout=file, stderr=file, stdin=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, tree_bytes(process.pid))
                time.sleep(0.05)
    return Measured(process.returncode, time.perf_counter() - start, peak)


def counts(store: Path) -> tuple[dict[str, Counter[str]], list[str]]:
    """How many good and damaged images ended how, and the names of those that ended wrongly.

    A good one must be fitted with a hand. A damaged one must not be pending, and one that failed
    must say why.
    """
    results = xr.open_zarr(store)[["image_name", "image_status", "image_error", "valid"]].load()
    found: dict[str, Counter[str]] = {"good": Counter(), "damaged": Counter()}
    wrong = []
    rows = zip(
        *(results[name].values for name in ("image_name", "image_status", "image_error")),
        results.valid.values.any(axis=1),
        strict=True,
    )
    for name, code, error, has_hand in rows:
        kind, status = name.split("/")[0], IMAGE_STATUS[code]
        found[kind][status] += 1
        right = (status == "ok" and has_hand) if kind == "good" else status != "pending"
        if not right or (status == "failed") != bool(error):
            wrong.append(name)
    return found, wrong


def show(found: dict[str, Counter[str]], measured: Measured, wrong: list[str]) -> None:
    table = Table(title=f"exit status {measured.status}")
    for heading in ("", *IMAGE_STATUS):
        table.add_column(heading, justify="left" if not heading else "right")
    for kind, statuses in found.items():
        table.add_row(kind, *(str(statuses[status]) for status in IMAGE_STATUS))
    console = Console()
    console.print(table)
    images = sum(statuses.total() for statuses in found.values())
    figures = f"{measured.seconds:.1f} s, {1000 * measured.seconds / images:.0f} ms an image"
    console.print(f"{figures}, {measured.peak_bytes / 2**20:.0f} MiB at most", highlight=False)
    for name in wrong:
        console.print(f"wrong: {name}", highlight=False, markup=False)


def run(arguments: argparse.Namespace) -> dict[str, object]:
    folder: Path = arguments.folder
    images, store, log = folder / "images", folder / "r.zarr", folder / "log.txt"
    # Only what an earlier run of this made is removed.
    for old in (images / "good", images / "damaged"):
        if old.exists():
            shutil.rmtree(old)
    write_good(images / "good", arguments.good)
    write_damaged(images / "damaged", arguments.damaged, arguments.seed)
    executable = shutil.which("fit-hands", path=Path(sys.executable).parent)
    if executable is None:
        raise BenchmarkError(f"expected fit-hands beside {sys.executable}, found nothing there.")
    command = [executable, images, "--out", store, "--overwrite", "--device", "cpu"]
    settings = [word for setting in arguments.set for word in ("--set", setting)]
    measured = run_measured([*command, *settings], log)
    if not store.exists():
        raise BenchmarkError(f"{store}: expected results, found none; {log} says why.")
    found, wrong = counts(store)
    total = sum(statuses.total() for statuses in found.values())
    if total != arguments.good + arguments.damaged:
        wrong.append(f"{total} rows of {arguments.good + arguments.damaged} images")
    show(found, measured, wrong)
    return {
        "good": found["good"],
        "damaged": found["damaged"],
        "wrong": wrong,
        "run": measured,
    }


def main() -> None:
    options = parser("What fit-hands makes of damaged images among good ones.")
    options.add_argument(
        "folder", type=Path, metavar="WORK_DIR", help="where everything is written"
    )
    options.add_argument("--damaged", type=positive, default=1000, help="default: 1000")
    options.add_argument("--good", type=positive, default=100, help="default: 100")
    options.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    add_set(options)
    arguments = options.parse_args()
    use_threads(arguments.threads)
    figures = run(arguments)
    write_json(arguments.json, figures)
    if figures["wrong"] or figures["run"].status not in (0, 1):
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
