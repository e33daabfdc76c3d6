"""The work of a run: block after block computed and written, overlays, and the table at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from fitter.config.options import Config
from fitter.errors import InputError
from fitter.inputs.frame_names import video_of
from fitter.inputs.frame_sources import FrameTask, RunSources, Task
from fitter.inputs.sources import Sources
from fitter.rendering.overlay_names import overlay_name
from fitter.run.camera_notes import camera_doubts
from fitter.run.passes import Pass, share, sources_for, stoppable, untracked, wait_for_others
from fitter.run.progress import ProgressLine, RunLog, say
from fitter.run.request import RunRequest
from fitter.run.resuming import count_done
from fitter.run.summary import Summary
from fitter.run.textures import make_textures
from fitter.run.watching import Watched
from fitter.store.failures import write_failures
from fitter.store.result_store import Block, ResultStore
from fitter.store.row_kinds import Row
from fitter.store.schema import ImageRow
from fitter.system.messages import count
from fitter.system.stopping import StopRequest
from fitter.workers.batches import Collector, FittedBatch, Plan, Seen, batch_length, split

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np

    from fitter.engine import Engine
    from fitter.groups.sharing import Sharing

log = logging.getLogger(__name__)


class Workers(Protocol):
    """Who does the work: this machine's `LocalExecutor`, or a cluster."""

    engine: Engine
    """With the model that is fitted."""
    device: str
    """Where it is fitted, "cpu" or "cuda"."""

    def process(self, plan: Plan, stop: StopRequest, seen: Seen) -> Iterator[FittedBatch]:
        """See `LocalExecutor.process`; batches may come in any order, and nobody need be told what
        is seen."""
        ...

    def render(self, tasks: Sequence[Task], rows: Sequence[Row]) -> list[tuple[str, str]]:
        """See `LocalExecutor.render`."""
        ...

    def overlay_frames(
        self, tasks: Sequence[Task], rows: Sequence[Row]
    ) -> list[Future[np.ndarray | str]]:
        """See `LocalExecutor.overlay_frames`."""
        ...

    def begin_anew(self) -> None:
        """See `LocalExecutor.begin_anew`."""
        ...


@dataclass(frozen=True)
class RunState:
    """What the parts of a run share.

    Attributes:
        request: what was asked for.
        config: of the run.
        store: held to be written to.
        rows: those of the pass that is being done; the store's own in the last one.
        sources: the images or frames of the store, and what is known about them.
        workers: who computes.
        summary: counts what is done.
        events: the log of the run.
    """

    request: RunRequest
    config: Config
    store: ResultStore
    rows: ResultStore
    sources: RunSources
    workers: Workers
    summary: Summary
    events: RunLog


def process_passes(
    run: RunState, passes: Sequence[Pass], sharing: Sharing[Any] | None, console: Console
) -> RunState:
    """Do what is to be done, pass after pass.

    Args:
        run: whose summary has counted what is done of the first of the passes.
        passes: those that are not done yet.
        sharing: what the images share, or None.
        console: to show progress on.

    Returns:
        The run as it was in the last pass that it came to, with the summary of that pass.
    """
    state = run
    for now in passes:
        if now.is_over:
            continue
        summary = run.summary if now is passes[0] else _summary_of(now, state.summary)
        sources = sources_for(now, run.sources, sharing)
        state = replace(run, rows=now.rows, sources=sources, summary=summary)
        summary.has_results = now.is_last
        try:
            goes_on = _do_pass(state, now, sharing, console)
        except KeyboardInterrupt:
            if summary.was_stopped:  # this is the second
                raise
            summary.was_stopped, goes_on = True, False
        if summary.was_stopped or summary.waits:
            summary.stopped_in = now.title if now.of > 1 else ""
        if not goes_on:
            break
    return state


