"""Images or frames whose fit may end the process, each fitted alone in one that may be lost."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator, Sequence

from fitter.config.options import Config
from fitter.engine import Engine
from fitter.errors import InputError
from fitter.store.row_kinds import Row
from fitter.system.isolation import Isolated, Lost
from fitter.workers.detected import Detected, failed_row, fit_rows

log = logging.getLogger(__name__)

TRIES = 3
"""Times that a batch may end the process that fits it before its images are tried one by one; after
twice as many they are fitted only like that."""

_LEAST_SECONDS = 120.0
"""A fit that takes longer for one image hangs, however little time detection is given."""


class _Trial:
    """Fits images or frames, in a process of its own."""

    def __init__(self, config: Config) -> None:
        self._engine = Engine(config)

    def fit(self, detected: Detected) -> Row:
        (row,) = fit_rows(self._engine, [detected])
        return row


def fit_singly(config: Config, detected: Sequence[Detected], timeout: float) -> list[Row]:
    """Fit images or frames one by one; what goes wrong with one stays with it.

    Args:
        config: of the run.
        detected: what was detected in each.
        timeout: seconds that one may take.

    Returns:
        A row each. One that ended the process, took too long, or raised an error, is failed.
    """
    rows = []
    trial = Isolated(_Trial, config)
    for one in detected:
        try:
            rows.append(trial.call("fit", one, timeout=timeout))
        except (Lost, RuntimeError) as loss:
            how = str(loss) if isinstance(loss, Lost) else f"failed ({_last_line(loss)})"
            rows.append(failed_row(one, str(InputError("worker.unfittable", how=how))))
    trial.close()
    return rows


def fit_warily(
    engine: Engine, detected: Sequence[Detected], times: int, timeout: float
) -> list[Row]:
    """Fit images or frames that may have ended processes before, together if that is possible.

    A process that hangs over them is ended by the system, as if it had crashed.

    Args:
        engine: to fit with.
        detected: what was detected in each.
        times: how often they have been begun, this time included.
        timeout: seconds that one may take.

    Returns:
        A row each.
    """
    alone: list[Row] = []
    if times > TRIES:
        alone = fit_singly(engine.config, detected, timeout)
        if times > 2 * TRIES:
            return alone
    good = [k for k in range(len(detected)) if not alone or alone[k].status != "failed"]
    if not good:
        return alone
    try:
        with _limited(max(timeout, _LEAST_SECONDS) * len(good)):
            found = dict(zip(good, fit_rows(engine, [detected[k] for k in good]), strict=True))
    except Exception:
        # A fault of ours or of a library must not stop the other images of a long run.
        log.exception("unexpected error in a fit; its images are fitted one by one")
        return fit_singly(engine.config, detected, timeout)
    return [found[k] if k in found else alone[k] for k in range(len(detected))]


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
