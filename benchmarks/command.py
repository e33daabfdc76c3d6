"""Images a second of what `fit-hands` does, beside MediaPipe alone, in one run on one machine.

python benchmarks/command.py photos/
python benchmarks/command.py FreiHAND/evaluation/rgb --intrinsics evaluation_K.json --max-hands 1

The parts are those of the command: read a picture, find its hands, fit them block by block, write
the store. MediaPipe alone is one call of its public solution on the same pixels, right before the
detector's, so that both meet the same state of the machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from measuring import Seconds, Stopwatch, parser, use_threads, write_json
from rich.console import Console
from rich.table import Table

from datasets.images import list_images, read_image_and_exif
from datasets.intrinsics import Intrinsics
from fitter.config import load_config
from fitter.detect import MediaPipeDetector
from fitter.pipeline import Engine, SeenImage, Sources, look_at
from fitter.records import ImageRecord
from fitter.run_store import RunRequest, open_store
from fitter.store import ResultStore

PARTS = ("read", "detect", "fit", "store")
ALONE = "MediaPipe alone"


def measure(sources: Sources, engine: Engine, store: ResultStore, alone: Any) -> Stopwatch:
    """Process all pictures as `fitter.run` does, each part on the clock."""
    watch = Stopwatch()
    options = engine.config.detector
    with MediaPipeDetector(options.max_hands, options.min_score, options.second_look) as detector:
        warm_up(sources, detector, engine, alone)
        for block in store.pending_blocks():
            seen = []
            for index in range(block.start, block.stop):
                entry = sources.entries[index]
                with watch.part("read"):
                    pixels, exif = read_image_and_exif(entry.path)
                    size = (pixels.shape[1], pixels.shape[0])
                    matrix, source = sources.intrinsics.intrinsics_for(entry, index, size, exif)
                with watch.part(ALONE):
                    alone.process(pixels)
                with watch.part("detect"):
                    hands = detector.detect(
                        ImageRecord(entry.name, entry.path, pixels, matrix, source)
                    )
                seen.append(SeenImage(size, matrix, source, tuple(hands[: options.max_hands])))
            with watch.part("fit"):
                rows = engine.fit(seen)
            with watch.part("store"):
                store.write_block(block, rows)
    return watch


def warm_up(sources: Sources, detector: MediaPipeDetector, engine: Engine, alone: Any) -> None:
    """Let everything load what it loads at first use."""
    alone.process(read_image_and_exif(sources.entries[0].path)[0])
    engine.fit([look_at(sources, 0, detector, engine.config)])


def hands_in(store: ResultStore) -> int:
    import xarray

    return int(np.asarray(xarray.open_zarr(store.path).valid).sum())


def show(parts: dict[str, Seconds], images: int, hands: int) -> dict[str, float]:
    """Print the table; the ratios in it, by name."""
    total = sum(parts[name].wall for name in PARTS)
    table = Table(title=f"{images} pictures, {hands} hands")
    for heading in ("", "wall ms a picture", "CPU ms a picture", "share", "pictures a second"):
        table.add_column(heading, justify="left" if not heading else "right")
    whole = Seconds(total, sum(parts[name].cpu for name in PARTS))
    rows = {**{name: parts[name] for name in PARTS}, "fit-hands": whole, ALONE: parts[ALONE]}
    for name, seconds in rows.items():
        share = f"{100 * seconds.wall / total:.1f} %" if name != ALONE else ""
        table.add_row(
            name,
            f"{1000 * seconds.wall / images:.2f}",
            f"{1000 * seconds.cpu / images:.2f}",
            share,
            f"{images / seconds.wall:.1f}",
            end_section=name in (PARTS[-1], "fit-hands"),
        )
    ratios = {
        "fit / detect": parts["fit"].wall / parts["detect"].wall,
        "fit / MediaPipe alone": parts["fit"].wall / parts[ALONE].wall,
        "fit-hands / MediaPipe alone": total / parts[ALONE].wall,
    }
    console = Console()
    console.print(table)
    for name, ratio in ratios.items():
        console.print(f"{name}: {ratio:.3f}", highlight=False)
    return ratios


def run(arguments: argparse.Namespace, settings: Sequence[str]) -> dict[str, object]:
    config = load_config(None, settings)
    entries = list_images(arguments.images)[: arguments.limit]
    field_of_view = np.deg2rad(config.camera.default_fov_degrees)
    intrinsics = Intrinsics.from_option(arguments.intrinsics, len(entries), field_of_view)
    sources = Sources(entries, intrinsics)
    alone = mediapipe.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=config.detector.max_hands
    )
    with tempfile.TemporaryDirectory() as folder, alone:
        engine = Engine(config)
        request = RunRequest(images=arguments.images, out=Path(folder) / "benchmark.zarr")
        store = open_store(request, config, sources, engine)
        watch = measure(sources, engine, store, alone)
        hands = hands_in(store)
    ratios = show(watch.parts, len(entries), hands)
    return {
        "images": len(entries),
        "hands": hands,
        "seconds": watch.parts,
        "images_per_second": len(entries) / sum(watch.parts[name].wall for name in PARTS),
        "ratios": ratios,
        "config": config.resolved(),
    }


def main() -> None:
    options = parser("Images a second of fit-hands beside MediaPipe alone.")
    options.add_argument("images", type=Path, help="folder of pictures, or one picture")
    options.add_argument("--intrinsics", help="as for fit-hands")
    options.add_argument("--max-hands", type=int, default=2, help="as for fit-hands")
    options.add_argument("--limit", type=int, help="take only so many pictures")
    options.add_argument("--set", action="append", default=[], help="as for fit-hands")
    arguments = options.parse_args()
    use_threads(arguments.threads)
    settings = [f"detector.max_hands={arguments.max_hands}", "run.device=cpu", *arguments.set]
    write_json(arguments.json, run(arguments, settings))


if __name__ == "__main__":
    main()
