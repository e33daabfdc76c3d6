"""Names of files that are made for an image, each image its own, none outside their folder."""

from __future__ import annotations

import hashlib

_LONGEST_NAME = 255
"""Bytes that file systems allow in one file name."""

_DIGITS = 16
"""Of the digest behind a name that is cut."""

_OWN = {"": "_root", ".": "_here", "..": "_up"}
"""What stands for parts of a name that lead elsewhere."""


def name_below(name: str, ending: str) -> str:
    """Path, in a folder of such files, of what is made for an image: the image's own name with an
    ending behind it, so that no two images share one (``a.jpg`` and ``a.png``, for example).

    What is too long for a file system is cut and numbered; what would lead out of the folder
    (``/a.jpg``, ``../a.jpg``) leads to a folder ``_root`` or ``_up`` in it, and a part that is
    called so already gets another underscore.

    Args:
        name: of an image, with forward slashes.
        ending: such as ".jpg"; the longest one that any file of this image gets.
    """
    folders, slash, last = name.rpartition("/")
    last = _own(last)
    if len(last.encode()) > _LONGEST_NAME - len(ending):
        digest = hashlib.sha256(last.encode()).hexdigest()[:_DIGITS]
        kept = _LONGEST_NAME - len(ending) - 1 - _DIGITS
        last = last.encode()[:kept].decode(errors="ignore") + "-" + digest
    parts = [_own(part) for part in folders.split("/")] if slash else []
    return "/".join([*parts, last + ending])


def is_below(name: str) -> bool:
    """Whether a name with forward slashes leads to a place in its folder, and not out of it."""
    return not name.startswith("/") and ".." not in name.split("/")


def _own(part: str) -> str:
    """A part of a name as the name of a folder's own entry, each part another one."""
    if part in _OWN:
        return _OWN[part]
    stands_for = part.startswith("_") and "_" + part.lstrip("_") in _OWN.values()
    return "_" + part if stands_for else part
