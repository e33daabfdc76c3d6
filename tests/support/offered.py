"""The entry points that `pyproject.toml` names, whatever is installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

import pytest

from fitter.config import networks
from tests.support.paths import ROOT


def network_points() -> tuple[EntryPoint, ...]:
    """Those that lead to networks."""
    group = networks.ENTRY_POINTS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][group]
    return tuple(EntryPoint(name, place, group) for name, place in points.items())


@contextmanager
def offered_networks() -> Iterator[None]:
    """Networks are offered as by a fresh installation."""
    with pytest.MonkeyPatch.context() as patch:
        points = network_points()
        patch.setattr(networks, "entry_points", lambda group: points)
        networks.load_offer.cache_clear()
        yield
    networks.load_offer.cache_clear()
