"""Files and folders around a result store: where it may lie, how it gets onto the disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fitter.errors import InputError
from fitter.store.layout import FORMAT_VERSION, is_result_store


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


class OnFailure(ExitStack):
    """A context whose callbacks run when it is left by an exception, and only then."""

    def __exit__(self, *details: Any) -> bool | None:
        if details[0] is None:
            self.pop_all()
            return None
        return super().__exit__(*details)


def require_store(path: Path) -> None:
    """Make sure that there is a result store of this program's version.

    Raises:
        InputError: there is none.
    """
    if not path.exists():
        raise InputError(f"there is no result store {path}")
    if not is_result_store(path):
        raise InputError(f"{path} is no result store (expected a Zarr folder made by fit-hands)")
    attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    found = attributes.get("format_version")
    if found != FORMAT_VERSION:
        raise InputError(f"{path} has format version {found}, this program reads {FORMAT_VERSION}")


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
    for pattern in ("*.partial", "*/*.partial", "image_name/c/*.partial"):
        for file in path.glob(pattern):
            file.unlink()
