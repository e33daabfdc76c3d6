"""Names of files that are made for an image, each image its own, none outside their folder."""

from __future__ import annotations

import hashlib

_LONGEST_NAME = 255
"""Bytes that file systems allow in one file name."""

_KEPT = 40
"""Bytes left for a digest and an ending where a name is cut."""


def name_below(name: str, ending: str) -> str:
    """Path, in a folder of such files, of what is made for an image: the image's own name with an
    ending behind it, so that no two images share one (``a.jpg`` and ``a.png``, for example).

    What is too long for a file system is cut and numbered; what would lead out of the folder
    (``/a.jpg``, ``../a.jpg``) leads to a folder ``_root`` or ``_up`` in it.

    Args:
        name: of an image, with forward slashes.
        ending: such as ".jpg"; the longest one that any file of this image gets.
    """
    folders, slash, last = name.rpartition("/")
    if len(last.encode()) > _LONGEST_NAME - len(ending):
        digest = hashlib.sha256(last.encode()).hexdigest()[:16]
        last = last.encode()[: _LONGEST_NAME - _KEPT].decode(errors="ignore") + "-" + digest
    if name.startswith("/"):
        folders = "_root" + folders
    folders = "/".join("_up" if part == ".." else part for part in folders.split("/"))
    return folders + slash + last + ending
