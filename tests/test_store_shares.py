"""Stores of many images: blocks as shards, images added at the end, writers that share blocks."""

import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import store_rows
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from store_rows import SPEC, contents, fake_row, fill

from fitter.records import InputError
from fitter.rows import VARIABLES
from fitter.store import Block, ResultStore
from fitter.store_layout import (
    FEWEST_BLOCKS,
    LARGEST_BLOCK,
    LONGEST_CHUNK,
    SHORTEST_CHUNK,
    choose_block_size,
    chunk_length,
)
from fitter.store_lock import WHOLE, Share, WriterLock
from fitter.store_names import ImageNames

undisturbed = store_rows.undisturbed

ROOT = Path(__file__).parent.parent
MANY = replace(
    SPEC,
    images=[f"día {i // 100}/{i:05d}.jpg" for i in range(1100)],
    block_size=512,
    optional_sizes={},
)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A store of two full blocks and one of 76 images."""
    path = tmp_path_factory.mktemp("many") / "results.zarr"
    with ResultStore.create(path, MANY) as store:
        fill(store)
    return path


def make(path: Path, spec=SPEC, images: int | None = None) -> Path:
    """A finished store of the first images of a layout."""
    with ResultStore.create(path, replace(spec, images=spec.images[:images])) as store:
        fill(store)
    return path


def start(program: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


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
        assert choose_block_size(1) == 64
        largest = 2 * FEWEST_BLOCKS * LARGEST_BLOCK
        counts = sorted({*range(1, 20_000, 37), *(int(1.01**k) for k in range(10, 1700))})
        sizes = [choose_block_size(count) for count in counts]
        assert sizes == sorted(sizes) and sizes[-1] == LARGEST_BLOCK
        blocks = {
            -(-count // size)
            for count, size in zip(counts, sizes, strict=True)
            if 4096 <= count < largest
        }
        assert min(blocks) >= FEWEST_BLOCKS and max(blocks) <= 2 * FEWEST_BLOCKS


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
import fitter.store
from fitter.store import ResultStore
from tests.store_rows import SPEC

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
    fitter.store.lengthen = hooked("lengthen", fitter.store.lengthen)
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

    # Of the last step the metadata are written twice, unsorted first, which counts already.
    @pytest.mark.parametrize(
        ("kill", "images"),
        [
            ("lengthen 1", 6),
            ("resize 1", 6),
            ("resize 7", 6),
            ("names 1", 6),
            ("names 2", 6),
            ("metadata 1", 6),
            ("metadata 2", 11),
        ],
    )
    def test_killed_in_the_middle_it_reads_as_before(self, undisturbed, tmp_path, kill, images):
        path = make(tmp_path / "results.zarr", images=6)
        with start(APPENDER, path, kill) as process:
            assert process.wait(timeout=60) == -signal.SIGKILL
        store = ResultStore.open(path)
        assert list(store.names) == SPEC.images[:images] and store.sizes["image"] == images
        assert store.committed_blocks() == [Block(0, 0, 4)]
        data = xr.open_zarr(path).load()
        assert data.sizes["image"] == images
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
            sentence = r"cannot add images to .*results\.zarr: No space left on device$"
            with pytest.raises(InputError, match=sentence):
                store.append(SPEC.images[6:])
        assert list(ResultStore.open(path).names) == SPEC.images[:6]


SHARER = """
import sys
from pathlib import Path
from fitter.store import ResultStore
from fitter.store_lock import Share
from tests.store_rows import SPEC, fill

share = Share(*map(int, sys.argv[2].split("/")))
print("starting", flush=True)
with ResultStore.resume(Path(sys.argv[1]), SPEC, share) as store:
    store.settle()
    print(*(block.index for block in store.pending_blocks()), flush=True)
    sys.stdin.readline()
    fill(store)
