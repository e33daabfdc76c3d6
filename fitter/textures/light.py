"""The light of a picture and the skin's coefficients, from the colours of a hand's texels.

A texel's colour is ``reflectance(coefficients) * irradiance(normal)``. With the skin fixed that is
linear in the light's coefficients, with the light fixed nearly linear in the skin's: nonlinear
least squares, small and dense, with robust weights for what is neither (shadows, highlights,
rings). What pictures leave open, whether a skin is dark or its light dim, the priors decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fitter.rendering.shading import SphericalHarmonicsLight
from fitter.rendering.textured import Light

ROUNDS = 12
"""Steps of Gauss and Newton, each with new robust weights."""
HALVINGS = 6
"""Times that a step is halved until it is one for the better."""
RELATIVE_ERROR = 0.15
"""Standard deviation of a colour about what light and skin explain, as a share of it."""
INDEPENDENT = 20
"""Samples that a whole picture is worth: neighbouring texels err alike, and the models of light and
skin are wrong in the same way in all of a picture."""
FLOOR = 0.02
"""Linear light below which differences no longer count as shares."""
LUMINANCE_STD = (0.25, 0.25, 0.08)
"""Prior standard deviation of the irradiance's parts of degree 0, 1 and 2, white; the mean is an
irradiance of 1 from everywhere."""
CHROMA_STD = (0.2, 0.1, 0.04)
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
    """Fit light and skin together.

    Gauss-Newton in both: solved in turn they would stay where they began along the direction in
    which one undoes the other, a darker skin in brighter light.

    Args:
        samples: at least one.
        light: where it is known; the skin alone is fitted then.
    """
    basis, count = _harmonics(samples.normals), len(samples.components)
    prior_mean, light_precision = _light_prior()
    prior = np.concatenate([prior_mean.ravel(), np.zeros(count)])
    precision = np.eye(27 + count)
    precision[:27, :27] = light_precision
    unknown = slice(0 if light is None else 27, None)
    share = samples.weights / samples.weights.sum() * INDEPENDENT / RELATIVE_ERROR**2
    fixed = None if light is None else np.maximum(_irradiance(light, samples.normals), 1e-3)
    values, robust = prior.copy(), np.ones(len(share))
    if light is None:
        # Begin where the mean skin is as bright as what is seen, not where every skin is saturated.
        values[:27] *= _weighted_median(
            samples.colours.mean(1) / _sigmoid(samples.mean).mean(1), samples.weights
        )
    for _ in range(ROUNDS):
        skin, lit = _shown(samples, basis, values, fixed)
        weight = (share * robust)[:, None] / (np.abs(skin * lit) + FLOOR) ** 2
        left, right = _normal_equations(samples, basis, (skin, lit), weight)
        left, right = left + precision, right - precision @ (values - prior)
        step = np.linalg.solve(left[unknown, unknown], right[unknown])
        before = _cost(samples, (skin, lit), weight, values - prior, precision)
        for _ in range(HALVINGS):
            moved = values.copy()
            moved[unknown] += step
            skin, lit = _shown(samples, basis, moved, fixed)
            if _cost(samples, (skin, lit), weight, moved - prior, precision) < before:
                values = moved
                break
            step = 0.5 * step
        skin, lit = _shown(samples, basis, values, fixed)
        shown = skin * np.maximum(lit, 0)
        error = np.linalg.norm((samples.colours - shown) / (shown + FLOOR), axis=1)
        scale = max(RELATIVE_ERROR, 1.4826 * _weighted_median(error, samples.weights))
        robust = 1 / (1 + (error / (2 * scale)) ** 2) ** 2
    if light is None:
        light = SphericalHarmonicsLight(torch.from_numpy(values[:27].reshape(9, 3)))
    return LightFit(light, values[27:])


def _shown(
    samples: SkinSamples, basis: np.ndarray, values: np.ndarray, fixed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Skin and irradiance (N, 3) for the values of light (9 x 3) and skin."""
    skin = _sigmoid(samples.mean + np.tensordot(values[27:], samples.components, 1))
    return skin, basis @ values[:27].reshape(9, 3) if fixed is None else fixed


def _cost(
    samples: SkinSamples,
    shown: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray,
    from_prior: np.ndarray,
    precision: np.ndarray,
) -> float:
    error = samples.colours - shown[0] * shown[1]
    return float((weight * error**2).sum() + from_prior @ precision @ from_prior)


def _normal_equations(
    samples: SkinSamples,
    basis: np.ndarray,
    shown: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Of the step of light (9 x 3) and skin: J^T W J and J^T W r, without the priors."""
    skin, lit = shown
    count = len(samples.components)
    left, right = np.zeros((27 + count, 27 + count)), np.zeros(27 + count)
    slopes = skin * (1 - skin) * lit * samples.components
    error = samples.colours - skin * lit
    for colour in range(3):
        # Columns of the light's coefficients of this colour, then of the skin's.
        rows = np.concatenate([skin[:, colour] * basis.T, slopes[:, :, colour]])
        place = np.concatenate([np.arange(colour, 27, 3), np.arange(27, 27 + count)])
        weighted = rows * weight[:, colour]
        left[np.ix_(place, place)] += weighted @ rows.T
        right[place] += weighted @ error[:, colour]
    return left, right


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
