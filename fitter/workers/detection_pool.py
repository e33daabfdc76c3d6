"""Images detected in processes of their own, some ahead of where they are needed, in order.

An image that kills its process, or takes too long, is detected once more alone; a second time, and
it is a failed image like one that cannot be decoded. No other image notices.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from fitter.config.options import Config
from fitter.errors import InputError
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.frame_sources import Task
from fitter.inputs.image_task import ImageTask
from fitter.system.isolation import Lost
from fitter.workers.batches import Seen
from fitter.workers.process_pool import ProcessPool

if TYPE_CHECKING:  # loaded while the processes that detect load what they need
    from fitter.workers.detected import Detected
    from fitter.workers.image_detector import ImageDetector

log = logging.getLogger(__name__)

AHEAD = 2
"""Batches that are being detected, or wait to be fitted, beside the one that is fitted."""


class DetectedBatch(NamedTuple):
    """The images or frames of a batch, and what was detected in each."""

    tasks: list[Task]
    detected: list[Detected]


class _Waiting(NamedTuple):
    """A batch whose images are being looked at."""

    tasks: list[Task]
    images: list[ImageTask]
    promises: list[Future[DetectedImage]]


@dataclass(frozen=True)
class DetectionOptions:
    """How images are detected.

    Attributes:
        detects: whether hands are to be found, and not given.
        workers: processes, one thread each; None for as many as suit the device: a fit on a CPU
            takes about as long as finding the hands, one on a GPU next to nothing.
        timeout: seconds that one image may take.
        prepare: what each process does first, without that time; picklable. None for nothing.
    """

    detects: bool = True
    workers: int | None = 1
    timeout: float = 120.0
    prepare: Callable[[], object] | None = None


class DetectionPool:
    """Processes that decode images and find hands; close it, or use it in a ``with`` block."""

    def __init__(self, config: Config, options: DetectionOptions) -> None:
        """Start them; `ready` waits for the first.

        Args:
            config: of the run.
            options: how many, and how long an image may take.
        """
        arguments = (config, options.detects, options.prepare)
        self._pool = ProcessPool(_image_detector, arguments, options.workers or 1, options.timeout)

    @property
    def lost(self) -> int:
        """Times that a process was lost so far."""
        return self._pool.lost

    def grow(self, count: int) -> None:
        """Have `count` processes, before any image is detected."""
        self._pool.grow(count)

    def ready(self) -> None:
        """Wait until a first process can detect; raises what `ProcessPool.ready` raises."""
        self._pool.ready()

    def detect(
        self, batches: Iterable[list[Task]], seen: Seen | None = None
    ) -> Iterator[DetectedBatch]:
        """Detect all images, `AHEAD` batches ahead of the one that is handed out.

        Args:
            batches: images or frames that are wanted together; taken one by one as there is room.
            seen: told of every image whose hands were looked for, whatever became of it.

        Yields:
            Each batch, in order, with what was detected in it.
        """
        waiting: deque[_Waiting] = deque()
        for tasks in batches:
            images = [image for task in tasks for image in task.images]
            promises = [self._pool.submit("detect", image) for image in images]
            if seen is not None:
                shares = [1 / len(task.images) for task in tasks for _ in task.images]
                for promise, share in zip(promises, shares, strict=True):
                    promise.add_done_callback(partial(_tell, seen, share))
            waiting.append(_Waiting(tasks, images, promises))
            if len(waiting) > AHEAD:
                yield self._settled(waiting)
        while waiting:
            yield self._settled(waiting)

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settled(self, waiting: deque[_Waiting]) -> DetectedBatch:
        """The first batch that waits, with the second attempt of images whose process was lost."""
        from fitter.workers.detected import joined

        tasks, images, promises = waiting.popleft()
        found: list[DetectedImage | None] = []
        for image, promise in zip(images, promises, strict=True):
            try:
                found.append(promise.result())
            except Lost as lost:
                log.warning("%s %s while it was detected", image.name, lost)
                found.append(None)
        detected = []
        for image, first in zip(images, found, strict=True):
            if first is None:
                # Alone: whatever else is in memory may be what there was no room beside.
                for later in (promise for batch in waiting for promise in batch.promises):
                    later.exception()
                first = self._second_attempt(image)
            detected.append(first)
        rest = iter(detected)
        each = [joined(task, [next(rest) for _ in task.images]) for task in tasks]
        return DetectedBatch(tasks, each)

    def _second_attempt(self, task: ImageTask) -> DetectedImage:
        try:
            return self._pool.call("detect", task)
        except Lost as lost:
            log.warning("%s %s while it was detected again", task.name, lost)
            return replace(
                DetectedImage.of_error(InputError("worker.undetectable", how=str(lost))),
                time=task.file.time,
                **vars(task.stamps()),
            )


def _tell(seen: Seen, share: float, _: Future[DetectedImage]) -> None:
    seen(share)


def _image_detector(
    config: Config, detects: bool, prepare: Callable[[], object] | None
) -> ImageDetector:
    """What each process holds. What it needs is loaded there and not here, where processes are
    started before anything else is loaded."""
    from fitter.workers.image_detector import ImageDetector

    if prepare is not None:
        prepare()
    return ImageDetector(config, detects)
