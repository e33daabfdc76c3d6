"""Files that are never seen in part: the one way to write them, for everybody."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, durable: bool = True, partial: Path | None = None) -> Iterator[Path]:
    """A place to write a file to, which gets its name when the ``with`` block ends.

    A block that fails leaves what was at `path`, and nothing beside it. A process that is killed
    leaves the unfinished file, which the next one that writes there takes over.

    Args:
        path: the file to make or to replace; its folder exists.
        durable: whether the file is on the disk when the block has ended, whatever happens to the
            machine. Otherwise a power cut may take it.
        partial: where to write it, in the same folder; by default the file's name with ".partial"
            behind it. To be given where a writer goes by a file's ending, or several processes
            write the same file.

    Yields:
        `partial`.

    Raises:
        OSError: the file cannot be written, or the block raised it.
    """
    partial = partial or path.with_name(f"{path.name}.partial")
    try:
        yield partial
        if durable:
            flush(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    if durable:
        flush(path.parent)


def write_whole(
    path: Path,
    content: bytes | memoryview | Callable[[BinaryIO], object],
    durable: bool = True,
) -> None:
    """Write a file so that it is never seen in part, see `whole_file`.

    Args:
        path: the file to make or to replace; its folder exists.
        content: what to write, or a function that writes it to a file open for bytes.
        durable: whether the file is on the disk on return.

    Raises:
        OSError: it cannot be written; what was there is kept, and nothing is left beside it.
    """
    with whole_file(path, durable) as partial, partial.open("wb") as file:
        if callable(content):
            content(file)
        else:
            file.write(content)


def flush(path: Path) -> None:
    """Force a file, or a folder's list of entries, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
