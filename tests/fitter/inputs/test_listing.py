"""Listings of pictures: every kind of source in one order, with little memory, or refused."""

import io
import itertools
import os
import sys
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitter.inputs import listing, walking
from fitter.inputs import names as name_sort
from fitter.inputs.listing import OTHER_ENDINGS, ImageSource
from fitter.inputs.names import new_names, sorted_unique
from tests.support.errors import raises

SUFFIXES = ".avif, .bmp, .heic, .heif, .jpeg, .jpg, .png, .tif, .tiff, .webp"

names_of_files = st.text(st.characters(exclude_characters="\0"), max_size=6)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*arguments):
    return list(ImageSource.of([str(argument) for argument in arguments]).names())


def refuses(code, *arguments, **facts):
    with raises(f"list.{code}", **facts):
        names(*arguments)


def refuses_at_once(code, *arguments, **facts):
    with raises(f"list.{code}", **facts) as caught:
        ImageSource.of([str(argument) for argument in arguments])
    assert "\n" not in str(caught.value)


def write_list(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say_on_stdin(monkeypatch):
    def say(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return say


class TestSort:
    @given(st.lists(names_of_files), st.integers(1, 5))
    def test_is_that_of_a_sorted_set(self, some, run_length):
        assert list(sorted_unique(some, run_length=run_length)) == sorted(set(some))

    @pytest.mark.parametrize("fan_in", [2, 3, 7])
    def test_in_several_passes(self, monkeypatch, tmp_path, fan_in):
        monkeypatch.setattr(name_sort, "_FAN_IN", fan_in)
        monkeypatch.setattr(name_sort, "_READ_SIZE", 5)
        some = [f"{i * 37 % 101}\n{'é' * (i % 9)}😀\ud800" for i in range(150)]
        merged = []
        for name in sorted_unique(some, tmp_path, run_length=4):
            merged.append(name)
            assert len(list(next(tmp_path.iterdir()).iterdir())) <= fan_in
        assert merged == sorted(set(some))
        assert not list(tmp_path.iterdir())

    def test_what_fits_in_one_run_touches_no_disk(self, monkeypatch):
        monkeypatch.setattr(tempfile, "TemporaryDirectory", None)
        assert list(sorted_unique("cbacb", run_length=5)) == ["a", "b", "c"]
        assert list(sorted_unique([], run_length=5)) == []
        with pytest.raises(TypeError):
            list(sorted_unique("cbacba", run_length=5))

    def test_memory_does_not_grow_with_the_names(self, tmp_path):
        count = 300_000
        tracemalloc.start()
        try:
            some = (f"pictures/{i * 7919 % count:08d}.jpg" for i in range(count))
            ordered = sorted_unique(some, tmp_path, run_length=10_000)
            assert sum(1 for _ in ordered) == count
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 5e6  # the names alone are 21 MB

    def test_temporary_files_go_when_it_is_closed_early(self, tmp_path):
        ordered = sorted_unique("dcba", tmp_path, run_length=1)
        assert next(ordered) == "a"
        assert list(tmp_path.iterdir())
        ordered.close()
        assert not list(tmp_path.iterdir())

    def test_temporary_files_go_when_a_name_cannot_be_had(self, tmp_path):
        def some():
            yield from "dcba"
            raise LookupError("gone")

        with pytest.raises(LookupError, match="gone"):
            list(sorted_unique(some(), tmp_path, run_length=1))
        with pytest.raises(ValueError, match="NUL"):
            list(sorted_unique(["a\0", "b"], tmp_path, run_length=1))
        assert not list(tmp_path.iterdir())

    def test_says_where_there_is_no_room(self, tmp_path):
        folder = tmp_path / "missing"
        with raises("list.no_room", file=folder, reason="No such file or directory"):
            list(sorted_unique("ab", folder, run_length=1))

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
    def test_says_that_the_disk_is_full(self, tmp_path, monkeypatch):
        opened = Path.open
        monkeypatch.setattr(Path, "open", lambda path, mode: opened(Path("/dev/full"), mode))
        with raises("list.no_room", file=tmp_path, reason="No space left on device"):
            list(sorted_unique("ab", tmp_path, run_length=1))
        assert not list(tmp_path.iterdir())


@given(st.sets(names_of_files), st.lists(names_of_files))
def test_new_names_are_those_not_known(listed, known):
    assert list(new_names(iter(sorted(listed)), iter(known))) == sorted(listed - set(known))


class TestFolder:
    def test_is_sorted_relative_and_without_hidden_files(self, tmp_path):
        pictures = ["b.PNG", "a b.jpg", "inner/c.WebP", "inner/ünï.tiff", "Z.jpeg", "new\nline.jpg"]
        touch(tmp_path, *pictures, ".hidden.jpg", ".git/d.jpg", "notes.txt", "inner/._c.jpg")
        source = ImageSource.of([str(tmp_path)])
        assert source.root == tmp_path and source.title == str(tmp_path)
        assert list(source.names()) == sorted(pictures)

    @given(
        st.sets(
            st.lists(st.sampled_from(["a", "a-b", "a.b", "B", "ä", "a\n"]), max_size=3).map(
                "/".join
            )
        )
    )
    def test_order_is_that_of_the_full_names(self, stems):
        pictures = {f"{stem}.jpg" for stem in stems if stem}
        with tempfile.TemporaryDirectory() as folder:
            touch(Path(folder), *pictures, "a.jpg")
            assert names(folder) == sorted(pictures | {"a.jpg"})

    def test_links_to_folders_are_not_followed(self, tmp_path):
        touch(tmp_path, "a/b.jpg", "c.jpg")
        (tmp_path / "linked").symlink_to(tmp_path / "a")
        (tmp_path / "a" / "up.jpg").symlink_to(tmp_path)
        (tmp_path / "file.jpg").symlink_to(tmp_path / "c.jpg")
        (tmp_path / "broken.jpg").symlink_to(tmp_path / "missing")
        assert names(tmp_path) == ["a/b.jpg", "broken.jpg", "c.jpg", "file.jpg"]

    def test_deep_and_wide_trees(self, tmp_path, monkeypatch):
        monkeypatch.setattr(walking, "_OPEN_FOLDERS", 2)
        pictures = ["/".join(f"{i}x" * depth) + ".jpg" for i in range(4) for depth in range(1, 6)]
        touch(tmp_path, *pictures)
        assert names(tmp_path) == sorted(pictures)

    def test_a_flat_folder_is_read_bit_by_bit(self, tmp_path, monkeypatch):
        touch(tmp_path, *(f"{i}.jpg" for i in range(20)))
        entries, taken = walking._entries, []

        def counted(*where):
            for entry in entries(*where):
                taken.append(entry)
                yield entry

        monkeypatch.setattr(walking, "_entries", counted)
        found = ImageSource.of([str(tmp_path)]).unsorted({})
        for expected in range(1, 21):
            next(found)
            assert len(taken) == expected

    def test_files_of_other_kinds_are_counted(self, tmp_path):
        touch(tmp_path, "a.jpg", "b.SVG", "c.svg", "notes", ".hidden.gif", "sub/d.txt", "e.")
        source = ImageSource.of([str(tmp_path)])
        for _ in range(2):
            assert list(source.names()) == ["a.jpg"]
            assert source.skipped == {".svg": 2, "no ending": 2, ".txt": 1}

    def test_endings_beyond_counting_are_counted_together(self, tmp_path, monkeypatch):
        monkeypatch.setattr(listing, "_COUNTED_ENDINGS", 3)
        touch(tmp_path, "a.jpg", *(f"frame.{i:06d}" for i in range(10)))
        source = ImageSource.of([str(tmp_path)])
        assert list(source.names()) == ["a.jpg"]
        assert source.skipped[OTHER_ENDINGS] == 7 and len(source.skipped) == 4

    def test_refusals(self, tmp_path):
        touch(tmp_path, "empty/.a.jpg", "empty/.b/c.jpg", "notes.md")
        empty, missing, notes = (tmp_path / name for name in ("empty", "no", "notes.md"))
        refuses("empty_folder", empty, file=str(empty), endings=SUFFIXES)
        refuses_at_once("nothing_there", missing, file=missing)
        refuses_at_once("ending", notes, file=notes, found=".md", endings=SUFFIXES)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a file system of bytes")
    def test_a_name_that_is_no_text_is_escaped(self, tmp_path):
        path = tmp_path / os.fsdecode(b"hand\xff.jpg")
        path.touch()
        touch(tmp_path, r"hand\xff.jpg", "händ.jpg")
        assert names(tmp_path) == [r"hand\x5cxff.jpg", r"hand\xff.jpg", "händ.jpg"]
        assert names(path) == [r"hand\xff.jpg"]
        assert names(tmp_path / "*\udcff*") == [r"hand\xff.jpg"]

    def test_refuses_a_folder_that_cannot_be_listed(self, tmp_path, monkeypatch):
        def forbidden(folder):
            raise PermissionError(13, "Permission denied", str(folder))

        monkeypatch.setattr(walking.os, "scandir", forbidden)
        refuses("unlistable", tmp_path, file=tmp_path, reason="Permission denied")


def test_one_picture(tmp_path):
    touch(tmp_path, "one.jpg", "two[1].jpg", "a*/x.jpg")
    source = ImageSource.of([str(tmp_path / "one.jpg")])
    assert (source.root, list(source.names())) == (tmp_path, ["one.jpg"])
    assert names(tmp_path / "two[1].jpg") == ["two[1].jpg"]  # a file, so no pattern
    assert names(tmp_path / "a*") == ["x.jpg"]


class TestPattern:
    @pytest.fixture(autouse=True)
    def pictures(self, here):
        touch(here, "a.jpg", "b.png", "notes.txt", ".h.jpg", "sub/c.jpg", "sub/.d/e.jpg")
        touch(here, "sub/deep/f.jpg", "sub/deep/g.gif", "away/h.jpg", "sub.jpg/i.jpg")
        (here / "sub" / "linked").symlink_to(here / "away")

    @pytest.mark.parametrize(
        "pattern, root, expected",
        [
            ("*.jpg", ".", ["a.jpg"]),
            ("./*", ".", ["a.jpg", "b.png"]),
            ("[!a].p?g", ".", ["b.png"]),
            (".*", ".", [".h.jpg"]),
            ("*/*.jpg", ".", ["away/h.jpg", "sub.jpg/i.jpg", "sub/c.jpg"]),
            ("sub/*/?.jpg", "sub", ["deep/f.jpg", "linked/h.jpg"]),
            ("sub/**", "sub", ["c.jpg", "deep/f.jpg"]),
            ("sub/**/**/*.jpg", "sub", ["c.jpg", "deep/f.jpg"]),
            ("**/deep/*", ".", ["sub/deep/f.jpg"]),
            ("s*/**/f.jpg", ".", ["sub/deep/f.jpg"]),
        ],
    )
    def test_matches(self, pattern, root, expected):
        source = ImageSource.of([pattern])
        assert (source.root, list(source.names())) == (Path(root), expected)

    def test_matches_from_an_absolute_folder_and_counts_other_files(self, here):
        source = ImageSource.of([f"{here}/sub/**/*"])
        assert (source.root, list(source.names())) == (here / "sub", ["c.jpg", "deep/f.jpg"])
        assert source.skipped == {".gif": 1}

    def test_refusals(self):
        refuses("no_match", "sub/*.gif", file="sub/*.gif", endings=SUFFIXES)
        refuses_at_once("no_folder", "no/*.jpg", file="no/*.jpg", folder="no")


class TestList:
    @pytest.mark.parametrize("name", ["photos.txt", "photos.LST"])
    def test_is_read_line_by_line(self, tmp_path, name):
        content = (
            "\ufeffb.jpg\r\n\n# words\n./sub//x/../é.PNG\r\n/far/a.jpg\n  \nb.jpg\n../#a b.tif"
        )
        source = ImageSource.of([str(write_list(tmp_path / name, content))])
        assert source.root == tmp_path
        for _ in range(2):
            assert list(source.names()) == ["../#a b.tif", "/far/a.jpg", "b.jpg", "sub/é.PNG"]
        assert not source.skipped

    @pytest.mark.parametrize(
        "line, code, facts",
        [
            (b"b.svg", "line_is_no_image", {"found": "b.svg", "endings": SUFFIXES}),
            (b"a\0.jpg", "line_is_no_image", {"found": "a\0.jpg"}),
            (b" .jpg ", "line_is_no_image", {"found": " .jpg "}),
            (b"sub.jpg/", "line_is_folder", {"found": "sub.jpg/", "endings": SUFFIXES}),
            (b"a.jpg/..", "line_is_folder", {"found": "a.jpg/.."}),
            ("b.jpg".encode("utf-16"), "line_is_no_image", {}),
            (b"a" * 40_000 + b".jpg", "long_line", {"length": 32768}),
        ],
    )
    def test_refuses_a_line(self, tmp_path, say_on_stdin, line, code, facts):
        content = b"# a.jpg\na.jpg\r\n" + line + b"\nb.jpg\n"
        path = write_list(tmp_path / "photos.txt", content)
        refuses(code, path, file=f"{path}, line 3", **facts)
        say_on_stdin(content)
        refuses(code, "-", file="standard input, line 3", **facts)

    def test_refuses_an_empty_list(self, tmp_path, say_on_stdin):
        path = write_list(tmp_path / "photos.txt", "# nothing\n\n")
        refuses("empty", path, file=str(path))
        say_on_stdin(b"")
        refuses("empty", "-", file="standard input")

    def test_refuses_a_list_that_is_gone(self, tmp_path):
        path = write_list(tmp_path / "photos.txt", "a.jpg")
        source = ImageSource.of([str(path)])
        path.unlink()
        with raises("list.unreadable", file=str(path), reason="No such file or directory"):
            next(source.names())

    def test_standard_input_is_read_once(self, say_on_stdin, monkeypatch):
        say_on_stdin("b/ä.jpg\na.jpg\nb/ä.jpg".encode())
        source = ImageSource.of(["-"])
        assert (source.root, list(source.names())) == (Path(), ["a.jpg", "b/ä.jpg"])
        with pytest.raises(RuntimeError, match="read before"):
            names("-")
        monkeypatch.setattr(sys, "stdin", None)
        refuses("closed", "-", file="standard input")


class TestSeveral:
    def test_are_a_list(self, here):
        source = ImageSource.of(["sub/b.jpg", "./a.PNG", "/far/c.jpg", "a.PNG"])
        assert (source.root, source.title) == (Path(), "4 arguments")
        assert list(source.names()) == ["/far/c.jpg", "a.PNG", "sub/b.jpg"]

    @pytest.mark.parametrize(
        "argument, found",
        [
            ("-", "standard input"),
            ("sub", "a folder"),
            ("sub.jpg", "a folder"),
            ("photos.txt", "a list"),
            ("b*.jpg", "a pattern"),
            ("a.svg", "a name that ends in '.svg'"),
        ],
    )
    def test_refuses_what_is_no_picture(self, here, argument, found):
        touch(here, "sub/b.jpg", "sub.jpg/b.jpg", "a.jpg", "c[1].jpg")
        for arguments in itertools.permutations(["a.jpg", argument, "c[1].jpg"]):
            refuses_at_once(
                "one_of_several", *arguments, file=argument, found=found, endings=SUFFIXES
            )

    def test_refuses_none(self):
        refuses("no_arguments")
