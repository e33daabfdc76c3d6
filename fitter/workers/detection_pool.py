"""Pictures looked at in processes of their own, some ahead of where they are needed, in order.

A picture that kills its process, or takes too long, is looked at once more alone; a second time,
and it is a failed picture like one that cannot be decoded. No other picture notices.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Self

import numpy as np

from fitter.config.options import Config
from fitter.errors import LostError
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.sources import Sources
from fitter.rendering.overlay import OverlayHand
from fitter.system.isolation import Isolated, Lost
from fitter.workers.image_worker import ImageWorker, failed

log = logging.getLogger(__name__)

AHEAD = 2
"""Pieces of work that are looked at, or waiting to be fitted, beside the one that is fitted."""


@dataclass(frozen=True)
class DetectionOptions:
    """How pictures are looked at.

    Attributes:
        detects: whether hands are to be found, and not given.
        workers: processes, one thread each.
        timeout: seconds that one picture may take.
    """

    detects: bool = True
    workers: int = 1
    timeout: float = 120.0


class DetectionPool:
    """Processes that decode pictures and find hands; close it, or use it in a ``with`` block."""

    def __init__(self, config: Config, options: DetectionOptions) -> None:
        """Start them; `ready` waits for the first.

        Args:
            config: of the run.
            options: how many, and how long a picture may take.
        """
        self.timeout = options.timeout
        self.lost = 0
        """Times that a process was lost so far."""
        self._all = [Isolated(ImageWorker, config, options.detects) for _ in range(options.workers)]
        self._free: SimpleQueue[Isolated] = SimpleQueue()
        for process in self._all:
            self._free.put(process)
        self._threads = ThreadPoolExecutor(options.workers, thread_name_prefix="look")

    def ready(self) -> None:
        """Wait until a first process can look.

        Raises:
            InputError: the detector cannot be loaded.
            LostError: the process ended while it loaded, twice.
        """
        try:
            self._all[0].ready()
        except Lost as lost:
            raise LostError(f"what looks at pictures {lost} while it was loaded") from lost

    def look(self, parts: Iterable[Sources]) -> Iterator[tuple[Sources, list[DetectedImage]]]:
        """Look at all pictures, `AHEAD` parts ahead of the one that is handed out.

        Args:
            parts: pictures that are wanted together; taken one by one as there is room.

        Yields:
            Each part, in order, with what was seen in its pictures.
        """
        waiting: deque[tuple[Sources, list[Future]]] = deque()
        for sources in parts:
            places = range(sources.first, sources.first + len(sources.names))
            seen = [self._threads.submit(self._look, sources, place) for place in places]
            waiting.append((sources, seen))
            if len(waiting) > AHEAD:
                yield self._settled(waiting)
        while waiting:
            yield self._settled(waiting)

    def draw(
        self, path: Path, hands: Sequence[OverlayHand], picture: Path, intrinsics: np.ndarray
    ) -> Future[str]:
        """Draw an overlay.

        Args:
            path: the file to make.
            hands: what to draw.
            picture: the photograph.
            intrinsics: (3, 3) its K.

        Returns:
            A promise of why it could not be drawn, or of an empty text.
        """
        place = (str(picture), intrinsics)
        return self._threads.submit(self._draw, str(path), hands, place)

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.close()
        self._threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settled(
        self, waiting: deque[tuple[Sources, list[Future]]]
    ) -> tuple[Sources, list[DetectedImage]]:
        """The first part that waits, with the second attempt of pictures whose process was lost."""
        sources, futures = waiting.popleft()
        seen = [future.result() for future in futures]
        for k, found in enumerate(seen):
            if isinstance(found, Lost):
                # Alone: whatever else is in memory may be what there was no room beside.
                for future in (future for _, later in waiting for future in later):
                    future.exception()
                seen[k] = self._second_look(sources, sources.first + k)
        return sources, seen

    def _second_look(self, sources: Sources, place: int) -> DetectedImage:
        found = self._look(sources, place)
        if not isinstance(found, Lost):
            return found
        sentence = f"expected a picture that can be looked at, found one that, tried twice, {found}"
        return failed(sources, place, sentence)

    def _look(self, sources: Sources, place: int) -> DetectedImage | Lost:
        one = sources.part(place, [sources.entry(place).name])
        process = self._free.get()
        try:
            return process.call("look", one, place, timeout=self.timeout)
        except Lost as lost:
            self.lost += 1
            log.warning("%s %s while it was looked at", one.names[0], lost)
            return lost
        finally:
            self._free.put(process)

    def _draw(self, path: str, hands: Sequence[OverlayHand], place: tuple[str, np.ndarray]) -> str:
        process = self._free.get()
        try:
            return process.call("draw", path, hands, place, timeout=self.timeout)
        except Lost as lost:
            self.lost += 1
            return f"the picture {lost} while it was drawn over"
        finally:
            self._free.put(process)
