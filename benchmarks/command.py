"""Images a second of what `fit-hands` does, beside MediaPipe alone, in one run on one machine.

python benchmarks/command.py photos/
python benchmarks/command.py FreiHAND/evaluation/rgb --intrinsics evaluation_K.json --max-hands 1

The parts are those of the command: read an image, find its hands, crop them (with their part of a
mask, which is read there), fit them to their keypoints batch by batch, judge or cut their
masks, go through the stages, write the store. What the command does is what runs: the functions
that it calls are put on the clock. Here all of them run in one process, one after the other; the
command reads, finds and crops in another process while it fits, so that an image takes it less
time than the sum of the parts. MediaPipe alone is one call of its public solution on the same
pixels, right before the detector's, so that both meet the same state of the machine; it is left out
where the package `mediapipe` is not installed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from measuring import (
    BenchmarkError,
    Seconds,
    Stopwatch,
    add_set,
    parser,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table

import fitter.engine
import fitter.refinement.refiner
import fitter.workers.image_detector
from fitter.config.options import load_config
from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.engine import Engine
from fitter.inputs.image_files import LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.listing import ImageSource
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.names import NameList
from fitter.inputs.sources import Sources
from fitter.records import HandObservation, ImageRecord
from fitter.refinement import Refiner
from fitter.run import RunRequest
from fitter.run.inputs import RunInputs
from fitter.run.store_setup import open_store
from fitter.store.result_store import ResultStore
from fitter.store.schema import ImageRow
from fitter.workers import Plan, detect_image
from fitter.workers.batches import split

PARTS = ("read", "detect", "crop", "networks", "keypoints", "masks", "stages", "rows", "store")
"""Of a run; "rows" is what is left of a fit: posing, projecting, scoring."""

ALONE = "MediaPipe alone"


CALLS = (
    ("read", ImageTask, "stamps"),
    ("read", LocalFile, "read"),
    ("read", Intrinsics, "intrinsics_for"),
    ("crop", MaskFolder, "mask_for"),
    ("crop", fitter.workers.image_detector, "crop_hands"),
    ("networks", Engine, "_predict"),
    ("keypoints", fitter.engine, "fit_keypoints"),
    ("masks", Refiner, "_silhouettes"),
    ("masks", Refiner, "_mask"),
    ("stages", fitter.refinement.refiner, "run_stages"),
)
"""What the command calls for each part; none of them calls another."""


class BesideMediaPipe:
    """The detector, each call on the clock, and before it MediaPipe alone on the same image."""

    def __init__(self, detector: HandDetector, alone: Any, watch: Stopwatch) -> None:
        self.detector, self.alone, self.watch = detector, alone, watch

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        if self.alone is not None:
            with self.watch.part(ALONE):
                self.alone.process(image.pixels)
        with self.watch.part("detect"):
            return self.detector.detect(image)


@contextmanager
def on_the_clock(watch: Stopwatch) -> Iterator[None]:
    """Time every call of `CALLS`."""

    def timed(part: str, function: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            with watch.part(part):
                return function(*arguments, **options)

        return call

    with ExitStack() as stack:
        for part, owner, name in CALLS:
            function = timed(part, getattr(owner, name))
            stack.enter_context(patch.object(owner, name, function))
        yield


def measure(sources: Sources, engine: Engine, store: ResultStore, alone: Any) -> Stopwatch:
    """Process all images as `fitter.workers.local_executor` does, each part on the clock."""
    watch = Stopwatch()
    options = engine.config.detector
    plan = Plan(sources, store.pending_blocks(), engine.config.run.batch_size)
    with HandDetector(
        DetectorOptions(options.slots, options.min_score, options.second_pass, options.search)
    ) as detector:
        warm_up(sources, detector, engine, alone)
        beside = BesideMediaPipe(detector, alone, watch)
        with on_the_clock(watch):
            for block in plan.blocks:
                batches = (plan.tasks(batch) for batch in split(block, plan.length))
                rows = [row for tasks in batches for row in rows_of(tasks, beside, engine, watch)]
                with watch.part("store"):
                    store.write_block(block, rows)
    nothing = Seconds(0.0, 0.0)
    names = (*PARTS, "fit") if alone is None else (*PARTS, "fit", ALONE)
    parts = {name: watch.parts.get(name, nothing) for name in names}
    inner = [parts[name] for name in ("networks", "keypoints", "masks", "stages")]
    parts["rows"] = Seconds(
        parts["fit"].wall - sum(part.wall for part in inner),
        parts["fit"].cpu - sum(part.cpu for part in inner),
    )
    return Stopwatch(parts)


def rows_of(
    tasks: list[ImageTask], detector: BesideMediaPipe, engine: Engine, watch: Stopwatch
) -> list[ImageRow]:
    """Detect the images of a batch and fit their hands."""
    seen = [detect_image(task, detector, engine.config) for task in tasks]
    # An image that fails takes no time, and would make the others look fast.
    for error in (image.error for image in seen if image.error):
        raise BenchmarkError(f"expected images that can be fitted, found one that failed ({error})")
    with watch.part("fit"):
        return engine.fit(seen)


def warm_up(sources: Sources, detector: HandDetector, engine: Engine, alone: Any) -> None:
    """Let everything load what it loads at first use."""
    (first,) = sources.tasks(0, 1)
    if alone is not None:
        alone.process(first.file.read()[0])
    engine.fit([detect_image(first, detector, engine.config)])


def hands_in(store: ResultStore) -> int:
    import xarray

    return int(np.asarray(xarray.open_zarr(store.path).valid).sum())


def show(parts: dict[str, Seconds], images: int, hands: int) -> dict[str, float]:
    """Print the table; the ratios in it, by name."""
    total = sum(parts[name].wall for name in PARTS)
    table = Table(title=f"{images} images, {hands} hands")
    for heading in ("", "wall ms an image", "CPU ms an image", "share", "images a second"):
        table.add_column(heading, justify="left" if not heading else "right")
    whole = Seconds(total, sum(parts[name].cpu for name in PARTS))
    rows = {**{name: parts[name] for name in PARTS}, "fit-hands": whole}
    if ALONE in parts:
        rows[ALONE] = parts[ALONE]
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
    }
    if ALONE in parts:
        ratios["fit / MediaPipe alone"] = parts["fit"].wall / parts[ALONE].wall
        ratios["fit-hands / MediaPipe alone"] = total / parts[ALONE].wall
    console = Console()
    console.print(table)
    for name, ratio in ratios.items():
        console.print(f"{name}: {ratio:.3f}", highlight=False)
    return ratios


def given(arguments: argparse.Namespace, field_of_view: float) -> tuple[ImageSource, Sources]:
    """The images, and what is known about them."""
    source = ImageSource.of([arguments.images])
    intrinsics = Intrinsics.from_option(arguments.intrinsics, field_of_view)
    masks = None if arguments.masks is None else MaskFolder.open(arguments.masks)
    sources = Sources(
        source.root, list(source.names()), intrinsics, masks=masks, files=source.files
    )
    sources.check(sources.names)
    return source, replace(sources, names=sources.names[: arguments.limit])


def mediapipe_alone(max_hands: int) -> Any:
    """MediaPipe's public solution, or None where the package is not installed."""
    try:
        from mediapipe.python.solutions.hands import Hands
    except ImportError:
        return None
    return Hands(static_image_mode=True, max_num_hands=max_hands)


