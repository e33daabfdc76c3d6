"""A stand-in for the networks that find hands."""

import pytest

import fitter.detection.detector
from tests.support.drawn_hands import DrawnHands


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(DrawnHands, "looks", 0)
    monkeypatch.setattr(DrawnHands, "blur", 0.0)
    # Its grey levels are its language.
    monkeypatch.setattr(fitter.detection.detector, "seen_by_networks", lambda pixels: pixels)
    return DrawnHands
