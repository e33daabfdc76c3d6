"""What runs the detector's networks: LiteRT on a CPU, PyTorch on a GPU, from the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fitter.detection.windows import Picture, Window


@dataclass(frozen=True)
class PalmValues:
    """What the palm network says of N windows.

    Attributes:
        values: (N, 2016, 18) float32 numbers of each anchor's palm, pixels of the window, relative
            to the anchor.
        logits: (N, 2016) float32 logit that there is one.
    """

    values: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class LandmarkValues:
    """What the landmark network says of N windows.

    Attributes:
        landmarks: (N, 21, 3) float32 x, y, z of the landmarks; x and y from the middle of the
            window's first pixel, pixels of the window; z about the wrist, in 0.4 pixels.
        presence: (N,) float32 probability that the window shows a hand.
        handedness: (N,) float32 probability that it is a right one.
        world: (N, 21, 3) float32 landmarks in metres, in the window's axes, about the hand's
            middle.
        features: (N, 1152) float32 what all this is read off.
    """

    landmarks: np.ndarray
    presence: np.ndarray
    handedness: np.ndarray
    world: np.ndarray
    features: np.ndarray


class HandNetworks(Protocol):
    """The palm network and the landmark network."""

    def palms(self, picture: Picture, windows: Sequence[Window]) -> PalmValues:
        """Palms in N windows of a picture, which is black outside of itself."""
        ...

    def landmarks(self, picture: Picture, windows: Sequence[Window]) -> LandmarkValues:
        """Landmarks of the hands in N windows, one each; outside of it the picture's outermost
        pixels go on."""
        ...
