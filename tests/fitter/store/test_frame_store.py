"""Stores of frames: rows of several views, read back, added to and continued like images'."""

import json
import os
import shutil
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import fitter
from fitter.rig import FrameNames
from fitter.store.failures import frame_failures
from fitter.store.frame_schema import FrameRow, ViewHandRow, ViewRow
from fitter.store.reader import StoreReader
from fitter.store.result_store import ResultStore, decode_flags
from fitter.store.row_kinds import ALL_KINDS, FRAME_HAND_VARIABLES, FRAME_VARIABLES, FRAMES, IMAGES
from fitter.store.rows import assemble
from tests.support.errors import raises
from tests.support.rig_folders import LENS, turning_rig
from tests.support.store_rows import SPEC, contents, fake_hand

RIG = turning_rig(["left", "right", "top"], LENS)


def names(count: int) -> list[str]:
    found = [
        FrameNames(f"day {i // 4}/händ {i}", (f"l/{i}.jpg", "" if i % 3 == 2 else f"r/{i}.jpg", ""))
        for i in range(count)
    ]
    return [frame.text for frame in found]


FRAME_SPEC = replace(SPEC, images=names(11), rig=RIG, has_people=False)
KEPT = {variable.name for variable in FRAME_HAND_VARIABLES}


def fake_view_hand(seed: int) -> ViewHandRow:
    rng = np.random.default_rng(seed)
    return ViewHandRow(
        view_weight=rng.random(),
        detection_score=rng.random(),
        box=rng.random(4),
        keypoints_2d_detected=rng.random((21, 2)),
        keypoints_2d=rng.random((21, 2)),
        residual_px=rng.random(),
        mask_source="given",
    )


def fake_frame(i: int) -> FrameRow:
    count = i % 3  # of hands
    hands = tuple(fake_hand(i + 100 * h, ("right", "left")[h]) for h in range(count))
    views = (
        ViewRow(
            view_status="ok",
            image_width=320,
            image_height=240,
            intrinsics=np.eye(3) * (i + 1),
            view_hands_beyond=i,
            file_size=7 * i,
            file_time=1e9 + i,
            inputs_digest=-i,
            hands=tuple(fake_view_hand(10 * i + h) for h in range(count)),
        ),
        ViewRow(view_status="failed", view_error=f"broken é {i}"),
        ViewRow(view_status="missing", hands=(ViewHandRow(view_weight=0.0),) * count),
    )
    status = "ok" if count else "no_hand"
    return FrameRow(frame_status=status, hands_beyond=i, hands=hands, views=views)


