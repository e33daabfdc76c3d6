"""Which frames a video has, when each is shown, and where decoding can begin.

The index is made once, by going through the packets of a video without decoding them, and kept as a
file; it counts as long as the video has the same size and time of change. An hour at 30 frames a
second has 108,000 frames, whose index takes about a megabyte.

MP4, QuickTime, Matroska, WebM, MPEG transport streams and Flash give each packet the time at which
its frame is shown. Others give none (streams of H.264 alone), those of another order (AVI), or some
that become other ones where reading begins in the middle (MPEG programme streams). The frames of
such a video are counted, by decoding it once, and any of them is read from the first one on. So are
those of the former whose first frames are not shown when their packets say.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from fitter.errors import InputError
from fitter.inputs.frame_names import MOST_FRAMES
from fitter.inputs.h264_units import begins_anew
from fitter.inputs.images import DEFAULT_LIMITS, check_size
from fitter.inputs.video_groups import check_of
from fitter.inputs.video_streams import OpenedVideo, opened_video, said_of_video
from fitter.inputs.video_wholeness import Walked, gap_in, tells_end, why_broken
from fitter.system.files import whole_file

if TYPE_CHECKING:
    import av

_FORMAT = 2
"""Of the files in which indices are kept."""

_TIMED = ("mov", "matroska", "mpegts", "flv")
"""FFmpeg's names, as they begin, of containers whose packets tell when frames are shown."""

_COMPARED = 32
"""Frames at the beginning that are decoded to see whether packets tell their times."""


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video in the order in which they are shown.

    Attributes:
        ticks: (N,) int64, increasing: when each frame is shown.
        starts: (K,) int64, increasing: ticks of frames from which on decoding gives the same as
            from the first one on; those that are shown before such a frame need an earlier one.
        checks: (K,) int64: of their packets, see `fitter.inputs.video_groups.check_of`.
        tick: seconds of a tick.
        is_counted: whether frames are told by their number alone, not by their ticks.
        broken: the sentence that says why not all of the video is there, or an empty text.
    """

    ticks: np.ndarray
    starts: np.ndarray
    checks: np.ndarray
    tick: Fraction
    is_counted: bool = False
    broken: str = ""

    def __len__(self) -> int:
        return len(self.ticks)

    @cached_property
    def times(self) -> np.ndarray:
        """(N,) float64 seconds since the first frame."""
        if not len(self.ticks):
            return np.empty(0)
        passed = self.ticks - self.ticks[0]
        return passed * self.tick.numerator / self.tick.denominator

    def start_of(self, number: int) -> int:
        """The tick of the last frame from which frame `number` can be decoded."""
        before = np.searchsorted(self.starts, self.ticks[number], side="right")
        return int(self.starts[max(before - 1, 0)])


def video_index(
    path: Path, folder: Path | None = None, make: Callable[[Path], VideoIndex] | None = None
) -> VideoIndex:
    """The index of a video, as it was kept or made anew.

    A video that breaks off, or cannot be read, has an index of the frames before.

    Args:
        path: of the video.
        folder: where indices are kept, made where it is missing; None to keep none.
        make: makes the index of what is no video of FFmpeg's, such as an animated picture.

    Raises:
        InputError: there is no such file.
    """
    stamp = _stamp(path)
    kept = None if folder is None else folder / f"{_digest(path)}.npz"
    if kept is not None and (found := _read(kept, stamp)) is not None:
        return found
    index = _made(path, make or _gone_through)
    if kept is not None:
        _keep(kept, index, stamp)
    return index


def video_stamp(path: Path) -> tuple[int, float] | None:
    """Size in bytes and time of the last change, seconds since 1970; None where nothing is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns / 1e9


def _stamp(path: Path) -> tuple[int, float]:
    stamp = video_stamp(path)
    if stamp is None or not path.is_file():
        raise InputError("video.missing", file=path)
    return stamp


def _made(path: Path, make: Callable[[Path], VideoIndex]) -> VideoIndex:
    """The index made anew; one without frames says why."""
    nothing = np.empty(0, np.int64)
    try:
        found = make(path)
        if not len(found) and not found.broken:
            raise InputError("video.no_frames", file=path)
        if len(found) > MOST_FRAMES:
            raise InputError("video.too_many_frames", file=path, most=MOST_FRAMES, found=len(found))
    except InputError as error:
        return VideoIndex(nothing, nothing, nothing, Fraction(1), broken=str(error))
    return found


def _gone_through(path: Path) -> VideoIndex:
    """The index of a video that FFmpeg reads."""
    with opened_video(path) as video:
        check_size(path, (video.context.width, video.context.height), DEFAULT_LIMITS)
        walked = Walked()
        packets = list(_packets(path, video, walked))
        while packets and packets[-1].cut:  # what is there of it is not a frame
            packets.pop()
            walked.broken = walked.broken or "cut"
        walked.frames = sum(not packet.left_out for packet in packets)
        broken = why_broken(path, video, walked)
        found = _of_packets(packets, video) if _gives_times(video) else None
    if found is None or not _tells_times(path, found):
        with opened_video(path) as video:
            found = _of_frames(video)
    broken = broken or gap_in(path, found.ticks, found.tick)
    return replace(found, broken=broken)


def _gives_times(video: OpenedVideo) -> bool:
    """Whether a container gives its packets times that are true wherever reading begins."""
    name = video.container.format.name
    if name == "avi":  # numbers packets as they come, which is right where all frames do
        return not video.context.codec.reorder
    return name.startswith(_TIMED)


