"""Samples a second of the readers of data sets, and whether memory stays flat.

python benchmarks/readers.py
python benchmarks/readers.py --readers freihand dexycb --annotations 100000 --samples 100000
python benchmarks/readers.py --workers 2

Each reader goes through the data set that the tests write in its layout, in a process of its own:
first annotations alone, then whole samples, with pixels, masks and depth. After a first round
memory is noted, then every thousandth sample; "growth" is the most over the first. FreiHAND's and
HInt's data sets have --distinct images, see `many_images`; those of the others few, which are gone
through again and again, so that there "growth" is not that over many files. The files are small and
stay in the system's cache, so that what is measured is the reader and not the disk. The readers'
own fixtures differ in size: 224 x 224 for FreiHAND, 640 x 480 with depth for
HO-3D and DexYCB.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from many_images import GROWING, with_more_images
from measuring import BenchmarkError, parser, positive, run_command, use_threads, write_json
from reading import Reading, Task
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.reader_fixtures import FIXTURES

MOST_GROWTH = 1.1
"""Of memory, above which it is not flat."""


def show(readings: dict[str, dict[str, Reading]]) -> None:
    table = Table(title="Readers of data sets", box=SIMPLE)
    headings = ("", "", "samples", "a second", "CPU ms", "MB", "most", "growth")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, kinds in readings.items():
        for kind, reading in kinds.items():
            table.add_row(
                name,
                kind,
                f"{reading.samples:,}",
                f"{reading.per_second:,.0f}",
                f"{reading.cpu_ms:.2f}",
                f"{reading.rss_before / 2**20:.1f}",
                f"{reading.rss_most / 2**20:.1f}",
                f"{reading.growth:.3f}",
            )
    Console().print(table)


def main() -> None:
    options = parser("Samples a second of the readers of data sets, and their memory.")
    options.add_argument("--readers", nargs="+", choices=sorted(FIXTURES), default=list(FIXTURES))
    options.add_argument("--annotations", type=positive, default=100_000, help="without pixels")
    options.add_argument("--samples", type=positive, default=10_000, help="with pixels")
    options.add_argument("--distinct", type=positive, default=5_000, help="images, where they grow")
    options.add_argument("--workers", type=int, default=0, help="of torch's DataLoader")
    arguments = options.parse_args()
    use_threads(arguments.threads)
    readings: dict[str, dict[str, Reading]] = {}
    for name in arguments.readers:
        with tempfile.TemporaryDirectory() as folder:
            written = FIXTURES[name](Path(folder))
            images, places = written.images, written.places
            if name in GROWING:
                images = with_more_images(images, arguments.distinct)
                places = range(len(images))
            readings[name] = {
                kind: Task(images, places, count, whole, arguments.workers).apart()
                for kind, count, whole in (
                    ("annotations", arguments.annotations, False),
                    ("samples", arguments.samples, True),
                )
            }
    show(readings)
    write_json(arguments.json, {"readers": readings})
    grown = [
        f"{name}'s {kind}"
        for name, kinds in readings.items()
        for kind, reading in kinds.items()
        if reading.growth > MOST_GROWTH
    ]
    if grown:
        raise BenchmarkError(f"expected flat memory, found growth with {', '.join(grown)}")


if __name__ == "__main__":
    run_command(main)
