"""What is thought of hands that nothing was fitted to.

A run without iterations (`fit.max_iterations` 0) keeps each hand where a network or its keypoints
place it. Most features of a fitted hand mean nothing there: a network's hand agrees with the
network because it is the network's. How far its keypoints lie from those in the image still tells,
and it alone is asked:

    log e = a + b log r

with r the root mean square of these distances over the size of the hand. As for fitted hands
(`fitter.quality.model`) e is the median of a log-logistic distribution, so that the probability of
a smaller error than t is ``sigmoid((log t - log e) / w)``. # not published
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class UnfittedError:
    """What is expected of hands as they begin.

    Attributes:
        constant, residual: a, b; b is positive.
        spread: w.
    """

    constant: float
    residual: float
    spread: float

    def error_mm(self, residual: np.ndarray) -> np.ndarray:
        """(B,) median of the error after alignment, millimetres.

        Args:
            residual: (B,) of the keypoints, in sizes of a hand; at least `LEAST_RESIDUAL` counts.
        """
        known = np.log(np.maximum(residual, LEAST_RESIDUAL))
        return np.asarray(np.exp(self.constant + self.residual * known))


LEAST_RESIDUAL = 0.01
"""In sizes of a hand: by about as much a detector's keypoints are off themselves, and those that
agree better say no more. # not published"""

UNFITTED_ERROR = UnfittedError(constant=3.591, residual=0.458, spread=0.308)
"""``python scripts/fit_unfitted_error.py``, from ``benchmarks/results/quality``. # not published"""
