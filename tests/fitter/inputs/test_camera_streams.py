"""Cameras are recorded: as they come or coded anew, until they end, are stopped or go away."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from fitter.inputs.camera_streams import opened_camera, record, without_password
from fitter.inputs.video_index import video_index
from fitter.inputs.video_reader import VideoReader
from fitter.inputs.video_streams import OpenedVideo, opened_video
from tests.support.errors import raises
from tests.support.video_files import Coding, shown, write_video

MOTION_JPEG = Coding("mjpeg", "yuvj420p", {"qmin": "1", "qmax": "2"})
BARE = Coding("rawvideo", "yuv420p", container="nut")


def always(seconds: float) -> bool:
    return True


def pixels(path: Path) -> list[np.ndarray]:
    reader = VideoReader(path, video_index(path))
    return [reader.frame(number) for number in range(len(reader.index))]


@pytest.mark.parametrize("coding", [MOTION_JPEG, BARE], ids=["kept", "coded anew"])
def test_what_a_camera_shows_is_recorded_at_its_times(tmp_path, coding):
    times = [500, 540, 600, 601, 900]
    camera = write_video(tmp_path / "camera.nut", 5, coding, times)
    seen: list[np.ndarray] = []
    with opened_video(camera) as video:
        found = record(video, tmp_path / "r.mkv", always, seen.append)
    assert (found.frames, found.ended) == (5, "it gives no more frames")
    times_found = video_index(tmp_path / "r.mkv").times
    np.testing.assert_allclose(times_found, [0, 0.04, 0.1, 0.101, 0.4], atol=1e-9)
    for number, (frame, one) in enumerate(zip(pixels(tmp_path / "r.mkv"), seen, strict=True)):
        assert np.abs(frame.astype(int) - shown(number)).mean() < 6
        assert np.abs(one.astype(int) - shown(number)).mean() < 6


def test_a_recording_ends_when_it_is_asked(tmp_path):
    camera = write_video(tmp_path / "camera.mkv", 25, MOTION_JPEG)
    with opened_camera(str(camera)) as video:
        found = record(video, tmp_path / "r.mkv", lambda seconds: seconds < 0.4)
    assert (found.frames, found.ended) == (11, "")
    assert len(video_index(tmp_path / "r.mkv")) == 11


def test_a_camera_that_goes_away_leaves_what_was_seen(tmp_path, monkeypatch):
    camera = write_video(tmp_path / "camera.mkv", 25, MOTION_JPEG)

    class Unplugged:
        """A camera that is pulled out after seven frames."""

        def __init__(self, container):
            self.container = container

        def demux(self, stream):
            for number, packet in enumerate(self.container.demux(stream)):
                if number == 7:
                    raise av.error.OSError(19, "No such device")
                yield packet

    with opened_video(camera) as video:
        gone = OpenedVideo(Unplugged(video.container), video.stream)
        found = record(gone, tmp_path / "r.mkv", always)
    assert (found.frames, found.ended) == (7, "No such device")
    assert len(pixels(tmp_path / "r.mkv")) == 7


def test_a_camera_that_shows_nothing_leaves_nothing(tmp_path):
    camera = write_video(tmp_path / "camera.avi", 0, MOTION_JPEG)
    with opened_video(camera) as video, raises("camera.no_frames", file=tmp_path / "r.mkv"):
        record(video, tmp_path / "r.mkv", always)
    assert not (tmp_path / "r.mkv").exists()


def test_a_camera_that_shows_nothing_leaves_what_was_recorded_before(tmp_path):
    camera = write_video(tmp_path / "camera.avi", 0, MOTION_JPEG)
    before = write_video(tmp_path / "r.mkv", 5).read_bytes()
    with opened_video(camera) as video, raises("camera.no_frames", file=tmp_path / "r.mkv"):
        record(video, tmp_path / "r.mkv", always)
    assert (tmp_path / "r.mkv").read_bytes() == before


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("rtsp://me:secret@192.168.0.7:554/a@b", "rtsp://192.168.0.7:554/a@b"),
        ("rtsp://me:p@ss@host/a", "rtsp://host/a"),
        ("rtsp://host/a@b", "rtsp://host/a@b"),
        ("/dev/video2", "/dev/video2"),
    ],
)
def test_who_may_see_a_camera_is_not_printed(address, printed):
    assert without_password(f"recording {address}; x") == f"recording {printed}; x"


def test_a_refusal_does_not_print_a_password():
    printed, given = "--camera rtsp://127.0.0.1:9/a", "rtsp://me:secret@127.0.0.1:9/a"
    with raises("camera.unreadable", file=printed) as refused, opened_camera(given):
        pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("camera", ["99", "/dev/video99", "nowhere.mp4"])
def test_a_camera_that_is_not_there_is_refused(camera):
    with raises("camera.missing", file=f"--camera {camera}"), opened_camera(camera):
        pass


def test_what_is_no_camera_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no camera")
    camera = str(tmp_path / "notes.txt")
    with raises("camera.unreadable", file=f"--camera {camera}"), opened_camera(camera):
        pass
