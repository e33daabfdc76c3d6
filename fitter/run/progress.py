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


class NowAndThen:
    """Progress for a file or a pipe, which a line that redraws itself would only fill: one line
    soon after the start, with an estimate, and then one a minute."""

    def __init__(
        self,
        console: Console,
        title: str,
        total: int,
        done: int | None = 0,
        unit: str = "",
        first: float = _RATE_SECONDS,
    ) -> None:
        """Begin to reckon.

        Args:
            console: to print on; nothing is printed on a terminal, or a quiet one.
            title: of what is done.
            total: of what is counted.
            done: of it before the start; None where the first `show` says so, at which it begins.
            unit: what is counted, in the plural.
            first: seconds until the first line.
        """
        self._console, self._title, self._total, self._unit = console, title, total, unit
        self._before, self._first = done, first
        self._began = time.monotonic()
        self._next = self._began + first
        self._hidden = console.quiet or console.is_terminal

    def show(self, done: int, details: str = "") -> None:
        """Say how far it is, if it is time to.

        Args:
            done: of all.
            details: what else is told.
        """
        now = time.monotonic()
        if self._before is None:
            # What was there before took no time.
            self._before, self._began, self._next = done, now, now + self._first
        if self._hidden or now < self._next or done <= self._before or done >= self._total:
            return
        self._next = now + _RATE_SECONDS
        rate = (done - self._before) / max(now - self._began, 1e-9)
        parts = [f"{done} of {self._total} {self._unit}".rstrip(), details, f"{rate:.3g} a second"]
        left = duration((self._total - done) / rate)
        told = ", ".join(part for part in parts if part)
        say(self._console, f"{self._title}: {told}, about {left} left")


def duration(seconds: float) -> str:
    """A time in words, to two digits or so: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class ProgressLine:
    """Images and hands, rates, remaining time and failures, on a terminal; elsewhere a line a
    minute, see `NowAndThen`."""

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
        self._lines = NowAndThen(console, title, total, done, f"{unit}s")

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
        self._lines.show(self._done + images, f"{hands} hands, {failed} failed")

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
