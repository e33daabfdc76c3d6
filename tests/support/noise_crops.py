"""Crops of detected hands, out of a picture of noise."""

from __future__ import annotations

import numpy as np

from fitter.fitting.crops import crop_hands
from fitter.fitting.observations import ObservationBatch
from fitter.records import HandCrop, HandObservation, Side

SIZE = (640, 480)
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


def crops_of(observed: ObservationBatch) -> list[HandCrop]:
    """A crop of each hand, which all lie in a picture of `SIZE` by a camera with `K`."""
    picture = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    crops: list[HandCrop] = []
    for at, is_left in zip(observed.keypoints.numpy(), observed.is_left.tolist(), strict=True):
        side: Side = "left" if is_left else "right"
        hand = HandObservation(at, np.ones(21), side, side_score=1.0, score=1.0)
        crop = crop_hands(picture, K, [hand], None, (128, 1.4))[0]
        assert crop is not None
        crops.append(crop)
    return crops
