"""Runs over frames that several cameras have seen: what is stored, and that nothing disturbs it."""

import csv
import json
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import fitter
from fitter.inputs.images import read_image
from fitter.inputs.undistortion import undistorted_points
from fitter.store.reader import decode_flags
from tests.support.forked_runs import Kill, start, status_of
from tests.support.rig_folders import (
    LENS,
    SIZE,
    example_points,
    seen,
    turning_rig,
    write_frames,
)
from tests.support.store_rows import contents

CAMERAS = ["left", "mid", "right"]
RIG = turning_rig(CAMERAS, LENS)
OPTIONS = [
    "--keypoints", "keypoints.json", "--device", "cpu", "--max-hands", "2",
    "--set", "refine.stages={}", "--set", "run.block_size=2", "--set", "run.batch_size=6",
]  # fmt: skip
"""Two frames a block, and as many a batch."""

COUNT = 5
LACKS, BROKEN, SMALL = "mid/001.png", "right/002.png", "left/003.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Five frames: one lacks a view, in one an image is broken, in one an image is too small."""
    folder = tmp_path_factory.mktemp("views")
    write_frames(folder / "in", RIG, COUNT)
    (folder / "in" / "keypoints.json").rename(folder / "keypoints.json")
    (folder / "in" / LACKS).unlink()
    (folder / "in" / BROKEN).write_bytes(b"words")
    Image.new("RGB", (100, 90)).save(folder / "in" / SMALL)
    return folder


@pytest.fixture
def told(folder, say, monkeypatch):
    """Runs the command over these frames, in this process."""
    monkeypatch.chdir(folder)

    def run(store: str, *more: object, images: str = "in"):
        return say(images, "--views", f"{images}/rig.json", "--out", store, *OPTIONS, *more)

    return run


@pytest.fixture
def undisturbed(folder, told, monkeypatch) -> Path:
    """The store of a run that nothing disturbed, with overlays."""
    store = folder / "undisturbed.zarr"
    if not store.exists():
        found = told(store.name, "--overlays", "over")
        (folder / "said.txt").write_text(found.err)
        assert found.status == 1
    return store


def test_hands_are_where_they_are_in_the_rig(undisturbed):
    data = xr.open_zarr(undisturbed).load()
    assert data.sizes["frame"] == COUNT and data.sizes["view"] == 3
    (_, points) = example_points()[0]
    for number in range(COUNT):
        assert data.valid[number].values.tolist() == [True, False]
        off = data.keypoints_3d[number, 0].values - (points + [0.01 * number, 0, 0])
        assert np.linalg.norm(off, axis=-1).mean() < 0.004  # metres; one view alone is off by cm
    whole = data.isel(frame=0, hand=0)
    assert (whole.view_weight > 0.5).all() and float(whole.residual_px.max()) < 3


def test_what_a_view_saw_is_without_the_lens(undisturbed):
    data = xr.open_zarr(undisturbed).load()
    (_, points) = example_points()[0]
    for view, camera in enumerate(RIG.cameras):
        straight = undistorted_points(camera, seen(camera, points))
        found = data.keypoints_2d_detected[0, view, 0].values
        np.testing.assert_allclose(found, straight, atol=1e-3)
        fitted = data.keypoints_3d[0, 0].values @ camera.rotation.T + camera.translation
        pixels = fitted @ camera.intrinsics.T
        projected = pixels[:, :2] / pixels[:, 2:]
        np.testing.assert_allclose(data.keypoints_2d[0, view, 0], projected, atol=3)


