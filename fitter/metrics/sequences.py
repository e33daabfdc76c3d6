"""Errors of sequences."""

from __future__ import annotations

import numpy as np

from fitter.metrics.points import point_errors


def acceleration_error(
    estimate: np.ndarray, truth: np.ndarray, frames_per_second: float | None = None
) -> np.ndarray:
    """How far the estimated points' acceleration is from the true points': what jitter looks like.

    Of the definitions in use this is that of Kanazawa et al., "Learning 3D Human Dynamics from
    Video", CVPR 2019 (HMMR): the distance between the second differences of estimate and truth,
    ``|(x[t-1] - 2 x[t] + x[t+1]) - (y[t-1] - 2 y[t] + y[t+1])|``, averaged over the points.
    It is not the difference of the two magnitudes, and nothing is aligned.

    Args:
        estimate: (T, P, 3) of consecutive frames at equal intervals.
        truth: (T, P, 3).
        frames_per_second: the result is then per second squared; by default per frame squared.

    Returns:
        (T - 2,), of frames 1 to T - 2, in the points' unit per frame (or second) squared; NaN where
        one of the three frames is not finite. Empty for fewer than three frames.
    """
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    if len(estimate) < 3:
        return np.empty(0)
    of_estimate, of_truth = (x[:-2] - 2 * x[1:-1] + x[2:] for x in (estimate, truth))
    errors = point_errors(of_estimate, of_truth).mean(axis=-1)
    return errors if frames_per_second is None else errors * frames_per_second**2
