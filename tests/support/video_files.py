"""Small videos that tests write: frames that tell their numbers, in any container and coding."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

SIZE = (96, 64)


@dataclass(frozen=True)
class Coding:
    """How a video is coded.

    Attributes:
        codec: an encoder's name.
        pixels: FFmpeg's name of the pixel format.
        options: of the encoder.
        group: frames from one key frame to the next, at most.
        container: FFmpeg's name, where the ending does not tell.
        reordered: frames that may be coded in another order than they are shown.
        pixel_shape: width of a pixel over its height.
    """

    codec: str = "libx264"
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    group: int = 8
    container: str | None = None
    reordered: int | None = None
    pixel_shape: Fraction | None = None


H264 = Coding(reordered=2)


def shown(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8, the picture of frame `number`: all differ, and so do their four quarters."""
    width, height = size
    rng = np.random.default_rng(number % 5)
    coarse = rng.integers(40, 200, (4, 4, 3), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((height // 4, width // 4, 1), np.uint8))
    pixels[: height // 4, : width // 4] = (255, 0, 0)
    pixels[height // 4 : height // 2, : width // 4] = np.uint8(number * 3 % 256)
    return pixels


def write_video(
    path: Path,
    pictures: int | Sequence[np.ndarray] = 20,
    coding: Coding = H264,
    times: Sequence[int] | None = None,
    turn: int = 0,
) -> Path:
    """Write a video of 25 frames a second.

    Args:
        path: of the file; its ending chooses the container.
        pictures: how many frames of `shown`, or uint8 frames of one size, RGB (H, W, 3) or RGBA
            (H, W, 4).
        coding: how.
        times: when each frame is shown, in thousandths of a second; None for a steady rate.
        turn: degrees by which players turn the picture counterclockwise.
    """
    frames = [shown(n) for n in range(pictures)] if isinstance(pictures, int) else [*pictures]
    ticks = [40 * n for n in range(len(frames))] if times is None else [*times]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=coding.container) as out:
        stream: Any = out.add_stream(coding.codec, rate=25, options=coding.options)
        stream.height, stream.width = (frames or [shown(0)])[0].shape[:2]
        stream.pix_fmt = coding.pixels
        context = stream.codec_context
        context.gop_size, context.thread_count = coding.group, 1
        context.time_base = Fraction(1, 25) if times is None else Fraction(1, 1000)
        if coding.reordered is not None:
            context.max_b_frames = coding.reordered
        if coding.pixel_shape is not None:
            context.sample_aspect_ratio = coding.pixel_shape
        if turn:
            stream.set_display_rotation(turn)
        out.start_encoding()  # a container without frames has a header, too
        for pixels, tick in zip(frames, ticks, strict=True):
            kind = "rgb24" if pixels.shape[2] == 3 else "rgba"
            frame = av.VideoFrame.from_ndarray(pixels, format=kind)
            frame = frame.reformat(format=coding.pixels)
            frame.time_base = context.time_base
            frame.pts = tick // 40 if times is None else tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def joined(path: Path, *videos: Path) -> Path:
    """Write the packets of videos, which stand for themselves (Motion JPEG), one after the other
    as one video of 25 frames a second."""
    with contextlib.ExitStack() as closing:
        read = [closing.enter_context(av.open(str(video))) for video in videos]
        out = closing.enter_context(av.open(str(path), "w"))
        stream = out.add_stream_from_template(read[0].streams.video[0])
        packets = [packet for video in read for packet in video.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.duration = 1
            out.mux(packet)
    return path


def write_sound(path: Path) -> Path:
    """Write a video without pictures: a second of a tone."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("aac", rate=8000, layout="mono")
        tone = (8000 * np.sin(np.arange(8000) / 10)).astype(np.int16)
        for start in range(0, 8000, 1024):
            part = np.resize(tone[start : start + 1024], (1, 1024))
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_animation(path: Path, count: int = 4, milliseconds: Sequence[int] | int = 80) -> Path:
    """Write an animated picture of frames of `shown`; the ending chooses GIF, PNG or WebP."""
    pictures = [Image.fromarray(shown(number)) for number in range(count)]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    kind = "PNG" if path.suffix == ".apng" else None
    duration = milliseconds if isinstance(milliseconds, int) else list(milliseconds)
    pictures[0].save(
        path,
        kind,
        save_all=True,
        append_images=pictures[1:],
        duration=duration,
        loop=0,
        **options,
    )
    return path
