"""Where an image's overlay lies in the folder of overlays."""

from __future__ import annotations

import hashlib

_LONGEST_NAME = 255
"""Bytes that file systems allow in one file name."""


def overlay_name(name: str) -> str:
    """Path of an image's overlay in the folder of overlays: the image's own, with .jpg behind it,
    so that no two images share one.

    What is too long for a file system is cut and numbered; what would lead out of the folder
    (``/a.jpg``, ``../a.jpg``) leads to a folder ``_root`` or ``_up`` in it.
    """
    folders, slash, last = name.rpartition("/")
    if len(last.encode()) > _LONGEST_NAME - len(".jpg"):
        digest = hashlib.sha256(last.encode()).hexdigest()[:16]
        last = last.encode()[: _LONGEST_NAME - 40].decode(errors="ignore") + "-" + digest
    if name.startswith("/"):
        folders = "_root" + folders
    folders = "/".join("_up" if part == ".." else part for part in folders.split("/"))
    return folders + slash + last + ".jpg"
