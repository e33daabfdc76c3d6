"""What tells the files that are given beside images from others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from fitter.errors import InputError


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content; an empty text for one that cannot be read."""
    try:
        if not path.is_file():  # nor would a pipe ever end
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # the image that it belongs to will say so itself
        return ""


def outcome(part: Callable[[], object]) -> object:
    """What a part of an annotation says, or the code of the error that it raises: a damaged one
    that was mended counts as another."""
    try:
        return part()
    except InputError as error:
        return error.code
