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
    own, other = (root @ root.T + np.eye(N) for root in rng.normal(size=(2, N, N)))
    place, mean = rng.normal(size=(2, N))
    error, both = place - mean, np.linalg.inv(own) + np.linalg.inv(other)
    found = surprise(Quadratic(own, own @ place), mean, other)
    assert found.whole == pytest.approx(error @ np.linalg.solve(both, error) / N)
    group = GROUPS[2]
    wanted = error[group] @ np.linalg.solve(both[group, group], error[group]) / 2
    assert found.groups[2] == pytest.approx(wanted)


def test_a_frame_that_says_nothing_is_no_surprise_wherever_its_chart_begins() -> None:
    nothing = Quadratic(np.zeros((N, N)), np.zeros(N))
    found = surprise(nothing, np.full(N, 300.0), np.eye(N))
    assert found.whole == 0 and (found.groups == 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_what_single_precision_leaves_of_a_singular_frame_is_a_number(seed) -> None:
    root = 1e4 * np.random.default_rng(seed).normal(size=(N, N - 2))
    hessian = (root @ root.T).astype(np.float32).astype(np.float64)
    mean = np.random.default_rng(seed).normal(size=N)
    found = surprise(Quadratic(hessian, hessian @ (mean + 1e-3)), mean, np.eye(N))
    assert found.whole >= 0 and (found.groups >= 0).all()


def test_room_is_made_by_those_beside_a_frame() -> None:
    surprises = np.array([[1.0], [1.0], [9.0], [1.0], [1.0], [1.0]]) * np.ones(3)
    found = room(np.arange(6) / 25, surprises, np.ones(6))[:, 0]
    asked = sum(2 * [1.0, 0.3])
    np.testing.assert_allclose(found[3], 1 + 8 / asked)
    np.testing.assert_allclose(found[1], 1 + 8 / (asked - 0.3))
    np.testing.assert_allclose(found[[0, 4]], 1 + 8 * 0.3 / np.array([1.3, asked - 0.3]))
    np.testing.assert_allclose(found[[2, 5]], 1.0)


@pytest.mark.parametrize("place", [0, 1, 3, 6, 7])
def test_one_that_is_not_believed_makes_no_room(place) -> None:
    """Also where it stands beside the first or the last frame."""
    surprises, weights = np.full((8, 3), 0.5), np.ones(8)
    surprises[place], weights[place] = 900.0, 1e-3
    assert room(np.arange(8) / 25, surprises, weights).max() < 3.5
    believed = room(np.arange(8) / 25, surprises, np.ones(8))
    assert np.sort(believed[:, 0])[-1] > 100


def test_frames_that_say_nothing_or_are_far_off_are_not_beside_one() -> None:
    seen = np.array([[5.0], [1.0], [7.0]]) * np.ones(3)
    nothing = np.full((2, 3), np.nan)
    surprises = np.concatenate([seen[:1], nothing, seen[1:]])
    times = np.array([0.0, 0.04, 0.08, 0.12, 0.16])
    found = room(times, surprises, np.ones(5))
    alone = room(times[[0, 3, 4]], seen, np.ones(3))
    np.testing.assert_array_equal(found[[0, 3, 4]], alone)
    assert (found[1] > 1).all()
    far = room(np.array([0.0, 2.0, 4.0]), seen, np.ones(3))
    np.testing.assert_array_equal(far, 1.0)


def test_covariances_grow_by_group() -> None:
    root = np.random.default_rng(2).normal(size=(N, N))
    before = root @ root.T
    after = np.linalg.inv(widened(np.linalg.inv(before), np.array([4.0, 1.0, 9.0])))
    for group, factor in zip(GROUPS, (4.0, 1.0, 9.0), strict=True):
        np.testing.assert_allclose(after[group, group], factor * before[group, group], rtol=1e-6)
