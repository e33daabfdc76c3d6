"""What is thought of hands that several views see, of what is thought of them in each view.

One view leaves the depth of keypoints open and errs by what its detector errs. Where views agree,
the error of a hand follows from how far they do, from how many they are and a little from what the
best of them would expect:

    log e = a + b log e_1 + c log s + d log V

with e_1 the error that the view expects that expects least, s the noise of the keypoints by how
far lines of sight are from meeting (`fitter.views.matching.ViewedHand.noise`) and V the views that
count. As for one view (`fitter.quality.model`) e is the median of a log-logistic distribution, so
that the probability of a smaller error than t is ``sigmoid((log t - log e) / w)``. # not published
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from fitter.quality.judge import Judgement
from fitter.quality.model import GOOD_MM


@dataclass(frozen=True)
class ViewedError:
    """What is expected of hands of two views and more.

    Attributes:
        constant, alone, noise, views: a, b, c, d.
        spread: w.
    """

    constant: float
    alone: float
    noise: float
    views: float
    spread: float

    def error_mm(self, alone_mm: np.ndarray, noise: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(B,) median of the error after alignment, millimetres.

        Args:
            alone_mm: (B,) that the best view expects.
            noise: (B,) of the keypoints, in lengths of a hand; at least `LEAST_NOISE` counts.
            views: (B,) how many count.
        """
        return np.asarray(np.exp(self._beside(noise, views) + self.alone * np.log(alone_mm)))

    def alone_mm(self, error_mm: np.ndarray, noise: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(B,) what the best view expects, of which `error_mm` (B,) is made."""
        return np.asarray(np.exp((np.log(error_mm) - self._beside(noise, views)) / self.alone))

    def _beside(self, noise: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(B,) what is added to the share of the best view."""
        agreed = self.noise * np.log(np.maximum(noise, LEAST_NOISE))
        return np.asarray(self.constant + agreed + self.views * np.log(views))

    def good(self, error_mm: np.ndarray) -> np.ndarray:
        """(B,) probability that the error is below `GOOD_MM`, from its median (B,)."""
        return np.asarray(expit((np.log(GOOD_MM) - np.log(error_mm)) / self.spread))


LEAST_NOISE = 0.002
"""In lengths of a hand: keypoints that agree better were made and not detected, and no model of a
hand follows them so closely. # not published"""

VIEWED_ERROR = ViewedError(constant=2.283, alone=0.558, noise=0.416, views=-0.692, spread=0.206)
"""``python scripts/fit_viewed_error.py``, from ``benchmarks/results/views``. # not published"""


def judged_together(
    judged: Judgement,
    hand: np.ndarray,
    weights: np.ndarray,
    noise: np.ndarray,
    fitted: np.ndarray,
) -> Judgement:
    """What is thought of B hands, of what is thought of them in N views.

    Views count that weigh more than half of one in full, or all where none does. A keypoint is seen
    where one of them sees it, and a hand is one as the view thinks that is surest of it. A hand of
    one view is thought of as that view thinks, and one that was fitted to none of them as the view
    thinks that thinks worst of it: how well keypoints agree tells nothing of a hand that does not
    follow them.

    Args:
        judged: of N rows, a hand in a view each.
        hand: (N,) number of the hand, each of them at least once.
        weights: (N,) of the rows.
        noise: (B,) of the hands' keypoints, NaN where views do not tell.
        fitted: (B,) bool, to the keypoints.
    """
    count = len(noise)
    counted = (weights > 0.5) | (np.bincount(hand, weights > 0.5, count)[hand] == 0)
    visibility = np.full((count, 21), np.nan, np.float32)
    error, probability, presence = np.full((3, count), np.nan)
    for number in range(count):
        own = (hand == number) & counted
        visibility[number] = judged.visibility[own].max(0)
        best = fitted[number]
        error[number] = judged.error_mm[own].min() if best else judged.error_mm[own].max()
        good = judged.probability[own]
        probability[number] = good.max() if best else good.min()
        presence[number] = judged.presence[own].max()
    views = np.bincount(hand, counted, count)
    several = (views > 1) & np.isfinite(noise) & fitted
    together = VIEWED_ERROR.error_mm(error[several], noise[several], views[several])
    error[several] = together
    probability[several] = presence[several] * VIEWED_ERROR.good(together)
    return Judgement(visibility, error, probability, presence)
