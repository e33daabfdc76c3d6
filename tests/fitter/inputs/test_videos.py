"""Videos in the place of pictures: what is listed, which frames, what is said of bad ones."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fitter.inputs.animations import animation_index, is_animation
from fitter.inputs.frame_choice import FrameChoice
from fitter.inputs.given_images import checked_image
from fitter.inputs.image_files import LocalFile
from fitter.inputs.images import ReadLimits, read_picture
from fitter.inputs.listing import ImageSource
from fitter.inputs.stored_images import read_stored_image
from fitter.inputs.videos import VideoFrame, VideoOptions, video_frames
from tests.support.errors import raises
from tests.support.video_files import Coding, shown, write_animation, write_sound, write_video

LIMITS = ReadLimits(max_pixels=1000)


def source(*given: Path | str, choice: FrameChoice | None = None) -> ImageSource:
    options = VideoOptions(None, choice or FrameChoice())
    return ImageSource.of([str(each) for each in given], videos=options)


def damage_frame(path: Path, number: int) -> None:
    """Damage the pixels of a frame of a video whose frames are PNG."""
    content = bytearray(path.read_bytes())
    at = [i for i in range(len(content)) if content.startswith(b"IDAT", i)][number]
    content[at : at + 60] = bytes(60)
    path.write_bytes(content)


def frames(video: str, *numbers: int) -> list[str]:
    return [f"{video}/{number:08d}" for number in numbers]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """25 frames, one second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 25)


@pytest.fixture
def mixed(tmp_path, clip) -> Path:
    """A folder with pictures and videos."""
    (tmp_path / "b").mkdir()
    shutil.copy(clip, tmp_path / "b" / "Clip.MP4")
    Image.fromarray(shown(0)).save(tmp_path / "a.png")
    Image.fromarray(shown(1)).save(tmp_path / "still.gif")
    write_animation(tmp_path / "moves.webp", 3)
    (tmp_path / "notes.md").write_text("no picture")
    (tmp_path / "code.ts").write_text("const a = 1")
    return tmp_path


def test_a_folder_mixes_pictures_and_videos(mixed):
    found = source(mixed)
    expected = ["a.png", *frames("b/Clip.MP4", *range(25)), *frames("moves.webp", 0, 1, 2)]
    assert list(found.names()) == [*expected, "still.gif"]
    assert found.skipped == {".md": 1, ".ts": 1}
    assert found.frames == {"frames": 28}
    assert len(list(found.names())) == 30 and found.frames == {"frames": 28}  # not counted twice
    assert found.files.file_of("a.png") == LocalFile(mixed / "a.png")
    frame = found.files.file_of("b/Clip.MP4/00000003")
    assert frame == VideoFrame(mixed / "b" / "Clip.MP4", 3)
    assert frame.time == pytest.approx(3 / 25)
    assert found.files.file_of("a.png").time is None
    assert frame.label == str(mixed / "b/Clip.MP4/00000003")
    np.testing.assert_array_equal(frame.read()[0], read_stored_image(mixed, "b/Clip.MP4/00000003"))
    assert pickle.loads(pickle.dumps(frame)) == frame


@pytest.mark.parametrize("how", ["alone", "pattern", "list", "several", "address"])
def test_videos_are_given_as_pictures_are(how, clip, tmp_path, monkeypatch):
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("one.mp4", "two.mov"):
        shutil.copy(clip, folder / name)
    monkeypatch.chdir(folder)
    (folder / "list.txt").write_text("one.mp4\ntwo.mov\n")
    given = {
        "alone": ["one.mp4"],
        "pattern": ["*.m[po][4v]"],
        "list": ["list.txt"],
        "several": ["one.mp4", "two.mov"],
        "address": [f"file://{folder}/one.mp4"],
    }
    one, two = frames("one.mp4", *range(25)), frames("two.mov", *range(25))
    assert list(source(*given[how]).names()) == one + ([] if how in ("alone", "address") else two)


