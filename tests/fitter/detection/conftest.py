"""A stand-in for the networks that find hands."""

import pytest

from tests.support.drawn_hands import DrawnHands


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(DrawnHands, "looks", 0)
    monkeypatch.setattr(DrawnHands, "blur", 0.0)
    return DrawnHands
