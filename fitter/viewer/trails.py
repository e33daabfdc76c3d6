"""The way that the wrists of a video's tracks have taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitter.viewer.rows import StoreRows

_LENGTH = 90
"""Frames of a trail: three seconds at 30 frames a second."""


@dataclass(frozen=True)
class Trail:
    """A track's wrists in the frames up to the one that is shown.

    Attributes:
        track: its number.
        segments: (S, 2, 3) float32 metres, from frame to frame; nothing over a gap.
    """

    track: int
    segments: np.ndarray


def trails_of(rows: StoreRows, place: int, tracks: Sequence[int | None]) -> list[Trail]:
    """The trails that end at a frame.

    Args:
        rows: of the store.
        place: of the frame.
        tracks: whose trails; None is left out.

    Raises:
        InputError: the store is damaged.
    """
    wanted = sorted({track for track in tracks if track is not None})
    if not wanted:
        return []
    run = rows.run(place)
    part = range(max(run.start, place - _LENGTH), place + 1)
    track, points = rows.read("track", part), rows.read("keypoints_3d", part)
    if track is None or points is None:
        return []
    return [Trail(number, _segments(points[:, :, 0], track == number)) for number in wanted]


def _segments(wrists: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(S, 2, 3) between frames that follow each other and both have the track.

    Args:
        wrists: (F, H, 3) metres.
        own: (F, H) whether a slot has the track.
    """
    has = own.any(axis=1)
    points = wrists[np.arange(len(wrists)), own.argmax(axis=1)].astype(np.float32)
    has &= np.isfinite(points).all(axis=1)
    both = has[1:] & has[:-1]
    return np.stack([points[:-1][both], points[1:][both]], axis=1)
