"""Does `fit-hands` need more memory for more images?

python benchmarks/memory.py work/ --counts 1000 100000
python benchmarks/memory.py work/ --counts 1000 100000 -- --ray local --workers 2

The images are a few small ones, linked again and again, with their keypoints in OpenPose's files,
so that what is measured is the command and not the detector: listing, fitting to the keypoints, the
store. Memory is measured every half second; the driver's peak also counts between two observations.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from measuring import (
    BenchmarkError,
    fit_hands_command,
    logged,
    parse_with_rest,
    parser,
    positive,
    remove_results,
    run_command,
    use_threads,
    write_json,
)
from PIL import Image
from processes import ROLES, Member, Running, memory_of
from refine_data import observe
from rich.console import Console
from rich.table import Table
from synthetic_scenes import render_scene  # its folder is known to refine_data

from fitter.hand_models import load_hand_model

OPTIONS = (
    "--max-hands", "1", "--set", "refine.stages={}", "--set", "fit.num_initialisations=1",
    "--set", "fit.max_iterations=10",
)  # fmt: skip
"""What every run has before the user's options: the fit to the keypoints alone, and a short one."""

DIFFERENT = 8
"""Images that are rendered; the others are links to them."""
SIDE = 64
"""Pixels of an image's side."""
FOLDER = 1000
"""Images in one folder."""
FIRST_SEED = 31000

PAUSE = 0.5
"""Seconds between two observations."""


