"""One run of `fit-hands`: its inputs, its store, block after block, and the summary at the end."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Protocol

from rich.console import Console

from fitter.config.options import Config
from fitter.device import choose_device
from fitter.errors import InputError
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.listing import ImageSource
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.names import NameList
from fitter.inputs.sources import Sources
from fitter.rendering.overlay import overlay_name
from fitter.run.progress import ProgressLine, RunLog, say
from fitter.run.request import Fitter, RunRequest
from fitter.run.resuming import take_up
from fitter.run.store_setup import open_store
from fitter.run.summary import Summary, report
from fitter.store.failures import write_failures
from fitter.store.files import check_name
from fitter.store.layout import is_result_store
from fitter.store.result_store import Block, ResultStore
from fitter.store.schema import ImageRow
from fitter.system.messages import KEPT, count
from fitter.system.stopping import StopRequest
from fitter.workers.batches import Collector, FittedBatch, Plan, cut
from fitter.workers.detection_pool import DetectionOptions
from fitter.workers.local_executor import LocalExecutor

log = logging.getLogger(__name__)


class Workers(Fitter, Protocol):
    """Who does the work: this machine's `LocalExecutor`, or a cluster."""

    def process(self, plan: Plan, stop: StopRequest) -> Iterator[FittedBatch]:
        """See `LocalExecutor.process`; pieces may come in any order."""
        ...

    def draw(self, sources: Sources, rows: Sequence[ImageRow]) -> list[tuple[str, str]]:
        """See `LocalExecutor.draw`."""
        ...

    def begin_anew(self) -> None:
        """See `LocalExecutor.begin_anew`."""
        ...


@dataclass(frozen=True)
class _Run:
    """What the parts of a run share."""

    request: RunRequest
    config: Config
    store: ResultStore
    sources: Sources
    workers: Workers
    summary: Summary
    events: RunLog


def run(request: RunRequest, config: Config) -> Summary:
    """Process every image that the store does not hold yet.

    Ctrl-C ends it after the blocks in flight, a second one at once.

    Raises:
        InputError: something the user gave cannot be used; nothing was processed, or what was is
            committed.
        KeyboardInterrupt: it was stopped; what was processed is committed.
    """
    console = Console(stderr=True, quiet=request.quiet)
    check_name(request.out)
    source = ImageSource.of(request.images)
    given = _given(request, config, source.root)
    with ExitStack() as stack:
        listing = stack.enter_context(NameList(source.names()))
        log.info("%s: %s", source.title, count(len(listing), "picture"))
        given = replace(given, names=listing)
        if request.overlays is not None:
            _check_overlays(request, source)
        if not (request.resume and is_result_store(request.out)):
            given.check()
        workers = stack.enter_context(_workers(request, config))
        log.info("hand model %s on %s", workers.engine.models["right"].data.name, workers.device)
        if request.overlays is not None:
            _make_folder(request.overlays)
        store = stack.enter_context(open_store(request, config, given, workers))
        summary = Summary(skipped=source.skipped)
        if store.was_there:
            take_up(store, given, summary)
        else:
            workers.begin_anew()
        store.settle()
        listing.close()
        sources = replace(given, names=store.names)
        events = stack.enter_context(RunLog(request.beside("log.jsonl")))
        task = _Run(request, config, store, sources, workers, summary, events)
        _process(task, console)
        table = _end(task)
    report(summary, request.out, table, lambda text: say(console, text))
    if summary.was_stopped:
        raise KeyboardInterrupt
    return summary


def _given(request: RunRequest, config: Config, root: Path) -> Sources:
    """What is known about the pictures, which are not listed yet."""
    field_of_view = math.radians(config.camera.default_fov_degrees)
    intrinsics = Intrinsics.from_option(request.intrinsics, field_of_view)
    masks = None if request.masks is None else MaskFolder.open(request.masks)
    stages = config.refine.stages
    if masks is not None and not config.refine.uses_masks:
        found = ", ".join(stages) + " that compare with none" if stages else "refine.stages empty"
        raise InputError(f"--masks: expected stages that use masks, found {found}")
    if masks is None and not config.finds_masks:
        for name, stage in config.refine.stages.items():
            if stage.masked:
                raise InputError(
                    f"refine.stages.{name}: expected masks for {stage.masked[0]}, from --masks or "
                    "refine.segmentation and its weights, found neither; refine.stages={} goes "
                    "without"
                )
    keypoints = None if request.keypoints is None else KeypointFiles.open(request.keypoints)
    return Sources(root, (), intrinsics, keypoints, masks)


def _workers(request: RunRequest, config: Config) -> AbstractContextManager[Workers]:
    spread = request.spread
    detects = request.keypoints is None
    if spread.ray is not None:
        from fitter.cluster.ray_workers import RayWorkers

        places = (request.overlays, request.beside("ray.log"))
        return RayWorkers(config, spread, detects, places)
    workers = spread.workers
    if workers is None:
        # A fit on the CPU takes about as long as finding the hands, one on a GPU next to nothing.
        on_cpu = choose_device(config.run.device).type == "cpu"
        workers = 1 if on_cpu else max(1, (os.cpu_count() or 1) - 1)
    options = DetectionOptions(detects, workers, spread.timeout)
    in_hand = request.out.with_name(f".{request.beside('in-hand').name}")
    return LocalExecutor(config, options, request.overlays, in_hand)


