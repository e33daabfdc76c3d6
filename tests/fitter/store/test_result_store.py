"""The result store: its layout and rows, where it may be made, and what it refuses."""

import json
import os
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fitter.store.layout import is_result_store
from fitter.store.older import FORMAT_VERSION, READ_VERSIONS
from fitter.store.result_store import Block, ResultStore, decode_flags
from fitter.store.rows import assemble
from fitter.store.schema import HAND_VARIABLES, VARIABLES, HandRow, ImageRow
from tests.support.errors import raises
from tests.support.store_rows import SPEC, contents, fake_hand, fake_row, fill

VERSION = f'"format_version": {FORMAT_VERSION}'
"""Of today's stores, as it stands in their attributes."""


def test_every_row_comes_back_in_its_place(undisturbed):
    data = ResultStore.open(undisturbed).dataset()
    assert list(data.image_name.values) == list(SPEC.images)
    for i in range(11):
        row, here = fake_row(i), data.isel(image=i)
        assert str(decode_flags(here.image_status).values) == row.image_status
        assert here.image_error.item() == (row.image_error or "")
        for slot in range(2):
            stored = here.isel(hand=slot)
            hand = row.hands[slot] if slot < len(row.hands) else HandRow()
            assert bool(stored.valid) == bool(hand.valid)
            assert str(decode_flags(stored.side).values) == (hand.side or "none")
            for name in ("keypoints_3d", "hand_pose", "betas", "vertices", "box", "transl"):
                value = getattr(hand, name)
                if value is None:
                    assert np.isnan(stored[name].values).all()
                else:
                    np.testing.assert_array_equal(stored[name], np.float32(value))


def test_a_block_can_be_read_back_as_rows(undisturbed):
    store = ResultStore.open(undisturbed)
    rows = [row for block in store.blocks() for row in store.read_block(block)]
    arrays = {v: assemble(v, rows, store.sizes) for v in VARIABLES if "vertex" not in v.dims}
    expected = [fake_row(i) for i in range(11)]
    for variable, array in arrays.items():
        np.testing.assert_array_equal(array, assemble(variable, expected, store.sizes))
    assert [len(row.hands) for row in rows] == [len(row.hands) for row in expected]
    failed, hand = rows[3], rows[0].hands[0]
    assert (failed.image_error, failed.intrinsics, failed.intrinsics_source) == (
        "cannot read é 3", None, None,
    )  # fmt: skip
    assert (hand.side, hand.transl, hand.fit_error, hand.vertices) == ("right", None, None, None)


@pytest.mark.parametrize("consolidated", [None, True, False])
def test_opens_in_xarray_without_a_warning(undisturbed, consolidated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(undisturbed, consolidated=consolidated).load()
    assert {v.name for v in VARIABLES} == set(data.data_vars)
    assert data.keypoints_3d.dims == ("image", "hand", "keypoint", "xyz")
    wrist_depth = data.keypoints_3d.sel(keypoint="wrist", xyz="z")[0, 0].item()
    assert wrist_depth == np.float32(fake_hand(0).keypoints_3d[0, 2])


def test_every_number_says_its_unit_and_every_variable_its_meaning(undisturbed):
    data = ResultStore.open(undisturbed).dataset()
    for name, variable in data.data_vars.items():
        assert variable.attrs["long_name"], name
        is_number = variable.dtype.kind in "fi"
        assert bool(variable.attrs.get("units")) == is_number, name
        if "flag_values" in variable.attrs:
            texts = variable.attrs["flag_meanings"].split()
            assert variable.attrs["flag_values"] == list(range(len(texts)))
    for name in ("keypoints_3d", "transl", "keypoints_2d", "vertices", "intrinsics"):
        assert data[name].attrs["frame"]
    assert json.loads(data.attrs["configuration"]) == SPEC.config
    assert json.loads(data.attrs["model"])["sha256"] == "ab"
    assert json.loads(data.attrs["versions"]) == {"torch": "2.13.0"}


def test_a_block_larger_than_the_whole_list_of_images(tmp_path):
    path = tmp_path / "r.zarr"
    fill(ResultStore.create(path, replace(SPEC, block_size=64)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(path).load()
    expected = [fake_row(i).image_status for i in range(11)]
    assert list(decode_flags(data.image_status).values) == expected
    assert ResultStore.open(path).pending_blocks() == []


def test_vertices_are_left_out_unless_asked_for(tmp_path):
    store = ResultStore.create(tmp_path / "r.zarr", replace(SPEC, optional_sizes={}))
    fill(store)
    assert "vertices" not in store.dataset()


def test_an_unfinished_store_reads_as_pending(tmp_path):
    store = ResultStore.create(tmp_path / "r.zarr", SPEC)
    assert store.pending_blocks() == [Block(0, 0, 4), Block(1, 4, 8), Block(2, 8, 11)]
    fill(store, [Block(2, 8, 11)])
    assert [block.index for block in store.pending_blocks()] == [0, 1]
    status = decode_flags(store.dataset().image_status).values
    assert list(status) == ["pending"] * 8 + ["failed", "no_hand", "ok"]


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(3)), again=st.integers(0, 2))
def test_order_and_repetition_of_blocks_leave_no_trace(undisturbed, tmp_path_factory, order, again):
    path = tmp_path_factory.mktemp("order") / "results.zarr"
    store = ResultStore.create(path, SPEC)
    fill(store, [store.blocks()[i] for i in (*order, again)])
    assert contents(path) == contents(undisturbed)


def test_create_keeps_its_hands_off_what_is_there(tmp_path):
    path = tmp_path / "results.zarr"
    with ResultStore.create(path, SPEC) as store:
        fill(store)
    before = contents(path)
    with raises("output.taken", file=path):
        ResultStore.create(path, SPEC)
    assert contents(path) == before
    store = ResultStore.create(path, replace(SPEC, max_hands=1), overwrite=True)
    assert len(store.pending_blocks()) == 3 and store.sizes["hand"] == 1
    store.close()
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]


