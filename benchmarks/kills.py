"""Processes of `fit-hands` killed at random moments: is what --resume makes of it the same?

python benchmarks/kills.py work/
python benchmarks/kills.py work/ --images 300 --kills 10 -- --ray local --workers 2

The command runs once undisturbed. Then each kill starts it anew with a fresh store, kills one of
its processes with SIGKILL at a moment drawn evenly over the undisturbed run's time, waits for the
command to end, and continues it until it is done. The store must be the undisturbed one bit for
bit, and a worker that was killed must not have ended the command.

Each kill is a line of WORK_DIR/kills.jsonl as soon as it is done; the same benchmark started again
goes on where it was. Stores that are not equal are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from kills_figures import PATIENCE, Kill, differences, read_kills, show, state_of, wrongs
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
from processes import Member, Running, kill

from fitter.hand_models import load_hand_model
from fitter.store.files import neighbours
from fitter.store.row_kinds import IMAGES
from fitter.system.files import write_whole

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from synthetic_scenes import render_scene

VICTIMS = ("driver", "worker", "head", "detector", "nobody")
"""The command's process; one of Ray's workers, or of those that detect hands where there
is no Ray; a daemon of the Ray cluster that the command started; one that detects hands, in any
case; and none, which shows whether two undisturbed runs are equal."""

OPTIONS = ("--max-hands", "1", "--batch-size", "16", "--set", "run.block_size=16")
"""What every run has, before the user's options: short blocks, so that many kills meet one that is
being written."""

NO_VICTIMS = ("ray::IDLE", "ray::SPILL", "ray::RESTORE")
"""Workers of Ray that do nothing for the run."""

ATTEMPTS = 5
"""Runs for a kill: one that ends before its moment is done again with another moment."""
RESUMES = 5
"""Runs with --resume after which a store is given up."""


@dataclass(frozen=True)
class Work:
    """Where everything lies, and what is run.

    Attributes:
        folder: of the benchmark.
        options: of fit-hands, the user's.
        count: of the images.
        seconds: of the undisturbed run.
        block_size: of its store.
    """

    folder: Path
    options: tuple[str, ...]
    count: int
    seconds: float = 0.0
    block_size: int = 0

    @property
    def undisturbed(self) -> Path:
        return self.folder / "undisturbed.zarr"

    @property
    def has_ray(self) -> bool:
        return any(option.split("=")[0] == "--ray" for option in self.options)

    @property
    def timeout(self) -> float:
        """Seconds after which a run counts as hanging."""
        return 300.0 + 10 * self.seconds

    def command(self, store: Path, *more: str) -> list[object]:
        words = [fit_hands_command(), self.folder / "images", "--out", store]
        return [*words, *OPTIONS, *self.options, *more]


def draw_images(folder: Path, count: int) -> None:
    """Render the images that are not there yet, from seed 30000 on; others in the folder go."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene_{30000 + k:06d}.png" for k in range(count)]
    for path in sorted(set(folder.glob("scene_*.png")) - set(paths)):
        path.unlink()
    model = load_hand_model("open_hand", dtype=torch.float64)
    for seed, path in enumerate(paths, 30000):
        if not path.exists():
            image = Image.fromarray(render_scene(model, seed).image)
            write_whole(path, lambda file, image=image: image.save(file, "png"), durable=False)


def run_undisturbed(folder: Path, options: Sequence[str], count: int) -> Work:
    """Run the command once, or take what an earlier start of this benchmark has of it.

    Raises:
        BenchmarkError: the earlier start had other options, or the command did not reach its end.
    """
    work = Work(folder, tuple(options), count)
    note = folder / "undisturbed.json"
    asked = {"options": [*OPTIONS, *options], "images": count}
    if note.exists():
        found = json.loads(note.read_text())
        if {key: found[key] for key in asked} != asked:
            raise BenchmarkError(
                f"{folder}: expected the images and options of its earlier runs, {found}, "
                f"found {asked}; use another folder."
            )
    else:
        output = folder / "undisturbed.txt"
        with Running(work.command(work.undisturbed, "--overwrite"), output) as running:
            running.watch(until=3600.0)
        if running.status not in (0, 1):
            raise BenchmarkError(f"expected fit-hands to end with 0 or 1, found {running.status}; "
                             f"{output} says why.")  # fmt: skip
        found = {**asked, "seconds": running.seconds, "status": running.status}
        note.write_text(json.dumps(found) + "\n")
    block_size = state_of(work.undisturbed).block_size
    return Work(folder, tuple(options), count, found["seconds"], block_size)


def victims_among(members: Sequence[Member], victim: str, has_ray: bool) -> list[Member]:
    """The processes of which one is to be killed; of those that are there."""
    if victim == "head":
        return [member for member in members if member.is_daemon]
    if victim == "worker" and has_ray:
        workers = [member for member in members if member.role == "ray worker"]
        return [member for member in workers if not member.command.startswith(NO_VICTIMS)]
    role = "driver" if victim == "driver" else "detecting"
    return [member for member in members if member.role == role]


def images_done(store: Path, work: Work) -> int:
    """Images in blocks that are committed."""
    folder = store / IMAGES.marker / "c"
    blocks = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    size = work.block_size
    return sum(min(size, work.count - block * size) for block in blocks)


@dataclass
class Disturbed:
    """What happened in the run in which a process was killed; see `Kill`."""

    process: str = ""
    moment: float = 0.0
    done: int = 0
    status: int = 0
    finished: bool = False
    said: str = ""
    hung: bool = False
    left_over: tuple[str, ...] = ()
    seconds_on: float = 0.0