"""


class TestShares:
    def test_they_divide_the_blocks(self):
        for of in (1, 2, 3, 7):
            shares = [Share(number, of) for number in range(1, of + 1)]
            owners = [[share for share in shares if share.has(block)] for block in range(20)]
            assert all(len(found) == 1 for found in owners)
            assert [found[0].number for found in owners[:of]] == list(range(1, of + 1))
        assert str(Share(2, 3)) == "2/3" and Share() == WHOLE

    def test_two_at_once_fill_one_store_and_keep_others_out(self, undisturbed, tmp_path):
        path = tmp_path / "results.zarr"
        with start(SHARER, path, "1/2") as first, start(SHARER, path, "2/2") as second:
            assert [first.stdout.readline() for _ in range(2)] == ["starting\n", "0 2\n"]
            assert [second.stdout.readline() for _ in range(2)] == ["starting\n", "1\n"]
            busy = r"results\.zarr is being written by another fit-hands run"
            for function in (ResultStore.resume, ResultStore.create):
                options = {"overwrite": True} if function == ResultStore.create else {}
                with pytest.raises(InputError, match=rf"{busy}$"):
                    function(path, SPEC, **options)
                with pytest.raises(InputError, match=rf"^part 2/2 of .*{busy}$"):
                    function(path, SPEC, share=Share(2, 2), **options)
                with pytest.raises(InputError, match=rf"{busy}, as one of --shard 1/2 to 2/2$"):
                    function(path, SPEC, share=Share(1, 3), **options)
            for process in (second, first):
                process.communicate("go on\n", timeout=60)
                assert process.returncode == 0
        assert contents(path) == contents(undisturbed)
        assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]

    def test_all_of_it_is_written_by_nobody_else(self, tmp_path):
        with ResultStore.create(tmp_path / "r.zarr", SPEC) as store:
            assert store.is_alone
            with pytest.raises(InputError, match=r"r\.zarr is being written by another fit-hands"):
                ResultStore.resume(tmp_path / "r.zarr", SPEC, Share(1, 2))
        for number in (1, 2):
            ResultStore.resume(tmp_path / "r.zarr", SPEC, Share(number, 2)).close()

    def test_a_share_waits_while_another_makes_the_store(self, tmp_path):
        path = tmp_path / "results.zarr"
        with ResultStore.resume(path, SPEC, Share(1, 2)) as store:
            assert store.is_alone
            with start(SHARER, path, "2/2") as other:
                assert other.stdout.readline() == "starting\n"
                assert not select.select([other.stdout], [], [], 1)[0] and other.poll() is None
                store.append(["z.jpg"])
                store.settle()
                assert not store.is_alone
                assert other.stdout.readline() == "1\n"
                other.communicate("go on\n", timeout=60)
                assert other.returncode == 0
            assert [block.index for block in store.pending_blocks()] == [0, 2]
            assert [block.index for block in store.committed_blocks()] == [1]
        found = ResultStore.open(path)
        assert found.names[11] == "z.jpg" and found.committed_blocks() == [Block(1, 4, 8)]

    def test_the_place_of_a_store_that_is_gone_is_not_taken(self, tmp_path):
        lock = WriterLock(tmp_path / "r.zarr", Share(1, 2))
        lock.settle()
        sentence = r"r\.zarr is gone, and another fit-hands run has its place$"
        with pytest.raises(InputError, match=sentence):
            ResultStore.resume(tmp_path / "r.zarr", SPEC, Share(2, 2))
        with pytest.raises(InputError, match=r"r\.zarr is being written by another fit-hands run$"):
            ResultStore.create(tmp_path / "r.zarr", SPEC, share=Share(2, 2))
        assert [p.name for p in tmp_path.iterdir()] == [".r.zarr.lock", ".r.zarr.lock-1-of-2"]
        lock.release()
        assert not list(tmp_path.iterdir())

    def test_half_written_blocks_of_others_are_left_alone(self, undisturbed, tmp_path):
        path = tmp_path / "results.zarr"
        ResultStore.create(path, SPEC).close()
        for block in ("0", "1", "2"):
            shutil.copytree(undisturbed / "betas" / "c" / block, path / "betas" / "c" / block)
            (path / "image_status" / "c").mkdir(exist_ok=True)
            (path / "image_status" / "c" / f"{block}.partial").write_bytes(b"torn")
            (path / "image_error" / "c").mkdir(exist_ok=True)
            (path / "image_error" / "c" / f"{block}.12ab.partial").write_bytes(b"torn")

        def left() -> list[str]:
            names = ("betas", "image_error", "image_status")
            return [f"{n} {p.name[0]}" for n in names for p in sorted((path / n).glob("c/*"))]

        with ResultStore.resume(path, SPEC, Share(1, 2)) as store:
            assert left() == ["betas 1", "image_error 1", "image_status 1"]
            store.settle()
            with ResultStore.resume(path, SPEC, Share(2, 2)) as other:
                assert left() == []
                fill(other)
            fill(store)
        assert contents(path) == contents(undisturbed)


class TestLostStores:
    def test_nothing_is_written_to_a_store_that_was_deleted(self, tmp_path):
        path = tmp_path / "results.zarr"
        with ResultStore.create(path, SPEC) as store:
            fill(store, store.blocks()[:1])
            shutil.rmtree(path)
            with pytest.raises(InputError, match=r"results\.zarr was deleted or replaced while "):
                fill(store, store.blocks()[1:])
            assert not path.exists()
            path.mkdir()
            with pytest.raises(InputError, match="deleted or replaced"):
                fill(store, store.blocks()[1:])
            assert not list(path.iterdir())

    def test_nothing_is_written_to_a_store_that_took_its_place(self, undisturbed, tmp_path):
        path = tmp_path / "results.zarr"
        with ResultStore.create(path, SPEC) as store:
            path.rename(tmp_path / "moved.zarr")
            shutil.copytree(undisturbed, path)
            with pytest.raises(InputError, match="deleted or replaced"):
                fill(store, store.blocks()[:1])
        assert contents(path) == contents(undisturbed)

    def test_a_store_whose_metadata_were_deleted_is_lost(self, tmp_path):
        with ResultStore.create(tmp_path / "r.zarr", SPEC) as store:
            (store.path / "zarr.json").unlink()
            before = contents(store.path)
            with pytest.raises(InputError, match="deleted or replaced"):
                fill(store)
            assert contents(store.path) == before

    @pytest.mark.parametrize("variable", ["keypoints_3d", "image_status", "fit_error"])
    def test_a_variable_that_is_gone_is_told(self, undisturbed, tmp_path, variable):
        path = shutil.copytree(undisturbed, tmp_path / "results.zarr")
        shutil.rmtree(path / variable)
        with pytest.raises(InputError, match=f"damaged result store: it has lost {variable}"):
            ResultStore.open(path)

    @pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
    def test_a_cut_file_is_told(self, many, tmp_path, share):
        path = shutil.copytree(many, tmp_path / "results.zarr")
        (file,) = [p for p in (path / "keypoints_3d" / "c" / "1").rglob("*") if p.is_file()]
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        store = ResultStore.open(path)
        first, second, _ = store.blocks()
        assert len(store.read_block(first)) == 512
        sentence = r"results\.zarr: expected a whole result store, found a damaged keypoints_3d \("
        for read in (store.read_block, lambda block: store.read("keypoints_3d", block)):
            with pytest.raises(InputError, match=sentence):
                read(second)