@pytest.mark.parametrize("marker", ["photo.jpg", "zarr.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_overwrite_never_touches_a_folder_that_is_not_ours(tmp_path, marker, overwrite):
    path = tmp_path / "holiday"
    path.mkdir()
    (path / marker).write_text('{"attributes": {"format": "other"}}')
    with raises("output.not_ours", file=path):
        ResultStore.create(path, SPEC, overwrite=overwrite)
    assert [p.name for p in path.iterdir()] == [marker]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "disk" / "real.zarr").mkdir(parents=True)
    link = tmp_path / "results.zarr"
    link.symlink_to(tmp_path / "disk" / "real.zarr")
    with ResultStore.create(link, SPEC) as store:
        fill(store)
    with ResultStore.resume(link, SPEC) as store:
        assert store.pending_blocks() == []
    with ResultStore.create(link, SPEC, overwrite=True) as store:
        assert len(store.pending_blocks()) == 3
    assert link.is_symlink() and is_result_store(tmp_path / "disk" / "real.zarr")
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["real.zarr"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "results.zarr"]


def test_a_file_in_the_way_and_a_missing_parent_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with raises("output.not_ours"):
        ResultStore.create(tmp_path / "file", SPEC, overwrite=True)
    with raises("output.no_folder", folder=tmp_path / "nowhere"):
        ResultStore.create(tmp_path / "nowhere" / "r.zarr", SPEC)
    with raises("store.missing", file=tmp_path / "r.zarr"):
        ResultStore.open(tmp_path / "r.zarr")
    with raises("store.not_ours", file=tmp_path):
        ResultStore.open(tmp_path)


def test_a_disk_that_refuses_gives_one_sentence(tmp_path, monkeypatch):
    store = ResultStore.create(tmp_path / "r.zarr", SPEC)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with raises("output.cannot_write", file=store.path, reason="No space left on device"):
        fill(store)
    assert len(store.pending_blocks()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_gives_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with raises("output.cannot_write", reason="Permission denied"):
            ResultStore.create(tmp_path / "r.zarr", SPEC)
    finally:
        tmp_path.chmod(0o700)


def test_another_format_version_is_refused(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace(VERSION, '"format_version": 9'))
    assert is_result_store(path)
    with raises("store.version", found=9, expected=" and ".join(map(str, READ_VERSIONS))):
        ResultStore.open(path)


def test_a_store_with_older_names_is_read_and_not_continued(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "older.zarr")
    for new, old in (("initialisation_source", "start_source"),):
        (path / new).rename(path / old)
        text = (path / "zarr.json").read_text()
        text = text.replace(f'"{new}": {{', f'"{old}": {{')
        (path / "zarr.json").write_text(text.replace(VERSION, '"format_version": 2'))
    before = contents(path)
    with raises("store.older_names", file=path):
        ResultStore.resume(path, SPEC)
    assert contents(path) == before
    new, store = ResultStore.open(undisturbed), ResultStore.open(path)
    xr.testing.assert_equal(store.dataset().load(), new.dataset().load())
    for block in store.committed_blocks():
        rows = [h.initialisation_source for r in store.read_block(block) for h in r.hands]
        assert rows == [h.initialisation_source for r in new.read_block(block) for h in r.hands]
        read = store.read("initialisation_source", block)
        assert (read == new.read("initialisation_source", block)).all()


def test_an_empty_image_list_is_refused(tmp_path):
    for make in (ResultStore.create, ResultStore.resume):
        with raises("store.no_image"):
            make(tmp_path / "r.zarr", replace(SPEC, images=[]))
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (ImageRow(), "needs its image_status"),
        (ImageRow(image_status="pending"), "image_status must be one of"),
        (ImageRow(image_status="ok", hands=(HandRow(),) * 3), "3 hands, the store 2"),
        (
            ImageRow(image_status="ok", hands=(HandRow(betas=np.zeros(1)),)),
            r"betas must have shape \(10,\), got \(1,\)",
        ),
        (ImageRow(image_status="ok", hands=(HandRow(side="up"),)), "side must be one of"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, row, sentence):
    store = ResultStore.create(tmp_path / "r.zarr", SPEC)
    before = contents(store.path)
    with pytest.raises(ValueError, match=sentence):
        store.write_block(store.blocks()[2], [fake_row(0), row, fake_row(1)])
    with pytest.raises(ValueError, match="block 2 has 3 images, got 1 rows"):
        store.write_block(store.blocks()[2], [fake_row(0)])
    assert contents(store.path) == before


def test_an_empty_row_is_all_fill_values():
    for variable in HAND_VARIABLES:
        array = assemble(variable, [ImageRow(hands=(HandRow(),))], SPEC.sizes)
        expected = np.full_like(array, variable.fill)
        np.testing.assert_array_equal(array, expected)