def disturb(
    work: Work, store: Path, victim: str, generator: np.random.Generator, latest: float
) -> Disturbed:
    """Run the command, kill one of its processes up to `latest`, and wait until all have ended.

    Its `process` stays empty where the command ended before it could be killed.
    """
    found = Disturbed()
    moment, is_early = generator.uniform(0, latest), False

    def strike(members: list[Member]) -> bool:
        nonlocal moment, is_early
        candidates = victims_among(members, victim, work.has_ray)
        if not candidates:
            is_early = True
        elif is_early:
            # Drawn before there was any: killing the first that comes would make many kills alike.
            moment, is_early = (
                generator.uniform(min(running.elapsed, latest), latest),
                False,
            )
        if not candidates or running.elapsed < moment:
            return False
        chosen = candidates[generator.integers(len(candidates))]
        found.done, found.moment = images_done(store, work), running.elapsed
        if kill(chosen.process):
            found.process = chosen.title
        return bool(found.process)

    with Running(work.command(store), store.with_suffix(".txt")) as running:
        if victim != "nobody" and not running.watch(until=moment):
            running.watch(until=work.timeout, each=strike, pause=0.02)
        found.hung = not running.watch(until=found.moment + work.timeout)
        found.left_over = tuple(left_behind(running))
    found.status = -9 if running.status is None else running.status
    lines = store.with_suffix(".txt").read_text(errors="replace").split("\n")
    found.said = next((line[-300:] for line in reversed(lines) if line.strip()), "")
    found.finished = logged(store, "ended") is not None
    found.seconds_on = running.seconds - found.moment
    return found


def left_behind(running: Running) -> list[str]:
    """Kill the processes that outlived the command, after some time; what they are."""
    if running.status is None:
        return []
    until = time.monotonic() + PATIENCE
    while running.family.own() and time.monotonic() < until:
        time.sleep(0.2)
    return [member.title for member in running.family.end()]


def resume(work: Work, store: Path) -> tuple[list[int | None], float]:
    """Continue a run until it is done; each exit status (None: it hung), and seconds in all."""
    statuses, seconds = [], 0.0
    while len(statuses) < RESUMES and (not statuses or statuses[-1] not in (0, 1)):
        with Running(work.command(store, "--resume"), store.with_suffix(".txt")) as running:
            running.watch(until=work.timeout)
        statuses.append(running.status)
        seconds += running.seconds
    return statuses, seconds


def kill_once(work: Work, victim: str, number: int, seed: int) -> Kill:
    """One kill, and what became of the store."""
    store = work.folder / "killed" / f"{victim}-{number:03d}.zarr"
    store.parent.mkdir(exist_ok=True)
    latest = work.seconds
    for attempt in range(ATTEMPTS):
        remove_results(store)
        store.with_suffix(".txt").unlink(missing_ok=True)
        generator = np.random.default_rng([seed, VICTIMS.index(victim), number, attempt])
        disturbed = disturb(work, store, victim, generator, latest)
        if disturbed.process or victim == "nobody":
            break
        latest = min(latest, disturbed.seconds_on)  # the machine is faster now
    statuses, seconds = resume(work, store)
    different = differences(store, work.undisturbed)
    beside = [path.name for path in neighbours(store) if path.exists()]
    end = state_of(store)
    figures = Kill(
        victim=victim,
        number=number,
        seed=seed,
        process=disturbed.process,
        moment=round(disturbed.moment, 3),
        done=disturbed.done,
        status=disturbed.status,
        finished=disturbed.finished,
        said=disturbed.said,
        hung=disturbed.hung,
        left_over=disturbed.left_over,
        resumed=tuple(statuses),
        seconds=round(disturbed.seconds_on + seconds, 3),
        arrays=tuple(different.arrays),
        files=tuple(different.files),
        beside=tuple(beside),
        pending=end.pending,
        twice=end.twice,
    )
    if not wrongs(figures):
        remove_results(store)
        store.with_suffix(".txt").unlink(missing_ok=True)
    return figures


def run(arguments: argparse.Namespace, options: Sequence[str]) -> dict[str, object]:
    folder: Path = arguments.folder
    draw_images(folder / "images", arguments.images)
    work = run_undisturbed(folder, options, arguments.images)
    print(f"undisturbed: {work.seconds:.1f} s, {state_of(work.undisturbed)}", flush=True)
    lines = folder / "kills.jsonl"
    kills = [k for k in read_kills(lines) if k.seed == arguments.seed]
    done = {(k.victim, k.number) for k in kills}
    for victim in arguments.victim:
        if victim == "head" and "local" not in options:
            print("head: not killed, because the runs start no Ray cluster (no --ray local)")
            continue
        for number in range(arguments.kills):
            if (victim, number) not in done:
                kills.append(kill_once(work, victim, number, arguments.seed))
                with lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(kills[-1])) + "\n")
                print(kills[-1].sentence, flush=True)
    kills = [k for k in kills if k.victim in arguments.victim and k.number < arguments.kills]
    return {"options": [*OPTIONS, *options], "undisturbed_seconds": work.seconds,
            "images": work.count, "kills": kills}  # fmt: skip


def main() -> None:
    options = parser("Processes of fit-hands killed at random moments, and its store afterwards.")
    options.add_argument(
        "folder", type=Path, metavar="WORK_DIR", help="where everything is written"
    )
    options.add_argument("--images", type=positive, default=300, help="images (default: 300)")
    options.add_argument("--kills", type=positive, default=10, help="of each victim (default: 10)")
    options.add_argument(
        "--victim",
        nargs="+",
        choices=VICTIMS,
        default=VICTIMS[:3],
        help="what is killed (default: driver worker head)",
    )
    options.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments, rest = parse_with_rest(options)
    use_threads(arguments.threads)
    figures = run(arguments, rest)
    show(figures["kills"], figures["images"])
    write_json(arguments.json, figures)
    if any(wrongs(one) for one in figures["kills"]):
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
