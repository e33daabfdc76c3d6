"""How bodies come into touch: one moves until it meets the other, fingers close until they do.

Both start apart and move no further than they are apart, so that nothing ever passes through
anything: penetration is zero by construction, up to what lies between the points that are tested,
which `datasets.synthetic.touching.measured` finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datasets.synthetic.touching.solids import NEAR, Solid, gap
from fitter.conventions import MODEL_FINGERS
from fitter.hand_models.anatomy import FLEXION, finger_joints, joint_limits

TOUCH = 0.0004
"""Metres at which two bodies count as touching and nothing moves on."""
STEPS = 60
"""Of a body that approaches; more take those that slide along each other, which are given up."""
CLOSING = 14
"""Poses between the open and the closed finger that are tried one after the other."""
AT_ONCE = 5
"""Of these poses that are tried together."""
HALVINGS = 4
"""Of the step in which a finger meets something."""
FLEXIONS = np.deg2rad([[70.0, 85.0, 55.0]] * 4 + [[40.0, 50.0, 60.0]])
"""By how much the joints of each finger of `MODEL_FINGERS` close at most."""
_PARTS = ((0, 1, 2), (1, 2), (2,))
"""Joints that close together, one after the other: when the first bone rests, the others go on."""


def approached(fixed: Solid, moving: Solid, direction: np.ndarray, furthest: float) -> float | None:
    """How far a body is moved along a direction when it just touches another.

    Args:
        fixed, moving: bodies in one frame.
        direction: (3,) unit, away from the fixed one.
        furthest: metres from which it comes.

    Returns:
        Metres along `direction`, or None where it starts in touch, passes by or slides.
    """
    shift = furthest
    for step in range(STEPS):
        free = gap(fixed, moving, shift * direction)
        if free < TOUCH:
            return None if step == 0 else shift
        shift -= max(free - 0.5 * TOUCH, 0.5 * TOUCH)
        if shift < -furthest:
            return None
    return None


@dataclass(frozen=True)
class Closed:
    """Fingers that have closed: `angles` (15, 3) radians, `stopped` (5,) bool, who met
    something."""

    angles: np.ndarray
    stopped: np.ndarray


def closed(
    angles: np.ndarray,
    probes: Callable[[np.ndarray], np.ndarray],
    finger: np.ndarray,
    obstacle: Solid,
    furthest: np.ndarray | float = 1.0,
) -> Closed:
    """Close the fingers of a hand until each touches an obstacle.

    Args:
        angles: (15, 3) radians from which they close.
        probes: (B, P, 3) points of hands of angles (B, 15, 3).
        finger: (P,) row of `MODEL_FINGERS` of each point, -1 of points that do not move.
        obstacle: what they close on.
        furthest: share of `FLEXIONS` of each finger, (5,) or one.
    """
    limit = joint_limits()[1]
    stopped = np.zeros(len(MODEL_FINGERS), bool)
    for joints in _PARTS:
        change = np.zeros_like(angles)
        for row, name in enumerate(MODEL_FINGERS):
            own = finger_joints(name)
            for joint in joints:
                place = own.start + joint
                full = FLEXIONS[row, joint] * np.broadcast_to(furthest, len(MODEL_FINGERS))[row]
                room = limit[place, FLEXION] - angles[place, FLEXION]
                change[place, FLEXION] = np.clip(full, 0.0, max(room, 0.0))
        share, met = _free_share(angles, change, probes, finger, obstacle)
        stopped |= met
        angles = angles + _by_joint(share) * change
    return Closed(angles, stopped)


def _by_joint(share: np.ndarray) -> np.ndarray:
    """(15, 1) of the joints of fingers' (5,), (B, 15, 1) of (B, 5)."""
    result = np.zeros((*share.shape[:-1], 15, 1))
    for row, name in enumerate(MODEL_FINGERS):
        result[..., finger_joints(name), 0] = share[..., row : row + 1]
    return result


def _free_share(
    angles: np.ndarray,
    change: np.ndarray,
    probes: Callable[[np.ndarray], np.ndarray],
    finger: np.ndarray,
    obstacle: Solid,
) -> tuple[np.ndarray, np.ndarray]:
    """How much of a change each finger goes through before it touches (5,), and who does."""

    own = np.flatnonzero(finger >= 0)
    of_finger = [finger[own] == row for row in range(len(MODEL_FINGERS))]

    def is_free(shares: np.ndarray) -> np.ndarray:
        points = probes(angles + _by_joint(shares) * change)
        flat = points[:, own].reshape(-1, 3)
        free = obstacle.clearance(flat, looked=NEAR).reshape(len(points), -1)
        return np.stack([free[:, part].min(axis=1) for part in of_finger], 1) >= 0.5 * TOUCH

    steps = np.linspace(0.0, 1.0, CLOSING + 1)
    first = np.full(len(MODEL_FINGERS), CLOSING + 1)
    for start in range(0, len(steps), AT_ONCE):
        tried = steps[start : start + AT_ONCE]
        blocked = ~is_free(np.repeat(tried[:, None], len(MODEL_FINGERS), 1))
        new = blocked.any(axis=0) & (first > CLOSING)
        first[new] = start + blocked.argmax(axis=0)[new]
        if (first <= CLOSING).all():
            break
    met = first <= CLOSING
    high = steps[np.minimum(first, CLOSING)]
    low = np.where(met, steps[np.clip(first - 1, 0, CLOSING)], 1.0)
    for _ in range(HALVINGS if met.any() else 0):
        middle = 0.5 * (low + high)
        fine = is_free(middle[None])[0]
        low, high = np.where(fine & met, middle, low), np.where(fine | ~met, high, middle)
    # A finger that was in touch at the start stays where it is.
    return np.where(met & (first == 0), 0.0, low), met
