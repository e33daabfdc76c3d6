"""Images whose fit may end the process, each fitted alone in one that may be lost over it."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fitter.config.options import Config
from fitter.engine import Engine, image_row
from fitter.errors import InputError
from fitter.fitting.detected_image import DetectedImage
from fitter.store.schema import ImageRow
from fitter.system.isolation import Isolated, Lost

log = logging.getLogger(__name__)

TRIES = 3
"""Times that a batch may end the process that fits it before its images are tried one by one; after
twice as many they are fitted only like that."""

_LEAST_SECONDS = 120.0
"""A fit that takes longer for one image hangs, however little time detection is given."""


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
        images: as they were detected.
        timeout: seconds that one may take.

    Returns:
        A row an image. One that ended the process, took too long, or raised an error, is failed.
    """
    rows = []
    trial = Isolated(_Trial, config)
    for image in images:
        try:
            rows.append(trial.call("fit", image, timeout=timeout))
        except (Lost, RuntimeError) as loss:
            how = str(loss) if isinstance(loss, Lost) else f"failed ({_last_line(loss)})"
            error = InputError("worker.unfittable", how=how)
            rows.append(image_row(_failed(image, str(error)), []))
    trial.close()
    return rows


def fit_warily(
    engine: Engine, images: Sequence[DetectedImage], times: int, timeout: float
) -> list[ImageRow]:
    """Fit images that may have ended processes before, together if that is possible.

    A process that hangs over them is ended by the system, as if it had crashed.

    Args:
        engine: to fit with.
        images: as they were detected.
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
            _failed(image, row.image_error or "") if row.image_status == "failed" else image
            for image, row in zip(images, alone, strict=True)
        ]
    try:
        with _limited(max(timeout, _LEAST_SECONDS) * max(1, len(images))):
            return engine.fit(images)
    except Exception:
        # A fault of ours or of a library must not stop the other images of a long run.
        log.exception("unexpected error in a fit; its images are fitted one by one")
        return fit_singly(engine.config, images, timeout)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End this process where the block takes longer; Python need not get a word in for that."""
    signal.alarm(int(seconds) + 1)
    try:
        yield
    finally:
        signal.alarm(0)


def _failed(image: DetectedImage, reason: str) -> DetectedImage:
    """An image that cannot be fitted; one that had failed before stays as it is."""
    if image.size is None:
        return image
    return replace(
        image, size=None, hands=(), crops=(), error=reason, error_code="worker.unfittable"
    )


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
