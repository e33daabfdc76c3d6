"""Things in a hand and in front of it: round or square bodies around an axis."""

from __future__ import annotations

import numpy as np

from datasets.poses.finger_contact import hand_spheres
from datasets.poses.sampler import pose_modes
from datasets.synthetic.records import PROFILE

Rng = np.random.Generator
_MODES = list(pose_modes())
AROUND = tuple(_MODES.index(name) for name in ("cylinder", "sphere", "hook", "platform", "relaxed"))
BETWEEN = tuple(_MODES.index(name) for name in ("pinch", "tripod"))
GRASPS = AROUND + BETWEEN
"""Rows of `pose_modes()` in which a hand may hold something: around it, or between fingertips."""
LEAST_ROOM = 0.004
"""Metres of radius below which nothing fits into a grasp."""
SHAPES = {
    "cylinder": (1.0, 1.0, 1.0, 1.0, 1.0),
    "ball": (0.05, 0.8, 1.0, 0.8, 0.05),
    "bottle": (1.0, 1.0, 1.0, 0.55, 0.35),
    "cone": (1.0, 0.85, 0.7, 0.55, 0.4),
    "waist": (1.0, 0.8, 0.7, 0.8, 1.0),
    "barrel": (0.75, 0.93, 1.0, 0.93, 0.75),
}
"""Radius at five places along the axis."""


VARIED = {
    "mug": (0.9, 0.95, 1.0, 1.0, 1.0),
    "glass": (0.7, 0.75, 0.8, 0.9, 1.0),
    "jar": (1.0, 1.0, 1.0, 0.95, 0.7),
    "hammer": (0.35, 0.33, 0.33, 0.36, 1.0),
    "dumbbell": (1.0, 0.4, 0.36, 0.4, 1.0),
    "brush": (1.0, 0.85, 0.3, 0.28, 0.3),
    "bat": (0.4, 0.42, 0.55, 0.85, 1.0),
    "pear": (0.75, 1.0, 0.8, 0.5, 0.2),
    "egg": (0.3, 0.9, 1.0, 0.75, 0.2),
    "spool": (1.0, 0.6, 0.6, 0.6, 1.0),
    "knob": (0.3, 0.3, 0.6, 1.0, 0.7),
    "rod": (1.0, 1.0, 1.0, 1.0, 1.0),
}
"""As `SHAPES`, of things that are drawn from a generator of their own."""
FLAT = 0.5
"""Probability that one of them is flat: a telephone, a remote control, a book, a ruler."""


def no_object(points: np.ndarray) -> dict:
    """Fields of an `ObjectSpec` row that is not there."""
    return _row(points.mean(axis=0), np.eye(3))


def _row(centre: np.ndarray, axes: np.ndarray, present: bool = False) -> dict:
    return {
        "present": present,
        "centre": centre,
        "axes": axes,
        "half_length": 0.05,
        "half_width": np.array([0.02, 0.02]),
        "largest": 0.0,
        "squareness": 2.0,
        "profile": np.ones(PROFILE),
        "pattern": np.zeros(3),
        "gloss": 0.2,
    }


def _surface(rng: Rng) -> dict:
    share = rng.uniform(0.3, 1.0) * (rng.random() < 0.6)
    along, around = rng.integers(1, 9), rng.integers(2, 9)
    both = rng.integers(3)
    pattern = np.array([share, along * (both != 1), around * (both != 0)], float)
    return {"pattern": pattern, "gloss": rng.uniform(0, 1.2) ** 2}


def _frame(axis: np.ndarray, rng: Rng) -> np.ndarray:
    """(3, 3) rows: two across at a random rotation, the axis."""
    axis = axis / np.linalg.norm(axis)
    across = np.cross(axis, rng.normal(0, 1, 3))
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(axis, across), axis])


def sample_grasp(rng: Rng, points: np.ndarray, mode: int) -> dict:
    """What a hand of a mode in `GRASPS` holds.

    Args:
        rng: decides.
        points: (21, 3) metres, joints then tips, any frame.
        mode: row of `pose_modes()`.
    """
    return (_around if mode in AROUND else _between)(rng, points)


def _clearance(
    points: np.ndarray, centres: np.ndarray, axis: np.ndarray, half: float
) -> np.ndarray:
    """(N,) metres from lines of direction `axis` and half length `half` through the centres to the
    flesh."""
    spheres = hand_spheres()
    share = spheres.share[:, None]
    first, second = points[spheres.ends[:, 0]], points[spheres.ends[:, 1]]
    flesh = first + share * (second - first)
    offset = flesh - centres[:, None]
    along = offset @ axis
    # A sphere past the end is as far as it is from the end.
    offset = offset - np.clip(along, -half, half)[..., None] * axis
    return (np.linalg.norm(offset, axis=-1) - spheres.radius).min(axis=1)


