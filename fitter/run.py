"""One run of `fit-hands`: its inputs, its store, block after block, and the summary at the end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from datasets.images import ImageEntry, list_images, other_endings
from datasets.intrinsics import Intrinsics
from datasets.keypoint_files import KeypointFiles
from datasets.masks import MaskFolder
from fitter.config import Config
from fitter.detect import Detector, MediaPipeDetector
from fitter.messages import count, one_line
from fitter.pipeline import Engine, Sources, draw_results, look_at, overlay_name
from fitter.records import InputError
from fitter.rows import ImageRow
from fitter.run_store import RunRequest, open_store
from fitter.store import Block, ResultStore

log = logging.getLogger(__name__)

_LISTED_FAILURES = 20
"""Failures that the summary spells out; the store has the reason of every one."""


@dataclass
class Summary:
    """Counts over the images this run processed.

    Attributes:
        images: processed.
        with_hands: images in which at least one hand was found.
        hands: fitted.
        failures: (image name, reason) of every failed image.
        fit_failures: (image name, reason) of every hand whose fit failed.
        undrawn: (image name, reason) of every overlay that could not be drawn.
        done_before: images that the store held already when this run continued it.
        failed_before: how many of those failed.
        off_centre: images whose given K has its principal point outside them.
        skipped: ending -> number of files in the images' folder that are no pictures to us.
        masks_rejected: hands whose given mask contradicted their keypoints.
        masks_found: pictures that have a given mask, or None where no masks were given.
        seconds: wall time of the blocks, the start of the run not included.
    """

    images: int = 0
    with_hands: int = 0
    hands: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    fit_failures: list[tuple[str, str]] = field(default_factory=list)
    undrawn: list[tuple[str, str]] = field(default_factory=list)
    done_before: int = 0
    failed_before: int = 0
    off_centre: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    masks_rejected: int = 0
    masks_found: int | None = None
    seconds: float = 0.0

    @property
    def failed_images(self) -> int:
        """Number of images that failed in this run."""
        return len(self.failures)

    def add(self, names: Sequence[str], rows: Sequence[ImageRow]) -> None:
        """Count one block."""
        for name, row in zip(names, rows, strict=True):
            self.images += 1
            self.off_centre += _is_off_centre(row)
            self.with_hands += bool(row.hands)
            self.hands += sum(hand.valid for hand in row.hands)
            self.masks_rejected += sum(hand.mask_source == "rejected" for hand in row.hands)
            self.fit_failures += [
                (name, hand.fit_error or "unknown") for hand in row.hands if not hand.valid
            ]
            if row.image_status == "failed":
                self.failures.append((name, row.image_error or "unknown"))


def _is_off_centre(row: ImageRow) -> bool:
    if row.intrinsics_source != "given":
        return False
    x, y = row.intrinsics[:2, 2]
    return not (0 <= x <= row.image_width and 0 <= y <= row.image_height)


def run(request: RunRequest, config: Config) -> Summary:
    """Process every image that the store does not hold yet.

    Raises:
        InputError: something the user gave cannot be used; nothing was processed, or what was is
            committed.
    """
    entries = list_images(request.images)
    others = other_endings(request.images)
    log.info("%s: %s", request.images, count(len(entries), "picture"))
    sources = _sources(request, config, entries)
    if request.overlays is not None:
        _check_overlays(request.overlays, request)
    engine = Engine(config)
    log.info("hand model %s on %s", engine.models["right"].data.name, engine.device)
    if request.overlays is not None:
        _make_folder(request.overlays)
    store = open_store(request, config, sources, engine)

    console = Console(stderr=True, quiet=request.quiet)
    summary = Summary(skipped=others)
    with store, _detector(sources, config) as detector, _progress(console) as progress:
        started = time.perf_counter()
        pending = store.pending_blocks()
        done = len(entries) - sum(len(block) for block in pending)
        summary.done_before, summary.failed_before = done, store.failed_images()
        if sources.masks is not None:
            found = (sources.masks.path_of(entry.name) for entry in entries)
            summary.masks_found = sum(path is not None for path in found)
        log.info("%s to do, %s done before", count(len(entries) - done, "picture"), done)
        summary.undrawn += _draw_missing(request, store, sources, engine)
        task = progress.add_task("fitting", total=len(entries), completed=done, hands=0, failed=0)
        for block in pending:
            rows = _process(block, sources, engine, detector, lambda: progress.advance(task))
            # Drawn first: an interrupted block is drawn again, a committed one from what it stored.
            summary.undrawn += _draw(request, block, sources, rows, engine)
            store.write_block(block, rows)
            summary.add([entry.name for entry in entries[block.start : block.stop]], rows)
            progress.update(task, hands=summary.hands, failed=summary.failed_images)
            log.info("block %d, pictures %d to %d: written", block.index, block.start, block.stop)
        summary.seconds = time.perf_counter() - started
    _report(console, request, summary)
    return summary


def _sources(request: RunRequest, config: Config, entries: Sequence[ImageEntry]) -> Sources:
    field_of_view = math.radians(config.camera.default_fov_degrees)
    intrinsics = Intrinsics.from_option(request.intrinsics, len(entries), field_of_view)
    intrinsics.require_any_of(entries)
    masks = None if request.masks is None else MaskFolder.open(request.masks, entries)
    stages = config.refine.stages
    if masks is not None and not any(stage.masked for stage in stages.values()):
        found = ", ".join(stages) + " that compare with none" if stages else "refine.stages empty"
        raise InputError(f"--masks: expected stages that use masks, found {found}")
    if masks is None and not config.refine.grabcut:
        for name, stage in config.refine.stages.items():
            if stage.masked:
                raise InputError(
                    f"refine.stages.{name}: expected masks for {stage.masked[0]}, from --masks or "
                    "refine.grabcut=true, found neither"
                )
    if request.keypoints is None:
        return Sources(entries, intrinsics, masks=masks)
    keypoints = KeypointFiles.open(request.keypoints, len(entries))
    keypoints.require_any_of(entries)
    keypoints.require_own_files(entries)
    return Sources(entries, intrinsics, keypoints, masks)


def _process(
    block: Block,
    sources: Sources,
    engine: Engine,
    detector: Detector | None,
    advance: Callable[[], None],
) -> list[ImageRow]:
    """Look at every picture of a block, then fit all their hands together."""
    seen = []
    for index in range(block.start, block.stop):
        seen.append(look_at(sources, index, detector, engine.config))
        advance()
    return engine.fit(seen)


def _draw(
    request: RunRequest, block: Block, sources: Sources, rows: Sequence[ImageRow], engine: Engine
) -> list[tuple[str, str]]:
    """Draw a block's overlays; (image name, reason) of those that cannot be drawn."""
    undrawn: list[tuple[str, str]] = []
    if request.overlays is None:
        return undrawn
    for entry, row in zip(sources.entries[block.start : block.stop], rows, strict=True):
        try:
            draw_results(request.overlays, entry, row, engine)
        except InputError as error:
            log.warning("no overlay of %s: %s", entry.name, error)
            undrawn.append((entry.name, str(error)))
    return undrawn


