"""Shares of points within a distance, and the area under their curve."""

from __future__ import annotations

import numpy as np
from scipy.integrate import trapezoid

AUC_THRESHOLDS = np.linspace(0.0, 0.05, 100)
"""Metres: the thresholds of FreiHAND's evaluation, 0 to 50 mm in 100 steps."""


def pck(errors: np.ndarray, thresholds: np.ndarray = AUC_THRESHOLDS) -> np.ndarray:
    """Share of correct keypoints: of the errors that are not above each threshold.

    S2HAND's "fraction of joints within distance" (Chen et al., CVPR 2021, fig. 4) is the same of
    distances in pixels.

    Args:
        errors: any shape, in the thresholds' unit; NaN counts as above every threshold.
        thresholds: (T,) increasing.

    Returns:
        (T,) in [0, 1]; NaN where there are no errors at all.
    """
    errors = np.sort(np.asarray(errors, float), axis=None)
    if errors.size == 0:
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(errors, thresholds, side="right") / errors.size


def auc(errors: np.ndarray, thresholds: np.ndarray = AUC_THRESHOLDS) -> float:
    """Area under the curve of correct keypoints, over the thresholds' range, in [0, 1].

    The curve is `pck`, its area the trapezoidal rule's, as in FreiHAND's evaluation. FreiHAND
    averages the areas of 21 curves; with equally many errors per joint, that is the area of the
    one curve of all errors.

    Args:
        errors: any shape, in the thresholds' unit; NaN counts as above every threshold.
        thresholds: (T,) increasing.

    Returns:
        The area; NaN where there are no errors at all.
    """
    area = trapezoid(pck(errors, thresholds), thresholds)
    return float(area / (thresholds[-1] - thresholds[0]))


def auc_per_hand(
    errors: np.ndarray,
    thresholds: np.ndarray = AUC_THRESHOLDS,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """The area under each hand's own curve: (B, P) errors -> (B,).

    An area is linear in its curve, so the mean over hands with equally many points is `auc` of all
    their errors. That makes it a figure per hand, which can be averaged and resampled.

    Args:
        errors: (B, P) in the thresholds' unit; NaN counts as above every threshold.
        thresholds: (T,) increasing.
        known: (B, P) bool, the points that count; None for all. A hand without any gets NaN.
    """
    errors = np.asarray(errors, float)
    # One error e is a step at the first threshold not below e; the rule's area of steps depends on
    # that threshold's place alone.
    steps = np.diff(thresholds)
    areas = np.append(np.cumsum(steps[::-1])[::-1], 0.0)
    # The half of the interval before the step that the trapezoidal rule counts.
    areas[1:] += 0.5 * steps
    areas = np.append(areas, 0.0) / (thresholds[-1] - thresholds[0])
    area = areas[np.searchsorted(thresholds, errors, side="left")]
    area[np.isnan(errors)] = 0.0
    if known is None:
        return area.mean(axis=-1)
    total, count = np.where(known, area, 0.0).sum(axis=-1), known.sum(axis=-1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
