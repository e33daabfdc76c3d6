"""Overlays of videos: written when all frames are fitted, each from its rows and its own pixels.

Frames have no overlays of their own: an hour of them would take gigabytes. Rows of a complete store
-> batches of a video's frames -> processes that render -> `write_overlay_video`
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from fitter.errors import InputError
from fitter.inputs.frame_names import video_of
from fitter.rendering.overlay_video import overlay_video_name, write_overlay_video
from fitter.run.passes import stoppable, untracked
from fitter.run.progress import say
from fitter.store.layout import Block
from fitter.store.row_kinds import IMAGES
from fitter.store.schema import ImageRow

if TYPE_CHECKING:
    from fitter.run.work import RunState
    from fitter.system.stopping import StopRequest

log = logging.getLogger(__name__)

_BATCH = 8
"""Frames that are rendered, or wait to be written, at a time."""

_PIXELS = _BATCH * 3840 * 2160
"""Of those frames at most: 200 MB; larger frames are fewer."""

_UNUSED = frozenset({"vertex", "shape_information_entry"})
"""Dimensions of what overlays do not show."""


def write_overlay_videos(run: RunState, console: Console) -> None:
    """Write the overlays of videos that are not there, if they are asked for and all is fitted.

    Args:
        run: as it was in the last pass that it came to.
        console: to say on what is written.

    Raises:
        InputError: rows are damaged.
    """
    summary, store = run.summary, run.store
    if run.request.overlays is None or store.kind is not IMAGES:
        return
    if not summary.has_results or summary.was_stopped or not store.is_complete:
        return
    run = replace(run, sources=untracked(run.sources))
    with stoppable(lambda text: say(console, text)) as stop:
        for video, places in _videos(run):
            path = overlay_video_path(run, video)
            if stop.asked:
                break
            if path.exists():
                continue
            say(console, f"writing the overlay of {video}")
            try:
                count = write_overlay_video(path, _rendered(run, video, places, stop))
                summary.rendered_videos += bool(count)
            except _StoppedError:
                break
            except InputError as error:
                summary.unrendered.add(f"no overlay of {video}: {error}")
    summary.was_stopped = summary.was_stopped or stop.asked


class _StoppedError(Exception):
    """The user stopped the run; nothing is kept of the video that is being written."""


def overlay_video_path(run: RunState, video: str) -> Path:
    """Where the overlay of a video is."""
    folder = run.request.overlays
    assert folder is not None  # it was asked for
    return folder if run.request.overlays_are_a_video else folder / overlay_video_name(video)


def _videos(run: RunState) -> list[tuple[str, np.ndarray]]:
    """The videos of a store in the order of their names, each with the places of its frames in the
    order in which they are shown."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, name in enumerate(run.store.names):
        frame = video_of(name)
        if frame is not None:
            found.setdefault(frame[0], []).append((frame[1], place))
    return [
        (video, np.array(sorted(frames), np.int64)[:, 1]) for video, frames in sorted(found.items())
    ]


def _rendered(
    run: RunState, video: str, places: np.ndarray, stop: StopRequest
) -> Iterator[tuple[float, np.ndarray]]:
    """Time and overlay of each frame of a video that was read."""
    waiting: deque[tuple[float, object]] = deque()
    for block in _parts(run, places):
        if stop.asked:
            raise _StoppedError
        rows = run.store.read_block(block, lambda variable: not _UNUSED & set(variable.dims))
        tasks = run.sources.tasks(block.start, block.stop)
        at_once = frames_at_once(rows)
        for at in range(0, len(rows), at_once):
            part = rows[at : at + at_once]
            promises = run.workers.overlay_frames(tasks[at : at + at_once], part)
            read = [row for row in part if isinstance(row, ImageRow) and row.status != "failed"]
            for row, promise in zip(read, promises, strict=True):
                waiting.append((row.time or 0.0, promise))
            while len(waiting) > at_once:
                yield from _settled(run, video, waiting)
    while waiting:
        yield from _settled(run, video, waiting)


def frames_at_once(rows: Sequence[object]) -> int:
    """How many frames of a video are rendered, or wait to be written, at a time.

    Args:
        rows: of frames, whose largest counts.
    """
    sizes = [
        row.image_width * row.image_height
        for row in rows
        if isinstance(row, ImageRow) and row.image_width and row.image_height
    ]
    return max(1, min(_BATCH, _PIXELS // max(sizes, default=1)))


def _settled(run: RunState, video: str, waiting: deque) -> Iterator[tuple[float, np.ndarray]]:
    seconds, promise = waiting.popleft()
    found = promise.result()
    if isinstance(found, str):
        run.summary.unrendered.add(f"no overlay of {video} at {seconds:.2f} s: {found}")
    else:
        yield seconds, found


def _parts(run: RunState, places: Sequence[int] | np.ndarray) -> Iterator[Block]:
    """Places in order as parts of blocks, each of places that follow on one another."""
    size = run.store.block_size
    numbered = enumerate(int(place) for place in places)
    for _, group in groupby(numbered, key=lambda each: each[1] - each[0]):
        run_of = [place for _, place in group]
        at, stop = run_of[0], run_of[-1] + 1
        while at < stop:
            end = min(stop, at + _BATCH, at - at % size + size)
            yield Block(at // size, at, end)
            at = end
