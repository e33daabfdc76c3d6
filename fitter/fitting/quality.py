"""The confidence in a fit, in one number."""

from __future__ import annotations

import numpy as np

from fitter.records import HandObservation

RESIDUAL_SCALE = 0.05
"""Distance of fitted and detected keypoints, over the hand's size, that halves the confidence."""


def fit_confidence(hand: HandObservation, error: np.ndarray) -> float:
    """The detection's score, times the confidence of its keypoints, times how well the model
    explains them.

    ``score * mean confidence * 1 / (1 + (rms error / (RESIDUAL_SCALE size))^2)``. The error is that
    of the keypoints that were seen. It is a product because a hand is as doubtful as its most
    doubtful part.

    Args:
        hand: what was detected.
        error: (21,) distances of fitted and detected keypoints, pixels.

    Returns:
        In [0, 1].
    """
    x0, y0, x1, y1 = hand.box
    size = max(x1 - x0, y1 - y0, 1.0)
    relative = rms_error(hand, error) / (RESIDUAL_SCALE * size)
    return float(hand.score * hand.confidence.mean() / (1 + relative**2))


def rms_error(hand: HandObservation, error: np.ndarray) -> float:
    """Root mean square of distances (21,) over the keypoints that were seen; 0 if none was."""
    return float(np.sqrt(np.mean(np.square(error[hand.seen])))) if hand.seen.any() else 0.0