def _draw_missing(
    request: RunRequest, store: ResultStore, sources: Sources, engine: Engine
) -> list[tuple[str, str]]:
    """Draw what the committed blocks hold and the folder of overlays does not, as `_draw` does."""
    undrawn: list[tuple[str, str]] = []
    if request.overlays is None:
        return undrawn
    pending = {block.index for block in store.pending_blocks()}
    for block in store.blocks():
        names = [entry.name for entry in sources.entries[block.start : block.stop]]
        drawn = [(request.overlays / overlay_name(name)).exists() for name in names]
        if block.index in pending or all(drawn):
            continue
        rows = [
            # A picture that failed has no overlay, and one that has its overlay needs no other.
            ImageRow(image_status="failed") if there else row
            for row, there in zip(store.read_block(block), drawn, strict=True)
        ]
        undrawn += _draw(request, block, sources, rows, engine)
    return undrawn


def _check_overlays(folder: Path, request: RunRequest) -> None:
    images = request.images
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--overlays {folder}: expected a folder, found a file")
    if images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise InputError(
            f"--overlays {folder}: expected a folder outside {images}, found one inside it, where "
            "the next run would take the overlays for pictures"
        )
    if folder.resolve() == images.resolve().parent:
        raise InputError(
            f"--overlays {folder}: expected another folder than that of {images}, found the same, "
            "where overlays would lie among pictures"
        )
    if folder.resolve().is_relative_to(request.out.resolve()):
        raise InputError(
            f"--overlays {folder}: expected a folder outside the results {request.out}, "
            "found one inside them"
        )


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
    # A log file gets the summary alone: a bar that redraws itself would only fill it.
    hidden = console.quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield progress


def _report(console: Console, request: RunRequest, summary: Summary) -> None:
    def say(text: str) -> None:
        console.print(one_line(text), highlight=False, soft_wrap=True, markup=False)

    failures = [f"failed {name}: {reason}" for name, reason in summary.failures]
    failures += [f"no fit in {name}: {reason}" for name, reason in summary.fit_failures]
    for line in failures[:_LISTED_FAILURES]:
        say(line)
    if len(failures) > _LISTED_FAILURES:
        say(f"and {len(failures) - _LISTED_FAILURES} more; the store says why")
    for name, reason in summary.undrawn[:_LISTED_FAILURES]:
        say(f"no overlay of {name}: {reason}")
    if len(summary.undrawn) > _LISTED_FAILURES:
        say(f"and {count(len(summary.undrawn) - _LISTED_FAILURES, 'overlay')} more not drawn")
    if summary.done_before:
        failed = f", {summary.failed_before} of them failed" if summary.failed_before else ""
        say(f"{count(summary.done_before, 'image')} done before{failed}")
    if summary.images:
        say(
            f"{count(summary.images, 'image')}: {count(summary.hands, 'hand')} in "
            f"{summary.with_hands} of them, {count(summary.failed_images, 'image')} failed, "
            f"{count(len(summary.fit_failures), 'fit')} failed; {summary.seconds:.1f} s, "
            f"{summary.images / summary.seconds:.1f} images a second"
        )
    else:
        say("nothing left to do")
    if summary.masks_found is not None:
        of = count(summary.images + summary.done_before, "image")
        say(f"masks found for {summary.masks_found} of {of}")
        if summary.masks_rejected:
            hands = count(summary.masks_rejected, "hand")
            say(f"{hands} fitted without a mask, because it contradicted the keypoints")
    if summary.skipped:
        kinds = ", ".join(sorted(summary.skipped))
        say(f"{count(sum(summary.skipped.values()), 'file')} of other kinds left out ({kinds})")
    if summary.off_centre:
        say(
            f"the given principal point lies outside {count(summary.off_centre, 'image')}: right "
            "for a crop, wrong where K belongs to another resolution"
        )
    say(f"results: {request.out}")
