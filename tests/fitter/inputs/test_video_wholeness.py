"""A video that breaks off, or lacks frames in between, is said, as far as its container tells."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fitter.inputs.video_index import video_index
from fitter.inputs.video_wholeness import gap_in
from tests.support.video_files import H264, write_video

TICK = Fraction(1, 100)


def cut(whole: Path, share: float) -> Path:
    """The beginning of a video, without a whole number of packets of any transport stream."""
    path = whole.with_name(f"cut{whole.suffix}")
    size = int(whole.stat().st_size * share) // 188 * 188 + 100
    path.write_bytes(whole.read_bytes()[:size])
    return path


@pytest.mark.parametrize(
    ("ending", "expected"),
    [(".mkv", "1.60 seconds"), (".ts", "a file of whole packets"), (".avi", "40 frames")],
)
@pytest.mark.parametrize("share", [0.6, 0.8])
def test_one_that_breaks_off_is_said(tmp_path, ending, expected, share):
    whole = write_video(tmp_path / f"whole{ending}", 40, H264)
    assert not video_index(whole).broken
    path = cut(whole, share)
    index = video_index(path)
    assert 0 < len(index) < 40
    assert index.broken.startswith(f"{path}: expected {expected}, found ")
    assert index.broken.endswith(" frames before it breaks off")


def test_a_hole_is_said(tmp_path):
    times = [40 * n for n in range(60) if not 20 <= n < 34]
    path = write_video(tmp_path / "hole.mkv", len(times), times=times)
    assert video_index(path).broken == (
        f"{path}: expected a frame every 0.04 s, found none for 0.6 s from 0.76 s on: "
        "frames are missing there"
    )


@pytest.mark.parametrize(
    "ticks",
    [
        [],
        [5],
        [0, 4, 8, 12],
        [*range(0, 100, 4), 110, *range(114, 200, 4)],  # a few frames were left out
        np.cumsum(np.random.default_rng(0).exponential(4, 100).astype(int) + 1),  # uneven
    ],
    ids=["none", "one", "even", "short", "uneven"],
)
def test_what_is_no_hole_is_not_said(ticks):
    assert not gap_in(Path("a.mkv"), np.array(ticks, np.int64), TICK)


def test_a_hole_between_even_frames_is_told():
    ticks = np.array([*range(0, 100, 4), *range(200, 300, 4)])
    assert "found none for 1.04 s from 0.96 s on" in gap_in(Path("a.mkv"), ticks, TICK)
