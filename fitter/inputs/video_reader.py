"""Frames of a video by their numbers: one after the other at the cost of one, or from anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame

from fitter.errors import InputError
from fitter.inputs.images import DEFAULT_LIMITS, check_size
from fitter.inputs.pixels import Pixels
from fitter.inputs.video_groups import check_of, frames_by_group
from fitter.inputs.video_index import VideoIndex
from fitter.inputs.video_streams import (
    OpenedVideo,
    Upright,
    opened_video,
    said_of_video,
    square_size,
)

_NEAR = 12
"""Frames that are rather decoded than left out by going elsewhere in the file."""

_BEFORE, _BEHIND = -(2**63), 2**63 - 1
"""Places before the first and behind the last frame."""


class VideoReader:
    """A video that stays open, with one decoded frame in memory beside those that others refer to.

    A frame is decoded from the last frame before it from which decoding can begin, or from where
    the reader stands, if that is nearer: its pixels are the same either way, in a damaged video,
    too (`fitter.inputs.video_groups`).
    """

    def __init__(self, path: Path, index: VideoIndex) -> None:
        """A video and its index, which is that of the file as it is now."""
        self.path, self.index = path, index
        self._upright = Upright()
        self._closing = contextlib.ExitStack()
        self._video: OpenedVideo | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        # What was decoded last, and the place of it: a tick, or a number where frames are counted.
        self._held: VideoFrame | None = None
        self._at = _BEFORE

    def frame(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of `pixels`."""
        return self.pixels(number).rgb

    def pixels(self, number: int) -> Pixels:
        """What a frame shows, upright, its pixels square.

        Args:
            number: of the frame in the order in which they are shown.

        Raises:
            InputError: the video has no such frame, the frame does not decode, or its size is not
                one that is taken.
        """
        if not 0 <= number < len(self.index):
            raise InputError("video.no_such_frame", file=self.path, count=len(self.index))
        place = number if self.index.is_counted else int(self.index.ticks[number])
        with said_of_video(self.path):
            if not self._is_on_the_way(number, place):
                self._go_to(number)
            while self._at < place:
                self._advance()
            if self._at != place or self._held is None or self._held.is_corrupt:
                raise InputError("video.damaged_frame", file=self.path)
            shape = self._video.pixel_shape if self._video is not None else None
            check_size(self.path, square_size(self._held, shape), DEFAULT_LIMITS)
            return self._upright.pixels(self._held, shape)

    def close(self) -> None:
        """Close the file; a frame that is asked for opens it again."""
        self._closing.close()
        self._video, self._held, self._at = None, None, _BEFORE
        self._frames = iter(())

    def _is_on_the_way(self, number: int, place: int) -> bool:
        """Whether decoding goes on to a frame, and does not begin nearer to it."""
        if self._video is None or self._at == _BEFORE or self._at > place:
            return False
        if self.index.is_counted:
            return True
        here, start = np.searchsorted(self.index.ticks, (self._at, self.index.start_of(number)))
        return bool(start <= here + _NEAR)

    def _advance(self) -> None:
        """Decode the next frame; at the end the place is behind all frames."""
        frame = next(self._frames, None)
        self._held = frame
        if frame is None:
            self._at = _BEHIND
        elif self.index.is_counted:
            self._at = max(self._at + 1, 0)
        elif frame.pts is not None:
            self._at = max(frame.pts, self._at)

    def _go_to(self, number: int) -> None:
        """Stand before the frame from which frame `number` can be decoded."""
        starts, before = self.index.starts, 0
        if not self.index.is_counted:
            before = int(np.searchsorted(starts, self.index.start_of(number)))
        # What a file lands on may lie behind what was asked for: then from further before.
        for back in (0, 1, 2, 4, 8):
            if before > back and self._lands(int(starts[before - back]), int(starts[before])):
                return
        self.close()
        self._begin()

    def _begin(self) -> OpenedVideo:
        """The video, open; where it was not, before its first frame."""
        if self._video is None:
            self._video = self._closing.enter_context(opened_video(self.path))
            self._frames = self._frames_from(self._video, is_beginning=True)
        return self._video

    def _frames_from(self, video: OpenedVideo, is_beginning: bool) -> Iterator[VideoFrame]:
        if self.index.is_counted:
            return video.frames()
        return frames_by_group(video, self.index.starts, is_beginning)

    def _lands(self, asked: int, wanted: int) -> bool:
        """Go to a tick; whether what comes next is a packet at which decoding can begin, not behind
        the one that is wanted."""
        video = self._begin()
        try:
            video.container.seek(asked, stream=video.stream, backward=True)
            first = next(packet for packet in video.packets() if packet.pts is not None)
            lands = self._is_start(first, wanted)
            video.container.seek(asked, stream=video.stream, backward=True)
        except (OSError, StopIteration):
            return False
        self._held, self._at = None, _BEFORE
        self._frames = self._frames_from(video, is_beginning=False)
        return lands

    def _is_start(self, packet: Packet, wanted: int) -> bool:
        """Whether a packet is one from which decoding can begin, not behind the tick that is
        wanted, and not another one to which a container gives its time where reading begins in
        the middle."""
        tick, starts = packet.pts, self.index.starts
        if tick is None or tick > wanted:
            return False
        place = int(np.searchsorted(starts, tick))  # not behind the last: that one is wanted
        return bool(starts[place] == tick and self.index.checks[place] == check_of(packet))
