"""Files in folders by the components of a pattern, in memory that does not depend on how many."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from fitter.errors import InputError

_OPEN_FOLDERS = 64
"""Folders open at a time, one inside the other."""


def walk(root: Path, parts: Sequence[str]) -> Iterator[str]:
    """Names of the files below `root` that the components of a pattern match, in any order.

    A folder stays open while those in it are walked, so that neither files nor folders pile up;
    folders below `_OPEN_FOLDERS` open ones have to wait.
    """
    waiting = [("", _with_skips({0}, parts))]
    # Of each open folder: what stands before its names, the components its names may match, and
    # what was not looked at yet.
    stack: list[tuple[str, set[int], Generator[os.DirEntry[str], None, None]]] = []
    try:
        while waiting or stack:
            if not stack:
                prefix, open_parts = waiting.pop()
                stack.append((prefix, open_parts, _entries(root, prefix)))
            prefix, open_parts, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            matching = [i for i in open_parts if _matches(parts[i], entry.name)]
            if not matching:
                continue
            if not _is_folder(entry):
                if len(parts) - 1 in matching:
                    yield prefix + entry.name
            elif inside := _parts_inside(entry, matching, parts):
                below = f"{prefix}{entry.name}/"
                if len(stack) < _OPEN_FOLDERS:
                    stack.append((below, inside, _entries(root, below)))
                else:
                    waiting.append((below, inside))
    finally:
        for *_, entries in stack:
            entries.close()


def _entries(root: Path, prefix: str) -> Generator[os.DirEntry[str], None, None]:
    folder = Path(root, prefix)
    try:
        with os.scandir(folder) as listing:
            yield from listing
    except OSError as error:
        raise InputError("list.unlistable", file=folder, reason=error.strerror) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads nowhere, which reading it will say


def _matches(part: str, name: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return part == "**" or fnmatch.fnmatch(name, part)


def _parts_inside(
    entry: os.DirEntry[str], matching: Iterable[int], parts: Sequence[str]
) -> set[int]:
    """Which components the names in a folder may match, when its own name matches `matching`."""
    inside = set()
    for i in matching:
        if parts[i] != "**":
            inside.add(i + 1)
        elif not entry.is_symlink():
            inside.add(i)
    return _with_skips(inside, parts)


def _with_skips(indices: set[int], parts: Sequence[str]) -> set[int]:
    """`indices` of components, and those behind a ``**``, which may stand for no folder at all."""
    reached = set()
    for i in indices:
        while i < len(parts):
            reached.add(i)
            if parts[i] != "**":
                break
            i += 1
    return reached
