"""A video's first stream of pictures as PyAV opens it, and what is said when that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.pixels import Pixels
from fitter.inputs.video_faults import fault_of

# FFmpeg prints about every oddity of a damaged file beside the error that reports it.
av.logging.set_level(av.logging.PANIC)


_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "dv", "rm"),
    *("ivf", "gxf", "wtv", "live_flv", "swf", "h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu"),
    *("av1", "vc1", "h261", "h263", "dirac", "vvc", "yuv4mpegpipe"),
)
"""FFmpeg's names of the containers of files: those that hold their pictures. Others are lists of
files and addresses, whatever a file's ending says."""

_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}


def address_of(path: Path) -> str:
    """What FFmpeg is told of a file, whose name may have a colon: ``12:30.mp4`` is no protocol."""
    return f"file:{path.absolute()}"


@dataclass(frozen=True)
class OpenedVideo:
    """A video that is open; see `opened_video`.

    Attributes:
        container: the file.
        stream: of pictures.
    """

    container: InputContainer
    stream: VideoStream

    @property
    def context(self) -> VideoCodecContext:
        """Of the decoder."""
        return self.stream.codec_context

    @property
    def tick(self) -> Fraction:
        """Seconds of the unit of time stamps."""
        return Fraction(self.stream.time_base or Fraction(1, 1000))

    def packets(self) -> Iterator[av.Packet]:
        """The packets from where the file stands on, as far as it can be read."""
        with contextlib.suppress(av.error.FFmpegError, OSError):
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield packet

    @property
    def pixel_shape(self) -> Fraction | None:
        """Width of a pixel over its height; None where the video does not say."""
        return self.stream.sample_aspect_ratio or None

    def frames(self) -> Iterator[VideoFrame]:
        """What can be decoded from where the file stands on, in the order in which it is shown."""
        for packet in self.packets():
            with contextlib.suppress(av.error.FFmpegError):
                yield from packet.decode()
        with contextlib.suppress(av.error.FFmpegError):
            yield from self.stream.decode(None)


@contextlib.contextmanager
def opened_video(path: Path | str, device: str | None = None) -> Iterator[OpenedVideo]:
    """Open a video.

    Args:
        path: of the file; a text is the address of a stream, which may lie anywhere.
        device: FFmpeg's name of the kind of device that it is, or None for a file or stream.

    Raises:
        InputError: it is none, its index cannot be read, it has no pictures, or nobody knows how
            they are coded.
    """
    place, options = str(path), {}
    if isinstance(path, Path) and device is None:
        place, options = address_of(path), _OPTIONS
    with said_of_video(path), _said_of_container(path, options):
        container = av.open(place, format=device, options=options, metadata_errors="ignore")
    with container:
        yield OpenedVideo(container, _stream(path, container))


def _stream(path: Path | str, container: InputContainer) -> VideoStream:
    # Covers of music are streams of one picture.
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise InputError("video.no_pictures", file=path, found=", ".join(kinds) or "nothing")
    stream = streams[0]
    if stream.codec_context is None:
        raise InputError("video.codec", file=path)
    # Frames decoded by several threads are as many more in memory; hands are found by several
    # processes, each with a thread of its own.
    stream.codec_context.thread_count = 1
    return stream


@contextlib.contextmanager
def said_of_video(path: Path | str) -> Iterator[None]:
    """Turn what PyAV raises into one sentence about a video."""
    try:
        yield
    except av.error.FFmpegError as error:
        reason = " ".join(str(error.strerror or error).split())
        raise InputError("video.unreadable", file=path, reason=reason) from error
    except MemoryError as error:
        raise InputError("image.memory", file=path) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError("video.unreadable", file=path, reason=reason) from error


@contextlib.contextmanager
def _said_of_container(path: Path | str, options: dict[str, str]) -> Iterator[None]:
    """Say which containers are taken where FFmpeg calls the options that say so invalid, and what
    is wrong with a file that it takes for no video."""
    try:
        yield
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        fault = fault_of(Path(path)) if options else None
        if fault is None:
            raise
        raise fault from error
    except av.error.ArgumentError as error:
        if not options:
            raise
        raise InputError("video.container", file=path) from error


class Upright:
    """Turns the frames of one video as they are shown.

    PyAV's record of what stands beside a frame and the frame refer to each other, so that frames
    whose record was asked for stay in memory until Python looks for such circles, hundreds of them
    at a time. It is asked for once for each angle, which frames tell by themselves.
    """

    def __init__(self) -> None:
        """Nothing is known of the video yet."""
        self._matrices: dict[int, np.ndarray | None] = {}

    def pixels(self, frame: VideoFrame, pixel_shape: Fraction | None = None) -> Pixels:
        """What a frame shows, turned and mirrored, its pixels square, transparent ones as in
        pictures.

        Args:
            frame: as it was decoded.
            pixel_shape: see `OpenedVideo.pixel_shape`.
        """
        if frame.rotation not in self._matrices:
            self._matrices[frame.rotation] = _display_matrix(frame)
        width, height = square_size(frame, pixel_shape)
        has_opacity = any(part.is_alpha for part in frame.format.components)
        found = frame.to_ndarray(
            format="rgba" if has_opacity else "rgb24", width=width, height=height
        )
        upright = np.ascontiguousarray(_turned(found, self._matrices[frame.rotation]))
        return Pixels.of_transparent(Image.fromarray(upright)) if has_opacity else Pixels(upright)


def square_size(frame: VideoFrame, pixel_shape: Fraction | None) -> tuple[int, int]:
    """(width, height) in pixels of a frame, not turned, of which the side that is too short is
    stretched until its pixels are square.

    Args:
        frame: as it was decoded.
        pixel_shape: see `OpenedVideo.pixel_shape`.
    """
    shape = pixel_shape or Fraction(1)
    if shape >= 1:
        return round(frame.width * shape), frame.height
    return frame.width, round(frame.height / shape)


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """(3, 3) int32, or None where a frame is shown as it is stored."""
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if found is None else np.frombuffer(bytes(found), np.int32).reshape(3, 3)


def _turned(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Pixels after the display matrix, whose upper left part says to which side x and y go."""
    if matrix is None:
        return pixels
    (x_to_x, x_to_y), (y_to_x, y_to_y) = matrix[:2, :2].tolist()
    if abs(x_to_y) + abs(y_to_x) > abs(x_to_x) + abs(y_to_y):
        pixels, x_to_x, y_to_y = pixels.transpose(1, 0, 2), y_to_x, x_to_y
    if x_to_x < 0:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if y_to_y < 0 else pixels
