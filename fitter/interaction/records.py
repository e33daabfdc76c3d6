"""What became of hands that were fitted together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitter.store.schema import InteractionStatus


@dataclass(frozen=True)
class Interaction:
    """Of one hand in a group of hands that touch: fields of `HandRow`.

    Attributes:
        touch_group: number of the group in its picture, from 1.
        interaction_status: "joint", or "alone" where the hands keep their own fits.
        relative_place: (3,) metres, camera frame, from the wrist's joint of the group's first hand
            to this one's.
        relative_place_std: (3,) its standard deviation, metres; NaN for hands that keep their own
            fits.
        penetration_depth: metres, the deepest point of this hand and another of the group in each
            other.
    """

    touch_group: int
    interaction_status: InteractionStatus
    relative_place: np.ndarray
    relative_place_std: np.ndarray
    penetration_depth: float
