"""Cameras of this machine, and streams at addresses, recorded as a video.

A camera's frames are written to a file as they come, and a run reads that file like any other
video: so a run over what a camera has shown can be continued, spread, and go over it twice.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from fitter.errors import InputError
from fitter.inputs.addresses import is_address
from fitter.inputs.video_streams import OpenedVideo, Upright, address_of, opened_video

_DEVICES = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""By the operating system: FFmpeg's name for its cameras, and what the camera of a number is called
there. On Windows a camera has a name and no number."""

_COPIED = ("h264", "hevc", "mjpeg", "mpeg4", "vp8", "vp9")
"""Codings of cameras that are kept as they come; others, such as bare pixels, are coded here."""


_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s]*@")
"""Scheme and user of an address: RFC 3986, 3.2.1."""


@dataclass(frozen=True)
class Recorded:
    """What became of a recording.

    Attributes:
        frames: that were written.
        ended: why the camera gave no more, or an empty text where it was stopped.
    """

    frames: int
    ended: str = ""


def without_password(text: str) -> str:
    """A text that may be printed: what stands before the @ of an address, such as user:password, is
    left out."""
    return _USER.sub(r"\1", text)


def require_camera(camera: str) -> tuple[str, str, str | None]:
    """Refuse a camera that is not there, as far as it can be told without opening it.

    Args:
        camera: see `opened_camera`.

    Returns:
        What to call it in messages, its device, file or address, and FFmpeg's name for the kind of
        device, None of what is none.

    Raises:
        InputError: there is no such device or file.
    """
    given = f"--camera {without_password(camera)}"
    kind, called = _DEVICES.get(sys.platform, ("dshow", "video={}"))
    is_device = camera.isdecimal() or camera.startswith("/dev/")
    place = called.format(camera) if camera.isdecimal() else camera
    if is_device and place.startswith("/dev/") and not Path(place).exists():
        raise InputError("camera.missing", file=given, place=place)
    if not is_device and not is_address(place) and not Path(place).exists():
        raise InputError("camera.missing", file=given, place=place)
    return given, place, kind if is_device else None


@contextlib.contextmanager
def opened_camera(camera: str) -> Iterator[OpenedVideo]:
    """Open a camera.

    Args:
        camera: its number, its device (/dev/video2), or the address of a stream (rtsp://...).

    Raises:
        InputError: there is none, or it cannot be read.
    """
    given, place, kind = require_camera(camera)
    try:
        with opened_video(Path(place) if not is_address(place) else place, kind) as video:
            yield video
    except InputError as error:
        if not error.code.startswith("video."):
            raise
        reason = without_password(str(error.facts.get("reason", error)))
        raise InputError("camera.unreadable", file=given, reason=reason) from error


def record(
    video: OpenedVideo,
    path: Path,
    goes_on: Callable[[float], bool],
    show: Callable[[np.ndarray], None] | None = None,
) -> Recorded:
    """Write what a camera shows to a video, until it is stopped or the camera goes away.

    The file can be read up to where it was written, whatever ends this process. A camera that shows
    nothing leaves what was there.

    Args:
        video: the camera.
        path: of the Matroska file to make.
        goes_on: asked after each frame, with the seconds since the first one.
        show: gets (H, W, 3) uint8 RGB of each frame; None where nobody looks.

    Raises:
        InputError: the camera shows nothing, or the file cannot be written.
    """
    shows = _Shown(video)
    first = next(iter(shows), None)
    if first is None:
        raise InputError("camera.no_frames", file=path, reason=shows.ended)
    ended = ""
    try:
        with av.open(address_of(path), "w", format="matroska") as out:
            recording = _Recording(video, out, begun=_tick_of(first))
            for packet in chain([first], shows):
                for pixels in recording.add(packet, show is not None):
                    if show is not None:
                        show(pixels)
                if not goes_on(float((_tick_of(packet) - recording.begun) * video.tick)):
                    break
            else:
                ended = shows.ended
            recording.end()
    except OSError as error:
        raise InputError("output.cannot_write", file=path, reason=error.strerror) from error
    return Recorded(recording.count, ended)


class _Shown:
    """The packets of a camera, until it gives no more.

    Attributes:
        ended: why it gives no more.
    """

    def __init__(self, video: OpenedVideo) -> None:
        self.ended = ""
        self._packets = video.container.demux(video.stream)

    def __iter__(self) -> Iterator[av.Packet]:
        while True:
            try:
                packet = next(self._packets)
            except StopIteration:
                self.ended = "it gives no more frames"
                return
            except (av.error.FFmpegError, OSError) as error:
                self.ended = " ".join(str(error.strerror or error).split())
                return
            if packet.size and packet.pts is not None:
                yield packet


def _tick_of(packet: av.Packet) -> int:
    """The time at which a packet came."""
    return int((packet.pts if packet.dts is None else packet.dts) or 0)


class _Recording:
    """A file to which packets are added, as they are or coded anew.

    Attributes:
        count: packets that were added.
        begun: the tick from which time is counted.
    """

    def __init__(self, video: OpenedVideo, out: Any, begun: int) -> None:
        self.count, self.begun = 0, begun
        self._upright = Upright()
        self._video, self._out = video, out
        self._copies = video.context.name in _COPIED
        if self._copies:
            self._stream = out.add_stream_from_template(video.stream)
            return
        codec = next(name for name in ("libx264", "mjpeg") if name in av.codecs_available)
        fast = {"preset": "ultrafast", "crf": "14"} if codec == "libx264" else {}
        self._stream = out.add_stream(codec, rate=30, options=fast)
        self._stream.width, self._stream.height = (
            side - side % 2 for side in (video.context.width, video.context.height)
        )
        self._stream.pix_fmt = "yuv420p" if codec == "libx264" else "yuvj420p"
        self._stream.codec_context.time_base = Fraction(1, 1000)
        if video.pixel_shape is not None:
            self._stream.codec_context.sample_aspect_ratio = video.pixel_shape

    def add(self, packet: av.Packet, is_shown: bool) -> list[np.ndarray]:
        """Write a packet.

        Args:
            packet: of the camera.
            is_shown: whether somebody looks.

        Returns:
            (H, W, 3) uint8 RGB of the frames in it where somebody looks.
        """
        self.count += 1
        frames: list[Any] = []
        if is_shown or not self._copies:
            with contextlib.suppress(av.error.FFmpegError):
                frames = packet.decode()
        shape = self._video.pixel_shape
        pixels = [self._upright.pixels(frame, shape).rgb for frame in frames] if is_shown else []
        if self._copies:
            packet.pts = (packet.pts or 0) - self.begun
            packet.dts = None if packet.dts is None else packet.dts - self.begun
            packet.stream = self._stream
            self._out.mux(packet)
            return pixels
        for frame in frames:
            seconds = ((frame.pts or 0) - self.begun) * self._video.tick
            small = frame.reformat(
                self._stream.width, self._stream.height, format=self._stream.pix_fmt
            )
            small.pts, small.time_base = round(seconds * 1000), Fraction(1, 1000)
            self._out.mux(self._stream.encode(small))
        return pixels

    def end(self) -> None:
        """Write what the encoder still holds."""
        if not self._copies:
            self._out.mux(self._stream.encode(None))