def _do_pass(run: RunState, now: Pass, sharing: Sharing[Any] | None, console: Console) -> bool:
    """Do what is to be done of one pass, and make the shared values; whether the next can begin."""
    process(run, now, console)
    if run.summary.was_stopped or sharing is None:
        return False
    if now.is_last:
        if now.rows.is_complete:
            assert now.given is not None  # it is not the first
            if run.config.people.textures and not make_textures(
                run, sharing.people_of(now.given), console
            ):
                return False
            if now.rows.is_alone:
                sharing.sweep(now.given)
            run.store.finish_passes()
            assert isinstance(run.sources, Sources)  # frames share nothing
            run.summary.notes.extend(sharing.notes(now.rows, run.sources, now.given))
        return False
    if not _is_complete(run, now, console):
        return False
    started = time.monotonic()
    share(now, sharing)
    run.summary.seconds += time.monotonic() - started
    run.events.write("shared", after=now.number, of=now.of)
    return True


def _summary_of(now: Pass, before: Summary) -> Summary:
    """Of a further pass of a run, with what belongs to the run as a whole."""
    names = (
        "skipped", "broken", "trusts_intrinsics", "added", "changed", "notes", "lost",
        "gives_keypoints", "folder",
    )  # fmt: skip
    summary = Summary(**{name: getattr(before, name) for name in names})
    summary.seconds_before = before.seconds_before + before.seconds
    count_done(now.rows, summary)
    return summary


def _is_complete(run: RunState, now: Pass, console: Console) -> bool:
    """Whether all shares have done their part of a pass; waits for them where that is asked."""
    if run.request.wait:
        with stoppable(lambda text: say(console, text)) as stop:
            complete = wait_for_others(now, stop, lambda text: say(console, text))
        run.summary.was_stopped = stop.asked
        return complete
    if now.is_shared or now.is_over:
        return True
    total = len(run.sources.names)
    done = sum(len(block) for block in now.rows.committed_blocks())
    run.summary.waits = total - done
    return done == total


def process(run: RunState, now: Pass, console: Console) -> None:
    """Do what is to be done of one pass, block after block."""
    summary = run.summary
    length = batch_length(run.config, run.store.sizes.get("view", 1))
    plan = Plan(run.sources, run.rows.pending_blocks(), length)
    total, done = len(plan.sources.names), summary.done_before
    log.info(
        "%s: %s to do, %d done before",
        now.title, count(sum(map(len, plan.blocks)), summary.unit), done,
    )  # fmt: skip
    run.events.write(
        "started", done_before=done, added=summary.added, blocks=len(plan.blocks),
        device=run.workers.device, version=version("fit-hands"), **{f"{summary.unit}s": total},
        **({} if now.of == 1 else {"number": now.number, "of": now.of}),
    )  # fmt: skip
    if run.sources.has_masks:
        summary.masks_found = 0
    if run.sources.has_objects:
        summary.objects_found = 0
    started = time.monotonic()
    with (
        ProgressLine(console, now.title, total, done, f"{summary.unit}s") as progress,
        stoppable(progress.say) as stop,
    ):
        try:
            if now.is_last:
                summary.overlays = run.request.overlays
                _render_missing(run, plan, stop)
            _write_blocks(run, plan, stop, Watched(progress, total, done))
        finally:  # also at a second Ctrl-C
            summary.seconds = time.monotonic() - started
            summary.was_stopped = stop.asked
    summary.was_stopped = stop.asked


def _write_blocks(run: RunState, plan: Plan, stop: StopRequest, watched: Watched) -> None:
    collector = Collector(plan)
    begun = time.monotonic()
    for done in run.workers.process(plan, stop, watched.seen):
        watched.fitted(done.rows)
        whole = collector.add(done)
        if whole is not None:
            block, batches = whole
            _write_block(run, block, batches)
            seconds, begun = time.monotonic() - begun, time.monotonic()
            run.events.write(
                "block", index=block.index, start=block.start, stop=block.stop,
                hands=run.summary.hands, seconds=round(seconds, 3),
                **{f"{run.summary.unit}s": run.summary.images},
            )  # fmt: skip
            unit = f"{run.summary.unit}s"
            log.info("block %d, %s %d to %d: written", block.index, unit, block.start, block.stop)
        if stop.asked and collector.is_between:
            break


