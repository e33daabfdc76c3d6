"""How much room motion is given."""

from __future__ import annotations

import numpy as np
import pytest

from fitter.tracks.calibration import (
    GROUPS,
    LEAST,
    MOST,
    USUAL,
    acceleration,
    motion_change,
    room,
    surprise,
    widened,
)
from fitter.tracks.smoother import Quadratic

N = 8


def wanderer(times: np.ndarray, coordinates: int) -> np.ndarray:
    """(T, n) places with white acceleration of density 1."""
    rng = np.random.default_rng(5)
    place, velocity = np.zeros((2, coordinates))
    found = [place]
    for t in np.diff(times):
        noise = np.array([[t**3 / 3, t**2 / 2], [t**2 / 2, t]])
        jump = np.linalg.cholesky(noise) @ rng.normal(size=(2, coordinates))
        place, velocity = place + t * velocity + jump[0], velocity + jump[1]
        found.append(place)
    return np.stack(found)


@pytest.mark.parametrize("rate", [2.0, 5.0, 25.0, 120.0])
def test_the_same_motion_changes_as_fast_at_any_rate(rate) -> None:
    """4 q / (3 t) of steps that differ, too: at 25 frames a second 2 q rate / 3."""
    times = np.cumsum(np.random.default_rng(1).uniform(0.7, 1.3, 60)) / rate
    places = wanderer(times, 600)
    found = [acceleration(times[k : k + 3], places[k : k + 3]) for k in range(58)]
    np.testing.assert_allclose(np.mean(np.square(found), axis=0)[2], 2 * 25 / 3, rtol=0.05)


def test_acceleration_is_of_each_group_and_of_no_gap() -> None:
    places = np.zeros((3, N))
    places[1, GROUPS[1]] = 0.04**2 / 2
    np.testing.assert_allclose(acceleration(np.array([0, 0.04, 0.08]), places), [0, 1, 0])
    assert np.isnan(acceleration(np.array([0, 0.04, 2.0]), places)).all()
    assert np.isnan(acceleration(np.array([0, 0.04, 0.04]), places)).all()


def test_motion_changes_as_the_frames_around_say() -> None:
    times = np.arange(60) / 25
    accelerations = np.zeros((60, 3))
    accelerations[40:] = USUAL
    accelerations[[0, 59]] = np.nan
    found = motion_change(times, accelerations)
    np.testing.assert_allclose(found[:30], LEAST)
    np.testing.assert_allclose(found[50:], 1.0)
    np.testing.assert_allclose(motion_change(times, 9 * accelerations)[-1], MOST)


def test_frames_far_apart_have_those_beside_them_asked() -> None:
    accelerations = np.array([[np.nan] * 3, USUAL, np.zeros(3), [np.nan] * 3])
    found = motion_change(0.8 * np.arange(4), accelerations)
    np.testing.assert_allclose(found[0], 1.0)
    np.testing.assert_allclose(found[1], np.sqrt(0.5))
    np.testing.assert_allclose(found[3], LEAST)


def test_a_track_of_which_nothing_is_known_moves_as_usual() -> None:
    np.testing.assert_array_equal(motion_change(np.arange(2.0), np.full((2, 3), np.nan)), 1.0)


def test_surprise_is_in_units_of_what_both_leave_open() -> None:
    rng = np.random.default_rng(3)
    own, other = (root @ root.T for root in rng.normal(size=(2, N, N)))
    place, mean = rng.normal(size=(2, N))
    error, both = place - mean, np.linalg.inv(own) + np.linalg.inv(other)
    found = surprise(Quadratic(own, own @ place), mean, other)
    assert found.whole == pytest.approx(error @ np.linalg.solve(both, error) / N, rel=0.05)
    group = GROUPS[2]
    wanted = error[group] @ np.linalg.solve(both[group, group], error[group]) / 2
    assert found.groups[2] == pytest.approx(wanted, rel=0.05)


def test_a_frame_that_says_nothing_is_no_surprise() -> None:
    nothing = Quadratic(np.zeros((N, N)), np.zeros(N))
    found = surprise(nothing, np.ones(N), np.eye(N))
    assert found.whole < 0.01 and found.groups.max() < 0.01


def test_room_is_made_by_those_beside_a_frame_that_are_believed() -> None:
    surprises = np.array([[1.0], [5.0], [0.2], [np.nan], [3.0]]) * np.ones(3)
    found = room(surprises, np.ones(5))[:, 0]
    np.testing.assert_allclose(found, [5.0, 1.0, 5.0, 1.6, 1.0])
    distrusted = room(surprises, np.array([1.0, 0.0, 1.0, 1.0, 1.0]))[:, 0]
    np.testing.assert_allclose(distrusted, [1.0, 1.0, 1.0, 1.6, 1.0])


def test_covariances_grow_by_group() -> None:
    root = np.random.default_rng(2).normal(size=(N, N))
    before = root @ root.T
    after = np.linalg.inv(widened(np.linalg.inv(before), np.array([4.0, 1.0, 9.0])))
    for group, factor in zip(GROUPS, (4.0, 1.0, 9.0), strict=True):
        np.testing.assert_allclose(after[group, group], factor * before[group, group], rtol=1e-6)
