"""Depths of meshes in each other, contact, and where hands are to each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fitter.contact import Surface, signed_distance
from fitter.metrics import contact_scores, penetration_depth, relative_place_error
from tests.support.contact_meshes import ball, posed


def test_exact_depths_are_those_of_the_vertices_inside() -> None:
    first, second = posed("open_hand", 2)[0], posed("mano", 2, seed=1)[0]
    found = penetration_depth(first, second, None)
    depth = np.concatenate(
        [
            -signed_distance(one.vertices, other).distance.clamp_max(0).numpy()
            for one, other in ((first, second), (second, first))
        ],
        axis=1,
    )
    assert (found.inside > 20).all()
    np.testing.assert_array_equal(found.inside, (depth > 0).sum(1))
    np.testing.assert_allclose(found.maximum, depth.max(1), rtol=1e-12)
    np.testing.assert_allclose(found.average, depth.mean(1), rtol=1e-12)
    np.testing.assert_allclose(found.average_inside, depth.sum(1) / (depth > 0).sum(1), rtol=1e-12)


def test_on_the_grid_balls_are_as_deep_as_spheres_up_to_a_cell() -> None:
    places = [[0.03, 0, 0], [0.036, 0, 0], [0.05, 0, 0]]
    first, second = ball([[0.0, 0, 0]] * 3, fineness=4), ball(places, fineness=4)
    found = penetration_depth(first, second)
    np.testing.assert_allclose(found.maximum[:2], [0.01, 0.004], atol=1.6e-3)
    assert found.maximum[2] == found.average[2] == found.average_inside[2] == 0
    assert found.inside[2] == 0


def test_contact_is_scored_by_the_vertices_that_touch() -> None:
    """Balls a millimetre apart touch; moved away by three they do not; moved about they do with
    other vertices."""
    first = ball([[0.0, 0, 0]] * 3, fineness=4)
    true = ball([[0.041, 0, 0]] * 3, fineness=4)
    said = ball([[0.041, 0, 0], [0.044, 0, 0], [0.0, 0.041, 0]], fineness=4)
    found = contact_scores((first, said), (first, true))
    assert found.precision[0] == found.recall[0] == 1
    assert np.isnan(found.precision[1]) and found.recall[1] == 0
    assert 0 <= found.precision[2] < 0.2
    nearer = contact_scores((first, ball([[0.0405, 0, 0]] * 3, fineness=4)), (first, true))
    assert (nearer.recall == 1).all() and (nearer.precision < 1).all()


def test_the_relative_place_does_not_see_what_moves_both_hands() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(2, 4, 3))
    estimate = truth + np.array([1.0, 2, 3])
    np.testing.assert_allclose(relative_place_error(tuple(estimate), tuple(truth)), 0, atol=1e-14)
    estimate[1] += [0.0, 3, 4]
    np.testing.assert_allclose(relative_place_error(tuple(estimate), tuple(truth)), 5)


def test_what_is_not_finite_is_nan_and_hurts_no_other() -> None:
    first, second = ball([[0.0, 0, 0]] * 2), ball([[0.03, 0, 0]] * 2)
    spoilt = second.vertices.clone()
    spoilt[0, 0] = torch.nan
    for one, other in (
        (first, Surface(spoilt, second.faces)),
        (Surface(spoilt, first.faces), second),
    ):
        for cells in (32, None):
            whole = penetration_depth(first if one is first else second, second, cells)
            found = penetration_depth(one, other, cells)
            assert np.isnan([part[0] for part in found[:3]]).all() and found.inside[0] == 0
            assert found.maximum[1] == whole.maximum[1]
        scores = contact_scores((one, other), (first, second))
        assert np.isnan(scores.precision[0]) and np.isfinite(scores.precision[1])
    with pytest.raises(ValueError, match="expected estimates of shape"):
        contact_scores((first, first), (first, ball([[0.0, 0, 0]] * 2, fineness=1)))
