"""Why a file cannot be opened as a video, told from its first bytes where FFmpeg's words do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fitter.errors import InputError

_LOOKED_AT = 4096
"""Bytes at the beginning that tell a text."""

_FIRST_BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip")
"""Boxes with which the files of cameras begin (ISO/IEC 14496-12, 4.3 and 8.1; QuickTime)."""

_INDEX_BOXES = (b"moov", b"moof")
"""Boxes that say where frames are (ISO/IEC 14496-12, 8.2.1 and 8.8.4)."""


def fault_of(path: Path) -> InputError | None:
    """What is wrong with a file that FFmpeg takes for none; None where it cannot be looked at.

    Args:
        path: of the file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
            boxes = set(_boxes(file))
    except OSError:
        return None
    if not start:
        return InputError("video.empty", file=path)
    if start[4:8] in _FIRST_BOXES and not boxes & set(_INDEX_BOXES):
        return InputError("video.no_index", file=path)
    if _is_text(start):
        return InputError("video.text", file=path)
    return InputError("video.damaged", file=path)


def _boxes(file: BinaryIO) -> Iterator[bytes]:
    """Kinds of the outermost boxes of which the beginning is there: a size of four bytes, then the
    kind; a size of 1 stands for one of eight bytes behind the kind, 0 for the rest of the file."""
    place = 0
    while True:
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return
        yield head[4:8]
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size
        if size < 8:
            return
        place += size


def _is_text(start: bytes) -> bool:
    """Whether these bytes are the beginning of a text: UTF-8, without control characters but those
    of lines."""
    text = start.decode("utf-8", "replace").rstrip("\ufffd")  # a character may be cut in two
    return "\ufffd" not in text and all(c >= " " or c in "\t\n\r\f" for c in text)
