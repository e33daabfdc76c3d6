"""The work of a run done on one machine.

tasks -> `DetectionPool` -> what was detected -> `Engine` -> rows -> `OverlayPool`
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fitter.config.options import Config
from fitter.inputs.frame_sources import Task
from fitter.rendering.overlay_folder import OverlayFolder
from fitter.store.row_kinds import Row
from fitter.system.stopping import StopRequest
from fitter.workers.attempts import Attempts
from fitter.workers.batches import FittedBatch, Plan, Seen
from fitter.workers.detection_pool import DetectionOptions, DetectionPool

if TYPE_CHECKING:  # loaded while the processes that detect load what they need
    from concurrent.futures import Future

    import numpy as np

    from fitter.workers.detected import Detected
    from fitter.workers.overlays import OverlayPool, Promises

_UNRENDERED_BATCHES = 3
"""Batches whose overlays may wait while further ones are fitted: they hold their meshes."""


@dataclass(frozen=True)
class ExecutorFiles:
    """Where a `LocalExecutor` writes.

    Attributes:
        overlays: folder to render overlays into, and their style, or None.
        in_hand: file that says what is being fitted, for a run that has to be continued, or None
            where somebody else counts.
    """

    overlays: OverlayFolder | None = None
    in_hand: Path | None = None


class LocalExecutor:
    """All that turns images or frames into rows, on one machine: processes that detect, an engine
    that fits, and processes that render where overlays are wanted.

    To be used in a ``with`` block, in which PyTorch computes on one thread: the number of threads
    shows in the last digits, and rows must not depend on where they were computed.

    Attributes:
        engine: with the model that is fitted.
        device: where it is fitted, "cpu" or "cuda".
        detection: finds the hands.
    """

    def __init__(
        self,
        config: Config,
        options: DetectionOptions,
        files: ExecutorFiles = ExecutorFiles(),
    ) -> None:
        """Start the processes, and load the model meanwhile.

        Args:
            config: of the run.
            options: how images are detected.
            files: where to write.

        Raises:
            InputError: the model, the device or the detector cannot be used.
            LostError: a process that detects ended while it loaded, twice.
        """
        self.config, self.options = config, options
        self._attempts = None if files.in_hand is None else Attempts(files.in_hand)
        self._lost = 0
        self._overlays: OverlayPool | None = None
        with ExitStack() as undo:
            self.detection = DetectionPool(config, options)
            undo.callback(self.detection.close)
            # From here on all that is heavy, while the first process loads the detector.
            import torch

            from fitter.device import choose_device

            self.device = choose_device(config.run.device).type
            count = options.workers
            if count is None:
                count = 1 if self.device == "cpu" else max(1, (os.cpu_count() or 1) - 1)
                self.detection.grow(count)
            from fitter.engine import Engine

            self.engine = Engine(config)
            if files.overlays is not None:
                from fitter.workers.overlays import OverlayPool

                meshes = self.engine.meshes
                self._overlays = OverlayPool(files.overlays, meshes, count, options)
                undo.callback(self._overlays.close)
            self.detection.ready()
            self._threads = torch.get_num_threads()
            self._closing = undo.pop_all()

    def __enter__(self) -> Self:
        import torch

        torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self._threads)
        self._closing.close()

    def process(
        self, plan: Plan, stop: StopRequest, seen: Seen | None = None
    ) -> Iterator[FittedBatch]:
        """Do what a run has to do.

        Args:
            plan: of the run.
            stop: when it is asked, no further block is begun.
            seen: told of every image, long before its batch is done.

        Yields:
            What became of each batch, in order.
        """
        return self.fit(plan.batches(stop), seen)

    def fit(self, batches: Iterable[list[Task]], seen: Seen | None = None) -> Iterator[FittedBatch]:
        """Detect and fit, the former some batches ahead of the latter.

        Args:
            batches: images or frames that are fitted together; taken one by one as there is room.
            seen: told of every image that has been looked at.

        Yields:
            What became of each batch, in order.
        """
        waiting: deque[tuple[FittedBatch, Promises]] = deque()
        for tasks, detected in self.detection.detect(batches, seen):
            start = tasks[0].place
            times = 1 if self._attempts is None else self._attempts.begin(start)
            try:
                waiting.append(self._fit(tasks, detected, times))
            finally:  # an error or an interrupt is no death
                if self._attempts is not None:
                    self._attempts.end(start)
            if len(waiting) > _UNRENDERED_BATCHES or not waiting[0][1]:
                yield _rendered(waiting.popleft())
        yield from map(_rendered, waiting)

    def finish(
        self, tasks: Sequence[Task], detected: Sequence[Detected], times: int
    ) -> FittedBatch:
        """Fit the hands of one batch, and render its overlays.

        Args:
            tasks: the images or frames.
            detected: what was found in each.
            times: how often they have been begun, this time included.
        """
        return _rendered(self._fit(tasks, detected, times))

    def begin_anew(self) -> None:
        """Forget what processes of an earlier run had in hand: its results are replaced."""
        if self._attempts is not None:
            self._attempts.forget()

    def render(self, tasks: Sequence[Task], rows: Iterable[Row]) -> list[tuple[str, str]]:
        """Render the overlays of images that were fitted before.

        Args:
            tasks: the images or frames.
            rows: of each; nothing is rendered over failed images.

        Returns:
            (name, reason) of every overlay that could not be rendered.
        """
        from fitter.workers.overlays import reasons

        return reasons(self._submit_overlays(tasks, rows))

    def overlay_frames(
        self, tasks: Sequence[Task], rows: Iterable[Row]
    ) -> list[Future[np.ndarray | str]]:
        """See `fitter.workers.overlays.OverlayPool.frames`; overlays are wanted."""
        assert self._overlays is not None
        return self._overlays.frames(tasks, rows)

    def _fit(
        self, tasks: Sequence[Task], detected: Sequence[Detected], times: int
    ) -> tuple[FittedBatch, Promises]:
        """What became of images or frames, but for the promised overlays."""
        from fitter.workers.detected import codes_of, masks_in, objects_in
        from fitter.workers.isolated_fit import fit_warily

        rows = fit_warily(self.engine, detected, times, self.options.timeout)
        lost = self.detection.lost + (0 if self._overlays is None else self._overlays.lost)
        lost_now, self._lost = lost - self._lost, lost
        masks = sum(map(masks_in, detected))
        names = [task.name for task in tasks]
        done = FittedBatch(tasks[0].place, names, rows, masks, lost=lost_now)
        objects = sum(map(objects_in, detected))
        done = replace(done, codes=codes_of(names, detected, rows), objects=objects)
        return done, self._submit_overlays(tasks, rows)

    def _submit_overlays(self, tasks: Sequence[Task], rows: Iterable[Row]) -> Promises:
        # Only the last pass's hands are results.
        if self._overlays is None or not all(task.is_final for task in tasks):
            return []
        return self._overlays.submit(tasks, rows)


def _rendered(fitted: tuple[FittedBatch, Promises]) -> FittedBatch:
    done, promises = fitted
    if not promises:
        return done
    from fitter.workers.overlays import reasons

    return replace(done, unrendered=reasons(promises))
