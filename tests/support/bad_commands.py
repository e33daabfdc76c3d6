"""A folder with good and bad input, and fixtures that run the real commands in it.

A test file that takes these fixtures assigns them to names of its own: `say = bad_commands.say`.
"""

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from fitter.commands.fit_hands import fit_hands
from tests.support import bad_files

FAST = ["--keypoints", "known.json", "--device", "cpu"]
"""Keypoints from a file, so that no detector need be loaded."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("photos", "nothing", "notes", "faults"):
        (folder / name).mkdir()
    shutil.copy(bad_files.HAND, folder / "photos" / "a.jpg")
    (folder / "notes" / "readme.txt").write_text("words\n")
    (folder / "known.json").write_text(json.dumps({"a.jpg": bad_files.known_hands()}))
    bad_files.mano_faults(folder)
    bad_files.freihand(folder / "freihand")
    return folder


@pytest.fixture
def here(workplace: Path, monkeypatch) -> Path:
    """The workplace as current folder; a command run in it leaves no results unless it may."""
    monkeypatch.chdir(workplace)
    loggers = [logging.getLogger(name) for name in ("fitter", "datasets")]
    levels = [logger.level for logger in loggers]
    yield workplace
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    shutil.rmtree(workplace / "o.zarr", ignore_errors=True)


@pytest.fixture
def say(here, capsys):
    """Runs a command in this process: what it prints, and its exit status."""

    def run(*arguments: object, command=fit_hands) -> SimpleNamespace:
        with pytest.raises(SystemExit) as left:
            command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=left.value.code, out=out, err=err)

    return run


@pytest.fixture
def refused(say):
    """Runs fit-hands, which must refuse in exactly one sentence and leave no results behind."""

    def run(sentence: str, *arguments: object, images: str = "photos", out: str = "o.zarr"):
        told = say(images, "--out", out, *arguments)
        said, expected = (told.status, told.out, told.err), (2, "", f"fit-hands: {sentence}\n")
        assert said == expected, f"{said} is not {expected}"
        assert not Path("o.zarr").exists()

    return run