def test_without_the_options_videos_are_files_of_another_kind(mixed):
    found = ImageSource.of([str(mixed)])
    assert list(found.names()) == ["a.png", "moves.webp"]
    assert found.skipped == {".md": 1, ".ts": 1, ".gif": 1, ".mp4": 1}


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (FrameChoice(), range(25)),
        (FrameChoice(every=10), [0, 10, 20]),
        (FrameChoice(fps=5), [0, 5, 10, 15, 20]),
        (FrameChoice(fps=100), range(25)),
        (FrameChoice(start=0.5), range(13, 25)),
        (FrameChoice(end=0.5), range(13)),
        (FrameChoice(every=4, start=0.2, end=0.6), [5, 9, 13]),
        (FrameChoice(fps=10, start=0.2, end=0.6), [5, 8, 10, 13]),
    ],
)
def test_chosen_frames_keep_their_numbers(choice, numbers, clip):
    found = source(clip, choice=choice)
    assert list(found.names()) == frames("clip.mp4", *numbers)
    assert found.files.kinds == ({"frames": choice.as_json} if choice != FrameChoice() else {})


def test_rates_are_kept_where_times_are_rounded():
    times = np.round(np.arange(300) / 30, 3)  # milliseconds
    assert len(FrameChoice(fps=30).of(times)) == 300
    np.testing.assert_array_equal(FrameChoice(fps=10).of(times), np.arange(0, 300, 3))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"every": 0}, "video.every"),
        ({"every": 1.5}, "video.every"),
        ({"fps": 0.0}, "video.fps"),
        ({"fps": float("nan")}, "video.fps"),
        ({"start": -1.0}, "video.seconds"),
        ({"start": 2.0, "end": 1.0}, "video.end_before_start"),
        ({"every": 2, "fps": 2.0}, "video.every_and_fps"),
    ],
)
def test_choices_of_nothing_are_refused(given, code):
    with raises(code):
        FrameChoice(**given)


def test_the_python_door_takes_frames(clip):
    given = dict(video_frames(clip, FrameChoice(every=10)))
    assert list(given) == pytest.approx([0, 0.4, 0.8])
    file = checked_image(clip / "00000010", str(clip / "00000010"))
    np.testing.assert_array_equal(file.read()[0], list(given.values())[1])
    with raises("door.video", file=str(clip)):
        checked_image(clip, str(clip))


def test_frames_that_do_not_decode_are_left_out(tmp_path):
    path = write_video(tmp_path / "clip.avi", 10, Coding("png", "rgb24"))
    damage_frame(path, 4)
    assert [round(seconds * 25) for seconds, _ in video_frames(path)] == [0, 1, 2, 3, *range(5, 10)]
    (tmp_path / "none.mp4").write_bytes(b"no video")
    with raises("video.none_whole"):
        next(video_frames(tmp_path / "none.mp4"))


def test_no_chosen_frame_is_refused(clip, tmp_path):
    with raises("video.none_chosen", file="--start"):
        list(source(clip, choice=FrameChoice(start=100.0)).names())
    Image.fromarray(shown(0)).save(tmp_path / "a.png")
    with raises("video.none_chosen", file="--every"):
        list(source(tmp_path, choice=FrameChoice(every=2)).names())


