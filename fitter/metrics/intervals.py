"""How certain a mean is: bootstrap confidence intervals, resampled by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap


class Interval(NamedTuple):
    """A confidence interval, in the unit of what it was made of."""

    low: float
    high: float


def bootstrap_interval(
    values: np.ndarray,
    images: Sequence[int] | np.ndarray | None = None,
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Confidence interval of the mean of one value per hand; see `bootstrap_means`.

    Args:
        values: (N,); NaN is left out.
        images: (N,) whole numbers, the image that each hand is in; None for one hand an image.
        seed: of the random numbers.
        resamples: how often images are drawn.
        confidence: of the interval.
    """
    values = np.asarray(values, float)
    return bootstrap_means(
        {"": values}, images, seed=seed, resamples=resamples, confidence=confidence
    )[""]


def bootstrap_means(
    values: dict[str, np.ndarray],
    images: Sequence[int] | np.ndarray | None = None,
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Confidence intervals of means over hands, by the percentile bootstrap (`scipy.stats`).

    Images are drawn with replacement and each brings all its hands: hands of an image are not
    independent. All values see the same draws. Frames of a video are not independent either;
    number them by their sequence to resample sequences.

    Args:
        values: (N,) each; NaN is left out.
        images: (N,) whole numbers, the image that each hand is in; None for one hand an image.
        seed: of the random numbers.
        resamples: how often images are drawn.
        confidence: of the interval, in (0, 1).

    Returns:
        an interval for each; NaN where fewer than two images have a value.
    """
    return {
        name: _interval(np.asarray(of, float), images, seed, resamples, confidence)
        for name, of in values.items()
    }


def _interval(
    values: np.ndarray,
    images: Sequence[int] | np.ndarray | None,
    seed: int,
    resamples: int,
    confidence: float,
) -> Interval:
    places = np.arange(len(values)) if images is None else np.asarray(images)
    _, place = np.unique(places, return_inverse=True)
    there = np.isfinite(values)
    size = int(place.max()) + 1 if len(place) else 0
    total = np.bincount(place[there], values[there], size)
    count = np.bincount(place[there], minlength=size)
    if (count > 0).sum() < 2:
        return Interval(float("nan"), float("nan"))

    def mean(total: np.ndarray, count: np.ndarray, axis: int) -> np.ndarray:
        hands = count.sum(axis=axis)
        nothing = np.full(np.shape(hands), np.nan)
        return np.divide(total.sum(axis=axis), hands, out=nothing, where=hands > 0)

    found = bootstrap(
        (total, count.astype(float)),
        mean,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // size),
        vectorized=True,
        paired=True,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))
