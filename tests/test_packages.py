"""What an installed copy holds: every folder with code is a package in pyproject.toml."""

import tomllib

import pytest

from tests.support.paths import ROOT

LISTED = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


@pytest.mark.parametrize("room", ["fitter", "datasets", "init_net"])
def test_every_folder_with_code_is_installed(room):
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / room).rglob("*.py")}
    packages = {".".join(folder.parts) for folder in folders}
    assert room in packages
    assert packages - set(LISTED["packages"]) == set()


def test_every_package_that_is_listed_is_there():
    places = LISTED["package-dir"]
    folders = {name: places.get(name, name.replace(".", "/")) for name in LISTED["packages"]}
    assert [name for name, folder in folders.items() if not (ROOT / folder).is_dir()] == []
