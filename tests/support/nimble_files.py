"""NIMBLE's files on the open hand, a tenth of their size, written once for all tests."""

import atexit
import pickle
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from build_nimble_fixture import Fixture, FixtureOptions

SMALL = {"scale": 0.1, "texture": 48}


@lru_cache
def nimble_folder(**others: Any) -> Path:
    """A folder with the files, read by many and changed by nobody; options of the builder."""
    kept = tempfile.TemporaryDirectory(prefix="nimble-")
    # Removed when the tests end.
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    Fixture(FixtureOptions.scaled(**{**SMALL, **others})).write(folder)
    return folder


def copied(folder: Path) -> Path:
    """The files in another folder, to be changed."""
    shutil.copytree(nimble_folder(), folder, dirs_exist_ok=True)
    return folder


def content(folder: Path, name: str) -> Any:
    """What one of the files holds."""
    return pickle.loads((folder / name).read_bytes())


def rewritten(folder: Path, name: str, value: Any) -> Path:
    """Write one of the files anew."""
    (folder / name).write_bytes(pickle.dumps(value, 4))
    return folder / name
