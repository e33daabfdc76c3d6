"""Small functions of colours that several parts of the room need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fitter.rendering.shading import linear_from_srgb, srgb_from_linear

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def logit(share: ArrayLike) -> np.ndarray:
    """``log(x / (1 - x))`` of values in (0, 1)."""
    values = np.asarray(share)
    return np.log(values / (1 - values))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The inverse of `logit`."""
    return 1 / (1 + np.exp(-logits))


def encoded(linear: np.ndarray) -> np.ndarray:
    """Linear colours as sRGB in [0, 1]."""
    return srgb_from_linear(torch.from_numpy(np.ascontiguousarray(linear))).numpy()


def linear(encoded: np.ndarray) -> np.ndarray:
    """The inverse of `encoded`."""
    return linear_from_srgb(torch.from_numpy(np.ascontiguousarray(encoded))).numpy()


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The least of the values (N,) up to which half of the weights (N,) lies; the sum is not 0."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])