@dataclass
class Peaks:
    """The most memory of each of `processes.ROLES`, its processes added up, and of all; bytes.

    Attributes:
        pss, rss: by role, and "all" for all at the same moment.
        processes: the most at a time, by role.
        driver: the most resident memory of the driver, also between two observations.
        half: like `pss`, up to the moment when half of the images were written. Memory that grows
            with what is done shows here, and such that grows with the listing does not.
    """

    pss: dict[str, int] = field(default_factory=dict)
    rss: dict[str, int] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    driver: int = 0
    half: dict[str, int] = field(default_factory=dict)

    def add(self, members: Sequence[Member], is_first_half: bool) -> None:
        """Take what is there now."""
        pss, rss = dict.fromkeys((*ROLES, "all"), 0), dict.fromkeys((*ROLES, "all"), 0)
        for member in members:
            memory = memory_of(member.process.pid)
            if memory is None:
                continue
            for role in (member.role, "all"):
                pss[role] += memory.pss
                rss[role] += memory.rss
            if member.role == "driver":
                self.driver = max(self.driver, memory.peak_rss)
        roles = [member.role for member in members]
        _raise(self.pss, pss)
        _raise(self.rss, rss)
        _raise(self.processes, {role: roles.count(role) for role in ROLES} | {"all": len(roles)})
        if is_first_half:
            _raise(self.half, pss)


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        count: images.
        hands: fitted in them.
        seconds: of the whole command.
        images_per_second: as the command counts, its start left out.
        peaks: of memory.
        files, bytes: of the store.
    """

    count: int
    hands: int
    seconds: float
    images_per_second: float
    peaks: Peaks
    files: int
    bytes: int


def _raise(peak: dict[str, int], now: dict[str, int]) -> None:
    for role, value in now.items():
        peak[role] = max(peak.get(role, 0), value)


def write_inputs(folder: Path, count: int) -> tuple[Path, Path]:
    """Make images and their keypoints, where they are not there yet; both folders."""
    images, keypoints = folder / f"images-{count}", folder / f"keypoints-{count}"
    done = folder / f"inputs-{count}.done"
    if not done.exists():
        rendered = list(_rendered(folder / "rendered"))
        for start in range(0, count, FOLDER):
            for parent in (images, keypoints):
                (parent / f"{start // FOLDER:04d}").mkdir(parents=True, exist_ok=True)
            for place in range(start, min(start + FOLDER, count)):
                name = f"{start // FOLDER:04d}/{place:07d}"
                image, points = rendered[place % len(rendered)]
                _link(image, images / f"{name}.png")
                _link(points, keypoints / f"{name}_keypoints.json")
        done.touch()
    return images, keypoints


def _rendered(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Small images and OpenPose's files for them, their keypoints noisy."""
    folder.mkdir(parents=True, exist_ok=True)
    model = load_hand_model("open_hand", dtype=torch.float64)
    for seed in range(FIRST_SEED, FIRST_SEED + DIFFERENT):
        scene = observe(render_scene(model, seed))
        small = cv2.resize(scene.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        pixels = scene.hand.keypoints * (SIDE / scene.image.shape[0])
        flat = np.column_stack([pixels, np.ones(len(pixels))]).ravel().tolist()
        image, points = folder / f"{seed}.png", folder / f"{seed}.json"
        Image.fromarray(small).save(image)
        points.write_text(json.dumps({"people": [{"hand_right_keypoints_2d": flat}]}))
        yield image, points


def _link(source: Path, target: Path) -> None:
    """Make `target` another name of `source`; a copy where there are too many names already."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP):
            raise
        target.write_bytes(source.read_bytes())
        if error.errno == errno.EMLINK:
            # The next ones are linked to the copy.
            source.unlink()
            os.link(target, source)


def measure(folder: Path, count: int, options: Sequence[str]) -> Measured:
    """Run the command on so many images.

    Raises:
        BenchmarkError: it did not end well.
    """
    images, keypoints = write_inputs(folder, count)
    store, output = folder / f"{count}.zarr", folder / f"{count}.txt"
    remove_results(store)
    output.unlink(missing_ok=True)
    words = [fit_hands_command(), images, "--out", store, "--keypoints", keypoints]
    peaks = Peaks()

    def add_up(members: list[Member]) -> None:
        block = logged(store, "block")
        peaks.add(members, block is None or 2 * block["images"] < count)

    with Running([*words, *OPTIONS, *options], output) as running:
        running.watch(each=add_up, pause=PAUSE)
    ended = logged(store, "ended")
    if running.status not in (0, 1) or ended is None or ended["images"] != count:
        raise BenchmarkError(
            f"expected fit-hands to do {count} images, found status {running.status} and "
            f"{ended}; {output} says why."
        )
    files = [path.stat().st_size for path in store.rglob("*") if path.is_file()]
    rate = count / ended["seconds"]
    return Measured(count, ended["hands"], running.seconds, rate, peaks, len(files), sum(files))


def show(measured: Sequence[Measured]) -> dict[str, float]:
    """Print the tables; how many times as much memory the last run took as the first, by role."""
    first, last = measured[0], measured[-1]
    table = Table(title="most memory in MiB, PSS / RSS")
    table.add_column("")
    for one in measured:
        table.add_column(f"{one.count} images", justify="right")
    table.add_column("PSS, last / first", justify="right")
    ratios = {}
    for role in (*ROLES, "all"):
        if not last.peaks.processes.get(role):
            continue
        least = first.peaks.pss[role]
        ratios[role] = last.peaks.pss[role] / least if least else float("nan")
        cells = [
            f"{one.peaks.pss[role] / 2**20:.0f} / {one.peaks.rss[role] / 2**20:.0f}"
            for one in measured
        ]
        name = role if role == "driver" else f"{role} ({last.peaks.processes[role]})"
        table.add_row(name, *cells, f"{ratios[role]:.3f}")
    cells = [f"- / {one.peaks.driver / 2**20:.0f}" for one in measured]
    table.add_row(
        "driver, between observations", *cells, f"{last.peaks.driver / first.peaks.driver:.3f}"
    )
    cells = [f"{one.peaks.half['all'] / 2**20:.0f}" for one in measured]
    table.add_row("all, first half", *cells, "")
    console = Console()
    console.print(table)
    for one in measured:
        text = (
            f"{one.count} images: {one.hands} hands, {one.images_per_second:.1f} images a "
            f"second, {one.seconds:.1f} s in all; store of {one.files} files, "
            f"{one.bytes / 2**20:.1f} MiB, {one.bytes / one.count:.0f} bytes an image"
        )
        console.print(text, highlight=False, soft_wrap=True)
    return ratios


def main() -> None:
    options = parser("Memory of fit-hands and its processes for few and for many images.")
    options.add_argument(
        "folder", type=Path, metavar="WORK_DIR", help="where everything is written"
    )
    options.add_argument(
        "--counts",
        type=positive,
        nargs="+",
        default=[1000, 100000],
        help="images of each run (default: 1000 100000)",
    )
    arguments, rest = parse_with_rest(options)
    use_threads(arguments.threads)
    measured = [measure(arguments.folder, count, rest) for count in arguments.counts]
    ratios = show(measured)
    figures = {"options": [*OPTIONS, *rest], "runs": measured, "ratios": ratios}
    write_json(arguments.json, figures)


if __name__ == "__main__":
    run_command(main)
