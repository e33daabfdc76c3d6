"""The smoother against a dense solve of the whole track."""

from __future__ import annotations

import numpy as np
import pytest

from fitter.tracks.smoother import (
    START_STD,
    Belief,
    Quadratic,
    message,
    predicted,
    reversed_in_time,
    started,
    updated,
)

N = 2


def track(seed: int, frames: int) -> tuple[np.ndarray, list[Quadratic | None], np.ndarray]:
    """Times at a variable rate with a gap, what frames say (nothing, some of them), densities."""
    rng = np.random.default_rng(seed)
    steps = rng.uniform(0.01, 0.08, frames)
    steps[frames // 2] = 1.5
    seen: list[Quadratic | None] = []
    for _ in range(frames):
        root = rng.normal(size=(N, N))
        information = root @ root.T * 10 ** rng.uniform(1, 4)
        seen.append(Quadratic(information, information @ rng.normal(size=N)))
    seen[3] = None
    return np.cumsum(steps), seen, rng.uniform(0.1, 10, N)


def messages(
    times: np.ndarray, seen: list[Quadratic | None], density: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of all frames, by passing beliefs in both directions."""

    def passed(order: list[int]) -> dict[int, Belief]:
        found, belief, last = {}, started(np.zeros(N)), None
        for k in order:
            if last is not None:
                belief = predicted(belief, abs(times[k] - times[last]), density)
            found[k], last = belief, k
            quadratic = seen[k]
            belief = belief if quadratic is None else updated(belief, quadratic)
        return found

    every = list(range(len(times)))
    before, after = passed(every), passed(every[::-1])
    return [message(before[k], reversed_in_time(after[k])) for k in every]


def dense(
    times: np.ndarray, seen: list[Quadratic | None], density: np.ndarray, without: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and inverse covariance of one frame's coordinates, by the system of all states: the
    motion between neighbours, what all other frames say, and that nothing is known at either end.
    """
    size = 2 * N
    matrix = np.zeros((len(times) * size,) * 2)
    vector = np.zeros(len(times) * size)
    identity = np.eye(N)
    for k in (0, len(times) - 1):
        part = slice(k * size, (k + 1) * size)
        matrix[part, part] += np.eye(size) / START_STD**2
    for k, t in enumerate(np.diff(times)):
        move = np.block([[identity, t * identity], [0 * identity, identity]])
        q = np.diag(density)
        noise = np.block([[q * t**3 / 3, q * t**2 / 2], [q * t**2 / 2, q * t]])
        both = np.concatenate([-move, np.eye(size)], axis=1)
        part = slice(k * size, (k + 2) * size)
        matrix[part, part] += both.T @ np.linalg.inv(noise) @ both
    for k, quadratic in enumerate(seen):
        if k != without and quadratic is not None:
            part = slice(k * size, k * size + N)
            matrix[part, part] += quadratic.information
            vector[part] += quadratic.vector
    covariance = np.linalg.inv(matrix)
    part = slice(without * size, without * size + N)
    return (covariance @ vector)[part], np.linalg.inv(covariance[part, part])


@pytest.mark.parametrize("seed", range(3))
def test_a_message_is_what_the_whole_track_says_without_the_frame(seed: int) -> None:
    times, seen, density = track(seed, 12)
    for k, (mean, information) in enumerate(messages(times, seen, density)):
        wanted, matrix = dense(times, seen, density, k)
        np.testing.assert_allclose(information, matrix, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(mean, wanted, rtol=1e-6, atol=1e-7)


def test_time_that_runs_backward_gives_the_same_messages() -> None:
    times, seen, density = track(5, 9)
    forward = messages(times, seen, density)
    backward = messages(-times[::-1], seen[::-1], density)[::-1]
    for (mean, information), (other, matrix) in zip(forward, backward, strict=True):
        np.testing.assert_allclose(mean, other, rtol=1e-9)
        np.testing.assert_allclose(information, matrix, rtol=1e-7)


def test_even_motion_is_foretold_and_not_delayed() -> None:
    times = np.arange(40) / 25
    truth = np.stack([3 * times, -1 + 0.5 * times], 1)
    sure = np.eye(N) * 1e4
    seen: list[Quadratic | None] = [Quadratic(sure, sure @ place) for place in truth]
    for (mean, _), place in zip(messages(times, seen, np.ones(N)), truth, strict=True):
        np.testing.assert_allclose(mean, place, atol=1e-4)


def test_a_prediction_over_two_times_is_one_over_their_sum() -> None:
    rng = np.random.default_rng(2)
    root = rng.normal(size=(2 * N, 2 * N))
    belief, density = Belief(rng.normal(size=2 * N), root @ root.T), rng.uniform(0.5, 2, N)
    once = predicted(belief, 0.7, density)
    twice = predicted(predicted(belief, 0.3, density), 0.4, density)
    np.testing.assert_allclose(once.mean, twice.mean)
    np.testing.assert_allclose(once.covariance, twice.covariance)


def test_what_says_nothing_changes_nothing() -> None:
    belief = started(np.ones(N))
    after = updated(belief, Quadratic(np.zeros((N, N)), np.zeros(N)))
    np.testing.assert_array_equal(after.mean, belief.mean)
    np.testing.assert_array_equal(after.covariance, belief.covariance)
