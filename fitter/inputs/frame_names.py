"""Names of the frames of videos.

A frame is an image of the run like any other. It is called after its video, with its number in the
order in which frames are shown, counted from 0: ``clips/wave.mp4/00000012``. Frames that a run
leaves out keep their numbers, so that a frame has the same name in every run.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

_DIGITS = 8
"""Of a frame's number: at 240 frames a second enough for more than four days."""

_FRAME = re.compile(rf"(?P<video>.*[^/])/(?P<number>[0-9]{{{_DIGITS}}})", re.DOTALL)

_NUMBER = re.compile("[0-9]+")

_MOST_DIGITS = 12
"""That others write of a frame's number."""

VIDEO_SUFFIXES = (
    ".3gp",
    ".apng",
    ".asf",
    ".avi",
    ".flv",
    ".gif",
    ".h264",
    ".hevc",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".mxf",
    ".ogv",
    ".ts",
    ".vob",
    ".webm",
    ".wmv",
    ".y4m",
)
"""File name endings that count as videos, compared in lower case; the content decides the
container. A GIF of one frame is a picture, and so is a file of another kind that ends in .ts."""

MOST_FRAMES = 10**_DIGITS
"""Frames of a video that can have a name."""


def frame_name(video: str, number: int) -> str:
    """The name of a frame.

    Args:
        video: the video's name, relative to the listed folder, with forward slashes.
        number: of the frame in the order in which frames are shown, from 0.

    Raises:
        ValueError: the number is below 0, or not below `MOST_FRAMES`.
    """
    if not 0 <= number < MOST_FRAMES:
        raise ValueError(f"expected a frame's number from 0 to {MOST_FRAMES - 1}, found {number}")
    return f"{video}/{number:0{_DIGITS}d}"


def frames_numbered_in(texts: Iterable[str], video: str) -> list[str]:
    """The names of those frames of a video whose numbers occur in texts, such as names of files
    or of pictures; in order, each once."""
    digits = (found for text in texts for found in _NUMBER.findall(text))
    numbers = {int(each) for each in digits if len(each) <= _MOST_DIGITS}
    return [frame_name(video, number) for number in sorted(numbers) if number < MOST_FRAMES]


def names_of(name: str) -> tuple[str, ...]:
    """The names under which something may be said of an image: its own, and of a frame its
    video's."""
    found = video_of(name)
    return (name,) if found is None else (name, found[0])


def entry_of(entries: Container[str], name: str) -> str | None:
    """The first of `names_of` an image that is in `entries`, or None."""
    return next((each for each in names_of(name) if each in entries), None)


def video_of(name: str) -> tuple[str, int] | None:
    """The video that a frame is of, and the frame's number; None for what is no name of a frame.

    Photographs have endings, so that none of them has a frame's name.

    Args:
        name: of an image of a run.
    """
    found = _FRAME.fullmatch(name)
    return None if found is None else (found["video"], int(found["number"]))
