"""Runs that load everything only once."""

import pytest

from tests.support.same_process import SameProcess


@pytest.fixture
def same_process(monkeypatch):
    """Detection and overlays without processes of their own, whose start is most of a short run."""
    monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
