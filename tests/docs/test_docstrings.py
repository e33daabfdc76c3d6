"""The examples in docstrings run: those of every package and of every name that it offers.

An example is a block fenced by three backticks and `python`, at any indentation. It runs in a
folder that holds `photo.jpg`, `clip.mp4`, the folder `photos` with it, and `MANO_RIGHT.pkl`.
"""

import importlib
import inspect
import pkgutil
import re
import shutil
import textwrap
from pathlib import Path

import pytest

import datasets
import fitter
import init_net
from tests.support import mano_files
from tests.support.freihand_files import write_freihand
from tests.support.nimble_files import copied
from tests.support.paths import ROOT
from tests.support.video_files import write_video

FENCED = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
ROOMS_WITH_EXAMPLES = (
    "fitter.hand_models",
    "fitter.masks",
    "fitter.raster",
    "fitter.rendering",
)


def packages():
    """Every package of ours."""
    for top in (fitter, datasets, init_net):
        yield top
        for found in pkgutil.walk_packages(top.__path__, f"{top.__name__}."):
            if found.ispkg:
                yield importlib.import_module(found.name)


def documented():
    """(name, object) of every package, every name that it offers, and the methods of these."""
    for package in packages():
        yield package.__name__, package
        for name in getattr(package, "__all__", ()):
            offered = getattr(package, name)
            yield f"{package.__name__}.{name}", offered
            for method, function in vars(offered).items() if inspect.isclass(offered) else ():
                if inspect.isfunction(function):
                    yield f"{package.__name__}.{name}.{method}", function


def examples():
    """Name -> code; of an object that two packages offer, once."""
    known, found = set(), {}
    for name, thing in documented():
        # A constant has the docstring of its type.
        has_own = inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing)
        said = thing.__doc__ if has_own else None
        for number, (_, indented) in enumerate(FENCED.findall(inspect.cleandoc(said or ""))):
            code = textwrap.dedent(indented)
            if code not in known:
                known.add(code)
                found[f"{name}-{number}"] = code
    return found


EXAMPLES = examples()


def test_rooms_show_how_they_are_used():
    assert [room for room in ROOMS_WITH_EXAMPLES if f"{room}-0" not in EXAMPLES] == []


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docstrings")
    (folder / "photos").mkdir()
    for path in (folder / "photo.jpg", folder / "photos" / "photo.jpg"):
        shutil.copy(ROOT / "examples" / "two_hands.jpg", path)
    write_video(folder / "clip.mp4", 20)
    mano_files.write_plain(folder / "MANO_RIGHT.pkl", mano_files.fabricate())
    copied(folder / "nimble")
    (folder / "models").mkdir()
    write_freihand(folder / "FreiHAND", folder / "models")
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    code, store = EXAMPLES[name], Path("results.zarr")
    if store.name in code and "RunRequest" not in code and not store.exists():
        fitter.fit_to_store(fitter.RunRequest(["photos"], store, quiet=True))
    exec(compile(code, name, "exec"), {"__name__": "example"})
