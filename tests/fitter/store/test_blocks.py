"""Stores of many images: blocks as shards, names block by block, images added at the end."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from fitter.kept_hands import HAND_BYTES
from fitter.store.block_sizes import (
    FEWEST_BLOCKS,
    LARGEST_BLOCK,
    LARGEST_BLOCK_BYTES,
    LONGEST_CHUNK,
    SHORTEST_CHUNK,
    choose_block_size,
    chunk_length,
)
from fitter.store.image_names import ImageNames
from fitter.store.layout import StoreSpec
from fitter.store.result_store import Block, ResultStore
from fitter.store.schema import VARIABLES
from tests.support.errors import raises
from tests.support.store_rows import MANY, SPEC, contents, fake_row, fill, start


def make(path: Path, spec=SPEC, images: int | None = None) -> Path:
    """A finished store of the first images of a layout."""
    with ResultStore.create(path, replace(spec, images=spec.images[:images])) as store:
        fill(store)
    return path


class TestShards:
    def test_a_block_is_one_file_that_is_read_in_parts(self, many):
        group = zarr.open_group(many, mode="r")
        for variable in VARIABLES:
            if variable.name not in group:
                continue
            array = group[variable.name]
            files = [p for p in (many / variable.name / "c").rglob("*") if p.is_file()]
            names = {p.relative_to(many / variable.name / "c").parts[0] for p in files}
            assert names <= {"0", "1", "2"} and len(files) == len(names)
            if variable.name == "image_status":
                assert (array.chunks, array.shards) == ((512,), None)
                assert [p.stat().st_size for p in files] == [512] * 3
            else:
                assert (array.chunks[0], array.shards[0]) == (256, 512)
                assert array.chunks[1:] == array.shards[1:] == array.shape[1:]

    @pytest.mark.parametrize("block_size", [1, 31, 64, 256, 509, 514])
    def test_a_block_without_a_good_divisor_is_one_chunk(self, tmp_path, block_size):
        spec = replace(MANY, images=MANY.images[:3], block_size=block_size)
        ResultStore.create(tmp_path / "r.zarr", spec).close()
        group = zarr.open_group(tmp_path / "r.zarr", mode="r")
        for name in ("keypoints_3d", "fit_error", "image_status"):
            assert (group[name].chunks[0], group[name].shards) == (block_size, None)

    @given(block_size=st.integers(1, 100_000))
    def test_chunks_divide_blocks(self, block_size):
        length = chunk_length(block_size)
        assert block_size % length == 0
        assert length == block_size or SHORTEST_CHUNK <= length <= LONGEST_CHUNK

    def test_every_row_comes_back_text_as_well(self, many):
        store = ResultStore.open(many)
        assert list(store.names) == MANY.images
        data = store.dataset().load()
        expected = [fake_row(i) for i in range(len(MANY.images))]
        assert data.image_error.values.tolist() == [row.image_error or "" for row in expected]
        assert any("é" in error for error in data.image_error.values)
        assert data.valid.values.sum(1).tolist() == [len(row.hands) for row in expected]
        for i in (0, 255, 256, 511, 512, 1025, 1099):
            for slot, hand in enumerate(expected[i].hands):
                stored = data.keypoints_3d.values[i, slot]
                np.testing.assert_array_equal(stored, np.float32(hand.keypoints_3d))
        rows = store.read_block(store.blocks()[2])
        assert [row.image_error for row in rows] == [row.image_error for row in expected[1024:]]
        xr.testing.assert_identical(data, xr.open_zarr(many, consolidated=False).load()[[*data]])

    def test_blocks_in_any_order_leave_no_trace(self, many, tmp_path):
        with ResultStore.create(tmp_path / "r.zarr", MANY) as store:
            blocks = store.blocks()
            assert blocks == [Block(0, 0, 512), Block(1, 512, 1024), Block(2, 1024, 1100)]
            fill(store, [blocks[i] for i in (2, 0, 1, 2)])
        assert contents(tmp_path / "r.zarr") == contents(many)

    def test_the_size_of_blocks_follows_the_number_of_images(self):
        assert choose_block_size(1, 0) == 64
        largest = 2 * FEWEST_BLOCKS * LARGEST_BLOCK
        counts = sorted({*range(1, 20_000, 37), *(int(1.01**k) for k in range(10, 1700))})
        sizes = [choose_block_size(count, 1000) for count in counts]
        assert sizes == sorted(sizes) and sizes[-1] == LARGEST_BLOCK
        blocks = {
            -(-count // size)
            for count, size in zip(counts, sizes, strict=True)
            if 4096 <= count < largest
        }
        assert min(blocks) >= FEWEST_BLOCKS and max(blocks) <= 2 * FEWEST_BLOCKS

    @pytest.mark.parametrize("texels", [128, 512])
    def test_a_block_takes_no_more_memory_than_that(self, texels):
        sizes = {"texel_row": texels, "texel_column": texels, "vertex": 778}
        spec = StoreSpec(["a"], 2, 1, 10, optional_sizes=sizes)
        row = 2 * 4 * 3 * (texels**2 + 778)
        assert row < spec.row_bytes < row + 10_000
        size = choose_block_size(10_000_000, spec.row_bytes)
        assert LARGEST_BLOCK_BYTES / 2 < size * spec.row_bytes <= LARGEST_BLOCK_BYTES
        assert choose_block_size(10, 2 * LARGEST_BLOCK_BYTES) == 1

    @pytest.mark.parametrize("slots", [1, 2, 16])
    def test_what_is_found_counts_where_it_is_kept_alone(self, slots):
        """And as much as a usual image has, however many slots there are."""
        spec = StoreSpec(["a"], slots, 1, 10)
        numbers = sum(
            max(4, np.dtype(v.dtype).itemsize)
            * math.prod(spec.sizes[dim] for dim in (*v.outer[1:], *v.dims))
            for v in VARIABLES
            if spec.has(v) and v.dtype != "string"
        )
        for detects, is_pass in ((False, False), (True, False), (False, True)):
            other = replace(spec, detects=detects, is_pass=is_pass)
            assert other.row_bytes == numbers
        kept = replace(spec, detects=True, is_pass=True)
        assert kept.row_bytes == numbers + min(slots, 2) * HAND_BYTES


class Counted:
    """An array that counts what is read of it."""

    def __init__(self, array: zarr.Array) -> None:
        self.array, self.chunks, self.shape, self.reads = array, array.chunks, array.shape, 0

    def __getitem__(self, place: object) -> np.ndarray:
        self.reads += 1
        return self.array[place]


@pytest.fixture(scope="module")
def array(undisturbed) -> zarr.Array:
    return zarr.open_group(undisturbed, mode="r")["image_name"]


class TestNames:
    @given(start=st.none() | st.integers(-13, 13), stop=st.none() | st.integers(-13, 13),
           step=st.sampled_from([None, 1, 2, 5]))  # fmt: skip
    def test_slices_are_those_of_a_list(self, array, start, stop, step):
        names = ImageNames(array)
        assert names[start:stop:step] == SPEC.images[start:stop:step]

    def test_they_are_a_sequence(self, array):
        names = ImageNames(array)
        assert len(names) == 11 and list(names) == SPEC.images
        assert [names[i] for i in range(11)] == SPEC.images
        assert names.index(SPEC.images[7]) == 7 and "none.jpg" not in names
        with pytest.raises(IndexError):
            names[11]

    def test_a_block_is_read_once(self, array):
        counted = Counted(array)
        names = ImageNames(counted)
        assert list(names) == SPEC.images and counted.reads == 3
        for i in range(4, 8):
            assert names[i] == SPEC.images[i]
        assert names[5:7] == SPEC.images[5:7] and counted.reads == 4


APPENDER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import zarr
import fitter.store.result_store
from fitter.store.result_store import ResultStore
from tests.support.store_rows import SPEC

kill, when = sys.argv[2].split()
seen = 0

def hooked(kind, function, applies=lambda args: True):
    def wrapper(*args, **options):
        global seen
        if kind == kill and applies(args):
            seen += 1
            if seen == int(when):
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return wrapper

with ResultStore.resume(Path(sys.argv[1]), SPEC) as store:
    fitter.store.result_store.lengthen = hooked("lengthen", fitter.store.result_store.lengthen)
    zarr.Array.resize = hooked("resize", zarr.Array.resize)
    zarr.Array.__setitem__ = hooked("names", zarr.Array.__setitem__)
    is_metadata = lambda args: str(args[1]).endswith("results.zarr/zarr.json")
    Path.replace = hooked("metadata", Path.replace, is_metadata)
    store.append(SPEC.images[len(store.names):])
"""


