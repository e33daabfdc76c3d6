"""How many frames wait to be written into an overlay of a video."""

from __future__ import annotations

import pytest

from fitter.run.overlay_videos import frames_at_once
from fitter.store.schema import ImageRow


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], 8), ([(640, 480)], 8), ([(640, 480), (7680, 4320)], 2), ([(30_000, 30_000)], 1)],
)
def test_large_frames_are_fewer_at_a_time(sizes, expected):
    rows = [ImageRow(image_status="no_hand", image_width=w, image_height=h) for w, h in sizes]
    assert frames_at_once(rows) == expected