def _write_block(run: RunState, block: Block, batches: Sequence[FittedBatch]) -> None:
    try:
        # Its overlays are rendered: an interrupted block is rendered again, a committed one only
        # where an overlay is missing.
        run.rows.write_block(block, [row for batch in batches for row in batch.rows])
    except InputError as error:
        run.events.write("broken off", reason=str(error))
        if not run.store.path.exists():
            raise
        raise InputError("run.broken_off", reason=str(error)) from error
    run.summary.add(batches)
    for batch in batches:
        for name, row in zip(batch.names, batch.rows, strict=True):
            item = run.store.kind.item
            if row.status == "failed":
                run.events.write("failed", **{item: name}, reason=row.error)
            doubts = camera_doubts(row) if isinstance(row, ImageRow) else []
            for kind, reason in doubts:
                run.events.write("doubted", image=name, kind=kind, reason=reason)
            for camera, reason in run.summary.failed_views(row):
                run.events.write("failed", frame=name, view=camera, reason=reason)
            for slot, hand in enumerate(row.hands):
                if hand.has_failed:
                    run.events.write("failed", **{item: name}, hand=slot, reason=hand.fit_error)


def _render_missing(run: RunState, plan: Plan, stop: StopRequest) -> None:
    """Render what this run's share of committed blocks holds and the folder of overlays lacks."""
    folder, share = run.request.overlays, run.request.execution.share
    if folder is None or run.request.overlays_are_a_video:
        return
    plan = replace(plan, sources=untracked(plan.sources))
    blocks = (block for block in run.store.committed_blocks() if share.has(block.index))
    for batch in chain.from_iterable(split(block, plan.length) for block in blocks):
        if stop.asked:
            return
        tasks = plan.tasks(batch)
        before = _rendered(folder, tasks)
        wanted = {image.name for task in tasks for image in task.images}
        if before >= {name for name in wanted if video_of(name) is None}:
            continue
        rows = run.store.read_block(Block(batch.block, batch.start, batch.stop))
        pairs = zip(tasks, rows, strict=True)
        left = [_without_rendered(task, row, before) for task, row in pairs]
        for name, reason in run.workers.render(tasks, left):
            run.summary.unrendered.add(f"no overlay of {name}: {reason}")
        run.summary.rendered += len(_rendered(folder, tasks)) - len(before)


def _rendered(folder: Path, tasks: Sequence[Task]) -> set[str]:
    """Images of some tasks that have an overlay."""
    names = (image.name for task in tasks for image in task.images)
    return {name for name in names if (folder / overlay_name(name)).exists()}


def _without_rendered(task: Task, row: Row, rendered: set[str]) -> Row:
    """The row with images that have an overlay as if they were not there: they need no other."""
    if isinstance(row, ImageRow):
        return ImageRow(image_status="failed") if task.name in rendered else row
    assert isinstance(task, FrameTask)
    views = [
        replace(view, view_status="missing") if image and image.name in rendered else view
        for image, view in zip(task.views, row.views, strict=True)
    ]
    return replace(row, views=tuple(views))


def finish(run: RunState) -> Path | None:
    """Write the table of failures, and the log's last line; the table's place."""
    done = sum(len(block) for block in run.rows.committed_blocks())
    run.summary.left += len(run.sources.names) - done
    own = sum(len(block) for block in run.rows.pending_blocks())
    run.summary.left_to_others = len(run.sources.names) - done - own
    table = run.request.beside("failures.csv")
    is_written = True
    try:
        write_failures(run.rows, table, run.summary.broken)
    except InputError as error:  # the results are there all the same
        run.summary.notes.append(str(error))
        is_written = False
    for reason in run.summary.broken:
        run.events.write("incomplete", reason=reason)
    run.events.write("ended", **run.summary.counts())
    return table if is_written else None
