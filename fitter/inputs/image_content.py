"""Where a picture's bytes are: a file of this machine, or bytes that were read from elsewhere."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias


@dataclass(frozen=True)
class ImageBytes:
    """The bytes of a picture that is no file of this machine, or a part of one.

    Attributes:
        name: where they come from, to be named in messages.
        content: all of the picture.
    """

    name: str
    content: bytes


ImageContent: TypeAlias = Path | ImageBytes
"""A picture's file, or its bytes."""


def named(content: ImageContent) -> Path | str:
    """What a picture is called in messages."""
    return content.name if isinstance(content, ImageBytes) else Path(content)


def stream(content: ImageContent) -> BinaryIO:
    """A picture's bytes to be read, from the first on; to be closed by the caller."""
    if isinstance(content, ImageBytes):
        return io.BytesIO(content.content)
    return Path(content).open("rb")


def pillows(content: ImageContent) -> Path | BinaryIO:
    """A picture as Pillow opens it: by its path, so that it can map a file into memory."""
    return io.BytesIO(content.content) if isinstance(content, ImageBytes) else Path(content)


def length(content: ImageContent) -> int:
    """Number of a picture's bytes."""
    if isinstance(content, ImageBytes):
        return len(content.content)
    return Path(content).stat().st_size
