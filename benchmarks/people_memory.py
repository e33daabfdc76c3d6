"""Does what images share need more memory for more images, or for more people?

python benchmarks/people_memory.py work/
python benchmarks/people_memory.py work/ --images 1000 10000 100000 --people 1 100

Writes the rows of a first pass, made up, and makes the shapes of them in a process of its own, of
which the growth of the peak of its resident memory is measured: from when the rows are open to when
the shapes are written.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from measuring import parse_with_rest, parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table

from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.fitting.shape_information import entries
from fitter.groups.people import PeopleSharing
from fitter.store.block_sizes import choose_block_size
from fitter.store.layout import StoreSpec
from fitter.store.reader import StoreReader
from fitter.store.result_store import ResultStore
from fitter.store.schema import HandRow, ImageRow

BETAS = 10


@dataclass(frozen=True)
class Measured:
    """One store: images, people, MiB that the peak of memory grew by, and seconds."""

    images: int
    people: int
    grown: float
    seconds: float


def write_rows(path: Path, images: int, people: int) -> None:
    """A complete first pass: each image shows a hand of the next person."""
    spec = StoreSpec(
        images=[f"{k:08d}.jpg" for k in range(images)],
        max_hands=1,
        block_size=choose_block_size(images, row_bytes=0),
        num_betas=BETAS,
        has_people=True,
        optional_sizes={"shape_information_entry": entries(BETAS)},
    )
    rng = np.random.default_rng(0)
    matrix = np.eye(BETAS)[np.triu_indices(BETAS)]
    hand = HandRow(valid=True, side="right", hand_size=0.18, hand_size_source="fitted")
    with ResultStore.create(path, spec) as store:
        for block in store.pending_blocks():
            rows = []
            for k in range(block.start, block.stop):
                said = np.concatenate([matrix, rng.normal(size=BETAS)])
                mine = replace(hand, person=f"{k % people:06d}", shape_information=said)
                rows.append(ImageRow(image_status="ok", hands=(mine,)))
            store.write_block(block, rows)


def share(path: Path) -> tuple[float, float]:
    """Make the shapes of a store; MiB that the peak grew by, and seconds."""
    torch.set_num_threads(1)
    config = load_config(None, ["refine.stages={}", "init.source=keypoints", "run.device=cpu"])
    engine = Engine(config)
    sharing = PeopleSharing(config, engine.fit_model, engine.meshes.right)
    rows = StoreReader.open(path)
    before, started = _peak(), time.monotonic()
    sharing.write(path.with_name("people"), sharing.share(rows))
    return (_peak() - before) / 2**20, time.monotonic() - started


def _peak() -> float:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(folder: Path, images: int, people: int) -> Measured:
    """One store, whose shapes are made in a process of its own."""
    place = folder / f"{images}-{people}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    write_rows(place / "rows.zarr", images, people)
    words = [sys.executable, __file__, str(place), "--share"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    grown, seconds = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(place)
    return Measured(images, people, grown, seconds)


def main() -> None:
    options = parser("Memory of making what images share.")
    options.add_argument(
        "folder", type=Path, metavar="WORK_DIR", help="where everything is written"
    )
    options.add_argument("--images", type=positive, nargs="+", default=[1000, 10000])
    options.add_argument("--people", type=positive, nargs="+", default=[1, 100])
    options.add_argument("--share", action="store_true", help="of the store in the folder alone")
    arguments, _ = parse_with_rest(options)
    use_threads(arguments.threads)
    if arguments.share:
        print(json.dumps(share(arguments.folder / "rows.zarr")))
        return
    pairs = [(images, people) for people in arguments.people for images in arguments.images]
    found = [measure(arguments.folder, *pair) for pair in pairs]
    table = Table("images", "people", "MiB", "seconds")
    for one in found:
        table.add_row(str(one.images), str(one.people), f"{one.grown:.1f}", f"{one.seconds:.1f}")
    Console().print(table)
    write_json(arguments.json, [asdict(one) for one in found])


if __name__ == "__main__":
    run_command(main)
