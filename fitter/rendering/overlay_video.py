"""Overlays of the frames of a video, written as a video."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fitter.errors import InputError
from fitter.rendering.overlay_folder import UNFINISHED
from fitter.system.file_names import name_below
from fitter.system.files import whole_file

VIDEO_SUFFIX = ".mp4"
"""Of the videos that are written."""

_TICK = Fraction(1, 30_000)
"""Seconds of a tick: 24, 25, 30, 60 and 30000/1001 frames a second are whole numbers of them, and
MPEG-4 (ISO/IEC 14496-2, 6.3.3) has no more than 65,535 a second."""

_QUALITY = {"libx264": {"preset": "veryfast", "crf": "20"}, "mpeg4": {"qmin": "2", "qmax": "5"}}
"""Options of the encoders, the better one first."""


def overlay_video_name(video: str) -> str:
    """Path of a video's overlay in the folder of overlays: its own name where that ends in .mp4,
    else with this ending behind it."""
    ending = "" if video.lower().endswith(VIDEO_SUFFIX) else VIDEO_SUFFIX
    return name_below(video, ending)


def write_overlay_video(path: Path, frames: Iterable[tuple[float, np.ndarray]]) -> int:
    """Write frames as H.264, or as MPEG-4 where PyAV has no encoder of the former.

    The video has the size of the first frame; others are shown as large as they fit in it. It
    appears whole or not at all.

    Args:
        path: the file to make, and the folders on the way to it.
        frames: (seconds, (H, W, 3) uint8 RGB) of each, in the order of their times, from any time
            on; taken one by one.

    Returns:
        The number of frames; for none no video is written.

    Raises:
        InputError: the folder is gone, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("overlay.no_folder", file=path.parent, reason=error.strerror) from error
    unfinished = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}{VIDEO_SUFFIX}")
    try:
        with whole_file(path, durable=False, partial=unfinished):
            count = _encode(unfinished, frames)
            if not count:
                raise _EmptyError
    except _EmptyError:
        return 0
    except OSError as error:
        raise InputError("overlay.unwritable", file=path, reason=error.strerror) from error
    return count


class _EmptyError(Exception):
    """There is no frame."""


def _encode(path: Path, frames: Iterable[tuple[float, np.ndarray]]) -> int:
    import av

    from fitter.inputs.video_streams import address_of

    count, last = 0, -1
    stream: Any = None
    with av.open(address_of(path), "w", options={"movflags": "faststart"}) as out:
        for seconds, pixels in frames:
            if stream is None:
                codec = next(name for name in _QUALITY if name in av.codecs_available)
                stream = out.add_stream(codec, rate=30, options=_QUALITY[codec])
                # Colours have half the resolution, so that sides are even.
                stream.height, stream.width = (side + side % 2 for side in pixels.shape[:2])
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = _TICK
            frame = av.VideoFrame.from_ndarray(
                _filled(pixels, (stream.width, stream.height)), format="rgb24"
            )
            # Two frames at one time would be refused.
            last = max(round(seconds / _TICK), last + 1)
            frame.pts, frame.time_base = last, _TICK
            out.mux(stream.encode(frame))
            count += 1
        if stream is not None:
            out.mux(stream.encode(None))
    return count


def _filled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) pixels as a picture of (width, height), in the middle of black where they are of
    another shape; a side that is a pixel short gets its last line twice."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(pixels)
    if (width + width % 2, height + height % 2) == size:
        return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    from PIL import Image

    scale = min(size[0] / width, size[1] / height)
    fitting = (max(1, round(width * scale)), max(1, round(height * scale)))
    whole = Image.new("RGB", size)
    place = ((size[0] - fitting[0]) // 2, (size[1] - fitting[1]) // 2)
    whole.paste(Image.fromarray(pixels).resize(fitting, Image.Resampling.BILINEAR), place)
    return np.asarray(whole)
