"""Frames of videos: the same bits in any order, true times, turned as shown."""

from __future__ import annotations

import gc
import random
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.images import ReadLimits
from fitter.inputs.video_groups import frames_by_group
from fitter.inputs.video_index import VideoIndex, video_index
from fitter.inputs.video_reader import VideoReader
from tests.support.errors import raises
from tests.support.video_files import H264, SIZE, Coding, joined, shown, write_video

_X264 = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0"}
_REFRESHED = {"x264-params": "intra-refresh=1:keyint=8"}
_X265 = {"x265-params": "open-gop=1:keyint=8:min-keyint=8:log-level=none"}
_VP9 = {"deadline": "realtime", "cpu-used": "8"}

COUNT, TINY = 120, (48, 32)
"""What a sample of the beginning does not show: frames far behind it."""

CLEAR = {"crf": "1", "qmin": "1", "qmax": "2"}

CODINGS = {
    "closed.mp4": H264,
    "open.mp4": Coding(options=_X264, reordered=3),
    "open.ts": Coding(options=_X264, reordered=3),
    "open.mkv": Coding(options=_X264, reordered=3),
    "refreshed.mkv": Coding(options=_REFRESHED),
    "refreshed.ts": Coding(options=_REFRESHED),
    "hevc.mp4": Coding("libx265", options=_X265, reordered=3),
    "mpeg4.avi": Coding("mpeg4", reordered=2),
    "reordered.avi": H264,
    "mpeg1.mpg": Coding("mpeg1video", reordered=2, group=15),
    "mpeg2.mpg": Coding("mpeg2video", reordered=2, group=15),
    "mpeg2.vob": Coding("mpeg2video", reordered=2, group=12),
    "mpeg2.ts": Coding("mpeg2video", reordered=2, group=15),
    "hevc.ts": Coding("libx265", options=_X265, reordered=3),
    "flash.flv": H264,
    "windows.wmv": Coding("wmv2"),
    "alone.h264": Coding(reordered=2, container="h264"),
    "vp9.webm": Coding("libvpx-vp9", options=_VP9),
    "intra.mov": Coding("mjpeg", "yuvj420p"),
    "phone.3gp": Coding("mpeg4"),
}


def decoded(path: Path) -> list[np.ndarray]:
    """All frames, as PyAV gives them one after the other."""
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


