"""Stores that nothing has disturbed."""

from pathlib import Path

import pytest

from fitter.store.result_store import ResultStore
from tests.support.store_rows import MANY, SPEC, fill


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "results.zarr"
    with ResultStore.create(path, SPEC) as store:
        fill(store)
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A store of two full blocks and one of 76 images."""
    path = tmp_path_factory.mktemp("many") / "results.zarr"
    with ResultStore.create(path, MANY) as store:
        fill(store)
    return path
