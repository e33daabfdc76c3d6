"""The quality model: from a hand's features to its expected error and the chance that it is good.

A window shows a hand with probability ``sigmoid(h)``. A hand's error e after alignment is taken to
be log-logistic, ``log e = m + s L`` with L logistic: the accelerated failure time model of survival
analysis (Kalbfleisch, Prentice, "The statistical analysis of failure time data", 2002, chapter 2).
So one model gives both: the median error ``exp(m)`` of what is taken for a hand, and the
probability that it is a hand with an error below t, ``sigmoid(h) sigmoid((log t - m) / s)``.

h, m and log s come from small networks of the features, whose mean is taken. A feature that is
unknown has the value of the mean hand, and the network is told so.

Features are clipped to what hands of the training had, but a hand may miss its keypoints by more
than any of them did. From there on its error is taken to grow in proportion to the residual. Hands
that nothing was fitted to are none of the training's, and m and s are those of
`fitter.quality.unfitted`. So in both the probability falls as the residual grows. # not published
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.special import expit

from fitter.quality.features import FEATURES
from fitter.quality.unfitted import UNFITTED_ERROR

GOOD_MM = 10.0
"""`score` is the probability of an error below this."""

_ITERATIONS, _RESIDUAL = FEATURES.index("iterations"), FEATURES.index("residual")
_RESIDUALS = [_RESIDUAL, FEATURES.index("largest_residual")]

WEIGHTS = "assets/quality.safetensors"


def logit(probability: np.ndarray) -> np.ndarray:
    """Of probabilities, kept finite."""
    safe = probability.clip(1e-9, 1 - 1e-9)
    return np.log(safe) - np.log1p(-safe)


@dataclass(frozen=True)
class Quality:
    """What is expected of B hands.

    Attributes:
        error_mm: (B,) median of the error after alignment, millimetres.
        probability: (B,) that it is a hand and the error is below `GOOD_MM`.
        presence: (B,) that it is a hand.
    """

    error_mm: np.ndarray
    probability: np.ndarray
    presence: np.ndarray


@dataclass(frozen=True)
class QualityModel:
    """E networks of one hidden layer over F features, H units each, float64.

    Attributes:
        mean, scale: (F,) of the features; low, high: (F,) to which they are clipped before. A mean
            is NaN where no hand of the training had the feature: it then counts as unknown.
        hidden: (E, 2 F, H) weights of the hidden layer, for values and for what is unknown.
        hidden_bias: (E, H).
        output: (E, H, 3) weights of m, log s and h; output_bias: (E, 3).
        skip: (E, 2 F, 3) weights from the input straight to the output.
        calibration: (2,) a and b of the logit ``a z + b``, z that of what the networks say.
    """

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray
    skip: np.ndarray
    calibration: np.ndarray

    def __call__(self, features: np.ndarray) -> Quality:
        """What is expected of hands.

        Args:
            features: (B, F) by `FEATURES`; NaN for what is unknown.
        """
        said = self._said(features)
        beyond = np.fmax(features[:, _RESIDUAL] / self.high[_RESIDUAL], 1.0)
        said[:, 0] += np.log(beyond)
        z = (np.log(GOOD_MM) - said[:, 0]) / np.exp(said[:, 1])
        slope, shift = self.calibration
        probability = expit(slope * logit(expit(z) * expit(said[:, 2])) + shift)
        fitted = Quality(np.exp(said[:, 0]), probability, expit(said[:, 2]))
        unfitted = features[:, _ITERATIONS] == 0
        return self._unfitted(features, unfitted, fitted) if unfitted.any() else fitted

    def _said(self, features: np.ndarray) -> np.ndarray:
        """(B, 3) m, log s and h of features (B, F)."""
        inputs = self.inputs(features)
        # Row by row the same, however many rows there are: no matrix product over the batch.
        hidden = np.einsum("bf,efh->beh", inputs, self.hidden) + self.hidden_bias
        said = np.einsum("beh,eho->beo", np.tanh(hidden), self.output) + self.output_bias
        said = (said + np.einsum("bf,efo->beo", inputs, self.skip)).mean(1)
        return np.asarray(said)

    def _unfitted(self, features: np.ndarray, chosen: np.ndarray, fitted: Quality) -> Quality:
        """What is expected of hands, where `chosen` (B,) of them were not fitted.

        Whether it is a hand is asked with the residuals of the mean hand: those of hands that were
        fitted, from which this was learned, are others.
        """
        rows = features[chosen]
        error = UNFITTED_ERROR.error_mm(rows[:, _RESIDUAL])
        rows[:, _RESIDUALS] = self.mean[_RESIDUALS]
        presence = expit(self._said(rows)[:, 2])
        good = expit((np.log(GOOD_MM) - np.log(error)) / UNFITTED_ERROR.spread)
        said = Quality(error, presence * good, presence)
        for name, values in vars(fitted).items():
            values[chosen] = getattr(said, name)
        return fitted

    def calibrated_as(self, other: QualityModel) -> QualityModel:
        """Another model with this one's calibration."""
        return replace(other, calibration=self.calibration)

    def inputs(self, features: np.ndarray) -> np.ndarray:
        """(B, 2 F) standardised features, 0 where unknown, and 1 for each that is."""
        values = (features.clip(self.low, self.high) - self.mean) / self.scale
        unknown = ~np.isfinite(values)
        return np.concatenate([np.where(unknown, 0.0, values), unknown], 1)


@lru_cache
def load_quality_model() -> QualityModel:
    """The model that ships with the project.

    Raises:
        ValueError: its features are not those of this version.
    """
    from safetensors import safe_open

    with safe_open(str(files("fitter.quality").joinpath(WEIGHTS)), "numpy") as file:
        names = json.loads(file.metadata()["features"])
        if tuple(names) != FEATURES:
            raise ValueError(f"quality model: expected the features {FEATURES}, found {names}")
        return QualityModel(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


@lru_cache
def quality_identity() -> dict[str, str]:
    """What tells the quality model from others, for the store: name -> digest."""
    content = files("fitter.quality").joinpath(WEIGHTS).read_bytes()
    return {"quality_sha256": hashlib.sha256(content).hexdigest()}
