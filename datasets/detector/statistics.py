"""Robust statistics that a detector's noise is made of: quantiles, lines, correlations.

What has too few samples of its own takes over what its neighbours have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from datasets.detector.noise import (
    CLASSES,
    CONFIDENCE_LEVEL,
    CONFIDENCE_LEVELS,
    LEVEL_STEP,
    LEVELS,
    STATES,
    UNKNOWN,
)

BORROWED = 30
"""Samples at which a group's own median counts as much as what it is expected to be."""


@dataclass(frozen=True)
class Marginal:
    """One kind of error: tables by state and class of confidence, and Gaussian scores (n, N)."""

    scale: np.ndarray
    tail: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class ConditionalQuantiles:
    """The distribution of a score's absolute value.

    Attributes:
        pair: whether it is the length of a pair of standard Gaussian values, or the absolute value
            of one.
        log_std: standard deviation of the logarithm of the factor on it, which is log-normal.
    """

    pair: bool
    log_std: float

    def probability(self, level: np.ndarray) -> np.ndarray:
        """Share of the absolute values below levels (L,)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        reduced = level[:, None] * np.exp(-self.log_std * nodes)
        below = 1 - np.exp(-0.5 * reduced**2) if self.pair else 2 * ndtr(reduced) - 1
        return below @ weights / weights.sum()

    def score(self, probability: np.ndarray) -> np.ndarray:
        """The Gaussian value, without the factor, below which such a share is."""
        if self.pair:
            return np.sqrt(-2 * np.log1p(-probability))
        return ndtri(0.5 * (1 + probability))


def marginal(
    size: np.ndarray,
    states: np.ndarray,
    classes: np.ndarray,
    kept: np.ndarray,
    quantiles: ConditionalQuantiles,
) -> Marginal:
    """Tables of the sizes (B, N) of errors, and their Gaussian scores (B, N), without sign."""
    level = np.expm1(LEVEL_STEP * np.arange(LEVELS))
    probability = quantiles.probability(level)
    common = np.array([np.median(size[kept[:, k], k]) for k in range(size.shape[1])])
    scale = np.empty((STATES, CLASSES, size.shape[1]))
    # A class with few samples in any state has the tail of `quantiles` itself.
    tail = np.tile(level / np.interp(0.5, probability, level), (STATES, CLASSES, 1))
    scores = np.zeros_like(size)
    for state in (UNKNOWN, *range(UNKNOWN)):
        for group in range(CLASSES):
            chosen = kept & (classes == group) & ((states == state) | (state == UNKNOWN))
            expected = _group_median(size / common, chosen) * common
            if state != UNKNOWN:
                share = chosen.sum() / (chosen.sum() + BORROWED)
                expected = share * expected + (1 - share) * scale[UNKNOWN, group]
            scale[state, group] = [
                _own_median(size[chosen[:, k], k], expected[k]) for k in range(size.shape[1])
            ]
            relative = (size / scale[state, group])[chosen]
            enough = len(relative) > 10 * BORROWED
            tail[state, group] = (
                np.quantile(relative, probability) if enough else tail[UNKNOWN, group]
            )
            if state != UNKNOWN:
                rank = (relative.argsort().argsort() + 0.5) / max(len(relative), 1)
                scores[chosen] = quantiles.score(rank)
    return Marginal(scale, tail, scores)


def _group_median(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(np.median(values[chosen])) if chosen.any() else 1.0


def _own_median(values: np.ndarray, expected: float) -> float:
    """The median of values (n,), in the geometric mean with what is expected where they are few."""
    if len(values) == 0:
        return expected
    share = len(values) / (len(values) + BORROWED)
    own = max(float(np.median(values)), 1e-9)
    return float(np.exp(share * np.log(own) + (1 - share) * np.log(max(expected, 1e-9))))


def medians_by_class(size: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(N, CLASSES) medians of sizes (B, N)."""
    common = np.median(size, 0)
    table = np.empty((size.shape[1], CLASSES))
    for group in range(CLASSES):
        chosen = classes == group
        expected = _group_median(size / common, chosen) * common
        for k in range(size.shape[1]):
            table[k, group] = _own_median(size[chosen[:, k], k], expected[k])
    return table


