"""Runs over a video: one track a hand, one side and shape a track, whatever ended the run."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import fitter
from fitter.fitted_hands import FittedHands
from fitter.inputs.frame_names import frame_name
from fitter.records import HandParams
from fitter.solvers.status import Status
from tests.support.forked_runs import Kill, start, status_of
from tests.support.store_rows import contents
from tests.support.track_cases import FRAMES, GONE, OPTIONS, VIDEO, WRONG, write_hands_video

MOMENTS = {
    "before the second block of the first pass": Kill(
        "fitter.store.result_store:ResultStore._commit", 2
    ),
    "while the messages are made": Kill("fitter.tracks.messages:Messages.write", 1),
    "while the tracks are written": Kill("fitter.store.files:flush_all", 2),
    "before the second block of the last pass": Kill(
        "fitter.store.result_store:ResultStore._commit", 5
    ),
}
"""What is called, and the how many-th call does not come to its end."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tracks")
    write_hands_video(folder)
    return folder


@pytest.fixture
def stored(folder, told):
    """The store of a run with some options, run once."""

    def of(name: str, *more: str) -> Path:
        store = folder / name
        if not store.exists():
            assert told(name, *more).status == 0
        return store

    return of


@pytest.fixture
def tracked(stored) -> Path:
    return stored("tracked.zarr")


def test_each_hand_is_one_track_with_one_side_and_one_shape(tracked):
    results = fitter.open_results(tracked)
    assert [(t.video, t.side, t.first_frame, t.last_frame, t.frames) for t in results.tracks] == [
        (VIDEO, "right", 0, FRAMES - 1, FRAMES),
        (VIDEO, "left", 0, FRAMES - 1, FRAMES - len(GONE)),
    ]
    for number, (name, hands) in enumerate(results.items()):
        assert [hand.track for hand in hands] == ([1] if number in GONE else [1, 2])
        for hand in hands:
            track = results.tracks[hand.track - 1]
            assert hand.valid and not hand.filled and hand.side == track.side, name
            np.testing.assert_array_equal(hand.betas, track.betas.astype(np.float32))
            assert hand.hand_size == pytest.approx(track.hand_size, rel=1e-6)
    assert results.tracks[0].side_score == pytest.approx((FRAMES - 1) / FRAMES)


def test_bones_keep_their_lengths_within_a_track(tracked):
    rows = xr.open_zarr(tracked)
    joints = rows.joints_3d.values[:, 0]
    bones = np.linalg.norm(np.diff(joints[:, 1:4], axis=1), axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(bones[:1], bones.shape), rtol=1e-5)


def test_motion_is_smoother_above_all_in_depth_and_as_near_the_keypoints(tracked, stored):
    alone = xr.open_zarr(stored("alone.zarr", "--no-tracks"))
    together = xr.open_zarr(tracked)
    frames = [k for k in range(FRAMES) if k > WRONG]

    def jitter(rows: xr.Dataset) -> np.ndarray:
        return np.abs(np.diff(rows.keypoints_3d.values[frames, 0], 2, axis=0)).mean((0, 1))

    assert (jitter(together) < 0.7 * jitter(alone)).all()
    assert jitter(together)[2] < 0.4 * jitter(alone)[2]
    error = [float(rows.residual_px[frames, 0].mean()) for rows in (together, alone)]
    assert error[0] < 1.3 * error[1]


def test_frames_alone_have_no_tracks(stored):
    store = stored("alone.zarr", "--no-tracks")
    rows = xr.open_zarr(store)
    assert "track" not in rows and "filled" not in rows
    assert not (store / "tracks").exists()
    assert fitter.open_results(store).tracks == []


def test_gaps_stay_gaps_unless_they_are_to_be_filled(tracked, stored):
    rows = xr.open_zarr(tracked)
    assert not rows.filled.values.any()
    assert rows.valid.values.sum() == 2 * FRAMES - len(GONE)
    filled = xr.open_zarr(stored("filled.zarr", "--fill-gaps", "2"))
    assert [tuple(place) for place in np.argwhere(filled.filled.values)] == [(k, 1) for k in GONE]
    places = filled.joints_3d.values[4:8, 1, 0]
    assert np.isfinite(places).all() and filled.valid.values[list(GONE), 1].all()
    # Between the frames on either side, and moving on.
    steps = np.diff(places, axis=0)
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < 0.01
    assert np.isnan(filled.keypoints_2d_detected.values[list(GONE), 1]).all()
    # Two frames are more than one.
    few = xr.open_zarr(stored("few.zarr", "--fill-gaps", "1"))
    assert not few.filled.values.any()


