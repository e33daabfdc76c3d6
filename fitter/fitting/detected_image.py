"""What is known of an image once its hands are found: the record between detection and fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fitter.fitting.crops import HandCrop
from fitter.records import HandObservation


@dataclass(frozen=True)
class DetectedImage:
    """What the first half of the pipeline knows of one picture; of its pixels it keeps small crops.

    Attributes:
        size: (width, height) pixels, upright, or None for an unreadable picture.
        intrinsics: (3, 3) K, or None for an unreadable picture.
        intrinsics_source: where K came from.
        hands: at most `max_hands` observations.
        crops: of each hand, None for one that cannot be cropped; empty where no stage needs them.
        error: why the picture failed, or an empty text.
        file: (size in bytes, time of the last change in seconds since 1970) of its file before it
            was read, or None for one that is not there.
        inputs_digest: see `fitter.inputs.sources.Sources.digest`.
        has_mask: whether a mask was given.
    """

    size: tuple[int, int] | None = None
    intrinsics: np.ndarray | None = None
    intrinsics_source: str | None = None
    hands: Sequence[HandObservation] = field(default_factory=tuple)
    crops: Sequence[HandCrop | None] = field(default_factory=tuple)
    error: str = ""
    file: tuple[int, float] | None = None
    inputs_digest: int = 0
    has_mask: bool = False
