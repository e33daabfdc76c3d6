"""The judgement of a fitted hand: which keypoints are seen, and how good the fit is expected to be.

`HandJudge` is the door: fitted hands with all that is known of them in, visibility, expected error
and score out. `features_of` makes the numbers of which a `QualityModel` tells error and score.

JudgedHands -> `HandJudge` -> Judgement
"""

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.quality.features import FEATURES, features_of
    from fitter.quality.inputs import JudgedHands
    from fitter.quality.judge import HandJudge, Judgement
    from fitter.quality.model import Quality, QualityModel, load_quality_model

__all__ = [
    "FEATURES",
    "HandJudge",
    "JudgedHands",
    "Judgement",
    "Quality",
    "QualityModel",
    "features_of",
    "load_quality_model",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "FEATURES": "fitter.quality.features",
        "HandJudge": "fitter.quality.judge",
        "JudgedHands": "fitter.quality.inputs",
        "Judgement": "fitter.quality.judge",
        "Quality": "fitter.quality.model",
        "QualityModel": "fitter.quality.model",
        "features_of": "fitter.quality.features",
        "load_quality_model": "fitter.quality.model",
    },
)
