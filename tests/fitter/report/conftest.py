"""What the tests of reports share."""

from pathlib import Path

import pytest

from tests.support.fitted_stores import write_store
from tests.support.report_stores import mixed_rows


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A store with an image of each kind."""
    write_store(tmp_path / "r.zarr", mixed_rows())
    return tmp_path / "r.zarr"