def test_nothing_is_left_of_the_passes(tracked):
    assert not [path.name for path in tracked.glob("*passes*")]
    assert not [path.name for path in tracked.glob(".*")]
    assert not {"shape_information", "motion_information"} & set(xr.open_zarr(tracked))


def test_where_blocks_are_cut_changes_nothing(tracked, stored):
    other = stored("blocks.zarr", "--set", "run.block_size=5")
    one, two = xr.open_zarr(tracked), xr.open_zarr(other)
    for name in ("track", "side", "betas", "transl", "hand_pose", "keypoints_3d"):
        np.testing.assert_array_equal(one[name].values, two[name].values)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_same_bits(folder, tracked, told, moment):
    words = ["in", "--out", "killed.zarr", *OPTIONS]
    assert status_of(start(folder, words, MOMENTS[moment])) == -signal.SIGKILL
    assert told("killed.zarr", "--resume").status == 0
    assert contents(folder / "killed.zarr") == contents(tracked)
    shutil.rmtree(folder / "killed.zarr")


def test_shares_end_between_passes_and_go_on(folder, tracked, told):
    assert told("shares.zarr", "--shard", "1/2").status == 3
    assert told("shares.zarr", "--shard", "2/2").status == 0
    assert told("shares.zarr", "--shard", "1/2").status == 0
    assert contents(folder / "shares.zarr") == contents(tracked)


def test_overlays_are_rendered_after_the_passes_are_gone(folder, stored, told):
    stored("drawn.zarr")
    assert told("drawn.zarr", "--resume", "--overlays", "drawn").status == 0
    assert [path.name for path in (folder / "drawn").iterdir()] == [VIDEO]


def test_a_person_has_the_shape_and_the_track_the_motion(stored):
    store = stored("person.zarr", "--same-hand")
    results = fitter.open_results(store)
    assert list(results.people) == [("one person", "left"), ("one person", "right")]
    for track in results.tracks:
        shared = results.people["one person", track.side].shared
        np.testing.assert_array_equal(track.betas, shared.betas)
    for hands in results.values():
        assert {hand.person for hand in hands} == {"one person"}


def test_a_track_of_failed_fits_is_not_filled_in_and_others_are(folder, told, monkeypatch):
    """All fits of the left hand fail, which has a gap; so has the right one."""
    known = json.loads((folder / "known.json").read_text())
    gone = 8
    known[frame_name(VIDEO, gone)].pop(0)
    (folder / "known_gone.json").write_text(json.dumps(known))
    of = FittedHands.of

    def failing(model, fit, refined, intrinsics, is_left, definition):
        def lost(values: torch.Tensor) -> torch.Tensor:
            return values.masked_fill(is_left.view(-1, *[1] * (values.ndim - 1)), torch.nan)

        params = HandParams(*(lost(getattr(fit.params, each.name)) for each in fields(fit.params)))
        fit = replace(fit, params=params, status=fit.status.masked_fill(is_left, Status.DIVERGED))
        return of(model, fit, refined, intrinsics, is_left, definition)

    monkeypatch.setattr(FittedHands, "of", failing)
    # The later one of two equal options counts.
    more = ("--keypoints", "known_gone.json", "--fill-gaps", "2")
    assert told("failed.zarr", *more).status == 1  # ten hands could not be fitted
    rows = xr.open_zarr(folder / "failed.zarr")
    results = fitter.open_results(folder / "failed.zarr")
    tracks = [(t.side, t.frames, bool(np.isfinite(t.betas).all())) for t in results.tracks]
    assert tracks == [("right", FRAMES - 1, True), ("left", FRAMES - len(GONE), False)]
    assert [tuple(place) for place in np.argwhere(rows.filled.values)] == [(gone, 1)]
    filled = results[frame_name(VIDEO, gone)][1]
    assert (filled.side, filled.track, filled.valid) == ("right", 1, True)
    np.testing.assert_array_equal(filled.betas, results.tracks[0].betas.astype(np.float32))
    # Where its neighbours are, not where another hand is.
    near = rows.joints_3d.values[[gone - 1, gone + 1], 0, 0].mean(0)
    np.testing.assert_allclose(filled.joints_3d[0], near, atol=0.02)
