"""Whether all of a video is there, as far as its container tells."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.video_streams import OpenedVideo

_SLACK = 0.25
"""Seconds by which the end that a container tells may lie behind the last frame or sound (not
published)."""

_STEADY, _MISSING = 0.9, 6.0
"""A video of which this share of frames follow at the usual step is steady; a step that is this
many times the usual one is then a gap (not published)."""

_TRANSPORT_PACKETS = (188, 192, 204)
"""Bytes of a packet of a transport stream: ISO/IEC 13818-1, 2.4.3.2; with a time before each, as
cameras write it; with 16 bytes of checks behind each."""


@dataclass
class Walked:
    """What was found when going through a video's packets.

    Attributes:
        frames: that the packets hold.
        end: seconds; the latest end of any packet.
        broken: why the file cannot be read to its end, or an empty text.
    """

    frames: int = 0
    end: float = 0.0
    broken: str = ""


def tells_end(video: OpenedVideo) -> bool:
    """Whether a container says in its head when it ends: others are measured by what is there."""
    return video.container.format.name.startswith("matroska")


def why_broken(path: Path, video: OpenedVideo, walked: Walked) -> str:
    """The sentence that says why not all of a video is there, or an empty text.

    Args:
        path: of the video.
        video: open.
        walked: what its packets are; all streams' where `tells_end`.
    """
    promised = video.stream.frames
    if walked.broken or 0 < walked.frames < promised:
        return _breaks_off(path, walked.frames, max(promised, 0))
    length = video.container.duration
    if tells_end(video) and length and 0 < walked.end < length / 1e6 - _SLACK:
        return _said(path, f"{length / 1e6:.2f} seconds", walked.frames)
    kind = video.container.format.name
    if kind == "mpegts" and all(path.stat().st_size % size for size in _TRANSPORT_PACKETS):
        return _said(path, "a file of whole packets", walked.frames)
    return ""


def _breaks_off(path: Path, found: int, promised: int) -> str:
    return _said(path, f"{promised} frames" if promised > found else "a whole video", found)


def _said(path: Path, expected: str, found: int) -> str:
    return str(InputError("video.breaks_off", file=path, expected=expected, found=found))


def gap_in(path: Path, ticks: np.ndarray, tick: Fraction) -> str:
    """The sentence about the longest gap in a steady video, or an empty text.

    Args:
        path: of the video.
        ticks: (N,) int64, increasing: when each frame is shown.
        tick: seconds of a tick.
    """
    steps = np.diff(ticks)
    if not len(steps):
        return ""
    usual, at = float(np.median(steps)), int(np.argmax(steps))
    if np.mean(steps <= 1.5 * usual) < _STEADY or steps[at] < _MISSING * usual:
        return ""
    seconds = float(tick)
    return str(
        InputError(
            "video.gap",
            file=path,
            step=usual * seconds,
            found=float(steps[at]) * seconds,
            at=float(ticks[at] - ticks[0]) * seconds,
        )
    )
