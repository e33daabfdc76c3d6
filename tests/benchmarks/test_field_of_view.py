"""What the benchmark of fields of view makes of costs, on cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from field_of_view import (
    RATIOS,
    Cameras,
    Correction,
    Look,
    estimates,
    known_costs,
    least,
    rows_of,
    scaled,
)

from fitter.records import HandObservation


def valley(log_ratio: float) -> np.ndarray:
    return 3 + 2 * (np.log(RATIOS) - log_ratio) ** 2


@pytest.mark.parametrize("ratio", [0.6, 0.97, 1.0, 1.4, 1.9])
def test_the_least_cost_of_a_parabola_is_found_between_the_ratios(ratio: float) -> None:
    assert least(valley(math.log(ratio))) == pytest.approx(math.log(ratio))


def test_costs_that_fall_to_the_end_are_least_there() -> None:
    falling = -np.log(RATIOS)
    step = math.log(RATIOS[1] / RATIOS[0])
    assert least(falling) == pytest.approx(math.log(RATIOS[-2]) + step)
    assert least(-falling) == pytest.approx(math.log(RATIOS[1]) - step)


def look(seed: int, ratio: float = 1.0) -> Look:
    """A hand seen without noise, whose K is said to have a focal length `ratio` times too small."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.05, (21, 3)) + [0.02, -0.03, 0.35]
    true = np.array([[300.0, 0, 112], [0, 300, 112], [0, 0, 1]])
    seen = points @ true.T
    hand = HandObservation(seen[:, :2] / seen[:, 2:], np.ones(21), "right", 1.0, 1.0)
    return Look(hand, scaled(true, 1 / ratio), 2 * math.atan(112 / 300), points)


@pytest.mark.parametrize("ratio", [1.0, 1.3, 0.8])
def test_hands_that_are_known_tell_the_focal_length(ratio: float) -> None:
    costs = known_costs([look(seed, ratio) for seed in range(3)])
    assert least(costs.mean(0)) == pytest.approx(math.log(ratio), abs=0.06)


def drawn(seed: int, slope: float, noise: float) -> Cameras:
    """Cameras whose estimate follows the true focal length by a slope only."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(-0.5, 0.6, 400)  # logarithm, over that of 60 degrees
    return Cameras(slope * true + 0.1 + rng.normal(0, noise, 400) - true, -true)


def test_a_line_takes_out_a_bias_that_grows_with_the_focal_length() -> None:
    correction = Correction.of([drawn(0, 0.4, 0.001)])
    assert correction.slope == pytest.approx(1 / 0.4, rel=0.01)
    assert np.abs(correction(drawn(1, 0.4, 0.001))).max() < 0.02
    scattered = Correction.of([drawn(2, 0.4, 3.0)])
    assert abs(scattered.slope) < 0.1  # such estimates are worth nothing


def test_more_pictures_spread_less() -> None:
    rng = np.random.default_rng(0)
    costs = np.stack([valley(log_ratio) for log_ratio in rng.normal(0.2, 0.15, 240)])
    few, many = (estimates(costs, np.zeros(240), np.arange(240), n).estimate for n in (1, 50))
    assert many.std() < few.std() / 4 and many.mean() == pytest.approx(0.2, abs=0.03)


def test_rows_compare_what_is_assumed_estimated_and_corrected() -> None:
    views = np.radians(np.random.default_rng(2).uniform(35, 100, 240))
    rng = np.random.default_rng(1)
    costs = np.stack([valley(log_ratio) for log_ratio in rng.normal(0.3, 0.05, 240)])
    rows = rows_of("fits", costs, views)
    assert {row.pictures for row in rows} == {1, 10}  # no bin has twice 50
    for row in rows:
        assert row.bias == pytest.approx(0.3, abs=0.05)
        assert row.estimated == pytest.approx(math.exp(0.3), rel=0.05)
        assert row.corrected < 1.05
        assert row.assumed > (1.15 if row.least != 50 else 1.02)
