"""Files and folders around a result store: where it may lie, how it gets onto the disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from fitter.errors import InputError
from fitter.store.layout import is_result_store
from fitter.store.older import FORMAT_VERSION, READ_VERSIONS
from fitter.system.files import flush


def neighbours(path: Path) -> tuple[Path, Path]:
    """Where a new store is made, and where the one it replaces waits for removal.

    Both stand beside the target, so that they are moved within one file system.
    """
    return path.with_name(f".{path.name}.unfinished"), path.with_name(f".{path.name}.replaced")


def remove_neighbours(path: Path) -> None:
    """Remove what `neighbours` names."""
    for folder in neighbours(path):
        if folder.exists():
            shutil.rmtree(folder)


def check_name(path: Path) -> None:
    """Make sure that a path ends in a name, so that files beside it can be named after it.

    Raises:
        InputError: it does not.
    """
    if path.name in ("", ".."):
        raise InputError("output.no_name", file=path)


def check_target(path: Path, overwrite: bool) -> None:
    """Make sure that a new store may be made at `path`.

    Raises:
        InputError: it may not; the code says why.
    """
    check_name(path)
    if not path.parent.is_dir():
        raise InputError("output.no_folder", file=path, folder=path.parent)
    if not path.exists() or is_empty_folder(path):
        return
    if not is_result_store(path):
        raise InputError("output.not_ours", file=path)
    if not overwrite:
        raise InputError("output.taken", file=path)


def is_empty_folder(path: Path) -> bool:
    """Whether there is a folder with nothing in it."""
    return path.is_dir() and not any(path.iterdir())


def flush_all(folder: Path) -> None:
    """Force a folder and all that is in it onto the disk."""
    for path in (folder, *folder.rglob("*")):
        flush(path)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Move a folder to its place in one step, all of it on the disk; one that is there stays."""
    flush_all(unfinished)
    try:
        unfinished.rename(path)
    except OSError:
        if not path.exists():
            raise
        shutil.rmtree(unfinished)
    flush(path.parent)


def unfinished_beside(path: Path) -> Path:
    """Where what is to come to a place is written; several shares may write the same at once, in
    containers with the same process id."""
    return path.with_name(f".{path.name}.{uuid4().hex}.unfinished")


@contextmanager
def refused_as(code: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into an error of this code about `path`."""
    try:
        yield
    except OSError as error:
        raise InputError(code, file=path, reason=error.strerror or str(error)) from error


class OnFailure(ExitStack):
    """A context whose callbacks run when it is left by an exception, and only then."""

    def __exit__(self, *details: Any) -> bool | None:
        if details[0] is None:
            self.pop_all()
            return None
        return super().__exit__(*details)


def require_store(path: Path) -> None:
    """Make sure that there is a result store that this program reads.

    Raises:
        InputError: there is none, or one of a format that is not known.
    """
    if not path.exists():
        raise InputError("store.missing", file=path)
    if not is_result_store(path):
        raise InputError("store.not_ours", file=path)
    found = _format_version(path)
    if found not in READ_VERSIONS:
        expected = " and ".join(map(str, READ_VERSIONS))
        raise InputError("store.version", file=path, found=found, expected=expected)


def require_resumable(path: Path) -> None:
    """Make sure that there is a result store of a format that this program writes.

    Raises:
        InputError: there is none, or one of an earlier version, which can only be read.
    """
    require_store(path)
    if _format_version(path) != FORMAT_VERSION:
        raise InputError("store.older_names", file=path)


def _format_version(path: Path) -> object:
    attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    return attributes.get("format_version")


def sweep(folder: Path, committed: Collection[int], is_ours: Callable[[int], bool]) -> None:
    """Remove the files of blocks that were never committed, and temporary ones.

    Args:
        folder: of a variable's files, which need not be there; each is named after its block.
        committed: blocks that stay.
        is_ours: whether a block is this run's to remove.
    """
    for entry in folder.iterdir() if folder.is_dir() else ():
        # A temporary file is named like its block, with more behind it.
        block = entry.name.split(".")[0]
        if entry.name.isdigit() and int(entry.name) in committed:
            continue
        if block.isdigit() and not is_ours(int(block)):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def sweep_metadata(path: Path) -> None:
    """Remove temporary files of a store's metadata and names that were never put in place."""
    for pattern in (
        "*.partial",
        "*/*.partial",
        "image_name/c/**/*.partial",
        "frame_name/c/*.partial",
    ):
        for file in path.glob(pattern):
            file.unlink()
