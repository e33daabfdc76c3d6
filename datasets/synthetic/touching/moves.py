"""How bodies come into touch: one moves until it meets the other, fingers close until they do.

Both start apart and move no further than they are apart, and a finger stops at its own hand as
well, so that nothing ever passes through anything: penetration is zero by construction, up to what
lies between the points that are tested, which `datasets.synthetic.touching.measured` finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
AT_ONCE = 3
"""Of these poses that are tried together."""
HALVINGS = 3
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
class Fingers:
    """The fingers of a hand, and how they meet something.

    Attributes:
        vertices: (B, V, 3) of hands of angles (B, 15, 3).
        finger: (V,) row of `MODEL_FINGERS` of each vertex, -1 of those that do not move.
        faces: (F, 3), each of one finger.
        caught: of vertices (B, V, 3) the fingers that are in their own hand, (B, 5) bool.
    """

    vertices: Callable[[np.ndarray], np.ndarray]
    finger: np.ndarray
    faces: np.ndarray
    caught: Callable[[np.ndarray], np.ndarray]

    def stopped(self, angles: np.ndarray, obstacle: Solid) -> tuple[np.ndarray, np.ndarray]:
        """(B, 5) bool each, fingers of hands of angles (B, 15, 3) that touch an obstacle, by their
        vertices and the middles of their faces, and those that touch it or their own hand."""
        vertices = self.vertices(angles)
        own = np.flatnonzero(self.finger >= 0)
        of_point = np.concatenate([self.finger[own], self.finger[self.faces[:, 0]]])
        points = np.concatenate([vertices[:, own], vertices[:, self.faces].mean(axis=2)], axis=1)
        clearance = obstacle.clearance(points.reshape(-1, 3), looked=NEAR)
        clearance = clearance.reshape(len(points), -1)
        rows = range(len(MODEL_FINGERS))
        least = np.stack([clearance[:, of_point == row].min(axis=1) for row in rows], 1)
        touching: np.ndarray = least < 0.5 * TOUCH
        return touching, touching | self.caught(vertices)


@dataclass(frozen=True)
class ClosedFingers:
    """Fingers that have closed: `angles` (15, 3) radians, `touching` (5,) bool, who met the
    obstacle."""

    angles: np.ndarray
    touching: np.ndarray


def close_fingers(
    angles: np.ndarray,
    fingers: Fingers,
    obstacle: Solid,
    furthest: np.ndarray | float = 1.0,
    is_wanted: Callable[[ClosedFingers], bool] = lambda closed: True,
) -> ClosedFingers:
    """Close the fingers of a hand until each touches an obstacle, or its own hand.

    Args:
        angles: (15, 3) radians from which they close.
        fingers: of the hand.
        obstacle: what they close on.
        furthest: share of `FLEXIONS` of each finger, (5,) or one.
        is_wanted: whether fingers that the obstacle alone stops are good enough to look for how
            their own hand stops them, which takes several times as long.
    """
    alone = _closed(angles, replace(fingers, caught=_none), obstacle, furthest)
    if not is_wanted(alone) or not fingers.caught(fingers.vertices(alone.angles[None])).any():
        return alone
    return _closed(angles, fingers, obstacle, furthest)


def _none(vertices: np.ndarray) -> np.ndarray:
    """Of fingers that their own hand does not stop."""
    return np.zeros((len(vertices), len(MODEL_FINGERS)), bool)


def _closed(
    angles: np.ndarray, fingers: Fingers, obstacle: Solid, furthest: np.ndarray | float
) -> ClosedFingers:
    limit = joint_limits()[1]
    touching = np.zeros(len(MODEL_FINGERS), bool)
    for joints in _PARTS:
        change = np.zeros_like(angles)
        for row, name in enumerate(MODEL_FINGERS):
            own = finger_joints(name)
            for joint in joints:
                place = own.start + joint
                full = FLEXIONS[row, joint] * np.broadcast_to(furthest, len(MODEL_FINGERS))[row]
                room = limit[place, FLEXION] - angles[place, FLEXION]
                change[place, FLEXION] = np.clip(full, 0.0, max(room, 0.0))
        share, met = _free_share(angles, change, fingers, obstacle)
        touching |= met
        angles = angles + _by_joint(share) * change
    return ClosedFingers(angles, touching)


def _by_joint(share: np.ndarray) -> np.ndarray:
    """(15, 1) of the joints of fingers' (5,), (B, 15, 1) of (B, 5)."""
    result = np.zeros((*share.shape[:-1], 15, 1))
    for row, name in enumerate(MODEL_FINGERS):
        result[..., finger_joints(name), 0] = share[..., row : row + 1]
    return result


def _free_share(
    angles: np.ndarray, change: np.ndarray, fingers: Fingers, obstacle: Solid
) -> tuple[np.ndarray, np.ndarray]:
    """How much of a change each finger goes through before it is stopped (5,), and whom the
    obstacle stops.

    Fingers go on together, so that none moves into where another has stopped: steps are taken up to
    the first in which a finger is stopped, which then gets shorter until that finger stays.
    """
    share, met = np.zeros(len(MODEL_FINGERS)), np.zeros(len(MODEL_FINGERS), bool)
    active = np.ones(len(MODEL_FINGERS), bool)
    step, ahead = 1.0 / CLOSING, AT_ONCE
    while active.any():
        further = np.arange(1, ahead + 1)[:, None] * step * active
        tried = np.minimum(share + further, 1.0)
        touching, stopped = fingers.stopped(angles + _by_joint(tried) * change, obstacle)
        stopped &= active
        free = ~stopped.any(axis=1)
        good = ahead if free.all() else int(free.argmin())
        if good:
            share = tried[good - 1]
        if good < ahead and step > 1.0 / (CLOSING * 2**HALVINGS):
            step, ahead = 0.5 * step, 1
        elif good < ahead:
            met |= stopped[good] & touching[good]
            active &= ~stopped[good]
            step, ahead = 1.0 / CLOSING, AT_ONCE
        active &= share < 1.0
    return share, met