def confidence_tables(states: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles (S, 21, L) of the confidences (B, 21) and their Gaussian scores (B, 21)."""
    half = CONFIDENCE_LEVELS // 2
    probability = ndtr(CONFIDENCE_LEVEL * np.arange(-half, half + 1))
    quantiles = np.empty((STATES, 21, CONFIDENCE_LEVELS))
    scores = np.empty_like(confidence)
    for k in range(21):
        quantiles[UNKNOWN, k] = np.quantile(confidence[:, k], probability)
        for state in range(UNKNOWN):
            chosen = states[:, k] == state
            values = confidence[chosen, k]
            scores[chosen, k] = ndtri((values.argsort().argsort() + 0.5) / max(len(values), 1))
            own = np.quantile(values, probability) if len(values) else quantiles[UNKNOWN, k]
            share = len(values) / (len(values) + BORROWED)
            quantiles[state, k] = share * own + (1 - share) * quantiles[UNKNOWN, k]
    return quantiles, scores


def scatter_shape(values: np.ndarray) -> np.ndarray:
    """(2, 2) Tyler's scatter ("A distribution-free M-estimator of multivariate scatter", Annals of
    Statistics 15, 1987, eq. 2.1) of values (n, 2), determinant one."""
    shape = np.eye(2)
    for _ in range(20):
        distance = np.einsum("ni,ij,nj->n", values, np.linalg.inv(shape), values)
        shape = (values.T / np.maximum(distance, 1e-18)) @ values
        shape /= np.sqrt(np.linalg.det(shape))
    return shape


def robust_slope(x: np.ndarray, y: np.ndarray) -> float:
    """The factor that takes vectors x (n, d) to y (n, d), reweighted as in `fit_lines`."""
    weight: np.ndarray = np.ones(len(x))
    slope = 0.0
    for _ in range(20):
        product, square = (weight * (x * y).sum(-1)).sum(), (weight * (x * x).sum(-1)).sum()
        slope = product / max(square, 1e-12)
        residual: np.ndarray = np.linalg.norm(y - slope * x, axis=-1)
        weight = 1 / (1 + (residual / (2.385 * max(np.median(residual), 1e-9))) ** 2)
    return float(slope)


def fit_lines(x: Tensor, y: Tensor, side: Tensor, chosen: np.ndarray) -> np.ndarray:
    """(N, 4) coefficients of `on_line` that give y (B, N) from x (B, N) and the hands' facing
    (B,), over the chosen entries (B, N): least squares reweighted for a Cauchy loss, its scale the
    residuals' median absolute value over 0.6745."""
    lines = []
    for k in range(x.shape[1]):
        hands = torch.from_numpy(chosen[:, k])
        own, face, target = x[hands, k], side[hands], y[hands, k].numpy()
        terms = torch.stack([own, torch.ones_like(own), face, face * own], -1).numpy()
        weight = np.ones_like(target)
        for _ in range(20):
            # The ridge only matters where all hands face alike.
            normal = (terms * weight[:, None]).T @ terms + 1e-9 * len(terms) * np.eye(4)
            line = np.linalg.solve(normal, (terms * weight[:, None]).T @ target)
            residual: np.ndarray = target - terms @ line
            scale = max(np.median(np.abs(residual)) / 0.6745, 1e-9)
            weight = 1 / (1 + (residual / (2.385 * scale)) ** 2)
        lines.append(line)
    return np.stack(lines)


def correlation_of(scores: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """(N, N) of scores (B, N), over the hands in which both entries are known."""
    weight = np.ones_like(scores) if known is None else known.astype(float)
    values = scores * weight
    covariance = values.T @ values / np.maximum(weight.T @ weight, 1)
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation)


def common_factors(correlation: np.ndarray, rank: int) -> np.ndarray:
    """(N, R) factors with ``L L^T + diagonal`` near the correlation, by iterated principal factors
    (Harman, "Modern Factor Analysis", 1976, chapter 8)."""
    own = np.full(len(correlation), 0.5)
    loadings = np.zeros((len(correlation), rank))
    for _ in range(60):
        values, vectors = np.linalg.eigh(correlation - np.diag(own))
        loadings = vectors[:, -rank:] * np.sqrt(values[-rank:].clip(0))
        own = (1 - (loadings**2).sum(1)).clip(0.02, 1)
    length = np.linalg.norm(loadings, axis=1, keepdims=True)
    return loadings * np.minimum(1, np.sqrt(0.98) / np.maximum(length, 1e-12))


def common_chance(swapped: np.ndarray) -> float:
    """Correlation of five Gaussians whose tails are as often hit together as the fingers are."""
    chance = np.clip(swapped.mean(0), 1e-6, 0.5)
    pairs = [(a, b) for a in range(5) for b in range(a)]
    together = np.mean([(swapped[:, a] & swapped[:, b]).mean() for a, b in pairs])
    # Both hit, given what they share: integrated over the shared Gaussian.
    grid = np.linspace(-6, 6, 241)
    density = np.exp(-0.5 * grid**2)
    density /= density.sum()
    best, least = 0.0, np.inf
    for rho in np.linspace(0, 0.95, 39):
        shared = ndtr((ndtri(chance)[:, None] - np.sqrt(rho) * grid) / np.sqrt(1 - rho))
        joint = np.mean([(shared[a] * shared[b] * density).sum() for a, b in pairs])
        if abs(joint - together) < least:
            best, least = float(rho), abs(joint - together)
    return best
