"""A run as it is watched: a progress line on a terminal, a log file of JSON lines for later."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fitter.errors import InputError
from fitter.system.messages import one_line

log = logging.getLogger(__name__)

_RATE_SECONDS = 60.0
"""Time over which the remaining time is reckoned."""


class RunLog:
    """A file to which every event of a run is added, one JSON object a line, as it happens.

    A run that is continued goes on with the same file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: made where it is missing.

        Raises:
            InputError: it cannot be written.
        """
        self._path = path
        try:
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise InputError("run.log_unwritable", file=path, reason=error.strerror) from error
        self._broken = False

    def write(self, event: str, **values: object) -> None:
        """Add an event, with the time of the clock. A full disk stops the log and not the run."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **values}, ensure_ascii=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            if not self._broken:
                log.warning("cannot write the log %s: %s", self._path, error)
            self._broken = True

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ProgressLine:
    """Images and hands, rates, remaining time and failures, on a terminal.

    A file gets nothing: a line that redraws itself would only fill it.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        done: int,
        title: str = "fitting",
        unit: str = "image",
    ) -> None:
        """Show the line while its ``with`` block lasts.

        Args:
            console: to show it on.
            title: of what is done.
            total: images or frames of the run.
            done: those that are done before it starts.
            unit: what they are called.
        """
        self._unit = unit
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit}s, {{task.fields[hands]}} hands, {{task.fields[failed]}} failed"),
            TextColumn("{task.fields[rates]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        hidden = console.quiet or not console.is_terminal
        self._progress = Progress(
            *columns, console=console, disable=hidden, speed_estimate_period=_RATE_SECONDS
        )
        self._task = self._progress.add_task(
            title, total=total, completed=done, hands=0, failed=0, rates=""
        )
        self._done, self._started = done, time.monotonic()

    def show(self, images: int, hands: int, failed: int) -> None:
        """Bring the line up to date.

        Args:
            images: of this run.
            hands: fitted in them.
            failed: images that failed.
        """
        seconds = max(time.monotonic() - self._started, 1e-9)
        rates = f"{images / seconds:.1f} {self._unit}s/s, {hands / seconds:.1f} hands/s"
        self._progress.update(
            self._task, completed=self._done + images, hands=hands, failed=failed, rates=rates
        )

    def say(self, text: str) -> None:
        """Print a line above the progress."""
        say(self._progress.console, text)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def console_for(quiet: bool) -> Console:
    """Standard error, where progress and summary go."""
    return Console(stderr=True, quiet=quiet)


def say(console: Console, text: str) -> None:
    """Print one line, whatever is in it, as it is."""
    console.print(one_line(text), highlight=False, soft_wrap=True, markup=False)
