"""Frames of a video group by group, each decoded as if nothing had come before it.

A group begins with a packet from which decoding gives the same as from the first one on. Where a
packet is damaged, decoders fill in from whatever they showed last, which is another picture where
the video was read in order than where reading began at the group. So the decoder is emptied before
each group: a frame is the same whatever was read before it, damaged or not.

Frames that are shown before the first of a group, and stand behind it, refer to the group before.
They are decoded with that one, and so is, once more, the first packet of the group.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from itertools import chain

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from fitter.inputs.video_streams import OpenedVideo

_END = 2**63 - 1


def check_of(packet: av.Packet) -> int:
    """What tells a packet from others of the same time: the CRC-32 of its bytes."""
    return zlib.crc32(memoryview(packet))


def frames_by_group(
    video: OpenedVideo, starts: np.ndarray, is_beginning: bool
) -> Iterator[VideoFrame]:
    """What can be decoded from where a video stands on, in the order in which it is shown.

    Args:
        video: stands before the first packet of a group; its decoder is empty.
        starts: (K,) int64, increasing: times of the first packets of groups.
        is_beginning: whether the video stands before its first packet.
    """
    ends = dict(zip(starts.tolist(), [*starts[1:].tolist(), _END], strict=True))
    packets = video.packets()
    opening = _first_of(packets, ends, is_beginning)
    begin = -_END if is_beginning else None
    while opening:
        first = opening[0].pts or 0
        begin, end = first if begin is None else begin, ends.get(first, _END)
        parts = _Group(opening, packets, ends)
        last = begin - 1
        for frame in _decoded(video, parts):
            if frame.pts is not None and last < frame.pts < end:
                last = frame.pts
                yield frame
        opening, packets, begin = parts.following, parts.packets, None


def _first_of(
    packets: Iterator[av.Packet], ends: dict[int, int], is_beginning: bool
) -> list[av.Packet]:
    """The first packet of a group; what stands before it is the rest of another's."""
    for packet in packets:
        if is_beginning or _begins(packet, ends):
            return [packet]
    return []


def _begins(packet: av.Packet, ends: dict[int, int]) -> bool:
    return packet.is_keyframe and packet.pts in ends


class _Group:
    """The packets that the frames of a group need.

    Attributes:
        following: the first packets of the next group, when all were taken.
        packets: those behind them.
    """

    def __init__(
        self, opening: list[av.Packet], packets: Iterator[av.Packet], ends: dict[int, int]
    ) -> None:
        self.following: list[av.Packet] = []
        self.packets = packets
        self._opening, self._ends = opening, ends

    def __iter__(self) -> Iterator[av.Packet]:
        yield from self._opening
        for packet in self.packets:
            if not self.following:
                if _begins(packet, self._ends):
                    self.following.append(packet)
                else:
                    yield packet
            elif packet.pts is not None and packet.pts < (self.following[0].pts or 0):
                self.following.append(packet)
            else:
                self.packets = chain([packet], self.packets)
                break
        if len(self.following) > 1:
            yield from self.following


def _decoded(video: OpenedVideo, packets: _Group) -> Iterator[VideoFrame]:
    """The frames of some packets; nothing is left in the decoder."""
    for packet in packets:
        with contextlib.suppress(av.error.FFmpegError):
            yield from packet.decode()
    with contextlib.suppress(av.error.FFmpegError):
        yield from video.context.decode(None)
    video.context.flush_buffers()