@pytest.fixture(params=CODINGS, scope="module")
def coded(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    pictures = [shown(number, TINY) for number in range(COUNT)]
    return write_video(folder / request.param, pictures, CODINGS[request.param])


def test_any_order_gives_the_bits_of_reading_in_order(coded):
    index, whole = video_index(coded), decoded(coded)
    assert len(index) == len(whole) == COUNT
    assert not index.broken
    in_order, anyhow = VideoReader(coded, index), VideoReader(coded, index)
    for number, expected in enumerate(whole):
        np.testing.assert_array_equal(in_order.frame(number), expected)
    for number in [17, 17, COUNT - 1, 0, *random.Random(0).sample(range(COUNT), 60)]:
        np.testing.assert_array_equal(anyhow.frame(number), whole[number])


def test_every_frame_is_the_same_for_a_process_that_was_just_started(coded):
    index, whole = video_index(coded), decoded(coded)
    for number, expected in enumerate(whole):
        reader = VideoReader(coded, index)
        np.testing.assert_array_equal(reader.frame(number), expected)
        reader.close()


def test_times_are_those_of_the_frames(coded):
    np.testing.assert_allclose(video_index(coded).times, np.arange(COUNT) / 25, atol=2e-3)


def looked_at(reader: VideoReader, number: int) -> np.ndarray | str:
    """A frame, or the code of the sentence that says why it cannot be read."""
    try:
        return reader.frame(number)
    except InputError as error:
        return error.code


@pytest.mark.parametrize("name", ["closed.mp4", "open.mp4", "open.ts", "hevc.mp4", "mpeg2.ts"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_damage_looks_the_same_in_any_order(tmp_path, name, share):
    rng = np.random.default_rng(0)
    noisy = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(40)]
    path = write_video(tmp_path / name, noisy, CODINGS[name])
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + 3000] = rng.integers(0, 256, 3000, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    index = video_index(path)
    reader = VideoReader(path, index)
    in_order = [looked_at(reader, number) for number in range(len(index))]
    backwards = VideoReader(path, index)
    for number in range(len(index))[::-1]:
        for found in (looked_at(backwards, number), looked_at(VideoReader(path, index), number)):
            np.testing.assert_array_equal(found, in_order[number])
    whole = sum(not isinstance(frame, str) for frame in in_order)
    assert whole > 20


def test_frames_in_order_are_decoded_once(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", 30)
    count = [0]

    def counted(*given):
        for frame in frames_by_group(*given):
            count[0] += 1
            yield frame

    monkeypatch.setattr("fitter.inputs.video_reader.frames_by_group", counted)
    index = video_index(path)
    reader = VideoReader(path, index)
    for number in range(30):
        reader.frame(number)
    assert count[0] == 30
    count[0] = 0
    VideoReader(path, index).frame(29)  # the last key frame is at 24
    assert count[0] <= 6 + H264.reordered


def test_uneven_times_are_true(tmp_path):
    times = [0, 33, 70, 71, 300, 1000, 1033]
    path = write_video(tmp_path / "uneven.mkv", len(times), times=times)
    np.testing.assert_allclose(video_index(path).times, np.array(times) / 1000, atol=1e-9)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (Fraction(1), SIZE),
        (Fraction(4, 3), (128, 64)),
        (Fraction(16, 15), (102, 64)),
        (Fraction(1, 2), (96, 128)),
    ],
)
def test_pixels_that_are_not_square_are_stretched(tmp_path, shape, size, ending):
    path = write_video(tmp_path / f"clip{ending}", 3, Coding(options=CLEAR, pixel_shape=shape))
    found = VideoReader(path, video_index(path)).frame(1)
    assert found.shape == (size[1], size[0], 3)
    expected = np.asarray(Image.fromarray(shown(1)).resize(size, Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected).mean() < 6


def test_stretched_frames_are_turned_after(tmp_path):
    coding = Coding(options=CLEAR, pixel_shape=Fraction(4, 3))
    path = write_video(tmp_path / "turned.mp4", 2, coding, turn=90)
    plain = write_video(tmp_path / "plain.mp4", 2, coding)
    found = VideoReader(path, video_index(path)).frame(1)
    assert found.shape == (128, 64, 3)
    np.testing.assert_array_equal(
        found, np.rot90(VideoReader(plain, video_index(plain)).frame(1), 1)
    )


def test_stretched_frames_have_to_be_of_a_size_that_is_taken(tmp_path, monkeypatch):
    limits = ReadLimits(max_pixels=10_000)
    monkeypatch.setattr("fitter.inputs.video_reader.DEFAULT_LIMITS", limits)
    for shape in (Fraction(1), Fraction(2)):
        path = write_video(tmp_path / f"{shape}.mkv", 2, Coding(pixel_shape=shape))
        reader = VideoReader(path, video_index(path))
        if shape == 1:
            assert reader.frame(0).shape == (64, 96, 3)
        else:
            with raises("image.too_large", file=path, width=192, height=64):
                reader.frame(0)


@pytest.mark.parametrize("turn", [0, 90])
def test_transparent_frames_are_white_and_say_where(tmp_path, turn):
    opacity = np.full((SIZE[1], SIZE[0], 1), 255, np.uint8)
    opacity[:20, :30] = 0
    frames = [np.concatenate([shown(n), opacity], axis=2) for n in range(2)]
    path = write_video(tmp_path / "clip.mov", frames, Coding("png", "rgba"), turn=turn)
    found = VideoReader(path, video_index(path)).pixels(1)
    expected = shown(1)
    expected[:20, :30] = 255
    np.testing.assert_array_equal(found.rgb, np.rot90(expected, turn // 90))
    np.testing.assert_array_equal(found.inside, np.rot90(opacity[..., 0] > 0, turn // 90))


def test_opaque_frames_show_everything(tmp_path):
    path = write_video(tmp_path / "clip.mov", 2, Coding("png", "rgba"))
    found = VideoReader(path, video_index(path)).pixels(1)
    np.testing.assert_array_equal(found.rgb, shown(1))
    assert found.inside is None


def test_frames_of_several_sizes_are_read_in_their_own(tmp_path):
    sizes = [(96, 64), (64, 48), (128, 96)]
    coding = Coding("mjpeg", "yuvj420p", CLEAR)
    videos = [
        write_video(tmp_path / f"{k}.mkv", [shown(n, size) for n in range(3)], coding)
        for k, size in enumerate(sizes)
    ]
    path = joined(tmp_path / "joined.mkv", *videos)
    index = video_index(path)
    assert len(index) == 9 and not index.broken
    reader = VideoReader(path, index)
    for number in [*range(9), 7, 1, 4]:
        size = sizes[number // 3]
        found = reader.frame(number)
        assert found.shape == (size[1], size[0], 3)
        assert np.abs(found.astype(int) - shown(number % 3, size)).mean() < 6


@pytest.mark.parametrize("turn", [90, 180, -90])
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_frames_are_turned_as_they_are_shown(tmp_path, turn, ending):
    plain = write_video(tmp_path / f"plain{ending}", 3)
    path = write_video(tmp_path / f"turned{ending}", 3, turn=turn)
    found = VideoReader(path, video_index(path)).frame(1)
    expected = VideoReader(plain, video_index(plain)).frame(1)
    np.testing.assert_array_equal(found, np.rot90(expected, turn // 90))


def test_the_index_is_kept_until_the_video_changes(tmp_path, monkeypatch):
    path, folder = write_video(tmp_path / "clip.mp4", 9), tmp_path / "kept" / "here"
    made = video_index(path, folder)
    with monkeypatch.context() as patched:
        patched.setattr("fitter.inputs.video_index.opened_video", None)  # nothing is read anew
        kept = video_index(path, folder)
    for name in ("ticks", "starts", "checks"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(made, name))
    assert (kept.tick, kept.is_counted, kept.broken) == (made.tick, made.is_counted, "")
    write_video(path, 12)
    assert len(video_index(path, folder)) == 12
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert len(video_index(path, folder)) == 12


def test_a_frame_that_is_not_there_is_refused(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 3)
    with raises("video.no_such_frame", file=path, count=3):
        VideoReader(path, video_index(path)).frame(3)


def test_pixels_are_those_that_were_written(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 5, Coding(options={"crf": "1"}))
    reader = VideoReader(path, video_index(path))
    for number in range(5):
        assert np.abs(reader.frame(number).astype(int) - shown(number)).mean() < 4
    assert reader.frame(0).shape == (SIZE[1], SIZE[0], 3)


def test_frames_that_were_read_are_not_in_memory(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 30, turn=90)
    reader = VideoReader(path, video_index(path))
    gc.collect()
    gc.disable()  # which looks for circles after hundreds of frames only
    try:
        for number in range(30):
            reader.frame(number)
        frames = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
    assert 1 <= frames <= 6  # the last ones come together


def test_an_index_of_nothing_has_no_times():
    empty = np.empty(0, np.int64)
    index = VideoIndex(empty, empty, empty, 1)
    assert len(index) == 0 and index.times.shape == (0,)
    assert not list(islice(index.times, 1))
