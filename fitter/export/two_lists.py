"""A JSON file with two lists that grow side by side, such as COCO's images and annotations."""

from __future__ import annotations

import shutil
import tempfile
from typing import IO


class TwoLists:
    """Two lists of JSON values in one file, neither of them in memory.

    The second list waits in a file without a name, which goes away with the process.
    """

    def __init__(self, file: IO[bytes], parts: tuple[str, str, str], scratch: str) -> None:
        """Begin the file.

        Args:
            file: where it goes.
            parts: what stands before, between and behind the lists, brackets included.
            scratch: folder for the second list, on the disk of the file.
        """
        self._file, (start, self._between, self._end) = file, parts
        self._second = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed by `finish`
        self._counts = [0, 0]
        file.write(start.encode())

    def add(self, which: int, value: str) -> None:
        """A value, as JSON, behind those of the first list (0) or the second (1)."""
        target = self._second if which else self._file
        target.write((b",\n" if self._counts[which] else b"\n") + value.encode())
        self._counts[which] += 1

    def finish(self) -> None:
        """Put the second list behind the first."""
        self._file.write(self._between.encode())
        self._second.seek(0)
        shutil.copyfileobj(self._second, self._file)
        self._second.close()
        self._file.write(self._end.encode())
