"""Offsets of vertices in the rest pose and in another."""

import numpy as np
import pytest
import torch

from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.rest_offsets import posed_offsets, rest_offsets
from tests.support.mano_files import random_params


@pytest.fixture(scope="module")
def model() -> HandModel:
    return load_hand_model("open_hand", dtype=torch.float64)


def offsets(model: HandModel, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(0, 0.002, (count, *model.v_template.shape)))


def test_they_move_as_the_template_does(model):
    params, rest = random_params(1, 3), offsets(model, 1)
    moved = load_hand_model("open_hand", dtype=torch.float64)
    moved.v_template += rest[0]
    # The joints are regressed before, and stay.
    difference = moved(params).vertices - model(params).vertices
    torch.testing.assert_close(posed_offsets(model, params, rest), difference)


def test_there_and_back(model):
    params, rest = random_params(4, 3), offsets(model, 4)
    found, known = rest_offsets(model, params, posed_offsets(model, params, rest), 0.3)
    assert known.double().mean() > 0.8
    torch.testing.assert_close(found[known], rest[known])
    assert (found[~known] == 0).all()
