"""Which of the known orders the 21 rows of NIMBLE's `jreg_mano` are in: its geometry tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fitter.conventions import KEYPOINT_NAMES, KEYPOINT_ORDERS
from fitter.errors import InputError
from fitter.hand_models.skeleton import NIMBLE_SKELETON

KEYPOINT_JOINTS = tuple(NIMBLE_SKELETON.names.index(name) for name in KEYPOINT_NAMES)
"""The joint of NIMBLE's rig that is named as each of the 21 canonical keypoints."""

_FARTHEST = 0.1
"""Of the hand's length: how far keypoints may be from joints of the same name on average. The wrist
of a rig and of MANO may be 2 cm apart, the others a few millimetres; a wrong order puts them
3 cm apart and more."""
_CLEARER = 2.0
"""By how much the second-best order must be worse than the best."""


def canonical_regressor(
    file: Path, regressor: np.ndarray, skin: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """Bring a regressor's rows into canonical order.

    Args:
        file: it was read from, for errors.
        regressor: (21, N) in one of `fitter.conventions.KEYPOINT_ORDERS`.
        skin: (N, 3) vertices of the rest pose.
        joints: (25, 3) of the rig in the same pose and unit.

    Raises:
        InputError: its points lie beside the joints in no known order, or in several alike.
    """
    points, named = regressor @ skin, joints[list(KEYPOINT_JOINTS)]
    length = np.linalg.norm(named[KEYPOINT_NAMES.index("middle_tip")] - named[0])
    distances = {
        name: float(np.linalg.norm(points[list(order)] - named, axis=1).mean() / length)
        for name, order in KEYPOINT_ORDERS.items()
    }
    nearest, second = sorted(distances, key=lambda name: distances[name])[:2]
    if not distances[nearest] <= _FARTHEST or distances[second] < _CLEARER * distances[nearest]:
        raise InputError(
            "nimble.keypoint_order",
            file=file,
            orders=", ".join(KEYPOINT_ORDERS),
            nearest=nearest,
            distance=distances[nearest],
        )
    return regressor[list(KEYPOINT_ORDERS[nearest])]
