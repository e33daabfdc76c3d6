"""The work of a run in pieces: cut from blocks, done on one machine, put together to blocks again.

block -> `cut` -> Batch -> `LocalExecutor` -> FittedBatch -> `Collector` -> rows of the block
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch

from fitter.config.options import Config
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.sources import Sources
from fitter.rendering.overlay import overlay_name
from fitter.store.schema import ImageRow
from fitter.system.stopping import StopRequest
from fitter.workers.batches import FittedBatch, Plan
from fitter.workers.detection_pool import DetectionOptions, DetectionPool
from fitter.workers.isolated_fit import Attempts, fit_warily

_UNDRAWN_PIECES = 3
"""Pieces whose overlays may wait while further ones are fitted: they hold their meshes."""


class LocalExecutor:
    """All that turns pictures into rows, on one machine: processes that look, an engine that fits.

    To be used in a ``with`` block, in which PyTorch computes on one thread: the number of threads
    shows in the last digits, and rows must not depend on where they were computed.
    """

    def __init__(
        self,
        config: Config,
        options: DetectionOptions,
        overlays: Path | None = None,
        in_hand: Path | None = None,
    ) -> None:
        """Start the processes, and load the model meanwhile.

        Args:
            config: of the run.
            options: how pictures are looked at.
            overlays: folder to draw overlays into, or None.
            in_hand: file that says what is being fitted, for a run that has to be continued, or
                None where somebody else counts.

        Raises:
            InputError: the model, the device or the detector cannot be used.
        """
        self.config, self.options, self.overlays = config, options, overlays
        self._attempts = None if in_hand is None else Attempts(in_hand)
        self.lookers = DetectionPool(config, options)
        try:
            self.engine = Engine(config)
            self.device = self.engine.device.type
            self.lookers.ready()
        except BaseException:
            self.lookers.close()
            raise
        self._threads = torch.get_num_threads()
        self._lost = 0

    def __enter__(self) -> Self:
        torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._threads)
        self.lookers.close()

    def process(self, plan: Plan, stop: StopRequest) -> Iterator[FittedBatch]:
        """Do what a run has to do.

        Args:
            plan: of the run.
            stop: when it is asked, no further block is begun.

        Yields:
            What became of each piece, in order.
        """
        return self.fit(plan.parts(stop))

    def fit(self, parts: Iterable[Sources]) -> Iterator[FittedBatch]:
        """Look at pictures and fit their hands, the former some parts ahead of the latter.

        Args:
            parts: pictures that are fitted together; taken one by one as there is room.

        Yields:
            What became of each part, in order.
        """
        waiting: deque[tuple[FittedBatch, list[tuple[str, Future[str]]]]] = deque()
        for sources, seen in self.lookers.look(parts):
            times = 1 if self._attempts is None else self._attempts.begin(sources.first)
            try:
                waiting.append(self._fit(sources, seen, times))
            finally:  # an error or an interrupt is no death
                if self._attempts is not None:
                    self._attempts.end(sources.first)
            if len(waiting) > _UNDRAWN_PIECES or not waiting[0][1]:
                yield _drawn(waiting.popleft())
        yield from map(_drawn, waiting)

    def finish(self, sources: Sources, seen: Sequence[DetectedImage], times: int) -> FittedBatch:
        """Fit the hands of pictures that were looked at, and draw them.

        Args:
            sources: the pictures.
            seen: of each.
            times: how often they have been begun, this time included.
        """
        return _drawn(self._fit(sources, seen, times))

    def begin_anew(self) -> None:
        """Forget what processes of an earlier run had in hand: its results are replaced."""
        if self._attempts is not None:
            self._attempts.forget()

    def draw(self, sources: Sources, rows: Iterable[ImageRow]) -> list[tuple[str, str]]:
        """Draw the overlays of pictures that were fitted before.

        Args:
            sources: the pictures.
            rows: of each; nothing is drawn of failed ones.

        Returns:
            (name, reason) of every overlay that could not be drawn.
        """
        return _reasons(self._draw(sources, rows))

    def _fit(
        self, sources: Sources, seen: Sequence[DetectedImage], times: int = 1
    ) -> tuple[FittedBatch, list[tuple[str, Future[str]]]]:
        """What became of pictures, but for the promised overlays."""
        rows = fit_warily(self.engine, seen, times, self.options.timeout)
        lost, self._lost = self.lookers.lost - self._lost, self.lookers.lost
        masks = sum(image.has_mask for image in seen)
        done = FittedBatch(sources.first, list(sources.names), rows, masks, lost=lost)
        return done, self._draw(sources, rows)

    def _draw(self, sources: Sources, rows: Iterable[ImageRow]) -> list[tuple[str, Future[str]]]:
        if self.overlays is None:
            return []
        entries = (sources.entry(sources.first + k) for k in range(len(sources.names)))
        return [
            (
                entry.name,
                self.lookers.draw(
                    self.overlays / overlay_name(entry.name),
                    self.engine.overlay_hands(row),
                    entry.path,
                    row.intrinsics,
                ),
            )
            for entry, row in zip(entries, rows, strict=True)
            if row.image_status != "failed"
        ]


def _drawn(fitted: tuple[FittedBatch, list[tuple[str, Future[str]]]]) -> FittedBatch:
    done, promises = fitted
    return replace(done, undrawn=_reasons(promises))


def _reasons(promises: list[tuple[str, Future[str]]]) -> list[tuple[str, str]]:
    found = [(name, promise.result()) for name, promise in promises]
    return [(name, reason) for name, reason in found if reason]
