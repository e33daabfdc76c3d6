"""Today's names for what earlier versions stored, and stores in folders that may only be read."""

import os
import shutil

from fitter.store.older import RENAMED_OPTIONS, RENAMED_VARIABLES, with_todays_options
from fitter.store.reader import StoreReader
from tests.support.store_rows import SPEC, contents


def test_options_have_todays_names_in_their_order():
    older = {"fit": {"max_iterations": 30, "num_starts": 4}, "inputs": None, "init": {"fit": 1}}
    found = with_todays_options(older)
    assert found == {**older, "fit": {"max_iterations": 30, "num_initialisations": 4}}
    assert list(found["fit"]) == ["max_iterations", "num_initialisations"]
    for renamed in (RENAMED_OPTIONS, RENAMED_VARIABLES):
        assert not {*renamed} & {*renamed.values()}


def test_what_may_only_be_read_is_read(undisturbed, tmp_path, monkeypatch):
    path = shutil.copytree(undisturbed, tmp_path / "results.zarr")
    before, opened = contents(path), os.open

    def refuse_to_write(file, flags, *rest, **others):
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), file
        return opened(file, flags, *rest, **others)

    for entry in (path, *path.rglob("*")):
        entry.chmod(0o500 if entry.is_dir() else 0o400)
    try:
        with monkeypatch.context() as reading:
            reading.setattr(os, "open", refuse_to_write)
            store = StoreReader.open(path)
            rows = [row for block in store.committed_blocks() for row in store.read_block(block)]
            assert len(rows) == 11 and store.dataset().load().sizes["image"] == 11
            assert store.configuration == SPEC.config
    finally:
        for entry in (path, *path.rglob("*")):
            entry.chmod(0o700)
    assert contents(path) == before
