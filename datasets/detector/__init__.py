"""What a hand detector makes of hands: how its keypoints are defined, and its measured noise.

definition     where the 21 keypoints of a detector or a data set lie on a hand model
scatter        how detected keypoints scatter about that
noise          random detections of hands whose keypoints are known, as they were measured
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.detector.hands import DetectedHands
    from datasets.detector.keypoint_definition import (
        KeypointDefinition,
        KeypointScatter,
        joint_definition,
        load_mediapipe_definition,
        mano_definition,
    )
    from datasets.detector.noise import DetectorNoise, NoiseSamples
    from datasets.detector.scatter import HandPairs, measure_noise, measure_scatter

__all__ = [
    "DetectedHands",
    "DetectorNoise",
    "HandPairs",
    "KeypointDefinition",
    "KeypointScatter",
    "NoiseSamples",
    "joint_definition",
    "load_mediapipe_definition",
    "mano_definition",
    "measure_noise",
    "measure_scatter",
]
_MODULES = {
    "DetectedHands": "hands",
    "DetectorNoise": "noise",
    "HandPairs": "scatter",
    "KeypointDefinition": "keypoint_definition",
    "KeypointScatter": "keypoint_definition",
    "NoiseSamples": "noise",
    "joint_definition": "keypoint_definition",
    "load_mediapipe_definition": "keypoint_definition",
    "mano_definition": "keypoint_definition",
    "measure_noise": "scatter",
    "measure_scatter": "scatter",
}


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when it is asked for: all of it needs torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
