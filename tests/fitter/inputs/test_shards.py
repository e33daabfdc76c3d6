"""Images in tar files and at addresses: which there are, where their bytes are, what is refused."""

import gzip
import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import webdataset
from fsspec.registry import known_implementations

from fitter.inputs import ImageSource, Intrinsics, Sources
from fitter.inputs.addresses import read_part
from fitter.inputs.sidecars import LARGEST_SIDECAR
from fitter.inputs.tar_index import tar_index
from tests.support import bad_files
from tests.support.errors import raises
from tests.support.shard_files import TIME, K, cut, k_json, samples, served, write_shard

HAND = bad_files.HAND.read_bytes()


def names(*arguments: object, index=None) -> list[str]:
    return list(ImageSource.of([str(a) for a in arguments], index).names())


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/b"):
        system.rm("/b", recursive=True)


class TestIndex:
    def test_members_are_where_tarfile_finds_them(self, tmp_path):
        generator = np.random.default_rng(3)
        members = {
            f"{'long/' * 30}{k}.bin": generator.bytes(int(generator.integers(0, 3000)))
            for k in range(40)
        }
        for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
            path = tmp_path / f"{kind}.tar"
            with tarfile.open(path, "w", format=kind) as tar:
                for name, content in members.items():
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime = len(content), TIME
                    tar.addfile(info, io.BytesIO(content))
            index = tar_index(str(path))
            content = path.read_bytes()
            found = {n: content[m.offset : m.offset + m.size] for n, m in index.members.items()}
            assert found == members and not index.broken

    @pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.9, 0.999])
    def test_of_one_that_breaks_off_anywhere_the_whole_members_are_used(self, tmp_path, share):
        members = {f"{k}.bin": bytes([k]) * (700 * k) for k in range(12)}
        path = write_shard(tmp_path / "a.tar", members)
        whole = tar_index(str(path))
        # Without the padding at the end, of which nothing is missed.
        end = max(m.offset + m.size for m in whole.members.values())
        size = int(end * share)
        cut(path, size)
        index = tar_index(str(path))
        assert index.members == {
            n: m for n, m in whole.members.items() if m.offset + m.size <= size
        }
        assert "breaks off" in index.broken and f"{len(index.members)} whole files" in index.broken

    def test_it_is_kept_until_the_tar_file_changes(self, tmp_path, monkeypatch):
        path, kept = write_shard(tmp_path / "a.tar", samples(["a"])), tmp_path / "index"
        first = tar_index(str(path), kept)
        with monkeypatch.context() as patch:
            patch.setattr("tarfile.open", None)
            assert tar_index(str(path), kept) == first
        write_shard(path, samples(["a", "b"]))
        assert sorted(tar_index(str(path), kept).members) == ["a.jpg", "b.jpg"]
        for damaged in kept.iterdir():
            damaged.write_text('{"format": 1')
        assert sorted(tar_index(str(path), kept).members) == ["a.jpg", "b.jpg"]

    def test_several_runs_keep_one_index_at_a_time(self, tmp_path, monkeypatch):
        # Processes of two machines may have the same number.
        written = []
        real = Path.write_text
        monkeypatch.setattr(
            Path, "write_text", lambda path, *a, **k: written.append(path) or real(path, *a, **k)
        )
        path = write_shard(tmp_path / "a.tar", samples(["a"]))
        for folder in ("x", "x"):
            tar_index(str(path), tmp_path / folder)
            for kept in (tmp_path / folder).iterdir():
                kept.unlink()
        assert len(set(written)) == 2

    def test_an_index_of_another_form_is_made_anew(self, tmp_path):
        path, kept = write_shard(tmp_path / "a.tar", samples(["a"])), tmp_path / "index"
        first = tar_index(str(path), kept)
        (file,) = kept.iterdir()
        file.write_text(json.dumps(json.loads(file.read_text()) | {"members": [1]}))
        assert tar_index(str(path), kept) == first

    def test_links_are_members_and_what_has_no_content_or_name_is_counted(self, tmp_path):
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in ("a.jpg", "\udcff.jpg"):
                info = tarfile.TarInfo(name)
                info.size = len(HAND)
                tar.addfile(info, io.BytesIO(HAND))
            for name, kind, target in (
                ("hard.jpg", tarfile.LNKTYPE, "a.jpg"),
                ("none.jpg", tarfile.LNKTYPE, "b.jpg"),
                ("soft.jpg", tarfile.SYMTYPE, "a.jpg"),
                ("folder", tarfile.DIRTYPE, ""),
                ("pipe.jpg", tarfile.FIFOTYPE, ""),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                tar.addfile(info)
        for _ in range(2):  # made, then kept
            index = tar_index(str(path), tmp_path / "index")
            assert sorted(index.members) == ["a.jpg", "hard.jpg", "\udcff.jpg"]
            assert not index.broken
            assert index.members["hard.jpg"] == index.members["a.jpg"]
        source = ImageSource.of([str(path)])
        assert list(source.names()) == [r"a.tar/\xff.jpg", "a.tar/a.jpg", "a.tar/hard.jpg"]
        for name in ("a.tar/hard.jpg", r"a.tar/\xff.jpg"):
            assert source.files.file_of(name).read()[0].shape == (480, 640, 3)
        assert source.skipped == {
            "links": 2,
            "sparse or special files": 1,
        }

    def test_names_stay_inside(self, tmp_path):
        members = {"../../a.jpg": HAND, "/b.jpg": HAND, "./c/../d.jpg": HAND}
        index = tar_index(str(write_shard(tmp_path / "a.tar", members)))
        assert sorted(index.members) == ["a.jpg", "b.jpg", "d.jpg"]


class TestSource:
    def test_what_webdataset_writes_is_read(self, tmp_path):
        with webdataset.ShardWriter(str(tmp_path / "%03d.tar"), maxcount=2, verbose=0) as writer:
            for k in range(5):
                writer.write({"__key__": f"s/{k}", "jpg": HAND, "json": {"K": K}, "cls": k})
        source = ImageSource.of([str(tmp_path / "{000..002}.tar")])
        found = list(source.names())
        assert found == [f"00{k // 2}.tar/s/{k}.jpg" for k in range(5)]
        assert source.skipped == {".cls": 5}
        image = pickle.loads(pickle.dumps(source.files)).file_of(found[3])
        assert image.read()[0].shape == (480, 640, 3)
        np.testing.assert_array_equal(image.intrinsics(), K)

    def test_masks_and_depth_beside_an_image_are_none(self, tmp_path):
        beside = {"mask.png": HAND, "depth.png": HAND}
        members = samples(["a"], **beside) | {"v.1.jpg": HAND, "v.2.jpg": HAND, "c.rgb.png": HAND}
        write_shard(tmp_path / "a.tar", members)
        source = ImageSource.of([str(tmp_path / "a.tar")])
        assert list(source.names()) == [
            f"a.tar/{name}" for name in ("a.jpg", "c.rgb.png", "v.1.jpg", "v.2.jpg")
        ]
        assert source.skipped == {".mask.png": 1, ".depth.png": 1}

    def test_hidden_files_are_no_images_as_in_a_folder(self, tmp_path):
        beside = {"a/._0.jpg": HAND, "__MACOSX/._x.jpg": HAND, ".cache/y.jpg": HAND}
        write_shard(tmp_path / "a.tar", samples(["a/0"]) | beside)
        source = ImageSource.of([str(tmp_path / "a.tar")])
        assert list(source.names()) == ["a.tar/a/0.jpg"] and not source.skipped

    def test_shards_are_named_in_every_way_alike(self, tmp_path, monkeypatch, memory):
        (tmp_path / "x").mkdir()
        for k in range(3):
            path = write_shard(tmp_path / "x" / f"p-{k:02}.tar", samples(["a"]))
            memory.pipe(f"/b/x/p-{k:02}.tar", path.read_bytes())
        (tmp_path / "x" / "all.lst").write_text("# shards\np-00.tar\n\np-01.tar\np-02.tar\n")
        expected = [f"p-0{k}.tar/a.jpg" for k in range(3)]
        monkeypatch.chdir(tmp_path)
        assert names("x/p-{00..02}.tar") == expected
        assert names("x/p-0{0,1,2}.tar") == expected
        assert names("x/*.tar") == expected
        assert names("**/p-*.tar") == expected
        assert names("x/all.lst") == expected
        assert names(*(f"x/p-0{k}.tar" for k in (2, 0, 1))) == expected
        assert names("memory://b/x/p-{00..02}.tar") == expected
        assert names("memory://b/x/*.tar") == expected
        assert names(f"file://{tmp_path}/x/*.tar") == expected

    def test_what_is_no_shard_is_refused_or_said(self, tmp_path, memory):
        path = tmp_path / "a.tar"
        with raises("shard.missing", file=str(path)):
            names(path)
        with raises("shard.no_match"):
            names(tmp_path / "*.tar")
        with raises("shard.range", found="3..1"):
            names(tmp_path / "{3..1}.tar")
        write_shard(path, {"a.cls": b"1"})
        with raises("shard.no_image"):
            names(path)
        with raises("list.one_of_several"):
            names(path, tmp_path / "b.jpg")
        path.write_bytes(gzip.compress(HAND))
        with raises("shard.none_whole") as raised:
            names(path)
        assert "gzip" in str(raised.value)
        # Beside a good one it costs its own images alone.
        write_shard(tmp_path / "b.tar", samples(["a"]))
        (tmp_path / "c.tar").write_bytes(b"no tar file" * 100)
        source = ImageSource.of([str(tmp_path / "*.tar")])
        assert list(source.names()) == ["b.tar/a.jpg"] and len(source.broken) == 2

    def test_a_member_is_no_frame_of_a_video(self, tmp_path):
        write_shard(tmp_path / "a.tar", samples(["0", "1"]))
        source = ImageSource.of([str(tmp_path / "a.tar")])
        for file in map(source.files.file_of, source.names()):
            assert file.time is None and file.stamp()[1] > 0  # when it was changed is no time in it

    def test_a_member_that_is_gone_reads_as_missing(self, tmp_path):
        path = write_shard(tmp_path / "a.tar", samples(["a"]))
        files = ImageSource.of([str(path)]).files
        for name in ("a.tar/b.jpg", "b.tar/a.jpg"):
            with raises("image.missing"):
                files.file_of(name).read()

    def test_a_folder_of_them_alone_is_told_how_to_give_them(self, tmp_path):
        write_shard(tmp_path / "a.tar", samples(["a"]))
        with raises("list.only_shards", folder=str(tmp_path)):
            names(tmp_path)

    def test_a_process_in_another_folder_reads_the_same(self, tmp_path, monkeypatch):
        write_shard(tmp_path / "a.tar", samples(["a"], json=k_json()))
        monkeypatch.chdir(tmp_path)
        source = ImageSource.of(["a.tar"], Path("index"))
        sources = Sources(source.root, list(source.names()), Intrinsics(), files=source.files)
        there = pickle.loads(pickle.dumps(sources.absolute()))
        (here,) = sources.tasks(0, 1)
        monkeypatch.chdir("/")
        (task,) = there.tasks(0, 1)
        assert task.file.read()[0].shape == (480, 640, 3)
        assert task.stamps() == here.stamps()
        assert len(pickle.dumps(task)) < 1500

    def test_what_changes_in_a_shard_is_told_though_sizes_and_times_are_equal(self, tmp_path):
        path = tmp_path / "a.tar"

        def stamps(image: bytes, k: bytes):
            write_shard(path, {"a.jpg": image, "a.json": k})
            source = ImageSource.of([str(path)], tmp_path / "index")
            sources = Sources(source.root, list(source.names()), Intrinsics(), files=source.files)
            return sources.tasks(0, 1)[0].stamps()

        first, other_k = k_json(), k_json().replace(b"800.0", b"900.0")
        before = stamps(HAND, first)
        os.utime(path, (TIME, TIME))
        touched = stamps(HAND, first)
        assert touched.inputs_digest == before.inputs_digest  # which would be refused
        assert stamps(HAND, other_k).inputs_digest != before.inputs_digest
        os.utime(path, (TIME, TIME))
        again = stamps(HAND[:-3] + b"abc", first)
        assert again.file[0] == before.file[0] and again.file[1] != TIME

    def test_what_stands_beside_an_image_has_a_largest_size(self, tmp_path):
        path = write_shard(tmp_path / "a.tar", samples(["a"], json=bytes(LARGEST_SIDECAR + 1)))
        image = ImageSource.of([str(path)]).files.file_of("a.tar/a.jpg")
        with raises("address.too_large", expected=LARGEST_SIDECAR, found=LARGEST_SIDECAR + 1):
            image.intrinsics()

    def test_a_key_with_dots_has_its_k_in_a_text(self, tmp_path):
        path = write_shard(tmp_path / "a.tar", {"v.1.jpg": HAND, "v.1.txt": b"800,800,320,240"})
        image = ImageSource.of([str(path)]).files.file_of("a.tar/v.1.jpg")
        np.testing.assert_array_equal(image.intrinsics(), K)

    def test_a_shard_that_shrinks_while_it_is_read_is_told(self, tmp_path):
        path = write_shard(tmp_path / "a.tar", samples(["a"]))
        image = ImageSource.of([str(path)]).files.file_of("a.tar/a.jpg")
        cut(path, 1000)
        with raises("shard.ends", expected=len(HAND), found=1000 - 512):
            image.read()


class TestAddresses:
    def test_folders_patterns_lists_and_images(self, memory):
        for name in ("x.jpg", "s/y.PNG", "s/t/z.jpg", "s/n.txt", ".hidden/h.jpg", "s/.h.jpg"):
            memory.pipe(f"/b/{name}", HAND)
        memory.pipe("/b/list.txt", b"s/y.PNG\nmemory://b/x.jpg\n")
        source = ImageSource.of(["memory://b/"])
        assert list(source.names()) == ["s/t/z.jpg", "s/y.PNG", "x.jpg"]
        assert source.is_folder and source.skipped == {".txt": 2}
        assert names("memory://b/*/*.PNG") == ["s/y.PNG"]
        assert names("memory://b/**/*.jpg") == ["s/t/z.jpg", "x.jpg"]
        assert names("memory://b/s/t/z.jpg") == ["z.jpg"]
        listed = ImageSource.of(["memory://b/list.txt"])
        assert list(listed.names()) == ["memory://b/x.jpg", "s/y.PNG"]
        for name in listed.names():
            assert listed.files.file_of(name).read()[0].shape == (480, 640, 3)
        assert names("memory://b/x.jpg", "memory://b/s/y.PNG") == [
            "memory://b/s/y.PNG",
            "memory://b/x.jpg",
        ]

    def test_a_server_without_parts_of_files_is_refused_for_shards(self, tmp_path):
        write_shard(tmp_path / "a.tar", samples(["a"]))
        (tmp_path / "a.jpg").write_bytes(HAND)
        with served(tmp_path, sends_parts=False) as server:
            with raises("address.no_parts", file=f"{server}/a.tar"):
                names(f"{server}/a.tar")
            image = ImageSource.of([f"{server}/a.jpg"]).files.file_of("a.jpg")
            assert image.read()[0].shape == (480, 640, 3)

    def test_a_server_that_cannot_be_reached_is_no_missing_file(self, tmp_path):
        write_shard(tmp_path / "a.tar", samples(["a"]))
        with served(tmp_path) as server, raises("shard.missing", file=f"{server}/b.tar"):
            names(f"{server}/b.tar")
        with raises("address.unreadable", file=f"{server}/a.tar") as refusal:
            names(f"{server}/a.tar")
        assert "onnect" in refusal.value.facts["reason"]

    def test_of_a_shard_far_away_each_image_costs_its_own_bytes(self, tmp_path):
        write_shard(tmp_path / "a.tar", samples([f"{k}" for k in range(9)], json=k_json()))
        with served(tmp_path) as server:
            files = ImageSource.of([f"{server}/a.tar"], tmp_path / "index").files
            image = files.file_of("a.tar/5.jpg")
            read = []
            system = fsspec.filesystem("http")
            real = system.cat_file
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    system, "cat_file", lambda *a, **k: read.append(real(*a, **k)) or read[-1]
                )
                assert image.read()[0].shape == (480, 640, 3)
                image.intrinsics()
        assert [len(part) for part in read] == [len(HAND), len(k_json())]

    @pytest.mark.parametrize("ending", ["jpg", "tar"])
    def test_a_list_far_away_cannot_name_files_of_this_machine(self, memory, tmp_path, ending):
        (tmp_path / "x.jpg").write_bytes(HAND)
        write_shard(tmp_path / "x.tar", samples(["a"]))
        for line in (
            f"file://{tmp_path}/x.{ending}",
            f"{tmp_path}/x.{ending}",
            f"memory://other/x.{ending}",
            f"memory://b/y::file://{tmp_path}/x.{ending}",
        ):
            memory.pipe("/b/list.txt", f"# a comment\n{line}\n".encode())
            with raises("address.leads_away", expected="memory://b", found=line):
                names("memory://b/list.txt")

    def test_no_more_is_read_than_an_image_can_need(self, memory, tmp_path):
        memory.pipe("/b/x.jpg", HAND)
        (tmp_path / "x.jpg").write_bytes(HAND)
        for place in ("memory://b/x.jpg", str(tmp_path / "x.jpg")):
            assert read_part(place, 0, None, "x", len(HAND)) == HAND
            for size, found in ((None, 1001), (1002, 1002)):
                with raises("address.too_large", file="x", expected=1000, found=found):
                    read_part(place, 0, size, "x", 1000)

    def test_what_cannot_be_asked_is_said_in_one_sentence(self, memory, monkeypatch):
        with raises("address.protocol", found="nonsense"):
            names("nonsense://b/x.jpg")
        with raises("list.nothing_there"):
            names("memory://b/nowhere")
        monkeypatch.setitem(
            known_implementations, "far", {"class": "no_such_package.File", "err": "no"}
        )
        with raises("address.package", package="no_such_package", protocol="far"):
            names("far://b/x.jpg")

        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError("the token\nhas expired")

        memory.pipe("/b/x.jpg", HAND)
        image = ImageSource.of(["memory://b/x.jpg"]).files.file_of("x.jpg")
        monkeypatch.setattr(type(memory), "cat_file", refuse)
        with raises("address.unreadable", reason="the token has expired"):
            image.read()
        monkeypatch.setattr(type(memory), "exists", refuse)
        with raises("address.unreadable", file="memory://b/*.jpg"):
            names("memory://b/*.jpg")
