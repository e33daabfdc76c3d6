"""`init_net` from outside: its example, and what it loads."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

import init_net
from fitter.config.networks import load_offer
from init_net.offer import OFFER
from tests.support.paths import ROOT


def test_the_example_runs():
    failed, tried = doctest.testmod(init_net)
    assert (failed, tried) == (0, 6)


def test_every_name_is_there():
    for name in init_net.__all__:
        assert getattr(init_net, name) is not None
        assert name in dir(init_net)
    with pytest.raises(AttributeError, match="nothing"):
        _ = init_net.nothing


def test_the_entry_point_is_the_offer():
    assert load_offer("init_net") is OFFER
    assert OFFER.load() is init_net.load_networks
    assert OFFER.initialisations == ("lifter", "handnet", "stereo")


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import init_net.offer", ["torch", "cv2", "numpy"]),
        ("from fitter.config.options import Config; Config().asked_networks", ["torch", "cv2"]),
        ("import init_net.predict", ["init_net.training", "init_net.samples", "datasets"]),
        ("import init_net.weights", ["init_net.training", "init_net.samples", "datasets"]),
    ],
)
def test_what_is_not_loaded(code, unwanted):
    program = f"import sys; {code}; print([n for n in {unwanted!r} if n in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout == "[]\n"
