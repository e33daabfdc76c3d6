"""Overlays written as a video."""

from __future__ import annotations

from pathlib import Path

from fitter.inputs.video_index import video_index
from fitter.rendering.overlay_video import write_overlay_video
from tests.support.video_files import shown


def test_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("day:1") / "12:30.mp4"
    assert write_overlay_video(path, ((n / 25, shown(n)) for n in range(3))) == 3
    assert len(video_index(path)) == 3
