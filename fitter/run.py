"""One run of `fit-hands`: its inputs, its store, block after block, and the summary at the end."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from datasets.images import list_images
from datasets.intrinsics import Intrinsics
from datasets.keypoint_files import KeypointFiles
from fitter.config import Config
from fitter.detect import Detector, MediaPipeDetector
from fitter.pipeline import Engine, Sources, draw_results, look_at
from fitter.records import InputError
from fitter.rows import ImageRow
from fitter.store import Block, ResultStore, StoreSpec

_SHAPING_PACKAGES = ("fit-hands", "mediapipe", "numpy", "opencv-contrib-python", "torch", "zarr")
"""Packages whose versions are recorded with the results, because they shape the numbers."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for, besides the configuration.

    Attributes:
        images: folder of pictures, or one picture.
        out: the store.
        overlays: folder for overlays, made where it is missing, or None.
        intrinsics: the option ``--intrinsics`` as given, or None.
        keypoints: folder or file of keypoints that replace the detector's, or None.
        resume: continue the store.
        overwrite: replace the store.
        quiet: no progress and no summary.
    """

    images: Path
    out: Path
    overlays: Path | None = None
    intrinsics: str | None = None
    keypoints: Path | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False


@dataclass
class Summary:
    """Counts over the images this run processed.

    Attributes:
        images: processed.
        with_hands: images in which at least one hand was found.
        hands: fitted.
        failed_hands: found, but the fit diverged.
        failures: (image name, reason) of every failed image.
        seconds: wall time of the blocks, the start of the run not included.
    """

    images: int = 0
    with_hands: int = 0
    hands: int = 0
    failed_hands: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed_images(self) -> int:
        """Number of images that failed."""
        return len(self.failures)

    def add(self, names: Sequence[str], rows: Sequence[ImageRow]) -> None:
        """Count one block."""
        for name, row in zip(names, rows, strict=True):
            self.images += 1
            self.with_hands += bool(row.hands)
            self.hands += sum(hand.valid for hand in row.hands)
            self.failed_hands += sum(not hand.valid for hand in row.hands)
            if row.image_status == "failed":
                self.failures.append((name, row.image_error or "unknown"))


def run(request: RunRequest, config: Config) -> Summary:
    """Process every image that the store does not hold yet.

    Raises:
        InputError: something the user gave cannot be used; nothing was processed, or what was is
            committed.
    """
    entries = list_images(request.images)
    sources = Sources(
        entries,
        Intrinsics.from_option(
            request.intrinsics, len(entries), math.radians(config.camera.default_fov_degrees)
        ),
        None if request.keypoints is None else KeypointFiles.open(request.keypoints, len(entries)),
    )
    engine = Engine(config)
    store = _open_store(request, config, sources, engine)
    if request.overlays is not None:
        _make_folder(request.overlays)

    console = Console(stderr=True, quiet=request.quiet)
    summary = Summary()
    with _detector(sources, config) as detector, _progress(console) as progress:
        started = time.perf_counter()
        pending = store.pending_blocks()
        done = len(entries) - sum(len(block) for block in pending)
        task = progress.add_task("fitting", total=len(entries), completed=done, hands=0, failed=0)
        for block in pending:
            rows = _process(block, sources, engine, detector, lambda: progress.advance(task))
            store.write_block(block, rows)
            _draw(request, block, sources, rows, engine)
            summary.add([entry.name for entry in entries[block.start : block.stop]], rows)
            progress.update(task, hands=summary.hands, failed=summary.failed_images)
        summary.seconds = time.perf_counter() - started
    _report(console, request, summary, done)
    return summary


def _process(
    block: Block,
    sources: Sources,
    engine: Engine,
    detector: Detector | None,
    advance: Callable[[], None],
) -> list[ImageRow]:
    """Look at every picture of a block, then fit all their hands together."""
    max_hands = engine.config.detector.max_hands
    seen = []
    for index in range(block.start, block.stop):
        seen.append(look_at(sources, index, detector, max_hands))
        advance()
    return engine.fit(seen)


def _draw(
    request: RunRequest, block: Block, sources: Sources, rows: Sequence[ImageRow], engine: Engine
) -> None:
    if request.overlays is None:
        return
    for entry, row in zip(sources.entries[block.start : block.stop], rows, strict=True):
        draw_results(request.overlays, entry, row, engine)


def _open_store(
    request: RunRequest, config: Config, sources: Sources, engine: Engine
) -> ResultStore:
    model = engine.models["right"].data
    spec = StoreSpec(
        images=[entry.name for entry in sources.entries],
        max_hands=config.detector.max_hands,
        block_size=config.run.block_size,
        num_betas=model.shapedirs.shape[-1],
        num_vertices=len(model.v_template) if config.output.save_vertices else None,
        config=config.resolved()
        | {
            "inputs": {
                "images": str(request.images),
                "intrinsics": request.intrinsics,
                "keypoints": None if request.keypoints is None else str(request.keypoints),
            }
        },
        model={
            "name": model.name,
            "sha256": model.sha256,
            "sides": "a left hand's parameters are those of this model mirrored in x",
        },
        versions={name: version(name) for name in _SHAPING_PACKAGES}
        | {"python": platform.python_version()},
    )
    if request.resume:
        return ResultStore.resume(request.out, spec)
    return ResultStore.create(request.out, spec, overwrite=request.overwrite)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error


def _detector(sources: Sources, config: Config) -> AbstractContextManager[Detector | None]:
    if sources.keypoints is not None:
        return nullcontext(None)
    options = config.detector
    return MediaPipeDetector(options.max_hands, options.min_score, options.second_look)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, {task.fields[hands]} hands, {task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=console.quiet) as progress:
        yield progress


def _report(console: Console, request: RunRequest, summary: Summary, done: int) -> None:
    for name, reason in summary.failures:
        console.print(f"[red]failed[/red] {escape(name)}: {escape(reason)}", highlight=False)
    rate = summary.images / summary.seconds if summary.seconds else 0.0
    earlier = f", {done} were done before" if done else ""
    console.print(
        f"{summary.images} images{earlier}: {summary.hands} hands in {summary.with_hands} of them, "
        f"{summary.failed_images} images failed, {summary.failed_hands} fits failed; "
        f"{summary.seconds:.1f} s, {rate:.1f} images a second",
        highlight=False,
    )
    console.print(f"results: {escape(str(request.out))}", highlight=False, soft_wrap=True)
