"""Animated pictures: GIF, PNG and WebP of several frames, which are videos.

Whether a file is one shows in its first bytes, so that a listing can ask each picture: of a PNG in
the chunks before its pixels (PNG, third edition, 11.3.5: ``acTL``), of a WebP in the flags of its
first chunk (WebP container specification, extended file format), of a GIF in whether anything
follows its first image (GIF89a, 20 to 26).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.images import opened
from fitter.inputs.pixels import DECODING_ERRORS, Pixels
from fitter.inputs.video_index import VideoIndex

ANIMATED_SUFFIXES = (".apng", ".gif", ".png", ".webp")
"""Of pictures that may be animated, compared in lower case."""

_SHORTEST = 10
"""Milliseconds that a frame is shown at the least: browsers show frames of no length, too."""

_MOST_CHUNKS = 64
"""Of a PNG before its pixels; real ones have a handful."""


def is_animation(path: Path) -> bool:
    """Whether a picture has several frames; False for what is none, or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _is_animated_png(file)
            if head.startswith((b"GIF87a", b"GIF89a")):
                return _is_animated_gif(file, head[10])
            return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
    except (OSError, IndexError):
        return False


def _is_animated_png(file: BinaryIO) -> bool:
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            return False
        if head[4:] == b"acTL":
            return int.from_bytes(file.read(4), "big") > 1
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _is_animated_gif(file: BinaryIO, flags: int) -> bool:
    file.seek(13 + _colours(flags))
    images = 0
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b",":
            images += 1
            if images > 1:
                return True
            file.seek(_colours(file.read(9)[8]) + 1, os.SEEK_CUR)
        else:
            file.seek(1, os.SEEK_CUR)
        while length := file.read(1)[0]:  # sub-blocks, the last one empty
            file.seek(length, os.SEEK_CUR)
    return False


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def animation_index(path: Path) -> VideoIndex:
    """The frames of an animated picture, in ticks of a millisecond; those before it breaks off.

    Raises:
        InputError: not even the first can be read.
    """
    begins = [0]
    broken = ""
    try:
        with opened(path) as image:
            for _ in _frames(image):
                shown = image.info.get("duration") or 0
                begins.append(begins[-1] + max(_SHORTEST, round(shown)))
    except InputError:
        found = len(begins) - 1
        if not found:
            raise
        facts = {"expected": "a whole animation", "found": found}
        broken = str(InputError("video.breaks_off", file=path, **facts))
    ticks = np.array(begins[:-1], np.int64)
    starts = ticks[:1]
    return VideoIndex(
        ticks, starts, np.zeros_like(starts), Fraction(1, 1000), is_counted=True, broken=broken
    )


def _frames(image: Image.Image) -> Iterator[None]:
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        yield


class AnimationReader:
    """An animated picture that stays open, see `fitter.inputs.video_reader.VideoReader`."""

    def __init__(self, path: Path, index: VideoIndex) -> None:
        """A picture and its index."""
        self.path, self.index = path, index
        self._closing = contextlib.ExitStack()
        self._image: Image.Image | None = None

    def pixels(self, number: int) -> Pixels:
        """What a frame shows, transparent pixels as in pictures.

        Args:
            number: of the frame in the order in which they are shown.

        Raises:
            InputError: there is no such frame, or it does not decode.
        """
        if not 0 <= number < len(self.index):
            raise InputError("video.no_such_frame", file=self.path, count=len(self.index))
        try:
            if self._image is not None and number < self._image.tell():
                self.close()
            if self._image is None:
                self._image = self._closing.enter_context(opened(self.path))
            for at in range(self._image.tell(), number + 1):  # each is drawn over the one before
                self._image.seek(at)
            shown = self._image.convert("RGBA")
        except (*DECODING_ERRORS, InputError) as error:
            self.close()
            raise InputError("video.damaged_frame", file=self.path) from error
        return Pixels.of_transparent(shown)

    def close(self) -> None:
        """Close the file; a frame that is asked for opens it again."""
        self._image = None
        self._closing.close()