class _Packet(NamedTuple):
    """What an index needs of a packet."""

    shown: int | None
    decoded: int | None
    starts: bool
    check: int
    left_out: bool
    cut: bool


def _packets(path: Path, video: OpenedVideo, walked: Walked) -> Iterator[_Packet]:
    """The packets of the pictures, as far as the file can be read, and what is found on the way."""
    streams = () if tells_end(video) else (video.stream,)
    try:
        with said_of_video(path):
            for packet in video.container.demux(*streams):
                if not packet.size:
                    continue
                if packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    walked.end = max(walked.end, end)
                is_shown = packet.stream.index == video.stream.index
                if is_shown and not _is_hidden(packet, video.context.name):
                    yield _of_packet(packet, video)
    except InputError as error:
        walked.broken = str(error)


def _of_packet(packet: av.Packet, video: OpenedVideo) -> _Packet:
    starts = packet.is_keyframe and _restarts(packet, video.context)
    check = check_of(packet) if starts else 0
    return _Packet(packet.pts, packet.dts, starts, check, packet.is_discard, packet.is_corrupt)


def _of_packets(packets: list[_Packet], video: OpenedVideo) -> VideoIndex | None:
    """The index that the packets tell; None where they do not."""
    order = [packet.decoded for packet in packets if packet.decoded is not None]
    shown = [packet.shown for packet in packets if packet.shown is not None]
    if len(shown) < len(packets) or len(set(shown)) < len(shown):
        return None
    if any(later < earlier for earlier, later in itertools.pairwise(order)):
        return None  # times that begin again, as where files were joined
    ticks = np.array([p.shown for p in packets if not p.left_out], np.int64)
    opening = packets[:1] + [packet for packet in packets[1:] if packet.starts]
    starts = np.array([packet.shown for packet in opening], np.int64)
    if (np.diff(starts) <= 0).any():
        return None
    checks = np.array([packet.check for packet in opening], np.int64)
    ticks.sort()
    return VideoIndex(ticks, starts, checks, video.tick)


def _tells_times(path: Path, index: VideoIndex) -> bool:
    """Whether the first frames are shown at the times that their packets tell."""
    if not len(index):
        return True
    with opened_video(path) as video:
        shown = [frame.pts for frame in itertools.islice(video.frames(), _COMPARED)]
    # Frames that do not decode are missing; ones that no packet tells make the times wrong.
    known = [tick for tick in shown if tick is not None]
    return len(known) == len(shown) and bool(
        np.isin(known, index.ticks).all() and known == sorted(known)
    )


def _of_frames(video: OpenedVideo) -> VideoIndex:
    """The index of frames counted one by one; their own times where these increase, else those of
    a steady rate."""
    shown: list[int | None] = [frame.pts for frame in video.frames()]
    times = [tick for tick in shown if tick is not None]
    rate = video.stream.average_rate or video.stream.guessed_rate
    if len(times) == len(shown) and all(a < b for a, b in itertools.pairwise(times)):
        ticks, tick = np.array(times, np.int64), video.tick
    else:
        ticks = np.arange(len(shown), dtype=np.int64)
        tick = 1 / Fraction(rate) if rate else Fraction(1, 25)
    return VideoIndex(ticks, ticks[:1], np.zeros_like(ticks[:1]), tick, is_counted=True)


def _is_hidden(packet: av.Packet, codec: str) -> bool:
    """Whether a packet shows no frame: VP8 has such, to which others refer (RFC 6386, 9.1:
    ``show_frame`` is the fifth bit of the first byte)."""
    return codec in ("vp8", "libvpx") and not (_first(packet) >> 4) & 1


def _first(packet: av.Packet) -> int:
    return memoryview(packet)[0]


def _restarts(packet: av.Packet, context: av.VideoCodecContext) -> bool:
    """Whether decoding from a key frame on gives what decoding from the first frame gives."""
    return context.name != "h264" or begins_anew(bytes(packet), context.extradata or b"")


def _digest(path: Path) -> str:
    name = str(path.absolute())
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _read(kept: Path, stamp: tuple[int, float]) -> VideoIndex | None:
    """The index that was kept, None where it is missing, damaged or of another video."""
    try:
        with np.load(kept, allow_pickle=False) as held:
            if (int(held["format"]), *held["stamp"].tolist()) != (_FORMAT, *map(float, stamp)):
                return None
            return VideoIndex(
                held["ticks"],
                held["starts"],
                held["checks"],
                Fraction(*held["tick"].tolist()),
                bool(held["is_counted"]),
                str(held["broken"]),
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, ZeroDivisionError, BadZipFile):
        return None


def _keep(kept: Path, index: VideoIndex, stamp: tuple[int, float]) -> None:
    """Write an index; a place that takes none costs time later, and no result."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "stamp": np.array(stamp, np.float64),
        "ticks": index.ticks,
        "starts": index.starts,
        "checks": index.checks,
        "tick": np.array([index.tick.numerator, index.tick.denominator], np.int64),
        "is_counted": index.is_counted,
        "broken": index.broken,
    }
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Its own name, whoever else makes the same index.
        partial = kept.with_name(f"{kept.stem}.{uuid.uuid4().hex}.npz")
        with whole_file(kept, durable=False, partial=partial):
            np.savez(partial, **content)
