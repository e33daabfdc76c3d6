"""Photographs beside a video share nothing: passes before the last one leave them out."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import fitter
from fitter.inputs.frame_names import frame_name
from fitter.store.reader import StoreReader
from tests.support.forked_runs import Kill, start, status_of
from tests.support.store_rows import contents
from tests.support.track_cases import FRAMES, OPTIONS, VIDEO, write_hands_video

PHOTOGRAPHS = ("a.png", "b.png", "z.png")
"""Before the video and behind it in the order of names."""

COMMIT = "fitter.store.result_store:ResultStore._commit"
BLOCKS = 4
"""Of the run over all, in blocks of four images."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`in` has all, `photographs` those alone."""
    folder = tmp_path_factory.mktemp("beside")
    write_hands_video(folder)
    known = json.loads((folder / "known.json").read_text())
    (folder / "photographs").mkdir()
    for number, name in enumerate(PHOTOGRAPHS):
        Image.fromarray(np.full((480, 640, 3), 90, np.uint8)).save(folder / "photographs" / name)
        shutil.copy2(folder / "photographs" / name, folder / "in" / name)
        known[name] = known[frame_name(VIDEO, 2 * number)]
    (folder / "known.json").write_text(json.dumps(known))
    return folder


@pytest.fixture
def together(folder, told) -> Path:
    """The store of a run over all, run once."""
    store = folder / "together.zarr"
    if not store.exists():
        assert told("together.zarr").status == 0
    return store


def stopped_in_the_last_pass(folder: Path, store: str, *more: str) -> StoreReader:
    """The rows of the first pass of a run that was killed in the second."""
    words = ["in", "--out", store, *OPTIONS, *more]
    assert status_of(start(folder, words, Kill(COMMIT, BLOCKS + 2))) == -signal.SIGKILL
    return StoreReader(folder / store / "passes" / "1")


def test_photographs_come_out_as_in_a_run_of_them_alone(folder, together, told):
    assert told("apart.zarr", images="photographs").status == 0
    beside, apart = xr.open_zarr(together), xr.open_zarr(folder / "apart.zarr")
    places = [beside.image_name.values.tolist().index(name) for name in PHOTOGRAPHS]
    assert apart.image_name.values.tolist() == list(PHOTOGRAPHS)
    assert apart.valid.values.all()
    for name in set(apart.data_vars):
        np.testing.assert_array_equal(beside[name].values[places], apart[name].values, name)
    assert (beside.track.values[places] == 0).all()
    assert [track.frames for track in fitter.open_results(together).tracks] == [FRAMES, FRAMES - 2]


def test_the_first_pass_leaves_them_out_and_a_killed_run_ends_with_the_same_bits(
    folder, together, told
):
    rows = stopped_in_the_last_pass(folder, "killed.zarr")
    is_photograph = np.isin(rows.names[:], PHOTOGRAPHS)
    sides = np.concatenate([rows.read("side", block) for block in rows.committed_blocks()])
    assert ((sides > 0).any(1) == ~is_photograph).all()
    assert told("killed.zarr", "--resume").status == 0
    assert contents(folder / "killed.zarr") == contents(together)


def test_shares_end_with_the_same_bits(folder, together, told):
    assert told("shares.zarr", "--shard", "1/2").status == 3
    assert told("shares.zarr", "--shard", "2/2").status == 0
    assert told("shares.zarr", "--shard", "1/2").status == 0
    assert contents(folder / "shares.zarr") == contents(together)


def test_where_blocks_are_cut_changes_nothing(together, told, folder):
    assert told("blocks.zarr", "--set", "run.block_size=5").status == 0
    one, two = xr.open_zarr(together), xr.open_zarr(folder / "blocks.zarr")
    for name in ("track", "side", "betas", "transl", "hand_pose", "keypoints_3d"):
        np.testing.assert_array_equal(one[name].values, two[name].values)


def test_photographs_of_a_person_are_asked(folder, told):
    (folder / "people.csv").write_text("image,person\nb.png,anna\n")
    rows = stopped_in_the_last_pass(folder, "people.zarr", "--people", "people.csv")
    sides = np.concatenate([rows.read("side", block) for block in rows.committed_blocks()])
    left_out = [name for name, own in zip(rows.names[:], sides, strict=True) if not own.any()]
    assert left_out == ["a.png", "z.png"]
    assert told("people.zarr", "--people", "people.csv", "--resume").status == 0
    people = fitter.open_results(folder / "people.zarr").people
    assert {key: hand.images for key, hand in people.items()} == {
        ("anna", "left"): 1,
        ("anna", "right"): 1,
    }


def test_one_that_cannot_be_read_is_told_once(folder, told, together):
    (folder / "in" / "c.png").write_bytes(b"no picture")
    try:
        assert told("broken.zarr").status == 1
        log = (folder / "broken.zarr.log.jsonl").read_text()
    finally:
        (folder / "in" / "c.png").unlink()
    failed = [line for line in map(json.loads, log.splitlines()) if line["event"] == "failed"]
    assert [line["image"] for line in failed] == ["c.png"]
