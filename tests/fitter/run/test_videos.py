"""Runs over videos: the same store however it is made, overlays as videos, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from fitter.errors import sentence
from fitter.inputs.images import read_image
from tests.support import bad_files
from tests.support.video_files import Coding, shown, write_video

OPTIONS = ["--device", "cpu", "--set", "run.block_size=4", "--set", "refine.stages={}"]
TIMES = [0, 40, 90, 130, 150, 500, 540, 600, 640]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A hand that moves, in frames at uneven times; the last key frame stands within a block."""
    hand = read_image(Path(bad_files.HAND))
    height, width = (side // 4 * 4 for side in hand.shape[:2])
    frames = [np.roll(hand[:height, :width], 3 * n, axis=1) for n in range(len(TIMES))]
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_video(path, frames, Coding(reordered=2, group=6), TIMES)


@pytest.fixture
def fit(tmp_path, here, say, clip):
    """Runs the command over the clip."""
    return lambda *more, out=tmp_path / "r.zarr": say(clip, "--out", out, *OPTIONS, *more)


def names(*numbers: int) -> list[str]:
    return [f"clip.mkv/{number:08d}" for number in numbers]


def test_shards_read_what_a_run_in_order_reads(fit, tmp_path):
    assert fit("-q").status == 0
    whole = xr.open_zarr(tmp_path / "r.zarr").load()
    assert list(whole.image_name.values) == names(*range(9))
    np.testing.assert_allclose(whole.time, np.array(TIMES) / 1000, atol=1e-9)
    assert whole.valid.values[:, 0].all()
    parts = tmp_path / "parts.zarr"
    for share in ("2/2", "1/2"):  # the last one begins in the middle of the video
        fit("-q", "--shard", share, out=parts)
    fit("-q", "--resume", out=parts)
    xr.testing.assert_identical(xr.open_zarr(parts).load().drop_attrs(), whole.drop_attrs())
    assert len(list((tmp_path / "parts.zarr.videos").iterdir())) == 1


def test_other_frames_are_no_continuation(fit, tmp_path):
    assert fit("-q", "--every", "4", "--keypoints", no_hands(tmp_path)).status == 0
    results = xr.open_zarr(tmp_path / "r.zarr")
    assert list(results.image_name.values) == names(0, 4, 8)
    for other in (["--every", "2"], []):
        told = fit("--resume", *other, "--keypoints", no_hands(tmp_path))
        assert told.status == 2
        assert "frames" in told.err and len(told.err.splitlines()) == 1
    assert fit("-q", "--resume", "--every", "4", "--keypoints", no_hands(tmp_path)).status == 0


def no_hands(folder: Path) -> Path:
    """Keypoints of frames that show no hand, so that nothing is computed."""
    path = folder / "p.json"
    path.write_text(json.dumps({name: [] for name in names(*range(9))}))
    return path


def read_video(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as video:
        found = list(video.decode(video=0))
    return [float(f.time) for f in found], [f.to_ndarray(format="rgb24") for f in found]


def test_overlays_of_a_video_are_a_video(fit, tmp_path):
    told = fit("--overlays", tmp_path / "overlays", "--end", "0.2")
    assert told.status == 0 and "1 overlay of videos written" in told.err
    path = tmp_path / "overlays" / "clip.mkv.mp4"
    times, frames = read_video(path)
    np.testing.assert_allclose(times, [0, 0.04, 0.09, 0.13, 0.15], atol=1e-4)
    hand = read_image(Path(bad_files.HAND))
    changed = np.abs(frames[0].astype(int) - hand[: len(frames[0]), : frames[0].shape[1]])
    assert 0.01 < (changed.max(axis=-1) > 40).mean() < 0.9  # a mesh, and the picture around it
    assert not list((tmp_path / "overlays").rglob("*.jpg"))
    path.unlink()
    again = fit("--overlays", tmp_path / "overlays", "--end", "0.2", "--resume")
    assert again.status == 0 and read_video(path)[0] == times


def test_the_overlay_of_one_video_may_be_named(fit, tmp_path):
    overlay = tmp_path / "new" / "over.mp4"
    told = fit("--overlays", overlay, "--fps", "5", "--keypoints", no_hands(tmp_path))
    assert told.status == 0
    assert len(read_video(overlay)[0]) == 3


def test_one_overlay_for_several_inputs_is_refused(say, here, tmp_path, clip):
    Image.fromarray(shown(0)).save(tmp_path / "a.png")
    overlay = tmp_path / "over" / "one.mp4"
    told = say(clip, tmp_path / "a.png", "--out", tmp_path / "r.zarr", "--overlays", overlay)
    assert told.status == 2
    said = sentence("overlay.one_video", {"file": f"--overlays {overlay}"})
    assert told.err == f"fit-hands: {said}\n"
    assert not (tmp_path / "r.zarr").exists()


def test_a_video_that_breaks_off_is_fitted_and_told(say, here, tmp_path):
    whole = write_video(tmp_path / "whole.mkv", 30, Coding("mjpeg", "yuvj420p"))
    (tmp_path / "in").mkdir()
    cut = tmp_path / "in" / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "in" / "none.mp4").write_bytes(b"no video")
    told = say(tmp_path / "in", "--out", tmp_path / "r.zarr", *OPTIONS)
    assert told.status == 1
    assert f"{tmp_path}/in/none.mp4: expected a video, found a text; " in told.err
    assert "2 files of images or frames could not be read to the end: see " in told.err
    table = (tmp_path / "r.zarr.failures.csv").read_text()
    logged = (tmp_path / "r.zarr.log.jsonl").read_text()
    for file in (cut, tmp_path / "in" / "none.mp4"):
        assert f",,file,{file}: expected" in table.replace('"', "")
        assert f'"event": "incomplete", "reason": "{file}: expected' in logged
    count = xr.open_zarr(tmp_path / "r.zarr").sizes["image"]
    assert 10 < count < 30


@pytest.mark.parametrize("had_folder", [False, True])
def test_a_refusal_leaves_no_folder(say, here, tmp_path, clip, had_folder):
    out, folder = tmp_path / "r.zarr", tmp_path / "r.zarr.videos"
    if had_folder:
        folder.mkdir()
    (tmp_path / "none.mp4").touch()
    refused = [
        (tmp_path / "none.mp4",),
        (clip, "--start", "100"),
        (clip, "--keypoints", tmp_path / "gone.json"),
    ]
    for given in refused:
        assert say(*given, "--out", out, *OPTIONS).status == 2
        assert folder.exists() == had_folder
        assert not out.exists()


def test_the_help_names_what_can_be_given(say):
    told = say("--help")
    assert told.status == 0
    for kind in ("HEIC", "AVIF", "MP4", "clip.mp4"):
        assert kind in told.out
    intro = told.out[told.out.index("Find the hands") : told.out.index("positional")]
    assert max(map(len, intro.splitlines())) <= 80


class TestCamera:
    def test_a_camera_is_recorded_and_fitted(self, say, here, tmp_path, clip, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        out = tmp_path / "r.zarr"
        given = ["--camera", clip, "--out", out, *OPTIONS, "--end", "0.52"]
        told = say(*given)
        assert told.status == 0
        assert "no display: the camera is recorded and not shown" in told.err
        recording = tmp_path / "r.zarr.camera.mkv"
        assert recording.exists()
        results = xr.open_zarr(out)
        assert str(results.image_name.values[0]) == "r.zarr.camera.mkv/00000000"
        np.testing.assert_allclose(results.time, np.array(TIMES[:6]) / 1000, atol=1e-9)
        before = recording.read_bytes()
        assert say(*given, "--resume").status == 0
        assert recording.read_bytes() == before

    @pytest.mark.parametrize("quiet", [[], ["-q"]])
    def test_one_that_goes_away_is_fitted_and_told(self, say, here, tmp_path, clip, quiet):
        given = ["--camera", clip, "--out", tmp_path / "r.zarr", *OPTIONS, *quiet, "--every", "4"]
        told = say(*given)
        assert told.status == 1
        facts = {"frames": "9 frames", "reason": "it gives no more frames"}
        said = sentence("camera.gone", {"file": f"--camera {clip}", **facts})
        assert told.err.splitlines().count(said) == 1
        results = xr.open_zarr(tmp_path / "r.zarr")
        assert results.sizes["image"] == 3 and (results.image_error == "").all()
        # The run that is continued has the recording, and nothing to miss.
        assert say(*given, "--resume").status == 0

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("--intrinsics gone.json", "gone.json:"),
            ("--intrinsics others.json", "others.json:"),
            ("--intrinsics 1,2,3", "1,2,3"),
            ("--keypoints gone.json", "gone.json:"),
            ("--keypoints empty", "empty:"),
            ("--keypoints others.json", "others.json:"),
            ("--keypoints others", "others:"),
            ("--masks gone", "gone:"),
            ("--people gone.csv", "gone.csv:"),
            ("--people others.csv", "others.csv:"),
            ("--person-size sizes.json", "sizes.json:"),
            ("--person-size two.json --same-hand", "two.json:"),
            ("--model text.pkl", "text.pkl:"),
            ("--model gone.pkl", "gone.pkl:"),
            ("--overlays text.pkl", "text.pkl:"),
        ],
    )
    def test_what_needs_no_frames_is_refused_before_the_first_one(
        self, say, here, tmp_path, clip, monkeypatch, given, said
    ):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.pkl").write_text("no hand model")
        camera = [[800, 0, 400], [0, 800, 300], [0, 0, 1]]
        (tmp_path / "others.json").write_text(json.dumps({"a.jpg": camera}))
        (tmp_path / "others").mkdir()
        (tmp_path / "others" / "a_000000000003_keypoints.json").write_text("{}")
        (tmp_path / "others.csv").write_text("image,person\nr.zarr.camera.mkv/0000000?0*,anna\n")
        two = {f"r.zarr.camera.mkv/0000000{n}": size for n, size in ((1, 0.18), (2, 0.19))}
        (tmp_path / "two.json").write_text(json.dumps(two))
        (tmp_path / "sizes.json").write_text(json.dumps({"a.jpg": 0.18}))
        before = sorted(tmp_path.rglob("*"))
        told = say("--camera", clip, "--out", "r.zarr", *OPTIONS, *given.split())
        assert told.status == 2 and len(told.err.splitlines()) == 1
        assert said in told.err
        assert sorted(tmp_path.rglob("*")) == before  # nothing was recorded

    def test_what_may_be_said_of_its_frames_is_taken(self, say, here, tmp_path, clip):
        """Patterns of which the first frame matches none of, and frames by their numbers."""
        lines = [
            f"r.zarr.camera.mkv/0000000{n},{who}" for n, who in (("[0-3]", "anna"), ("4", "ben"))
        ]
        (tmp_path / "p.csv").write_text("\n".join(["image,person", *lines, "r.*/*[5-9],ben"]))
        (tmp_path / "sizes.json").write_text(json.dumps({"r.zarr.camera.mkv/*[0-3]": 0.18}))
        (tmp_path / "k.json").write_text(json.dumps({f"r.zarr.camera.mkv/{3:08d}": []}))
        given = [
            "--people", tmp_path / "p.csv", "--person-size", tmp_path / "sizes.json",
            "--keypoints", tmp_path / "k.json",
        ]  # fmt: skip
        out = tmp_path / "r.zarr"
        told = say("--camera", clip, "--out", out, *OPTIONS, "--no-tracks", *given)
        assert told.status == 1 and "frames recorded" in told.err

    def test_results_are_not_continued_with_another_recording(self, say, here, tmp_path, clip):
        (tmp_path / "none.json").write_text(json.dumps({f"r.zarr.camera.mkv/{0:08d}": []}))
        given = ["--camera", clip, "--out", tmp_path / "r.zarr", *OPTIONS, "--end", "0.1"]
        given += ["--keypoints", tmp_path / "none.json"]
        say(*given)
        recording = tmp_path / "r.zarr.camera.mkv"
        recording.unlink()
        told = say(*given, "--resume")
        facts = {"file": recording, "out": tmp_path / "r.zarr"}
        assert told.status == 2
        assert told.err == f"fit-hands: {sentence('camera.recording_gone', facts)}\n"
        assert not recording.exists()

    def test_what_is_said_of_the_recording_by_name_is_taken(self, say, here, tmp_path, clip):
        height, width = (side // 4 * 4 for side in read_image(Path(bad_files.HAND)).shape[:2])
        camera = [[999, 0, width / 2], [0, 999, height / 2], [0, 0, 1]]
        given = tmp_path / "K.json"
        given.write_text(json.dumps({"r.zarr.camera.mkv": camera}))
        out = tmp_path / "r.zarr"
        more = ["--intrinsics", given, "--end", "0.1", "--every", "4"]
        assert say("--camera", clip, "--out", out, *OPTIONS, *more).status == 0
        np.testing.assert_array_equal(xr.open_zarr(out).intrinsics.values[0], camera)

    @pytest.mark.parametrize(
        ("given", "code", "facts"),
        [
            ([], "usage.images_or_camera", {"file": "IMAGES and --camera"}),
            (
                ["photos", "--camera", "0"],
                "usage.images_or_camera",
                {"file": "IMAGES and --camera"},
            ),
            (
                ["--camera", "98"],
                "camera.missing",
                {"file": "--camera 98", "place": "/dev/video98"},
            ),
            (["--camera", "0", "--views", "r.json"], "usage.camera_alone", {"file": "--camera"}),
        ],
    )
    def test_what_is_no_request_is_refused(self, say, here, given, code, facts):
        told = say(*given, "--out", "o.zarr")
        assert told.status == 2
        assert told.err == f"fit-hands: {sentence(code, facts)}\n"
