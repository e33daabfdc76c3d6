"""Names of files as text, whatever bytes they have.

A store, and JSON, hold text; on Linux a file's name is bytes, which need not be UTF-8. Such a byte
is written as ``\\xff`` (a backslash, an x and its two hexadecimal digits in lower case) in the name
that an image has everywhere: in the store, in files of keypoints, in exports. So that no name means
two files, a backslash that begins such a sequence in the file's own name is written ``\\x5c``. All
other names stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

_BYTE = re.compile(r"\\x(5c|[89a-f][0-9a-f])")


def escaped(name: str) -> str:
    """A file's name as text that UTF-8 can hold.

    Args:
        name: as Python has it: bytes that are no UTF-8 stand in it as surrogates (PEP 383).
    """
    if name.isascii() and "\\x" not in name:
        return name
    marked = _BYTE.sub(r"\\x5cx\1", name)
    try:
        return marked.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # other surrogates, which no file system has
        return marked.encode("utf-8", "backslashreplace").decode("utf-8")


def unescaped(name: str) -> str:
    """The name that a file has on disk; `escaped` undone.

    Args:
        name: of an image, as it is stored.
    """
    if "\\x" not in name:
        return name

    def byte(found: re.Match[str]) -> str:
        value = int(found[1], 16)
        return "\\" if value == 0x5C else chr(0xDC00 + value)

    return _BYTE.sub(byte, name)


def path_of(folder: Path, name: str) -> Path:
    """Where an image is.

    Args:
        folder: that its name is relative to.
        name: as it is stored, with forward slashes.
    """
    return folder / unescaped(name)
