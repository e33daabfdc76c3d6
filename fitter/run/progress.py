"""A run as it is watched: a progress line on a terminal, a log file of JSON lines for later."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

from fitter.errors import InputError
from fitter.system.messages import one_line

log = logging.getLogger(__name__)

_RATE_SECONDS = 60.0
"""Between the lines of what is no terminal."""

_LEAST_BAR, _MOST_BAR = 6, 30
"""Columns of a bar: a smaller one says nothing, a larger one no more."""


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
        done: float | None = 0,
        unit: str = "",
        first: float = _RATE_SECONDS,
    ) -> None:
        """Begin to reckon.

        Args:
            console: to print on; nothing is printed where a line can redraw itself, or a quiet one.
            title: of what is done.
            total: of what is counted.
            done: of it before the start; None where the first `show` says so, at which it begins.
            unit: what is counted, in the plural.
            first: seconds until the first line.
        """
        self._console, self.total, self._unit = console, total, unit
        self.title = title
        self._first = first
        self._pace = Pace(done)
        self._next = self._pace.began + first
        self._hidden = console.quiet or redraws(console)

    def show(self, done: float, details: str = "") -> None:
        """Say how far it is, if it is time to.

        Args:
            done: of all.
            details: what else is told.
        """
        now = time.monotonic()
        if self._pace.begins_at(done):
            self._next = now + self._first
        rate = self._pace.rate(done)
        if self._hidden or now < self._next or not rate or done >= self.total:
            return
        self._next = now + _RATE_SECONDS
        counted = f"{int(done)} of {self.total} {self._unit}".rstrip()
        parts = [counted, details, f"{rate:.3g} a second"]
        left = duration((self.total - done) / rate)
        told = ", ".join(part for part in parts if part)
        say(self._console, f"{self.title}: {told}, about {left} left")


class Pace:
    """How fast something goes on since it began.

    Attributes:
        began: when, by `time.monotonic`.
    """

    def __init__(self, done: float | None) -> None:
        """Begin with what was done before; None where `begins_at` says it first."""
        self._before = done
        self.began = time.monotonic()

    def begins_at(self, done: float) -> bool:
        """Take what was there before, which took no time, unless it is known; whether it was."""
        if self._before is not None:
            return False
        self._before, self.began = done, time.monotonic()
        return True

    def rate(self, done: float) -> float:
        """How many a second; 0 where nothing has been done yet."""
        if self._before is None or done <= self._before:
            return 0.0
        return (done - self._before) / max(time.monotonic() - self.began, 1e-9)


def duration(seconds: float) -> str:
    """A time in words, to two digits or so: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class ProgressLine:
    """How far something is: how many, how fast and how long to go, on a terminal in one line that
    fits it; elsewhere a line a minute, see `NowAndThen`.

    Every command that takes long shows one. It may be told from several threads.

    Attributes:
        title: of what is done; may change.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        total: int,
        done: float | None = 0,
        unit: str = "images",
        first: float = _RATE_SECONDS,
    ) -> None:
        """Show the line while its ``with`` block lasts.

        Args:
            console: to show it on.
            title: of what is done.
            total: of what is counted.
            done: of it before the start; None where the first `show` says so, at which it begins.
            unit: what is counted, in the plural.
            first: seconds until the first line, where it is no terminal.
        """
        self.title = title
        self._total, self._unit = total, unit
        self._console, self._lock = console, threading.Lock()
        self._pace, self._rate = Pace(done), 0.0
        self._done, self._details = done or 0.0, ""
        self._lines = NowAndThen(console, title, total, done, unit, first)
        self._progress = Progress(
            _Column(self), console=console, disable=console.quiet or not redraws(console)
        )
        self._progress.add_task(title, total=total)

    def show(self, done: float, details: str = "") -> None:
        """Bring the line up to date.

        Args:
            done: of all, with what was done before; parts count, too.
            details: what else is told, where there is room.
        """
        with self._lock:
            self._pace.begins_at(done)
            self._rate = self._pace.rate(done)
            self._done, self._details = done, details
            self._lines.title = self.title
            self._lines.show(done, details)

    def show_of(self, done: float, total: int, details: str = "") -> None:
        """The same where the total is known no earlier."""
        self._total = self._lines.total = total
        self.show(done, details)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._console.width

    def say(self, text: str) -> None:
        """Print a line above the progress."""
        say(self._progress.console, text)

    def text(self, width: int) -> Text:
        """The line for a terminal of `width` columns: count, rate and time left whole, a bar and
        the details as far as there is room for them."""
        if not self._total:  # not known yet
            return Text(self.title, no_wrap=True, overflow="crop")
        parts = [f"{int(self._done)}/{self._total} {self._unit}"]
        if self._rate:
            parts.append(f"{self._rate:.3g}/s")
            if self._done < self._total:
                parts.append(f"{duration((self._total - self._done) / self._rate)} left")
        told = ", ".join(parts)
        room = width - len(self.title) - len(told) - 3  # spaces, and no last column
        details = f", {self._details}" if self._details else ""
        if len(details) + _LEAST_BAR > room:
            details = ""
        bar = min(room - len(details), _MOST_BAR)
        line = Text(f"{self.title} ", no_wrap=True, overflow="crop")
        if bar >= _LEAST_BAR:
            share = min(1.0, self._done / self._total)
            full = int(bar * share)
            stroke = "-" if self._console.options.ascii_only else "\u2501"
            line.append(stroke * full, "bar.complete").append(stroke * (bar - full), "bar.back")
            line.append(" ")
        return line.append(f"{told}{details}")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class _Column(ProgressColumn):
    """The whole of a `ProgressLine`."""

    def __init__(self, line: ProgressLine) -> None:
        super().__init__()
        self._line = line

    def render(self, _: Task) -> Text:
        """The line in the terminal as wide as it is now."""
        return self._line.text(self._line.width)


def redraws(console: Console) -> bool:
    """Whether a line can be drawn anew where it stands."""
    return console.is_terminal and not console.is_dumb_terminal


def console_for(quiet: bool) -> Console:
    """Standard error, where progress and summary go."""
    return Console(stderr=True, quiet=quiet)


def say(console: Console, text: str) -> None:
    """Print one line, whatever is in it, as it is."""
    console.print(one_line(text), highlight=False, soft_wrap=True, markup=False)