def _process(task: _Run, console: Console) -> None:
    """Do what is to be done, block after block."""
    store, summary = task.store, task.summary
    plan = Plan(task.sources, store.pending_blocks(), task.config.run.batch_size)
    total, done = len(plan.sources.names), summary.done_before
    log.info("%s to do, %d done before", count(sum(map(len, plan.blocks)), "picture"), done)
    task.events.write(
        "started", images=total, done_before=done, added=summary.added, blocks=len(plan.blocks),
        device=task.workers.device, version=version("fit-hands"),
    )  # fmt: skip
    if task.request.masks is not None:
        summary.masks_found = 0
    started = time.monotonic()
    with ProgressLine(console, total, done) as progress:
        stop = StopRequest(
            lambda: progress.say(
                "stopping when the blocks in flight are written; press Ctrl-C again to stop at once"
            )
        )
        with stop:
            _draw_missing(task, plan, stop)
            _write_blocks(task, plan, stop, progress)
    summary.was_stopped = stop.asked
    summary.seconds = time.monotonic() - started


def _write_blocks(task: _Run, plan: Plan, stop: StopRequest, progress: ProgressLine) -> None:
    collector = Collector(plan)
    images = hands = failed = 0
    begun = time.monotonic()
    for done in task.workers.process(plan, stop):
        images += len(done.rows)
        hands += sum(hand.valid for row in done.rows for hand in row.hands)
        failed += sum(row.image_status == "failed" for row in done.rows)
        progress.show(images, hands, failed)
        whole = collector.add(done)
        if whole is not None:
            block, pieces = whole
            _write_block(task, block, pieces)
            seconds, begun = time.monotonic() - begun, time.monotonic()
            task.events.write(
                "block", index=block.index, start=block.start, stop=block.stop,
                images=task.summary.images, hands=task.summary.hands, seconds=round(seconds, 3),
            )  # fmt: skip
            log.info("block %d, pictures %d to %d: written", block.index, block.start, block.stop)
        if stop.asked and collector.is_between:
            break


def _write_block(task: _Run, block: Block, pieces: Sequence[FittedBatch]) -> None:
    try:
        # Its overlays are drawn: an interrupted block is drawn again, a committed one only where
        # an overlay is missing.
        task.store.write_block(block, [row for piece in pieces for row in piece.rows])
    except InputError as error:
        task.events.write("broken off", reason=str(error))
        if not task.store.path.exists():
            raise
        raise InputError(f"{error}; {KEPT}") from error
    task.summary.add(pieces)
    for piece in pieces:
        for name, row in zip(piece.names, piece.rows, strict=True):
            if row.image_status == "failed":
                task.events.write("failed", image=name, reason=row.image_error)
            for slot, hand in enumerate(row.hands):
                if not hand.valid:
                    task.events.write("failed", image=name, hand=slot, reason=hand.fit_error)


def _draw_missing(task: _Run, plan: Plan, stop: StopRequest) -> None:
    """Draw what this run's share of committed blocks holds and the folder of overlays does not."""
    folder, share = task.request.overlays, task.request.spread.share
    if folder is None:
        return
    blocks = (block for block in task.store.committed_blocks() if share.has(block.index))
    for piece in chain.from_iterable(cut(block, plan.length) for block in blocks):
        if stop.asked:
            return
        sources = plan.part(piece)
        drawn = [(folder / overlay_name(name)).exists() for name in sources.names]
        if all(drawn):
            continue
        rows = [
            # A picture that failed has no overlay, and one that has its overlay needs no other.
            ImageRow(image_status="failed") if there else row
            for row, there in zip(
                task.store.read_block(Block(piece.block, piece.start, piece.stop)),
                drawn,
                strict=True,
            )
        ]
        for name, reason in task.workers.draw(sources, rows):
            task.summary.undrawn.add(f"no overlay of {name}: {reason}")


def _end(task: _Run) -> Path | None:
    """Write the table of failures, and the log's last line; the table's place."""
    done = sum(len(block) for block in task.store.committed_blocks())
    task.summary.left += len(task.sources.names) - done
    table: Path | None = task.request.beside("failures.csv")
    try:
        write_failures(task.store, table)
    except InputError as error:  # the results are there all the same
        task.summary.notes.append(str(error))
        table = None
    task.events.write("ended", **task.summary.counts())
    return table


def _check_overlays(request: RunRequest, source: ImageSource) -> None:
    folder, root = request.overlays, source.root
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--overlays {folder}: expected a folder, found a file")
    if source.is_folder and folder.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"--overlays {folder}: expected a folder outside {root}, found one inside it, where "
            "the next run would take the overlays for pictures"
        )
    if folder.resolve() == root.resolve():
        raise InputError(
            f"--overlays {folder}: expected another folder than that of {source.title}, found the "
            "same, where overlays would lie among pictures"
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