class TestBadVideos:
    def bad(self, path: Path) -> str:
        """What is said of a video, the only one, of which nothing can be read."""
        with raises("video.none_whole") as caught:
            list(source(path).names())
        return str(caught.value)

    def test_sound_alone(self, tmp_path):
        path = write_sound(tmp_path / "song.mp4")
        assert self.bad(path) == f"{path}: expected a video with pictures, found audio alone"

    def test_no_frames(self, tmp_path):
        path = write_video(tmp_path / "clip.avi", 0)
        assert self.bad(path).startswith(f"{path}: expected a video")

    def test_empty_and_foreign_files(self, tmp_path):
        for content in (b"", b"no video at all" * 100):
            path = tmp_path / "clip.mkv"
            path.write_bytes(content)
            assert self.bad(path).startswith(f"{path}: expected a video that can be read, found: ")

    def test_an_index_that_cannot_be_read(self, clip, tmp_path):
        path = tmp_path / "clip.mp4"  # its index stands behind the frames
        path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
        assert "expected a video that can be read, found: " in self.bad(path)

    def test_too_many_pixels(self, tmp_path, monkeypatch):
        path = write_video(tmp_path / "clip.mp4", 2)
        monkeypatch.setattr("fitter.inputs.video_index.DEFAULT_LIMITS", LIMITS)
        assert "expected at most 1,000 pixels, found 96 x 64" in self.bad(path)

    def test_one_that_is_not_there_does_not_stop_others(self, clip, tmp_path):
        listed = tmp_path / "list.txt"
        listed.write_text(f"{clip}\n{tmp_path}/gone.mp4\n")
        found = source(listed)
        assert len(list(found.names())) == 25
        assert found.broken == [f"{tmp_path}/gone.mp4: expected a video, found no such file"]

    @pytest.mark.parametrize("ending", [".mkv", ".ts", ".mpg", ".avi"])
    def test_one_that_breaks_off_keeps_what_can_be_read(self, tmp_path, ending):
        whole = write_video(tmp_path / f"whole{ending}", 25)
        path = tmp_path / f"cut{ending}"
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
        found = source(path)
        names = list(found.names())
        assert 5 < len(names) < 25
        for name in names[:-3]:
            np.testing.assert_array_equal(
                found.files.file_of(name).read()[0],
                VideoFrame(whole, int(name[-8:])).read()[0],
            )

    def test_one_that_breaks_off_behind_its_index_says_so(self, tmp_path):
        whole = write_video(tmp_path / "whole.mov", 25)
        # The index in front, as players on the web want it.
        import av

        front = tmp_path / "front.mp4"
        with (
            av.open(str(whole)) as read,
            av.open(str(front), "w", options={"movflags": "faststart"}) as out,
        ):
            stream = out.add_stream_from_template(read.streams.video[0])
            for packet in read.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        path = tmp_path / "cut.mp4"
        path.write_bytes(front.read_bytes()[: front.stat().st_size * 2 // 3])
        found = source(path)
        names = list(found.names())
        assert 5 < len(names) < 25
        assert found.broken == [
            f"{path}: expected 25 frames, found {len(names)} frames before it breaks off"
        ]
        for name in names:
            assert found.files.file_of(name).read()[0].shape == shown(0).shape

    def test_a_damaged_frame_fails_alone(self, tmp_path):
        path = write_video(tmp_path / "clip.avi", 10, Coding("png", "rgb24"))
        damage_frame(path, 4)
        found = source(path)
        names = list(found.names())
        assert len(names) == 10
        for number, name in enumerate(names):
            frame = found.files.file_of(name)
            if number == 4:
                with raises("video.damaged_frame", file=frame.label):
                    frame.read()
            else:
                np.testing.assert_array_equal(frame.read()[0], shown(number))

    def test_one_that_changes_is_read_anew(self, clip, tmp_path):
        path = tmp_path / "clip.mp4"
        shutil.copy(clip, path)
        assert VideoFrame(path, 24).time is not None
        write_video(path, 10)
        os.utime(path, (1, 1))
        assert VideoFrame(path, 24).time is None
        with raises("video.no_such_frame"):
            VideoFrame(path, 24).read()
        path.unlink()
        assert VideoFrame(path, 0).time is None
        assert VideoFrame(path, 0).stamp() is None
        with raises("video.missing"):
            VideoFrame(path, 0).read()


class TestNames:
    """What a file is called, or says, opens no other file."""

    @pytest.mark.parametrize("name", ["2024-01-01T12:30:05.mp4", "concat:two.mp4", "%04d.mp4"])
    def test_a_name_is_no_protocol(self, tmp_path, clip, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        write_video(tmp_path / "two.mp4", 3)
        shutil.copy(clip, tmp_path / name)
        found = source(name)
        assert list(found.names()) == frames(name, *range(25))
        assert found.files.file_of(frames(name, 9)[0]).read()[0].shape == shown(0).shape

    @pytest.mark.parametrize(
        "content",
        [
            "ffconcat version 1.0\nfile two.mp4\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\ntwo.mp4\n#EXT-X-ENDLIST\n",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        ],
        ids=["concat", "hls", "sdp"],
    )
    @pytest.mark.parametrize("ending", [".mp4", ".mkv"])
    def test_a_list_of_other_files_is_refused(self, tmp_path, content, ending):
        write_video(tmp_path / "two.mp4", 3)
        path = tmp_path / f"list{ending}"
        path.write_text(content)
        with raises("video.none_whole") as refused:
            list(source(path).names())
        assert str(path) in str(refused.value)


class TestAnimations:
    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.apng"])
    def test_frames_are_read_in_any_order(self, tmp_path, name):
        path = write_animation(tmp_path / name, 4, [80, 120, 40, 100])
        assert is_animation(path)
        assert list(source(path).names()) == frames(name, 0, 1, 2, 3)
        tolerance = 10 if name == "a.gif" else 0  # 256 colours
        for number in (2, 0, 3, 3, 1):
            frame = VideoFrame(path, number)
            found = frame.read()[0]
            assert np.abs(found.astype(int) - shown(number)).max() <= tolerance
            assert frame.time == pytest.approx([0, 0.08, 0.2, 0.24][number])

    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
    def test_transparent_pixels_are_those_of_transparent_pictures(self, tmp_path, name):
        moving = []
        for number in range(3):
            pixels = np.dstack([shown(number), np.full(shown(number).shape[:2], 255, np.uint8)])
            pixels[:, : 30 + 10 * number, 3] = 0
            moving.append(Image.fromarray(pixels))
        options = {"lossless": True} if name == "a.webp" else {"disposal": 2, "transparency": 0}
        if name == "a.png":
            options = {"disposal": 1, "blend": 0}
        moving[0].save(
            tmp_path / name, save_all=True, append_images=moving[1:], duration=80, **options
        )
        for number in (2, 0, 1):
            still = tmp_path / f"{number}.png"
            moving[number].save(still)
            found, expected = VideoFrame(tmp_path / name, number).picture(), read_picture(still)
            np.testing.assert_array_equal(found.inside, expected.inside)
            assert found.inside.sum() == 64 * (66 - 10 * number)
            assert (found.pixels[~found.inside] == 255).all()
            off = np.abs(found.pixels.astype(int) - expected.pixels)
            assert off.max() <= (10 if name == "a.gif" else 0)

    def test_opaque_ones_show_everything(self, tmp_path):
        path = write_animation(tmp_path / "a.gif", 2)
        assert VideoFrame(path, 1).picture().inside is None

    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
    def test_a_still_picture_is_none(self, tmp_path, name):
        Image.fromarray(shown(0)).save(tmp_path / name)
        assert not is_animation(tmp_path / name)
        assert list(source(tmp_path / name).names()) == [name]

    @pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n\0", b"RIFF"])
    def test_damaged_pictures_are_none(self, tmp_path, content):
        path = tmp_path / "a.png"
        path.write_bytes(content)
        assert not is_animation(path)
        assert not is_animation(tmp_path / "gone.png")

    def test_one_that_breaks_off_keeps_what_can_be_read(self, tmp_path):
        whole = write_animation(tmp_path / "whole.gif", 6)
        path = tmp_path / "cut.gif"
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
        found = source(path)
        names = list(found.names())
        assert 2 <= len(names) < 6
        assert len(names) == len(animation_index(path))
        assert found.broken and str(path) in found.broken[0]
        assert found.files.file_of(names[-1]).read()[0].shape == shown(0).shape
