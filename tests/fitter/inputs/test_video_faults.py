"""What is said of files that cannot be opened as videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitter.errors import InputError, sentence
from fitter.inputs.listing import ImageSource
from fitter.inputs.video_streams import opened_video
from tests.support.errors import raises
from tests.support.video_files import write_video


def bad(path: Path) -> str:
    """What is said of a video."""
    with pytest.raises(InputError) as caught, opened_video(path):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "video.empty"),
        (b"no video at all\n" * 1000, "video.text"),
        ("keine Bilder, nur Wörter: é".encode() * 1000, "video.text"),
        (bytes(range(256)) * 40, "video.damaged"),
        (b"\x1aE\xdf\xa3", "video.damaged"),
    ],
)
@pytest.mark.parametrize("ending", [".mkv", ".mov"])
def test_files_that_are_none(tmp_path, content, code, ending):
    path = tmp_path / f"clip{ending}"
    path.write_bytes(content)
    assert bad(path) == sentence(code, {"file": path})


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_an_index_that_was_not_written(tmp_path, share):
    whole = write_video(tmp_path / "whole.mp4", 25)  # its index stands behind the frames
    content = whole.read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(content[: int(content.index(b"moov") * share)])
    assert bad(path) == sentence("video.no_index", {"file": path})


def test_one_that_is_not_there_may_be_a_video(tmp_path):
    with raises("list.nothing_there", file=tmp_path / "gone.mp4") as caught:
        ImageSource.of([str(tmp_path / "gone.mp4")])
    assert "a picture or a video" in str(caught.value)