def test_a_view_that_lacks_or_fails_costs_itself_alone(undisturbed, folder):
    data = xr.open_zarr(undisturbed).load()
    assert set(decode_flags(data.frame_status).values) == {"ok"}
    views = decode_flags(data.view_status)
    expected = np.full((COUNT, 3), "ok", object)
    expected[1, 1], expected[2, 2], expected[3, 0] = "missing", "failed", "failed"
    np.testing.assert_array_equal(views.values, expected)
    assert (data.view_weight.values[:, :, 0][expected != "ok"] == 0).all()
    assert data.image_name[1].values.tolist() == ["left/001.png", "", "right/001.png"]
    errors = data.view_error.values
    assert "known picture format" in errors[2, 2] and "320 x 240" in errors[3, 0]
    with (folder / "undisturbed.zarr.failures.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "view", "hand", "what", "reason"]
    assert [row[:4] for row in rows[1:]] == [
        ["002", "right", "", "view"],
        ["003", "left", "", "view"],
    ]
    said = (folder / "said.txt").read_text()
    assert "failed 002, camera right: expected a picture" in said
    assert "1 missing image (001 mid): their frames" in said
    assert "5 hands of several views, 0 of one view alone" in said and "by the rig" not in said
    assert "5 frames: 5 valid hands in 5 of them, 0 frames failed, 2 views failed" in said
    events = [
        json.loads(s) for s in (folder / "undisturbed.zarr.log.jsonl").read_text().split("\n") if s
    ]
    assert [e["view"] for e in events if e["event"] == "failed"] == ["right", "left"]
    started = next(e for e in events if e["event"] == "started")
    assert started["frames"] == 5 and "images" not in started
    assert {"frames"} == {e["event"] == "block" and "frames" for e in events} - {False}
    assert events[-1]["frames"] == 5 and events[-1]["hands_together"] == 5
    assert events[-1]["hands_of_one"] == 0 and events[-1]["failed_views"] == 2


def test_each_view_has_its_overlay(undisturbed, folder):
    found = {p.relative_to(folder / "over").as_posix() for p in (folder / "over").rglob("*.jpg")}
    gone = {LACKS, BROKEN, SMALL}
    names = {f"{camera}/{number:03d}.png" for camera in CAMERAS for number in range(COUNT)}
    assert found == {f"{name}.jpg" for name in names - gone}
    # The hand is drawn where the camera sees it.
    (_, points) = example_points()[0]
    for camera in RIG.cameras:
        picture = read_image(folder / "over" / camera.name / "000.png.jpg").astype(int)
        straight = undistorted_points(camera, seen(camera, points))
        drawn = [picture[int(y), int(x)] for x, y in straight if 2 < x < 318 and 2 < y < 238]
        assert np.mean([np.ptp(colour) > 20 for colour in drawn]) > 0.8


def test_missing_overlays_are_rendered_when_the_run_is_continued(undisturbed, folder, told):
    copy = shutil.copytree(undisturbed, folder / "copy.zarr")
    shutil.copytree(folder / "over", folder / "over2")
    (folder / "over2" / "mid" / "000.png.jpg").unlink()
    found = told("copy.zarr", "--resume", "--overlays", "over2")
    assert "1 overlay rendered" in found.err and found.status == 1
    assert (folder / "over2" / "mid" / "000.png.jpg").exists()
    assert contents(copy) == contents(undisturbed)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_killed_and_continued_it_is_the_same_store(undisturbed, folder, told, times):
    store = f"killed {times}.zarr"
    words = ["in", "--views", "in/rig.json", "--out", store, *OPTIONS]
    kill = Kill("fitter.store.result_store:ResultStore._commit", times)
    assert status_of(start(folder, words, kill)) == -signal.SIGKILL
    assert contents(folder / store) != contents(undisturbed)
    assert told(store, "--resume").status == 1
    assert contents(folder / store) == contents(undisturbed)


def test_shares_make_the_same_store(undisturbed, folder, told):
    first = told("shares.zarr", "--shard", "1/2")
    assert "2 frames left to other shares" in first.err
    told("shares.zarr", "--shard", "2/2")
    assert contents(folder / "shares.zarr") == contents(undisturbed)


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the package ray")
def test_ray_makes_the_same_store(undisturbed, folder):
    words = ["in", "--views", "in/rig.json", "--out", "ray.zarr", *OPTIONS]
    spread = [*words, "--ray", "local", "--workers", "1"]
    assert status_of(start(folder, spread)) == 1
    assert contents(folder / "ray.zarr") == contents(undisturbed)


def test_it_is_overwritten_only_when_that_is_asked(undisturbed, folder, told):
    copy = shutil.copytree(undisturbed, folder / "taken.zarr")
    assert told("taken.zarr").status == 2
    assert contents(copy) == contents(undisturbed)
    assert told("taken.zarr", "--overwrite").status == 1
    assert contents(copy) == contents(undisturbed)


def test_new_frames_are_added_and_what_has_changed_is_told(undisturbed, folder, told):
    shutil.copytree(folder / "in", folder / "more" / "in")
    copy = shutil.copytree(undisturbed, folder / "more" / "r.zarr")
    inner = folder / "more"
    for camera in ("left", "right"):
        shutil.copy(inner / "in" / camera / "000.png", inner / "in" / camera / "9.png")
    shutil.copy(inner / "in" / "left" / "001.png", inner / "in" / LACKS)  # comes late
    (inner / "in" / "right" / "000.png").unlink()
    marked = json.loads((folder / "keypoints.json").read_text())
    marked |= {f"{c}/9.png": marked[f"{c}/000.png"] for c in CAMERAS}
    (folder / "keypoints.json").rename(folder / "kept.json")
    (folder / "keypoints.json").write_text(json.dumps(marked))
    try:
        found = told("more/r.zarr", "--resume", images="more/in")
    finally:
        (folder / "kept.json").rename(folder / "keypoints.json")
    assert found.status == 1, found.err
    assert "gone right/000.png" in found.err and "1 frame added to the store" in found.err
    assert "2 frames of the store have other images now" in found.err
    data = xr.open_zarr(copy).load()
    assert data.frame_name.values.tolist() == ["000", "001", "002", "003", "004", "9"]
    assert data.image_name[5].values.tolist() == ["left/9.png", "", "right/9.png"]
    assert data.valid[5, 0]


def test_another_rig_or_other_keypoints_are_not_continued(undisturbed, folder, told):
    rig = json.loads((folder / "in" / "rig.json").read_text())
    kept = (folder / "in" / "rig.json").read_text()
    rig["cameras"][1]["t"][0] += 0.001
    try:
        (folder / "in" / "rig.json").write_text(json.dumps(rig))
        found = told("undisturbed.zarr", "--resume")
    finally:
        (folder / "in" / "rig.json").write_text(kept)
    assert found.status == 2 and "configuration.inputs.views.mid.t" in found.err


def test_python_gives_the_numbers_of_the_command(undisturbed, folder, monkeypatch):
    monkeypatch.chdir(folder)
    marked = json.loads((folder / "keypoints.json").read_text())
    frames = [
        {c: f"in/{c}/{n:03d}.png" for c in CAMERAS if f"{c}/{n:03d}.png" != LACKS} for n in range(2)
    ]
    keypoints = [
        {camera: marked[path.removeprefix("in/")] for camera, path in frame.items()}
        for frame in frames
    ]
    options = {"refine.stages": {}, "run.batch_size": 6}
    hands = fitter.fit_views(
        frames, "in/rig.json", keypoints=keypoints, device="cpu", max_hands=2, options=options
    )
    results = fitter.open_frames(undisturbed)
    assert isinstance(results, fitter.FrameResults) and list(results.rig.names) == CAMERAS
    for name, own in zip(results, hands, strict=False):
        for found, stored in zip(own, results[name], strict=True):
            for field in (
                "keypoints_3d",
                "global_orient",
                "hand_pose",
                "betas",
                "transl",
                "vertices",
            ):
                np.testing.assert_array_equal(getattr(found, field), getattr(stored, field))
            for camera in CAMERAS:
                one, other = found.views[camera], stored.views[camera]
                assert one.view_status == other.view_status
                np.testing.assert_array_equal(one.view_weight, np.float32(other.view_weight))
                if one.keypoints_2d is not None:
                    np.testing.assert_array_equal(one.keypoints_2d, other.keypoints_2d)
    with fitter.HandFitter(device="cpu", max_hands=2, options=options) as ready:
        pixels = {camera: read_image(folder / path) for camera, path in frames[0].items()}
        both = ready.fit_views([pixels, frames[1]], fitter.Rig(RIG.cameras), keypoints=keypoints)
        np.testing.assert_array_equal(both[0][0].keypoints_3d, hands[0][0].keypoints_3d)


def test_a_stored_hand_is_a_hand_in_each_camera(undisturbed, tmp_path):
    results = fitter.open_frames(undisturbed)
    (hand,) = results["001"]
    assert hand.seen_by == ["left", "right"] and results.images("001").keys() == {"left", "right"}
    assert results.status("002") == "ok" and "right" in results.view_errors("002")
    assert repr(hand).startswith("FrameHand(right hand in 001")
    for name in hand.seen_by:
        camera = hand.views[name].camera
        own = hand.in_view(name)
        wanted = hand.vertices @ camera.rotation.T + camera.translation
        np.testing.assert_allclose(own.vertices, wanted, atol=2e-6)
        moved = hand.keypoints_3d @ camera.rotation.T + camera.translation
        np.testing.assert_allclose(own.keypoints_3d, moved, atol=2e-6)
        assert own.image_name == f"{name}/001.png" and own.image_size == SIZE
        picture = hand.views[name].undistorted(np.full((*SIZE[::-1], 3), 90, np.uint8))
        assert np.ptp(picture) == 90 or (picture == 90).all()  # black where there is nothing
        assert (own.overlay(picture) != picture).any()
    with pytest.raises(fitter.InputError, match="left, right"):
        hand.in_view("mid")
    hand.save(tmp_path / "h.glb")
    hand.save(tmp_path / "h.json")
    said = json.loads((tmp_path / "h.json").read_text())
    assert said["frame_name"] == "001" and set(said["views"]) == set(CAMERAS)
    assert said["views"]["mid"] == {"view_weight": 0.0}
    assert set(hand.to_dict()) >= {"views", "frame_name", "keypoints_3d"}


def test_views_of_different_hands_give_hands_of_one_view_each(tmp_path, say, monkeypatch):
    rig = turning_rig(["left", "right"])
    (side, points) = example_points()[0]
    write_frames(tmp_path / "in", rig, 1)
    elsewhere = points + [0.25, 0.1, 0.3]
    marked = {
        "left/000.png": [{"side": side, "keypoints": seen(rig.cameras[0], points).tolist()}],
        "right/000.png": [{"side": side, "keypoints": seen(rig.cameras[1], elsewhere).tolist()}],
    }
    (tmp_path / "keypoints.json").write_text(json.dumps(marked))
    monkeypatch.chdir(tmp_path)
    told = say("in", "--views", "in/rig.json", "--out", "r.zarr", *OPTIONS)
    assert told.status == 0, told.err
    assert "0 hands of several views, 2 of one view alone" in told.err
    assert "1 frame with hands in several views, none of which are one hand by the rig" in told.err
    data = xr.open_zarr("r.zarr").load()
    weights = data.view_weight.values[0]  # (view, hand)
    shown = (weights > 0) & ~np.isnan(weights)
    assert shown.sum() == 2 and (shown.sum(0) == 1).all() and (shown.sum(1) == 1).all()


def test_a_rig_of_one_camera_is_said_to_be_one(tmp_path, say, monkeypatch):
    write_frames(tmp_path / "in", turning_rig(["left"]), 1)
    (tmp_path / "in" / "keypoints.json").rename(tmp_path / "keypoints.json")
    monkeypatch.chdir(tmp_path)
    told = say("in", "--views", "in/rig.json", "--out", "r.zarr", *OPTIONS)
    assert told.status == 0, told.err
    assert "the rig has one camera, left: no hand is seen from two sides" in told.err
