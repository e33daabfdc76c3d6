"""Writers that share the blocks of a store, and stores that are lost while one writes."""

import select
import shutil

import pytest

from fitter.store.result_store import Block, ResultStore
from fitter.system.lock import WHOLE, Share, WriterLock
from tests.support.errors import raises
from tests.support.store_rows import SPEC, contents, fill, start

SHARER = """
import sys
from pathlib import Path
from fitter.store.result_store import ResultStore
from fitter.system.lock import Share
from tests.support.store_rows import SPEC, fill

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
            for function in (ResultStore.resume, ResultStore.create):
                options = {"overwrite": True} if function == ResultStore.create else {}
                with raises("run.busy", file=path):
                    function(path, SPEC, **options)
                with raises("run.busy_share", file=path, share=Share(2, 2)):
                    function(path, SPEC, share=Share(2, 2), **options)
                with raises("run.busy_shares", file=path, of=2):
                    function(path, SPEC, share=Share(1, 3), **options)
            for process in (second, first):
                process.communicate("go on\n", timeout=60)
                assert process.returncode == 0
        assert contents(path) == contents(undisturbed)
        assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]

    def test_all_of_it_is_written_by_nobody_else(self, tmp_path):
        with ResultStore.create(tmp_path / "r.zarr", SPEC) as store:
            assert store.is_alone
            with raises("run.busy"):
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
        with raises("store.gone", file=tmp_path / "r.zarr"):
            ResultStore.resume(tmp_path / "r.zarr", SPEC, Share(2, 2))
        with raises("run.busy"):
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
            with raises("store.replaced", file=path):
                fill(store, store.blocks()[1:])
            assert not path.exists()
            path.mkdir()
            with raises("store.replaced"):
                fill(store, store.blocks()[1:])
            assert not list(path.iterdir())

    def test_nothing_is_written_to_a_store_that_took_its_place(self, undisturbed, tmp_path):
        path = tmp_path / "results.zarr"
        with ResultStore.create(path, SPEC) as store:
            path.rename(tmp_path / "moved.zarr")
            shutil.copytree(undisturbed, path)
            with raises("store.replaced"):
                fill(store, store.blocks()[:1])
        assert contents(path) == contents(undisturbed)

    def test_a_store_whose_metadata_were_deleted_is_lost(self, tmp_path):
        with ResultStore.create(tmp_path / "r.zarr", SPEC) as store:
            (store.path / "zarr.json").unlink()
            before = contents(store.path)
            with raises("store.replaced"):
                fill(store)
            assert contents(store.path) == before

    @pytest.mark.parametrize("variable", ["keypoints_3d", "image_status", "fit_error"])
    def test_a_variable_that_is_gone_is_told(self, undisturbed, tmp_path, variable):
        path = shutil.copytree(undisturbed, tmp_path / "results.zarr")
        shutil.rmtree(path / variable)
        with raises("store.lost", file=path, what=variable):
            ResultStore.open(path)

    @pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
    def test_a_cut_file_is_told(self, many, tmp_path, share):
        path = shutil.copytree(many, tmp_path / "results.zarr")
        (file,) = [p for p in (path / "keypoints_3d" / "c" / "1").rglob("*") if p.is_file()]
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        store = ResultStore.open(path)
        first, second, _ = store.blocks()
        assert len(store.read_block(first)) == 512
        for read in (store.read_block, lambda block: store.read("keypoints_3d", block)):
            with raises("store.damaged_variable", file=path, variable="keypoints_3d"):
                read(second)
