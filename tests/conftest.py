"""What must be settled before any test module is imported, and a folder to run the commands in."""

import json
import logging
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread for each of the processes that run tests, and for the programs that they start:
    # threads beyond the cores keep each other waiting. Read when PyTorch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

# Triton decides at its first import whether kernels are compiled or interpreted. Where there is no
# GPU to compile for, the kernels of the rasteriser are tested in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_modifyitems(items):
    """`make test` runs what is skipped here in an environment that has the package."""
    if find_spec("mediapipe") is None:
        missing = pytest.mark.skip(reason="needs the package mediapipe")
        for item in items:
            if item.get_closest_marker("mediapipe"):
                item.add_marker(missing)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with good and bad input."""
    from tests.support import bad_files

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
    from fitter.commands.fit_hands import fit_hands

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
