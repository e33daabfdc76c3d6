"""What was being fitted when a process ended over it, kept in a file for the next process."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from fitter.system.files import write_whole


class Attempts:
    """A small file with the batches that were being fitted when a process ended over them, and how
    often that has happened.

    It is there only while a batch is in hand, or after a process died over one. A disk that takes
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
        """Take the batch whose first image is at place `start` in hand; the how many-th time."""
        times = self._begun[str(start)] = self._begun.get(str(start), 0) + 1
        self._write()
        return times

    def end(self, start: int) -> None:
        """The process has outlived the batch."""
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
            write_whole(self._path, json.dumps(self._begun).encode("ascii"))
