"""Remembers what a process had in hand when it died, for the one that comes after it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

TRIES = 3
"""Times that a piece of work may end the process that fits it before its pictures are tried one by
one; as many after that, and they are given up."""


class Attempts:
    """A small file with the piece that is being fitted, and how often that was begun.

    It is there only while a piece is in hand, or after a process died over one. A disk that takes
    no file takes no result either, so what goes wrong here is left to the store to tell.
    """

    def __init__(self, path: Path) -> None:
        """Read what a process before this one left in `path`."""
        self._path = path
        self._last: tuple[int, int] | None = None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(path.read_text(encoding="ascii"))
            self._last = (int(found["start"]), int(found["times"]))

    def begin(self, start: int) -> int:
        """Take the piece whose first picture is at place `start` in hand; the how many-th time."""
        times = self._last[1] + 1 if self._last is not None and self._last[0] == start else 1
        with contextlib.suppress(OSError):
            text = json.dumps({"start": start, "times": times})
            partial = self._path.with_name(f"{self._path.name}.partial")
            partial.write_text(text, encoding="ascii")
            partial.replace(self._path)
        return times

    def end(self) -> None:
        """The piece is done."""
        self._last = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
