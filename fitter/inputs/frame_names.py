"""Names of the frames of videos.

A frame is an image of the run like any other. It is called after its video, with its number in the
order in which frames are shown, counted from 0: ``clips/wave.mp4/00000012``. Frames that a run
leaves out keep their numbers, so that a frame has the same name in every run.
"""

from __future__ import annotations

import re

_DIGITS = 8
"""Of a frame's number: at 240 frames a second enough for more than four days."""

_FRAME = re.compile(rf"(?P<video>.*[^/])/(?P<number>[0-9]{{{_DIGITS}}})", re.DOTALL)

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


def video_of(name: str) -> tuple[str, int] | None:
    """The video that a frame is of, and the frame's number; None for what is no name of a frame.

    Photographs have endings, so that none of them has a frame's name.

    Args:
        name: of an image of a run.
    """
    found = _FRAME.fullmatch(name)
    return None if found is None else (found["video"], int(found["number"]))
