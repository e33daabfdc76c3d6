"""Files that the pages, the README and the change log name are there."""

import re

import pytest

from tests.docs.test_pages import ALL_TEXTS
from tests.support.paths import ROOT

FOLDERS = "benchmarks|configs|datasets|docs|examples|fitter|init_net|scripts|tests"
NAMED = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/(?:[\w./*-]*[\w*/])?")
HISTORY = re.compile(r"^## \[?0\.", re.MULTILINE)


def named_files(text: str) -> set[str]:
    """Paths of this project in a text, as they are written: in code, in commands, in links."""
    return {name.rstrip("/") for name in NAMED.findall(text)}


def test_what_counts_as_a_name():
    text = "`python benchmarks/a.py x/`, [b](docs/b.md#c), `my/docs/c.md`, scripts/*.py. examples/."
    assert named_files(text) == {"benchmarks/a.py", "docs/b.md", "scripts/*.py", "examples"}


@pytest.mark.parametrize("page", ALL_TEXTS)
def test_files_that_a_page_names_are_there(page):
    text = ALL_TEXTS[page]
    if page == "CHANGELOG.md":  # versions that are out may name what is gone
        text = HISTORY.split(text, maxsplit=1)[0]
    missing = [
        name
        for name in sorted(named_files(text))
        if not [*ROOT.glob(name), *ROOT.glob(f"{name}.py")]  # a module may be named without it
    ]
    assert missing == []
