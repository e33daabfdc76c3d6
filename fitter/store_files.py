"""Files and folders around a result store: where it may lie, how it gets onto the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fitter.records import InputError
from fitter.store_layout import is_result_store


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
        raise InputError(f"cannot write results to {path}: give them a folder of their own")


def check_target(path: Path, overwrite: bool) -> None:
    """Make sure that a new store may be made at `path`.

    Raises:
        InputError: it may not; the sentence says why.
    """
    check_name(path)
    if not path.parent.is_dir():
        raise InputError(f"cannot write results to {path}: there is no folder {path.parent}")
    if not path.exists() or is_empty_folder(path):
        return
    if not is_result_store(path):
        raise InputError(f"{path} exists and is no result store, so it is left alone")
    if not overwrite:
        raise InputError(
            f"{path} already holds results: use --resume to continue it "
            "or --overwrite to replace it"
        )


def is_empty_folder(path: Path) -> bool:
    """Whether there is a folder with nothing in it."""
    return path.is_dir() and not any(path.iterdir())


def flush(path: Path) -> None:
    """Force a file, or a folder's list of entries, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_all(folder: Path) -> None:
    """Force a folder and all that is in it onto the disk."""
    for path in (folder, *folder.rglob("*")):
        flush(path)


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """Turn what the operating system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what}: {error.strerror or error}") from error
