"""A stand-in for the networks that find hands."""

import pytest

import fitter.detection.detector as detect_module
from tests.support.drawn_hands import DrawnHands


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(detect_module, "HandGraph", DrawnHands)
    monkeypatch.setattr(DrawnHands, "looks", 0)
    monkeypatch.setattr(DrawnHands, "blur", 0.0)
    return DrawnHands
