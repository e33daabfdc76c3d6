"""What the detector finds in the first pass is taken in the second, with the bits of looking again,
whatever ended the run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import fitter
from fitter.inputs.frame_names import frame_name
from fitter.inputs.images import read_image
from fitter.store.kept_detections import KeptDetections
from fitter.store.reader import StoreReader
from tests.support import bad_files
from tests.support.forked_runs import Kill, start, status_of
from tests.support.store_rows import contents
from tests.support.video_files import Coding, write_video

OPTIONS = ("--device", "cpu", "--max-hands", "1", "--set", "run.block_size=4", "-q")
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
def told(folder, say, monkeypatch):
    """Runs the command over the video, in this process."""
    monkeypatch.chdir(folder)

    def run(store: str, *more: object):
        return say("in", "--out", store, *OPTIONS, *more)

    return run


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


def test_the_second_pass_takes_what_stands_in_the_rows_of_the_first(folder, taken, told):
    """And looks again where the file is another by now."""
    words = ["in", "--out", "changed.zarr", *OPTIONS]
    assert status_of(start(folder, words, Kill(COMMIT, 3))) == -signal.SIGKILL
    rows = KeptDetections((folder / "changed.zarr" / "passes" / "1").absolute())
    kept = rows.of(0, FRAMES)
    # They travel to whoever hands out the work of a cluster, asked before or not.
    assert pickle.loads(pickle.dumps(rows)).of(2, 4) == kept[2:4]
    video = folder / "in" / "wave.mp4"
    stamp = video.stat().st_size, video.stat().st_mtime
    for number, found in enumerate(kept):
        assert found is not None, frame_name("wave.mp4", number)
        assert len(found.hands(stamp, found.inputs_digest)) == 1
        assert found.hands((stamp[0], stamp[1] + 1), found.inputs_digest) is None
        assert json.loads(found.text)[0]["side"] in ("left", "right")
    before = video.stat()
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    try:
        assert told("changed.zarr", "--resume").status == 0
    finally:
        os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    results = [StoreReader.open(store) for store in (folder / "changed.zarr", taken)]
    for name in ("transl", "hand_pose", "keypoints_2d_detected", "track"):
        one, two = (np.concatenate([r.read(name, b) for b in r.blocks()]) for r in results)
        np.testing.assert_array_equal(one, two)
    shutil.rmtree(folder / "changed.zarr")