def _around(rng: Rng, points: np.ndarray) -> dict:
    """A handle, bottle, ball or box in the hollow of the hand."""
    kind = str(rng.choice(list(SHAPES)))
    knuckles, tips = points[[1, 4, 10, 7]], points[17:21]
    palm = 0.25 * points[0] + 0.75 * knuckles.mean(axis=0)
    across = knuckles[0] - knuckles[3]
    axis = across / np.linalg.norm(across) + rng.normal(0, 0.12, 3)
    axis /= np.linalg.norm(axis)
    half = rng.uniform(0.02, 0.05) if kind == "ball" else rng.uniform(0.04, 0.13)
    shift = axis * rng.uniform(-0.3, 0.3) * half
    ends = tips.mean(axis=0) * 0.7 + points[16] * 0.3
    share = np.linspace(0.35, 0.75, 9)[:, None]
    centres = palm + share * (ends - palm)
    room = _clearance(points, centres, axis, min(half, 0.045))
    best = int(room.argmax())
    row = _row(centres[best] + (0 if kind == "ball" else shift), _frame(axis, rng))
    width = np.array([1.0, rng.uniform(0.75, 1.0)]) * max(room[best], LEAST_ROOM)
    return row | _surface(rng) | {
        "present": bool(room[best] > LEAST_ROOM),
        "half_length": max(room[best], LEAST_ROOM) * 1.05 if kind == "ball" else half,
        "half_width": width,
        "largest": 1.6,
        "squareness": 2.0 if kind == "ball" else rng.choice([2.0, 2.0, 3.0, 8.0]),
        "profile": np.array(SHAPES[kind]),
    }  # fmt: skip


def _between(rng: Rng, points: np.ndarray) -> dict:
    """A pen, card, coin or ball between the thumb and the fingertip next to it."""
    thumb, tips = points[16], points[17:21]
    gaps = np.linalg.norm(tips - thumb, axis=1)
    tip = tips[gaps.argmin()]
    line = (tip - thumb) / max(gaps.min(), 1e-6)
    axis = np.cross(line, rng.normal(0, 1, 3))
    axis /= np.linalg.norm(axis)
    kind = str(rng.choice(["ball", "pen", "card", "cylinder"]))
    half = {"ball": 0.012, "pen": rng.uniform(0.05, 0.08), "card": rng.uniform(0.02, 0.045),
            "cylinder": rng.uniform(0.01, 0.04)}[kind]  # fmt: skip
    centre = 0.5 * (thumb + tip)
    if kind == "pen":
        centre = centre + axis * half * rng.uniform(-0.6, 0.6)
    across = np.cross(axis, line)
    wide = rng.uniform(4, 12) if kind == "card" else 1.0
    return _row(centre, np.stack([line, across, axis])) | _surface(rng) | {
        "present": bool(0.008 < gaps.min() < 0.06),
        "half_length": half,
        "half_width": 0.003 * np.array([1.0, wide]),
        "largest": 5.0,
        "squareness": 8.0 if kind == "card" else 2.0,
        "profile": np.array(SHAPES["ball" if kind == "ball" else "cylinder"]),
    }  # fmt: skip


def more_varied(rng: Rng, row: dict, mode: int) -> dict:
    """A thing in the grasp of another shape: of `VARIED`, of any outline, or flat.

    Args:
        rng: decides.
        row: of `sample_grasp`, whose place and axis stay.
        mode: row of `pose_modes()`.
    """
    kind = str(rng.choice([*VARIED, "any", "any", "any"]))
    profile = VARIED[kind] if kind in VARIED else tuple(rng.uniform(0.35, 1.0, PROFILE))
    flat, thin = rng.random() < FLAT, rng.uniform(0.12, 0.5)
    squareness = float(rng.choice([3.0, 5.0, 8.0]) if flat else rng.choice([2.0, 2.0, 2.5, 4.0]))
    stretch, gloss = rng.uniform(0.7, 1.6), rng.uniform(0, 1.5)
    surface = [rng.uniform(0.3, 1.0) * (rng.random() < 0.7), float(rng.integers(0, 16)),
               float(rng.integers(0, 9))]  # fmt: skip
    if rng.random() < 0.5:
        profile = profile[::-1]
    if mode in BETWEEN:
        # What is held between fingertips is as wide there as they leave room for.
        return row | {"pattern": np.array(surface), "gloss": gloss, "squareness": squareness}
    width = np.asarray(row["half_width"]).max() * np.array([1.0, thin if flat else 1.0])
    return row | {
        "profile": np.array([1.0] * PROFILE if flat else profile),
        "half_width": width,
        "half_length": float(np.clip(row["half_length"] * stretch, 0.03, 0.16)),
        "largest": 2.2,
        "squareness": squareness,
        "pattern": np.array(surface),
        "gloss": gloss,
    }


def sample_occluder(rng: Rng, points: np.ndarray) -> dict:
    """Something between the camera and the hand; points (21, 3) metres, camera frame."""
    kind = str(rng.choice(list(SHAPES)))
    nearest = points[:, 2].min()
    width = rng.uniform(0.004, 0.016, 2)
    half = float(width.max()) if kind == "ball" else rng.uniform(0.015, 0.1)
    depth = nearest - 0.02 - float(width.max()) - rng.uniform(0.0, 0.25) * nearest
    target = points[rng.integers(len(points))] + rng.normal(0, 0.012, 3)
    centre = target * (depth / target[2])
    angle = rng.uniform(0, np.pi)
    axis = np.array([np.cos(angle), np.sin(angle), rng.normal(0, 0.08)])
    return _row(centre, _frame(axis, rng)) | _surface(rng) | {
        "present": bool(depth > 0.1),
        "half_length": half,
        "half_width": width,
        "squareness": rng.choice([2.0, 2.0, 4.0, 8.0]),
        "profile": np.array(SHAPES[kind]),
    }  # fmt: skip
