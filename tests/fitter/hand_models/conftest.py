"""Hands whose parameters are known, for inverse kinematics."""

import pytest

from tests.support.ik_cases import MODELS, Case, known_hands


@pytest.fixture(params=MODELS)
def case(request) -> Case:
    return known_hands(request.param)


@pytest.fixture
def open_hand() -> Case:
    return known_hands("open_hand")


@pytest.fixture
def bare() -> Case:
    return known_hands("bare")
