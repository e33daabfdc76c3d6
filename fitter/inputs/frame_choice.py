"""Which frames of its videos a run takes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fitter.errors import InputError


@dataclass(frozen=True)
class FrameChoice:
    """Frames to take of each video; by default all.

    Attributes:
        every: the first of each so many frames, from the first one at or after `start` on.
        fps: at most so many frames a second: of each part of a second of that length, counted from
            `start`, the first frame; all frames of a video that has fewer.
        start: seconds since the video's first frame, from which on frames are taken.
        end: seconds since the video's first frame, from which on none is taken.
    """

    every: int | None = None
    fps: float | None = None
    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        """Refuse what chooses nothing.

        Raises:
            InputError: a number is not positive, `every` is not whole, both it and `fps` are
                given, or `end` is not after `start`.
        """
        if self.every is not None and self.fps is not None:
            raise InputError("video.every_and_fps", file="--every and --fps")
        if self.every is not None and (self.every != int(self.every) or self.every < 1):
            raise InputError("video.every", file="--every", found=self.every)
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError("video.fps", file="--fps", found=self.fps)
        for name, seconds in (("start", self.start), ("end", self.end)):
            if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
                raise InputError("video.seconds", file=f"--{name}", found=seconds)
        if self.end is not None and self.end <= (self.start or 0.0):
            raise InputError("video.end_before_start", file="--end", found=self.end)

    def of(self, times: np.ndarray) -> np.ndarray:
        """Numbers of the frames to take, (M,) int64, increasing.

        Args:
            times: (N,) float64 seconds of a video's frames since its first one, increasing.
        """
        begin = 0.0 if self.start is None else self.start
        stop = math.inf if self.end is None else self.end
        inside = np.flatnonzero((times >= begin) & (times < stop))
        if self.every is not None:
            return inside[:: int(self.every)]
        if self.fps is not None and len(inside):
            # Times are rounded to ticks: a frame just before a part's beginning is in it.
            parts = np.floor((times[inside] - begin) * self.fps + _ROUNDED)
            return inside[np.flatnonzero(np.diff(parts, prepend=-1.0) > 0)]
        return inside

    @property
    def as_json(self) -> dict[str, Any]:
        """What is asked for, as the store remembers it; empty for all frames."""
        return {name: value for name, value in asdict(self).items() if value is not None}


_ROUNDED = 0.05
"""Of a part of a second: how much before its beginning a frame may be and count as in it. Time
stamps are in milliseconds in some containers, 3 % of a frame at 30 frames a second."""
