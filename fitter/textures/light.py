"""The light of a picture and the skin's coefficients, from the colours of a hand's texels.

A texel's colour is ``reflectance(coefficients) * irradiance(normal)``. With the skin fixed that is
linear in the light's coefficients, with the light fixed nearly linear in the skin's: alternating
least squares, small and dense, with robust weights for what is neither (shadows, highlights,
rings). What pictures leave open, whether a skin is dark or its light dim, the priors decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fitter.rendering.shading import SphericalHarmonicsLight
from fitter.rendering.textured import Light

ROUNDS = 8
"""Times that light and skin are solved for in turn."""
RELATIVE_ERROR = 0.15
"""Standard deviation of a colour about what light and skin explain, as a share of it."""
INDEPENDENT = 300
"""Samples that a whole picture is worth: neighbouring texels err alike."""
FLOOR = 0.02
"""Linear light below which differences no longer count as shares."""
LUMINANCE_STD = (0.4, 0.25, 0.08)
"""Prior standard deviation of the irradiance's parts of degree 0, 1 and 2, white; the mean is an
irradiance of 1 from everywhere."""
CHROMA_STD = (0.08, 0.05, 0.02)
"""The same of each colour on its own."""


@dataclass(frozen=True)
class SkinSamples:
    """Texels that a picture shows.

    Attributes:
        colours: (N, 3) linear RGB of the picture.
        normals: (N, 3) unit, outward, camera axes.
        weights: (N,) how much each counts.
        mean: (N, 3) logits of the mean skin there; components: (K, N, 3), none of a known skin.
    """

    colours: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    components: np.ndarray


@dataclass(frozen=True)
class LightFit:
    """The light of a picture, and the skin under it: coefficients (K,) of unit variance."""

    light: Light
    coefficients: np.ndarray

    def irradiance(self, normals: np.ndarray) -> np.ndarray:
        """(N, 3) light on surfaces with unit normals (N, 3), camera axes."""
        return _irradiance(self.light, normals)


def fit_light(samples: SkinSamples, light: Light | None = None) -> LightFit:
    """Fit light and skin.

    Args:
        samples: at least one.
        light: where it is known; the skin alone is fitted then.
    """
    basis = _harmonics(samples.normals)
    coefficients = np.zeros(len(samples.components))
    prior_mean, prior_precision = _light_prior()
    found = prior_mean
    share = samples.weights / samples.weights.sum() * INDEPENDENT / RELATIVE_ERROR**2
    fixed = None if light is None else np.maximum(_irradiance(light, samples.normals), 1e-3)
    robust = np.ones(len(share))
    for _ in range(ROUNDS):
        skin = _sigmoid(samples.mean + np.tensordot(coefficients, samples.components, 1))
        lit = basis @ found if fixed is None else fixed
        weight = (share * robust)[:, None] / (np.abs(skin * lit) + FLOOR) ** 2
        if fixed is None:
            found = _solve_light(basis, skin, samples.colours, weight, prior_mean, prior_precision)
            lit = basis @ found
        slope = skin * (1 - skin) * lit * samples.components
        left = np.einsum("inc,jnc,nc->ij", slope, slope, weight) + np.eye(len(coefficients))
        right = np.einsum("inc,nc->i", slope, weight * (samples.colours - skin * lit))
        step = np.linalg.solve(left, right - coefficients)
        coefficients = coefficients + step / max(1.0, np.abs(step).max(initial=0))
        skin = _sigmoid(samples.mean + np.tensordot(coefficients, samples.components, 1))
        shown = skin * np.maximum(lit, 0)
        error = np.linalg.norm((samples.colours - shown) / (shown + FLOOR), axis=1)
        scale = max(RELATIVE_ERROR, 1.4826 * _weighted_median(error, samples.weights))
        robust = 1 / (1 + (error / (2 * scale)) ** 2) ** 2
    if light is None:
        light = SphericalHarmonicsLight(torch.from_numpy(found))
    return LightFit(light, coefficients)


def _solve_light(
    basis: np.ndarray,
    skin: np.ndarray,
    colours: np.ndarray,
    weight: np.ndarray,
    mean: np.ndarray,
    precision: np.ndarray,
) -> np.ndarray:
    """(9, 3) coefficients of the light, the skin (N, 3) fixed; the prior couples the colours."""
    left, right = precision.copy(), precision @ mean.ravel()
    for colour in range(3):
        rows = skin[:, colour : colour + 1] * basis
        weighted = rows * weight[:, colour : colour + 1]
        left[colour::3, colour::3] += weighted.T @ rows
        right[colour::3] += weighted.T @ colours[:, colour]
    return np.linalg.solve(left, right).reshape(9, 3)


def _light_prior() -> tuple[np.ndarray, np.ndarray]:
    """Mean (9, 3) and precision (27, 27) of the light's coefficients."""
    count = 400
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)  # a spiral that covers the sphere evenly
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], 1)
    size = np.sqrt((_harmonics(sphere) ** 2).mean(0))
    degree = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    precision = np.zeros((27, 27))
    for k in range(9):
        white, own = LUMINANCE_STD[degree[k]] / size[k], CHROMA_STD[degree[k]] / size[k]
        covariance = white**2 * np.ones((3, 3)) + own**2 * np.eye(3)
        precision[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = np.linalg.inv(covariance)
    mean = np.zeros((9, 3))
    mean[0] = 1 / size[0]
    return mean, precision


def _harmonics(normals: np.ndarray) -> np.ndarray:
    """(N, 9) irradiance of each of the light's coefficients at unit normals (N, 3)."""
    unit = SphericalHarmonicsLight(torch.eye(9, dtype=torch.float64))
    return unit.irradiance(torch.from_numpy(np.asarray(normals, np.float64))).numpy()


def _irradiance(light: Light, normals: np.ndarray) -> np.ndarray:
    found = light.irradiance(torch.from_numpy(np.asarray(normals, np.float64))).numpy()
    return np.broadcast_to(found, (len(normals), 3))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])
