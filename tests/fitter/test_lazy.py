"""Package faces import what they offer when it is first asked for."""

import subprocess
import sys
import types

import pytest

from fitter.lazy import lazy_face


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType("a_room")
    module.__getattr__, module.__dir__ = lazy_face("a_room", {"sqrt": "math"})
    monkeypatch.setitem(sys.modules, "a_room", module)
    return module


def test_a_name_comes_from_its_module_and_stays(package):
    import math

    assert "sqrt" not in vars(package)
    assert package.sqrt is math.sqrt
    assert vars(package)["sqrt"] is math.sqrt


def test_names_are_listed_before_they_are_imported(package):
    assert "sqrt" in dir(package)


def test_another_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=r"a_room.*'cosine'"):
        _ = package.cosine


def test_runs_of_images_do_not_load_what_puts_views_together():
    code = "import sys, fitter.engine; print(sorted(set(sys.modules) & {'fitter.views.matching'}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stdout