def fill(store: ResultStore, blocks=None) -> None:
    for block in store.pending_blocks() if blocks is None else blocks:
        store.write_block(block, [fake_frame(i) for i in range(block.start, block.stop)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "frames.zarr"
    with ResultStore.create(path, FRAME_SPEC) as store:
        fill(store)
    return path


def test_rows_come_back(whole):
    store = StoreReader.open(whole, ALL_KINDS)
    rows = [row for block in store.blocks() for row in store.read_block(block)]
    expected = [fake_frame(i) for i in range(11)]
    for variable in store.read_arrays(store.blocks()[0]):
        found, wanted = (assemble(variable, r, store.sizes) for r in (rows, expected))
        np.testing.assert_array_equal(found, wanted, err_msg=variable.name)
    row = rows[5]
    assert [hand.side for hand in row.hands] == ["right", "left"]
    assert row.views[1].view_error == "broken é 5" and row.views[0].view_hands_beyond == 5
    assert row.views[1].hands[1] == ViewHandRow()
    assert row.views[2].hands[0].view_weight == 0
    np.testing.assert_array_equal(row.views[0].intrinsics, 6 * np.eye(3))


def test_xarray_reads_it_with_names_and_the_rig(whole):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(whole).load()
    assert {v.name for v in FRAME_VARIABLES} - {"vertices"} <= set(data.data_vars)
    assert data.keypoints_2d.dims == ("frame", "view", "hand", "keypoint", "xy")
    assert data.keypoints_3d.dims == ("frame", "hand", "keypoint", "xyz")
    assert data.view.values.tolist() == ["left", "right", "top"]
    assert data.frame_name.values.tolist() == [FrameNames.of_text(t).name for t in names(11)]
    assert data.image_name.sel(view="right").values[:3].tolist() == ["r/0.jpg", "r/1.jpg", ""]
    assert decode_flags(data.view_status).values[0].tolist() == ["ok", "failed", "missing"]
    for number, camera in enumerate(RIG.cameras):
        np.testing.assert_array_equal(data.camera_intrinsics[number], camera.intrinsics)
        np.testing.assert_array_equal(data.camera_rotation[number], camera.rotation)
        np.testing.assert_array_equal(data.camera_translation[number], camera.translation)
    assert json.loads(data.attrs["rig"]) == RIG.as_json()
    assert data.keypoints_3d.attrs["frame"].startswith("rig")
    assert "rig" in data.global_orient.attrs["long_name"]
    assert "person" not in data and "detector_relative_xyz" not in data


def test_every_variable_of_a_hand_is_of_the_frame_or_of_its_views():
    outer = {v.name: v.outer for v in FRAME_VARIABLES}
    assert len(outer) == len(FRAME_VARIABLES)
    assert outer["box"] == ("frame", "view", "hand") and outer["betas"] == ("frame", "hand")


def test_readers_of_images_refuse_it(whole, undisturbed):
    for opened in (fitter.open_results, StoreReader.open):
        with raises("store.has_frames", file=whole):
            opened(whole)
    assert list(fitter.open_frames(whole).rig.names) == ["left", "right", "top"]
    with raises("store.has_images", file=undisturbed):
        fitter.open_frames(undisturbed)
    assert StoreReader.open(undisturbed).kind is IMAGES
    with raises("store.other_rows", was="frames", now="images"):
        ResultStore.resume(whole, SPEC)


def test_rows_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    store = ResultStore.create(tmp_path / "r.zarr", FRAME_SPEC)
    block = store.blocks()[0]
    for bad, why in (
        (FrameRow(), "frame_status"),
        (replace(fake_frame(1), views=fake_frame(1).views[:2]), "2 views"),
        (replace(fake_frame(1), hands=()), "holds 1 hands"),
    ):
        with pytest.raises(ValueError, match=why):
            store.write_block(block, [bad] * len(block))
    assert len(store.pending_blocks()) == 3 and not (store.path / "frame_status" / "c").exists()


def test_killed_between_blocks_and_continued_it_is_the_same_store(whole, tmp_path):
    path = tmp_path / "frames.zarr"
    child = os.fork()
    if child == 0:  # ends itself in the midst of the second block
        store = ResultStore.create(path, FRAME_SPEC)
        fill(store, store.blocks()[:1])
        commit = ResultStore._commit
        ResultStore._commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        fill(store, store.blocks()[1:])
        ResultStore._commit = commit
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert contents(path) != contents(whole)
    with ResultStore.resume(path, FRAME_SPEC) as store:
        assert [block.index for block in store.pending_blocks()] == [1, 2]
        fill(store)
    assert contents(path) == contents(whole)


def test_frames_are_added_at_the_end(whole, tmp_path):
    path = tmp_path / "frames.zarr"
    with ResultStore.create(path, replace(FRAME_SPEC, images=names(6))) as store:
        fill(store)
    with ResultStore.resume(path, FRAME_SPEC) as store:
        store.append(names(11)[6:])
        assert [block.index for block in store.pending_blocks()] == [1, 2]
        assert list(store.frame_images[5:8]) == [
            ("l/5.jpg", "", ""), ("l/6.jpg", "r/6.jpg", ""), ("l/7.jpg", "r/7.jpg", ""),
        ]  # fmt: skip
        fill(store)
    assert contents(path) == contents(whole)


def test_another_rig_is_another_run(whole):
    config = {"inputs": {"views": {"left": 1}}}
    with raises("store.other_value", name="configuration.fit"):
        ResultStore.resume(whole, replace(FRAME_SPEC, config=config))


def test_failures_name_frame_and_camera(whole, tmp_path):
    path = shutil.copytree(whole, tmp_path / "r.zarr")
    store = StoreReader.open(path, ALL_KINDS)
    found = list(frame_failures(store))
    assert found[0] == ("day 0/händ 0", "right", "", "view", "broken é 0")
    assert len(found) == 11 and store.kind is FRAMES
    lost = replace(fake_frame(1), frame_status="failed", frame_error="why")
    hand = replace(lost.hands[0], valid=False, score=None, fit_error="far")
    with ResultStore.create(path, FRAME_SPEC, overwrite=True) as written:
        rows = [replace(lost, hands=(hand,)), *map(fake_frame, range(1, 4))]
        written.write_block(written.blocks()[0], rows)
    found = list(frame_failures(StoreReader.open(path, ALL_KINDS)))
    assert found[0] == ("day 0/händ 0", "", "", "frame", "why")
    assert found[2] == ("day 0/händ 0", "", "0", "fit", "far")
