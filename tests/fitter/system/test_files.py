"""Files that are whole or not there."""

import os

import pytest

from fitter.system.files import write_whole


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("content", [b"words", lambda file: file.write(b"words")])
def test_a_file_takes_the_place_of_another(tmp_path, content, durable, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    (tmp_path / "a.txt").write_text("older and longer")
    write_whole(tmp_path / "a.txt", content, durable=durable)
    assert (tmp_path / "a.txt").read_bytes() == b"words"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert len(synced) == (2 if durable else 0)  # the file and its folder


@pytest.mark.parametrize("fault", [OSError(28, "full"), ValueError("ours"), KeyboardInterrupt()])
def test_what_was_there_is_kept_where_writing_fails(tmp_path, fault):
    (tmp_path / "a.txt").write_text("before")

    def fail(file):
        file.write(b"half")
        raise fault

    with pytest.raises(type(fault)):
        write_whole(tmp_path / "a.txt", fail)
    assert (tmp_path / "a.txt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