def append(path: Path, spec=SPEC) -> list[Block]:
    """Add the images that a store lacks, and what is then to be done; it is done."""
    with ResultStore.resume(path, spec) as store:
        store.append(spec.images[len(store.names) :])
        pending = store.pending_blocks()
        fill(store)
    return pending


class TestAppend:
    @pytest.mark.parametrize(
        ("before", "pending"),
        [
            (6, [Block(1, 4, 8), Block(2, 8, 11)]),
            (8, [Block(2, 8, 11)]),
            (1, [Block(0, 0, 4), Block(1, 4, 8), Block(2, 8, 11)]),
            (10, [Block(2, 8, 11)]),
        ],
    )
    def test_a_block_that_was_not_full_is_done_again(self, undisturbed, tmp_path, before, pending):
        path = make(tmp_path / "results.zarr", images=before)
        kept = {f"{v.name}/c/0": (path / v.name / "c" / "0").exists() for v in VARIABLES}
        with ResultStore.resume(path, SPEC) as store:
            store.append(SPEC.images[before:])
            assert list(store.names) == SPEC.images and store.sizes["image"] == 11
            assert store.pending_blocks() == pending
            if before >= 4:
                assert {name: (path / name).exists() for name in kept} == kept
                (first, *_) = store.committed_blocks()
                assert store.read_block(first)[3].image_error == fake_row(3).image_error
        data = xr.open_zarr(path).load()
        assert data.image_name.values.tolist() == SPEC.images
        full = 4 * pending[0].index
        status = xr.open_zarr(undisturbed).image_status.values
        assert data.image_status.values[:full].tolist() == status[:full].tolist()
        assert not data.image_status.values[full:].any()
        with ResultStore.resume(path, SPEC) as store:
            fill(store)
        assert contents(path) == contents(undisturbed)
        assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]

    def test_images_come_bit_by_bit(self, undisturbed, tmp_path):
        path = make(tmp_path / "results.zarr", images=1)
        for images in range(2, 12):
            append(path, replace(SPEC, images=SPEC.images[:images]))
        assert contents(path) == contents(undisturbed)

    def test_shards_grow_too(self, many, tmp_path):
        path = make(tmp_path / "results.zarr", MANY, images=600)
        assert append(path, MANY) == [Block(1, 512, 1024), Block(2, 1024, 1100)]
        assert contents(path) == contents(many)

    # The short block's mark goes right before the one step that makes the new images count.
    @pytest.mark.parametrize(
        ("kill", "blocks"),
        [
            ("lengthen 1", 2),
            ("resize 1", 2),
            ("resize 7", 2),
            ("names 1", 2),
            ("names 2", 2),
            ("metadata 1", 1),
        ],
    )
    def test_killed_in_the_middle_it_reads_as_before(self, undisturbed, tmp_path, kill, blocks):
        path = make(tmp_path / "results.zarr", images=6)
        with start(APPENDER, path, kill) as process:
            assert process.wait(timeout=60) == -signal.SIGKILL
        store = ResultStore.open(path)
        assert list(store.names) == SPEC.images[:6] and store.sizes["image"] == 6
        assert store.committed_blocks() == [Block(0, 0, 4), Block(1, 4, 6)][:blocks]
        data = xr.open_zarr(path).load()
        assert data.sizes["image"] == 6
        whole = xr.open_zarr(undisturbed).load().isel(image=slice(0, 4))
        xr.testing.assert_identical(data.isel(image=slice(0, 4)), whole)
        append(path)
        assert contents(path) == contents(undisturbed)

    def test_a_disk_that_refuses_gives_one_sentence(self, tmp_path, monkeypatch):
        path = make(tmp_path / "results.zarr", images=6)

        def full(*_):
            raise OSError(28, "No space left on device")

        with ResultStore.resume(path, SPEC) as store:
            monkeypatch.setattr(os, "fsync", full)
            with raises("output.cannot_add", file=path, reason="No space left on device"):
                store.append(SPEC.images[6:])
        assert list(ResultStore.open(path).names) == SPEC.images[:6]
