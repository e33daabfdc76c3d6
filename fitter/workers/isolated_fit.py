"""Images whose fit may end the process, each fitted alone in one that may be lost over it."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fitter.config.options import Config
from fitter.engine import Engine, image_row
from fitter.fitting.detected_image import DetectedImage
from fitter.store.schema import ImageRow
from fitter.system.isolation import Isolated, Lost

log = logging.getLogger(__name__)

_LEAST_SECONDS = 120.0
"""A fit that takes longer for one image hangs, however little time looking is given."""


class _Trial:
    """Fits images, in a process of its own."""

    def __init__(self, config: Config) -> None:
        self._engine = Engine(config)

    def fit(self, image: DetectedImage) -> ImageRow:
        (row,) = self._engine.fit([image])
        return row


def fit_singly(config: Config, images: Sequence[DetectedImage], timeout: float) -> list[ImageRow]:
    """Fit images one by one; what goes wrong with one stays with it.

    Args:
        config: of the run.
        images: as they were seen.
        timeout: seconds that one may take.

    Returns:
        A row an image. One that ended the process, took too long, or raised an error, is failed.
    """
    rows = []
    trial = Isolated(_Trial, config)
    for image in images:
        try:
            rows.append(trial.call("fit", image, timeout=timeout))
        except (Lost, RuntimeError) as error:
            how = str(error) if isinstance(error, Lost) else f"failed ({_last_line(error)})"
            reason = f"expected a picture whose hands can be fitted, found one that {how}"
            rows.append(image_row(replace(image, size=None, error=reason), []))
    trial.close()
    return rows


def fit_warily(
    engine: Engine, images: Sequence[DetectedImage], times: int, timeout: float
) -> list[ImageRow]:
    """Fit images that may have ended processes before, together if that is possible.

    A process that hangs over them is ended by the system, as if it had crashed.

    Args:
        engine: to fit with.
        images: as they were seen.
        times: how often they have been begun, this time included.
        timeout: seconds that one may take.

    Returns:
        A row an image.
    """
    if times > TRIES:
        alone = fit_singly(engine.config, images, timeout)
        if times > 2 * TRIES:
            return alone
        images = [
            replace(image, size=None, hands=(), crops=(), error=row.image_error)
            if row.image_status == "failed"
            else image
            for image, row in zip(images, alone, strict=True)
        ]
    try:
        with _limited(max(timeout, _LEAST_SECONDS) * max(1, len(images))):
            return engine.fit(images)
    except Exception:
        # A fault of ours or of a library must not stop the other pictures of a long run.
        log.exception("unexpected error in a fit; its pictures are fitted one by one")
        return fit_singly(engine.config, images, timeout)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End this process where the block takes longer; Python need not get a word in for that."""
    signal.alarm(int(seconds) + 1)
    try:
        yield
    finally:
        signal.alarm(0)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


TRIES = 3
"""Times that a piece of work may end the process that fits it before its pictures are tried one by
one; after twice as many they are fitted only like that."""


class Attempts:
    """A small file with the pieces that were being fitted when a process ended over them, and how
    often that has happened.

    It is there only while a piece is in hand, or after a process died over one. A disk that takes
    no file takes no result either, so what goes wrong here is left to the store to tell.
    """

    def __init__(self, path: Path) -> None:
        """Read what processes before this one left in `path`."""
        self._path = path
        self._begun: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            found = json.loads(path.read_text(encoding="ascii"))
            self._begun = {str(start): int(times) for start, times in found.items()}

    def begin(self, start: int) -> int:
        """Take the piece whose first picture is at place `start` in hand; the how many-th time."""
        times = self._begun[str(start)] = self._begun.get(str(start), 0) + 1
        self._write()
        return times

    def end(self, start: int) -> None:
        """The process has outlived the piece."""
        self._begun.pop(str(start), None)
        self._write()

    def forget(self) -> None:
        """Nothing has been in hand: the results are begun anew."""
        self._begun.clear()
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            if not self._begun:
                self._path.unlink(missing_ok=True)
                return
            partial = self._path.with_name(f"{self._path.name}.partial")
            partial.write_text(json.dumps(self._begun), encoding="ascii")
            partial.replace(self._path)
