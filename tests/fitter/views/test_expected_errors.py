"""What is expected of hands of several views, beside what their errors are: other hands than those
that it was fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from views_data import SampledHands, frames_of, ring, stereo

from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.metrics import pa_mpjpe

RIGS = {
    1: lambda rng: ring(rng, 1),
    2: lambda rng: stereo(rng, 0.1),
    4: lambda rng: ring(rng, 4),
    8: lambda rng: ring(rng, 8),
}


@pytest.fixture(scope="module")
def told() -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Views -> of each hand its error and what is expected, mm, and its score."""
    engine = Engine(load_config(None, ["refine.stages={}"]))
    hands = SampledHands.of(engine.fit_model, 10, seed=4321)
    found = {}
    for views, make in RIGS.items():
        rng = np.random.default_rng(4321)
        rows = engine.fit_frames(frames_of(hands, [make(rng) for _ in hands.sides], 2.0, rng))
        best = [row.hands[0] for row in rows]
        points = np.stack([hand.keypoints_3d for hand in best]).astype(float)
        found[views] = (
            1e3 * pa_mpjpe(points, hands.keypoints),
            np.array([hand.predicted_error_mm for hand in best]),
            np.array([hand.score for hand in best]),
        )
    return found


def test_expected_errors_fall_with_the_number_of_views(told):
    medians = [np.median(expected) for _, expected, _ in told.values()]
    assert (np.diff(medians) < 0).all(), medians
    scores = [score.mean() for _, _, score in told.values()]
    assert scores[0] < min(scores[1:]), scores


@pytest.mark.parametrize("views", [2, 4, 8])
def test_they_are_within_half_of_the_true_ones(told, views):
    error, expected, _ = told[views]
    assert 1 / 1.5 < np.median(error) / np.median(expected) < 1.5
    assert 1 / 1.5 < np.median(error / expected) < 1.5
