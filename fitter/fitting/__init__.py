"""From observed keypoints to the parameters of hands, before any image is compared.

`normalise` brings observations into one frame and unit, `fit_keypoints` fits a hand model to them
by Levenberg-Marquardt, from several initialisations. What networks say of a hand comes from an
`Initializer` and is a `Predictions`.

HandObservation, K -> `normalise` -> NormalisedHands -> `fit_keypoints` -> KeypointFit
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.fitting.crops import HandCrop, crop_hands
    from fitter.fitting.fit_model import FitModel
    from fitter.fitting.initializer import (
        Initializer,
        InitializerFactory,
        Prediction,
        Predictions,
        ViewedRows,
        load_initializer,
    )
    from fitter.fitting.keypoint_fit import KeypointFit, fit_keypoints, fit_observations
    from fitter.fitting.observations import ObservationBatch, normalise

__all__ = [
    "FitModel",
    "HandCrop",
    "Initializer",
    "InitializerFactory",
    "KeypointFit",
    "ObservationBatch",
    "Prediction",
    "Predictions",
    "ViewedRows",
    "crop_hands",
    "fit_keypoints",
    "fit_observations",
    "load_initializer",
    "normalise",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "FitModel": "fitter.fitting.fit_model",
        "HandCrop": "fitter.fitting.crops",
        "Initializer": "fitter.fitting.initializer",
        "InitializerFactory": "fitter.fitting.initializer",
        "KeypointFit": "fitter.fitting.keypoint_fit",
        "ObservationBatch": "fitter.fitting.observations",
        "Prediction": "fitter.fitting.initializer",
        "Predictions": "fitter.fitting.initializer",
        "ViewedRows": "fitter.fitting.initializer",
        "crop_hands": "fitter.fitting.crops",
        "fit_keypoints": "fitter.fitting.keypoint_fit",
        "fit_observations": "fitter.fitting.keypoint_fit",
        "load_initializer": "fitter.fitting.initializer",
        "normalise": "fitter.fitting.observations",
    },
)
