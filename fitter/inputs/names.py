"""Names by the million: sorted, compared and kept in memory that does not depend on their number.

An external sort: one run of names is in memory, the others in temporary files.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from fitter.errors import InputError

_RUN_LENGTH = 100_000
"""Names sorted in memory at a time, some 10 MB of them."""

_FAN_IN = 128
"""Runs merged at a time: each is an open file, and some systems allow 256 of them."""

_READ_SIZE = 1 << 14
"""Bytes of a run in memory while it is merged."""


class NameList:
    """Names that were listed once, to be gone through any number of times.

    Up to a run of them is kept in memory, more in a temporary file. Close it, or use it in a
    ``with`` block, to remove that.
    """

    def __init__(self, names: Iterable[str], scratch: Path | None = None) -> None:
        """Take all names.

        Args:
            names: in the order to keep; with more than a run of them, without NUL characters.
            scratch: folder for the temporary file, by default the system's.

        Raises:
            InputError: the temporary file cannot be written.
        """
        names = iter(names)
        self._stack = contextlib.ExitStack()
        self._few = list(itertools.islice(names, _RUN_LENGTH))
        self._path: Path | None = None
        self._count = len(self._few)
        if self._count == _RUN_LENGTH:
            with contextlib.ExitStack() as undo:
                folder = undo.enter_context(_temporary_folder(scratch))
                self._path = _spill(
                    self._counted(itertools.chain(self._few, names)), folder / "all"
                )
                self._few = []
                self._stack = undo.pop_all()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        if self._path is None:
            yield from self._few
            return
        with self._path.open("rb", buffering=0) as file:
            yield from _spilled(file)

    def close(self) -> None:
        """Remove the temporary file; a second call does nothing."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counted(self, names: Iterable[str]) -> Iterator[str]:
        self._count = 0
        for name in names:
            self._count += 1
            yield name


def new_names(
    listed: Iterable[str], known: Iterable[str], scratch: Path | None = None
) -> Iterator[str]:
    """The names of a listing that are not known yet.

    Args:
        listed: sorted by code point, each once.
        known: in any order.
        scratch: as of `sorted_unique`, which sorts `known`.

    Yields:
        Names of `listed` that are not among `known`, in the order of `listed`.
    """
    with contextlib.closing(sorted_unique(known, scratch)) as others:
        other = next(others, None)
        for name in listed:
            while other is not None and other < name:
                other = next(others, None)
            if name != other:
                yield name


def first_shared_stem(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ in their ending alone, the first ones in order, or None."""
    # No name has two slashes in a row, so that names of one stem stand next to each other.
    stems = (str(PurePosixPath(name).with_suffix("")) + "//" + name for name in names)
    with contextlib.closing(sorted_unique(stems)) as ordered:
        for one, other in itertools.pairwise(ordered):
            stem, _, first = one.partition("//")
            following, _, second = other.partition("//")
            if stem == following:
                return first, second
    return None


def sorted_unique(
    names: Iterable[str], scratch: Path | None = None, run_length: int = _RUN_LENGTH
) -> Generator[str, None, None]:
    """Sort any number of names in the memory of `run_length` of them.

    Args:
        names: in any order, any number of times, without NUL characters.
        scratch: folder for temporary files, by default the system's. They are needed for more than
            `run_length` names, and removed when the generator ends or is closed.
        run_length: names to hold in memory at a time, at least 1.

    Yields:
        The names, each once, in the order of `sorted`.

    Raises:
        InputError: the temporary files cannot be written.
        ValueError: one of more than `run_length` names has a NUL character.
    """
    names = iter(names)
    run = _sorted_run(names, run_length)
    following = next(names, None)
    if following is None:
        yield from run
        return
    names = itertools.chain([following], names)
    with _temporary_folder(scratch) as folder:
        files = (folder / str(number) for number in itertools.count())
        runs = []
        while run:
            runs.append(_spill(run, next(files)))
            run = _sorted_run(names, run_length)
        while len(runs) > _FAN_IN:
            oldest = runs[:_FAN_IN]
            runs = [*runs[_FAN_IN:], _spill(_merged(oldest), next(files))]
            for path in oldest:
                path.unlink()
        yield from _merged(runs)


def _sorted_run(names: Iterator[str], length: int) -> list[str]:
    return sorted(set(itertools.islice(names, length)))


@contextlib.contextmanager
def _temporary_folder(scratch: Path | None) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="fit-hands-names-", dir=scratch)
    except OSError as error:
        raise _no_room(scratch or Path(tempfile.gettempdir()), error) from error
    with folder as path:
        yield Path(path)


def _spill(names: Iterable[str], path: Path) -> Path:
    """Write a sorted run: a NUL ends each name, as it is the one character no file name has."""
    try:
        with path.open("wb") as file:
            for name in names:
                if "\0" in name:
                    raise ValueError(f"expected a name without NUL characters, found {name!r}")
                # Surrogates stand for bytes of a file name that are no UTF-8.
                file.write(name.encode("utf-8", "surrogatepass") + b"\0")
    except OSError as error:
        raise _no_room(path.parent.parent, error) from error
    return path


def _no_room(folder: Path, error: OSError) -> InputError:
    return InputError("list.no_room", file=folder, reason=error.strerror)


def _merged(runs: Sequence[Path]) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("rb", buffering=0)) for path in runs]
        previous = None
        # Decoded names are compared, as `sorted` did in each run.
        for name in heapq.merge(*map(_spilled, files)):
            if name != previous:
                yield name
            previous = name


def _spilled(file: BinaryIO) -> Iterator[str]:
    rest = b""
    while chunk := file.read(_READ_SIZE):
        *whole, rest = (rest + chunk).split(b"\0")
        for name in whole:
            yield name.decode("utf-8", "surrogatepass")
