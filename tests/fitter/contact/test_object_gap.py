"""How far hands are from objects, of balls, for which it is known."""

import numpy as np
import pytest
import torch

from fitter.contact import object_gap
from fitter.errors import InputError
from tests.support.held_things import ball_at

RADIUS = 0.03
BALL = ball_at((0.0, 0.0, 0.5), RADIUS)
FACES = torch.from_numpy(BALL.mesh.faces)


def gap(*distances: float) -> float:
    """Of a ball to others at these distances between their middles, along a corner of the mesh."""
    corner = BALL.mesh.vertices[0] / np.linalg.norm(BALL.mesh.vertices[0])
    others = [ball_at(tuple(np.array([0, 0, 0.5]) + d * corner), RADIUS) for d in distances]
    return object_gap(BALL.vertices, FACES, others)


def test_the_nearest_object_counts():
    assert gap(0.1) == pytest.approx(0.04, abs=1e-4)
    assert gap(0.3, 0.1, 0.2) == gap(0.1)


def test_in_an_object_the_gap_is_minus_the_depth():
    # By vertices alone, which sink into facets: a little less than 60 - 50 mm.
    assert -0.01 <= gap(0.05) < -0.009
    assert gap(0.05, 0.2) == gap(0.05)


def test_one_wholly_inside_the_other_is_as_deep_as_its_farthest_vertex():
    small = ball_at((0.0, 0.0, 0.5), 0.01)
    inside = object_gap(small.vertices, torch.from_numpy(small.mesh.faces), [BALL])
    around = object_gap(BALL.vertices, FACES, [small])
    assert inside == around
    assert -0.03 < inside < -0.015


def test_a_hand_that_is_nowhere_has_no_gap():
    assert np.isnan(object_gap(np.full_like(BALL.vertices, np.nan), FACES, [BALL]))


def test_open_hands_are_refused():
    with pytest.raises(InputError, match="open"):
        object_gap(BALL.vertices, FACES[1:], [BALL])
