"""How the two hands of somebody are held towards each other, before they touch.

Directions are those of the owner: x to the right, y up, z back toward the chest. A hand is said by
where its fingers point and where its palm faces. All angles, distances and shares are ours (not
published), chosen by what the pictures look like.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Rng = np.random.Generator

PALM, BACK, TIP, WRIST, LITTLE_EDGE, THUMB_EDGE = range(6)
"""Places of a hand, see `place_of`."""


@dataclass(frozen=True)
class Held:
    """One hand.

    Attributes:
        fingers, palm: (3,) where the fingers point and the palm faces.
        modes: of `pose_modes()`, of which one is drawn.
        anchor: place of the hand that comes near the other's.
    """

    fingers: np.ndarray
    palm: np.ndarray
    modes: tuple[str, ...]
    anchor: int

    @property
    def frame(self) -> np.ndarray:
        """(3, 2) orthonormal columns: fingers, palm."""
        forward = self.fingers / np.linalg.norm(self.fingers)
        palm = self.palm - (self.palm @ forward) * forward
        return np.stack([forward, palm / np.linalg.norm(palm)], 1)


@dataclass(frozen=True)
class Arrangement:
    """Both hands.

    Attributes:
        right, left: of them.
        direction: (3,) unit, from which the left hand comes to the right one, away from it.
        offset: (3,) metres by which the left hand's place is beside the right one's.
        closing: hands whose fingers close on the other, in that order; left is True.
        furthest: share by which they close at most.
        hidden_along: (3,) direction along which one hand hides the other, or None.
        interlaced: fingers pass between fingers.
    """

    right: Held
    left: Held
    direction: np.ndarray
    offset: np.ndarray
    closing: tuple[bool, ...] = ()
    furthest: float = 1.0
    hidden_along: np.ndarray | None = None
    interlaced: bool = field(default=False)


RIGHT, UP, BACKWARD = np.eye(3)
MIRROR = np.array([-1.0, 1.0, 1.0])


def turned_about(axis: np.ndarray, degrees: float, vector: np.ndarray) -> np.ndarray:
    """(3,) vector turned about a unit axis."""
    angle = np.deg2rad(degrees)
    along = (axis @ vector) * axis
    across = vector - along
    turned: np.ndarray = along + np.cos(angle) * across + np.sin(angle) * np.cross(axis, vector)
    return turned


def _shaken(rng: Rng, vector: np.ndarray, degrees: float) -> np.ndarray:
    """(3,) a direction near another one."""
    return vector / np.linalg.norm(vector) + rng.normal(0, np.tan(np.deg2rad(degrees)), 3)


def palms(rng: Rng) -> Arrangement:
    """Palm on palm, fingers side by side: prayer, applause."""
    tilt, turn = rng.normal(40, 22), rng.normal(0, 12)
    both = turned_about(RIGHT, -tilt, UP)
    modes = ("open", "relaxed", "platform") if rng.random() < 0.4 else ("open",)
    right = Held(_shaken(rng, turned_about(RIGHT, turn, both), 5), _shaken(rng, -RIGHT, 6), modes,
                 PALM)  # fmt: skip
    left = Held(_shaken(rng, turned_about(RIGHT, -turn, both), 5), _shaken(rng, RIGHT, 6), modes,
                PALM)  # fmt: skip
    offset = np.array([0.0, *rng.normal(0, 0.012, 2)])
    return Arrangement(right, left, -RIGHT, offset)


def clasp(rng: Rng) -> Arrangement:
    """Hands that hold each other: palm in palm with closed fingers, or fingers between fingers."""
    if rng.random() < 0.25:
        return _interlaced(rng)
    tilt, turn = rng.normal(55, 18), rng.uniform(18, 42)
    both = turned_about(RIGHT, -tilt, UP)
    swap = rng.random() < 0.5
    turn = -turn if swap else turn
    right = Held(_shaken(rng, turned_about(RIGHT, turn, both), 6), _shaken(rng, -RIGHT, 8),
                 ("open", "relaxed"), PALM)  # fmt: skip
    left = Held(_shaken(rng, turned_about(RIGHT, -turn, both), 6), _shaken(rng, RIGHT, 8),
                ("open", "relaxed"), PALM)  # fmt: skip
    offset = np.array([0.0, *rng.normal(0, 0.01, 2)])
    return Arrangement(right, left, -RIGHT, offset, closing=(swap, not swap))


def _interlaced(rng: Rng) -> Arrangement:
    """Fingers between fingers: the knuckles of both hands are parallel, half a finger apart."""
    ahead = turned_about(RIGHT, -rng.normal(55, 20), UP)
    # Both thumbs are on the side of the owner.
    knuckles = np.cross(RIGHT, ahead)
    knuckles = knuckles if knuckles[2] + knuckles[1] > 0 else -knuckles
    lean = np.deg2rad(rng.uniform(28, 55))

    def held(side: float) -> Held:
        fingers = np.cos(lean) * ahead - side * np.sin(lean) * RIGHT
        palm = -side * np.cos(lean) * RIGHT - np.sin(lean) * ahead
        return Held(fingers, palm, ("spread",), PALM)

    half = rng.choice([-1.0, 1.0]) * rng.uniform(0.009, 0.012)
    offset = half * knuckles + rng.normal(0.0, 0.006) * ahead
    return Arrangement(
        held(1.0), held(-1.0), -RIGHT, offset, closing=(False, True), interlaced=True
    )


def cross(rng: Rng) -> Arrangement:
    """One hand lies on the other and may grip it, or its wrist."""
    above = turned_about(RIGHT, rng.normal(20, 30), turned_about(BACKWARD, rng.normal(0, 15), UP))
    yaw = rng.uniform(35, 75), rng.uniform(0, 45)
    away = -BACKWARD
    lower = turned_about(UP, -yaw[1], away)
    upper = turned_about(UP, yaw[0], away)
    at_wrist = rng.random() < 0.25
    palm_up = rng.random() < 0.25
    left = Held(_shaken(rng, lower, 6), _shaken(rng, above if palm_up else -above, 6),
                ("open", "relaxed", "fist", "platform"), WRIST if at_wrist else
                (PALM if palm_up else BACK))  # fmt: skip
    right = Held(_shaken(rng, upper, 6), _shaken(rng, -above, 6), ("open", "relaxed"), PALM)
    offset = rng.normal(0, 0.015, 3)
    offset -= (offset @ above) * above
    closing = (False,) if rng.random() < 0.85 else ()
    return _either(rng, Arrangement(right, left, -above, offset, closing))


def point(rng: Rng) -> Arrangement:
    """A finger points into the other palm."""
    aim = _shaken(rng, np.array([-1.0, -0.2, -0.25]), 15)
    aim /= np.linalg.norm(aim)
    right = Held(aim, _shaken(rng, np.array([0.0, -1.0, 0.3]), 25), ("point",), TIP)
    up = _shaken(rng, np.array([0.15, 0.8, -0.5]), 15)
    left = Held(up, _shaken(rng, -aim, 12), ("open", "relaxed", "platform"), PALM)
    offset = rng.normal(0, 0.014, 3)
    offset -= (offset @ aim) * aim
    return _either(rng, Arrangement(right, left, aim, offset))


def hide(rng: Rng) -> Arrangement:
    """One hand before the other, as the camera sees them: palm on back, back on back."""
    toward = _shaken(rng, BACKWARD, 12)
    toward /= np.linalg.norm(toward)
    up = np.array([0.0, 1.0, 0.0])
    right_palm, left_palm = rng.choice([-1.0, 1.0], 2)
    right = Held(_shaken(rng, turned_about(BACKWARD, rng.uniform(5, 55), up), 6),
                 right_palm * toward, ("open", "relaxed", "gesture", "fist"),
                 BACK if right_palm > 0 else PALM)  # fmt: skip
    left = Held(_shaken(rng, turned_about(BACKWARD, -rng.uniform(5, 55), up), 6),
                left_palm * toward, ("open", "relaxed", "gesture", "fist"),
                PALM if left_palm > 0 else BACK)  # fmt: skip
    offset = rng.normal(0, 0.018, 3)
    offset -= (offset @ toward) * toward
    closing = (False,) if right_palm < 0 and rng.random() < 0.5 else ()
    return _either(
        rng, Arrangement(right, left, -toward, offset, closing, 0.6, hidden_along=toward)
    )


def side(rng: Rng) -> Arrangement:
    """Hands side by side: palms up like a bowl, or palms down or forward with touching thumbs."""
    facing = turned_about(RIGHT, rng.normal(0, 30), UP)
    ahead = np.cross(facing, RIGHT)
    ahead = ahead if ahead[2] < 0 else -ahead
    up = rng.random() < 0.5
    yaw, roll = rng.normal(12, 14), abs(rng.normal(15, 12)) * (1 if up else -1)
    edge = LITTLE_EDGE if up else THUMB_EDGE
    palm = facing if up else -facing
    modes = ("relaxed", "platform", "open") if up else ("open", "relaxed", "gesture", "fist")
    right = Held(_shaken(rng, turned_about(facing, yaw, ahead), 5),
                 turned_about(ahead, -roll, palm), modes, edge)  # fmt: skip
    left = Held(_shaken(rng, turned_about(facing, -yaw, ahead), 5),
                turned_about(ahead, roll, palm), modes, edge)  # fmt: skip
    offset = rng.normal(0, 1, 3) * np.array([0.0, 0.008, 0.008]) + rng.normal(0, 0.012) * ahead
    return Arrangement(right, left, -RIGHT, offset)


def _either(rng: Rng, given: Arrangement) -> Arrangement:
    """The arrangement or its mirror image."""
    if rng.random() < 0.5:
        return given

    def mirrored(held: Held) -> Held:
        return Held(held.fingers * MIRROR, held.palm * MIRROR, held.modes, held.anchor)

    along = given.hidden_along
    return Arrangement(
        mirrored(given.left),
        mirrored(given.right),
        -given.direction * MIRROR,
        -given.offset * MIRROR,
        tuple(not left for left in given.closing),
        given.furthest,
        None if along is None else along * MIRROR,
        given.interlaced,
    )


KINDS = {
    "palms": (0.15, palms),
    "clasp": (0.25, clasp),
    "cross": (0.2, cross),
    "point": (0.12, point),
    "hide": (0.16, hide),
    "side": (0.12, side),
}
"""Share and sampler of every kind of two touching hands."""


def place_of(anchor: int, points: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """(3,) place of a hand.

    Args:
        anchor: PALM ... THUMB_EDGE.
        points: (21, 3) joints and tips, see `finger_contact`.
        palm: (3,) unit, where the palm faces.
    """
    wrist, index, little = points[0], points[1], points[7]
    middle = 0.3 * wrist + 0.7 * points[[1, 4, 10, 7]].mean(axis=0)
    if anchor == TIP:
        return points[17]
    if anchor == WRIST:
        return wrist + 0.25 * (wrist - points[4])
    if anchor == LITTLE_EDGE:
        return 0.4 * wrist + 0.6 * little
    if anchor == THUMB_EDGE:
        return 0.3 * wrist + 0.7 * index
    return middle + (0.012 if anchor == PALM else -0.012) * palm