def run(arguments: argparse.Namespace, settings: Sequence[str]) -> dict[str, object]:
    config = load_config(None, settings)
    source, sources = given(arguments, np.deg2rad(config.camera.default_fov_degrees))
    alone = mediapipe_alone(config.detector.max_hands)
    with tempfile.TemporaryDirectory() as folder, alone or nullcontext():
        engine = Engine(config)
        request = RunRequest(images=[arguments.images], out=Path(folder) / "benchmark.zarr")
        fitter = SimpleNamespace(engine=engine, device=engine.device.type)
        inputs = RunInputs(source, NameList(sources.names), sources)
        with open_store(request, config, inputs, fitter, sharing=None) as store:
            watch = measure(sources, engine, store, alone)
        hands = hands_in(store)
    images = len(sources.names)
    ratios = show(watch.parts, images, hands)
    return {
        "images": images,
        "hands": hands,
        "seconds": watch.parts,
        "images_per_second": images / sum(watch.parts[name].wall for name in PARTS),
        "ratios": ratios,
        "config": config.resolved(),
    }


def main() -> None:
    options = parser("Images a second of fit-hands beside MediaPipe alone.")
    options.add_argument("images", help="as for fit-hands, but one word")
    options.add_argument("--intrinsics", help="as for fit-hands")
    options.add_argument("--masks", type=Path, help="as for fit-hands")
    options.add_argument("--max-hands", type=int, default=2, help="as for fit-hands")
    options.add_argument("--limit", type=int, help="take only so many images")
    add_set(options)
    arguments = options.parse_args()
    use_threads(arguments.threads)
    settings = [f"detector.max_hands={arguments.max_hands}", "run.device=cpu", *arguments.set]
    write_json(arguments.json, run(arguments, settings))


if __name__ == "__main__":
    run_command(main)
