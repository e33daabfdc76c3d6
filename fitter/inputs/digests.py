"""Digests of files that are given beside images."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content; an empty text for one that cannot be read."""
    try:
        if not path.is_file():  # nor would a pipe ever end
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # the image that it belongs to will say so itself
        return ""
