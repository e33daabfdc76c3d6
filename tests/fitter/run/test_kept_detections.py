"""What the detector finds in the first pass is taken in the second, with the bits of looking again,
whatever ended the run."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

import fitter
from fitter.inputs.frame_names import frame_name
from fitter.inputs.images import read_image
from fitter.store.kept_detections import KeptDetections
from fitter.store.layout import consolidate, pass_folder
from fitter.store.reader import StoreReader
from tests.support import bad_files
from tests.support.forked_runs import Kill, start, status_of
from tests.support.store_rows import contents
from tests.support.video_files import Coding, write_video

OPTIONS = (
    "--device", "cpu", "--max-hands", "1", "--set", "run.block_size=4",
    "--set", "refine.stages={}", "-q",
)  # fmt: skip
FRAMES = 6
COMMIT = "fitter.store.result_store:ResultStore._commit"
BEFORE_THE_LAST_BLOCK = Kill(COMMIT, 4)
"""Of the second pass; each has two."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`in/wave.mp4`: a photographed hand that moves."""
    folder = tmp_path_factory.mktemp("kept")
    hand = read_image(Path(bad_files.HAND))
    height, width = (side // 4 * 4 for side in hand.shape[:2])
    frames = [np.roll(hand[:height, :width], 3 * n, axis=1) for n in range(FRAMES)]
    write_video(folder / "in" / "wave.mp4", frames, Coding(group=2))
    return folder


@pytest.fixture
def taken(folder, told) -> Path:
    """The store of a run that takes what was found, run once."""
    store = folder / "taken.zarr"
    if not store.exists():
        assert told("taken.zarr").status == 0
    return store


def test_the_results_are_those_of_looking_again(folder, taken, told, monkeypatch):
    asked = []

    def nothing(self, start, stop):
        asked.append((start, stop))
        return [None] * (stop - start)

    monkeypatch.setattr(KeptDetections, "of", nothing)
    assert told("again.zarr").status == 0
    assert asked and contents(folder / "again.zarr") == contents(taken)
    assert [track.frames for track in fitter.open_results(taken).tracks] == [FRAMES]


def test_a_killed_run_ends_with_the_same_bits(folder, taken, told):
    words = ["in", "--out", "killed.zarr", *OPTIONS]
    assert status_of(start(folder, words, BEFORE_THE_LAST_BLOCK)) == -signal.SIGKILL
    assert told("killed.zarr", "--resume").status == 0
    assert contents(folder / "killed.zarr") == contents(taken)


def test_shares_end_with_the_same_bits(folder, taken, told):
    assert told("shares.zarr", "--shard", "1/2").status == 3
    assert told("shares.zarr", "--shard", "2/2").status == 0
    assert told("shares.zarr", "--shard", "1/2").status == 0
    assert contents(folder / "shares.zarr") == contents(taken)


def test_only_rows_of_earlier_passes_have_it(folder, taken):
    assert "detections" not in StoreReader.open(taken).variable_names


@pytest.fixture
def half(folder) -> Path:
    """The store of a run that was killed at the beginning of the second pass, made anew."""
    first, store = folder / "first.zarr", folder / "half.zarr"
    if not first.exists():
        words = ["in", "--out", first.name, *OPTIONS]
        assert status_of(start(folder, words, Kill(COMMIT, 3))) == -signal.SIGKILL
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(first, store)
    return store


@pytest.fixture
def touched(folder) -> Iterator[None]:
    """The video is another file than the one that the first pass has read."""
    video = folder / "in" / "wave.mp4"
    before = video.stat()
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    yield
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))


MOVED, DAMAGED = 1, 2
"""Frames of which `disturb` says something else, and nothing that can be read."""
BY = 40.0
"""Pixels."""


def disturb(store: Path) -> None:
    """Move the hand that the first pass has kept of one frame, and damage the text of another."""
    found = zarr.open_group(pass_folder(store, 1), mode="r+")["detections"]
    texts = found[:]
    said = json.loads(texts[MOVED])
    kind, shape, packed = said[0]["keypoints"]
    points = np.frombuffer(base64.b64decode(packed), kind) + BY
    said[0]["keypoints"] = [kind, shape, base64.b64encode(points.tobytes()).decode()]
    texts[MOVED] = json.dumps(said)
    texts[DAMAGED] = texts[DAMAGED][:100]
    found[:] = texts


def column(store: Path, name: str) -> np.ndarray:
    reader = StoreReader.open(store)
    return np.concatenate([reader.read(name, block) for block in reader.blocks()])


def test_the_second_pass_takes_what_stands_in_the_rows_of_the_first(folder, taken, told, half):
    """And looks again where that cannot be read."""
    disturb(half)
    assert told(half.name, "--resume").status == 0
    expected = column(taken, "keypoints_2d_detected")
    expected[MOVED] += BY
    np.testing.assert_allclose(column(half, "keypoints_2d_detected"), expected, atol=1e-3)
    others = np.arange(FRAMES) != MOVED
    for name in ("transl", "hand_pose", "keypoints_2d_detected"):
        np.testing.assert_array_equal(column(half, name)[others], column(taken, name)[others])
    assert (column(half, "transl")[MOVED] != column(taken, "transl")[MOVED]).any()


def test_of_a_file_that_is_another_by_now_nothing_is_taken(taken, told, half, touched):
    disturb(half)
    assert told(half.name, "--resume").status == 0
    for name in ("transl", "hand_pose", "keypoints_2d_detected", "track"):
        np.testing.assert_array_equal(column(half, name), column(taken, name))


def test_a_run_that_was_begun_before_anything_was_kept_looks_again(taken, told, half):
    rows = pass_folder(half, 1)
    shutil.rmtree(rows / "detections")
    consolidate(rows)
    assert KeptDetections(rows.absolute()).of(1, 3) == [None, None]
    assert told(half.name, "--resume").status == 0
    assert contents(half) == contents(taken)


def test_rows_say_what_was_found_in_an_image(folder, taken, half):
    rows = KeptDetections(pass_folder(half, 1).absolute())
    kept = rows.of(0, FRAMES)
    # They travel to whoever hands out the work of a cluster, asked before or not.
    assert pickle.loads(pickle.dumps(rows)).of(2, 4) == kept[2:4]
    stat = (folder / "in" / "wave.mp4").stat()
    for found in kept:
        assert found is not None
        (hand,) = found.hands((stat.st_size, stat.st_mtime_ns / 1e9), found.inputs_digest)
        assert hand.side in ("left", "right")


def test_nothing_is_kept_of_keypoints_that_are_given(folder, told):
    known = {frame_name("wave.mp4", number): [] for number in range(FRAMES)}
    (folder / "known.json").write_text(json.dumps(known))
    words = ["in", "--out", "given.zarr", *OPTIONS, "--keypoints", "known.json"]
    assert status_of(start(folder, words, Kill(COMMIT, 3))) == -signal.SIGKILL
    rows = pass_folder(folder / "given.zarr", 1)
    assert "detections" not in StoreReader(rows).variable_names
    assert KeptDetections(rows.absolute()).of(0, 2) == [None, None]
    assert told("given.zarr", "--keypoints", "known.json", "--resume").status == 0
