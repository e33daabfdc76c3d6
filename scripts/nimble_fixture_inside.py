"""What is inside the hand of the NIMBLE fixture: a rig of 25 joints, bones along it, muscles
around them.

Bones are closed capsules along the fingers' bones and the metacarpals, with a block for the carpal
bones; muscles are thicker capsules around them and the two balls of the palm, as thick as the skin
above lets them be. Nobody's anatomy is in them; they are of plausible shape and place, so that what
is computed with the real ones can be tried: they lie inside the skin at rest and meet it in bent
poses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from fitter.conventions import FINGERS, JOINT_NAMES
from fitter.hand_models import HandModelData
from fitter.hand_models.skeleton import NIMBLE_SKELETON as RIG

BACK = {"wrist": 0.012, "mcp": 0.005, "pip": 0.003, "dip": 0.002, "ip": 0.003, "cmc": 0.004}
"""Metres by which the rig's joints lie off MANO's, for a `shift` of 1: the wrist's toward the
knuckles, the others toward the joint before them. The published rig follows the bones in magnetic
resonance images and MANO's does not; by how much they differ nobody has published."""
TIP_DEPTH = 0.004
"""Metres of the ends of the bones below the fingertips' skin."""
BASE = 0.3
"""Share of the way from the wrist to the knuckles at which the four metacarpals begin."""
BONE_SHARE, MUSCLE_SHARE = 0.42, 0.86
"""Of the distance from a bone's axis to the skin: the radius of bones and of muscles."""
SHORTEST = 0.0012
"""Metres, the least radius of a bone."""


@dataclass(frozen=True)
class Rig:
    """25 joints as combinations of the open hand's 16 joints and 5 fingertips.

    Attributes:
        combination: (25, 21) rows of sum 1.
        points: (25, 3) metres, rest pose.
    """

    combination: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, data: HandModelData, shift: float) -> Rig:
        """On the open hand.

        Args:
            data: the open hand.
            shift: how far its joints lie off MANO's, in units of `BACK`.
        """
        ends = _joints_and_tips(data)
        rows = {name: np.eye(21)[k] for k, name in enumerate(JOINT_NAMES)}
        for place, finger in enumerate(FINGERS):
            last = "ip" if finger == "thumb" else "dip"
            tip, before = np.eye(21)[16 + place], rows[f"{finger}_{last}"]
            rows[f"{finger}_tip"] = _toward(tip, before, TIP_DEPTH, ends)
        for finger in FINGERS[1:]:
            rows[f"{finger}_cmc"] = (1 - BASE) * rows["wrist"] + BASE * rows[f"{finger}_mcp"]
        moved = {}
        for joint, name in enumerate(RIG.names):
            kind = name.rpartition("_")[2]
            target = "middle_mcp" if joint == 0 else RIG.names[RIG.parents[joint]]
            length = shift * BACK.get(kind, 0.0)
            moved[name] = _toward(rows[name], rows[target], length, ends)
        combination = np.stack([moved[name] for name in RIG.names])
        return cls(combination, combination @ ends)

    def displacements(self, data: HandModelData) -> np.ndarray:
        """(25, 3, S) of the joints by the open hand's shape."""
        assert data.joint_regressor is not None
        joints = np.einsum("jv,vcs->jcs", data.joint_regressor, data.shapedirs)
        ends = np.concatenate([joints, data.shapedirs[list(data.tip_vertices)]])
        return np.einsum("jk,kcs->jcs", self.combination, ends)


def _joints_and_tips(data: HandModelData) -> np.ndarray:
    """(21, 3) the open hand's joints and fingertip vertices at rest."""
    assert data.joint_regressor is not None
    joints = data.joint_regressor @ data.v_template
    return np.concatenate([joints, data.v_template[list(data.tip_vertices)]])


def _toward(row: np.ndarray, target: np.ndarray, length: float, ends: np.ndarray) -> np.ndarray:
    """A combination moved toward another by a length in metres."""
    share = length / np.linalg.norm((target - row) @ ends)
    return (1 - share) * row + share * target


@dataclass(frozen=True)
class Bodies:
    """Closed meshes one after the other, N vertices.

    Attributes:
        points: (N, 3) metres; faces: (F, 3).
        body: (N,) the number of its mesh.
        joint: (N,) the joint that its bone starts at.
        along: (N,) where on the bone it is, 0 at its start and 1 at its end.
    """

    points: np.ndarray
    faces: np.ndarray
    body: np.ndarray
    joint: np.ndarray
    along: np.ndarray


@dataclass(frozen=True)
class _Axis:
    """A bone, or a muscle, between two joints, and the radius for each place along it."""

    joint: int
    start: np.ndarray
    end: np.ndarray
    radius: Callable[[np.ndarray], np.ndarray]


def bones(rig: Rig, skin: np.ndarray, count: int) -> Bodies:
    """20 bones of `count` vertices together; `skin` (P, 3) points all over it, at rest."""
    tree = cKDTree(skin)
    axes = []
    for joint, end in _segments():
        start, stop = rig.points[joint], rig.points[end]
        room = _room(tree, start, stop)

        def radius(t: np.ndarray, room: float = room) -> np.ndarray:
            # Thicker at the ends, where joints are.
            return max(BONE_SHARE * room, SHORTEST) * (0.8 + 0.4 * (2 * t - 1) ** 2)

        axes.append(_Axis(joint, start, stop, radius))
    return _bodies(axes, count)


def muscles(rig: Rig, skin: np.ndarray, count: int) -> Bodies:
    """One muscle around each bone, of `count` vertices together; `skin` as for `bones`."""
    tree = cKDTree(skin)
    axes = []
    for joint, end in _segments():
        start, stop = rig.points[joint], rig.points[end]

        def radius(t: np.ndarray, start: np.ndarray = start, stop: np.ndarray = stop) -> np.ndarray:
            places = start + t[:, None] * (stop - start)
            distance, _ = tree.query(places)
            return MUSCLE_SHARE * distance

        axes.append(_Axis(joint, start, stop, radius))
    return _bodies(axes, count)


def _segments() -> list[tuple[int, int]]:
    """(start, end) joints of 20 bones: the carpal block to the middle metacarpal's base, then each
    rotating joint to the one after it."""
    after = {parent: joint for joint, parent in enumerate(RIG.parents) if parent > 0}
    middle = RIG.names.index("middle_cmc")
    return [(0, middle), *((joint, after[joint]) for joint in RIG.rotating)]


def _room(tree: cKDTree, start: np.ndarray, stop: np.ndarray) -> float:
    """Least distance of an axis to the skin."""
    places = start + np.linspace(0, 1, 20)[:, None] * (stop - start)
    return float(tree.query(places)[0].min())


def _bodies(axes: list[_Axis], count: int) -> Bodies:
    lengths = np.array([np.linalg.norm(axis.end - axis.start) for axis in axes])
    # Largest remainders: at least 12 vertices each, the rest by length, `count` together.
    wanted = 12 + (count - 12 * len(axes)) * lengths / lengths.sum()
    sizes = np.floor(wanted).astype(int)
    sizes[np.argsort(sizes - wanted, kind="stable")[: count - sizes.sum()]] += 1
    parts = [_capsule(axis, int(size)) for axis, size in zip(axes, sizes, strict=True)]
    first = np.cumsum([0, *sizes[:-1]])
    return Bodies(
        points=np.concatenate([points for points, _, _ in parts]),
        faces=np.concatenate([f + o for (_, f, _), o in zip(parts, first, strict=True)]),
        body=np.repeat(np.arange(len(axes)), sizes),
        joint=np.repeat([axis.joint for axis in axes], sizes),
        along=np.concatenate([along for _, _, along in parts]),
    )


def _capsule(axis: _Axis, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A closed mesh of `count` vertices around an axis: (count, 3) points, (2 count - 4, 3) faces,
    (count,) places along the axis.

    Rings around the axis and a pole at each end; what rings of one size do not reach is added in
    the middles of faces.
    """
    around = max(4, round(np.sqrt(count / 2)))
    rings = (count - 2) // around
    t = (1 - np.cos(np.pi * np.arange(1, rings + 1) / (rings + 1))) / 2
    direction = axis.end - axis.start
    helper = np.eye(3)[np.abs(direction).argmin()]
    across = np.cross(direction, helper)
    across /= np.linalg.norm(across)
    other = np.cross(direction, across) / np.linalg.norm(direction)
    angle = 2 * np.pi * np.arange(around) / around
    circle = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * other
    rounded = (1 - np.abs(2 * t - 1) ** 4) ** 0.5
    radius = axis.radius(t) * rounded
    ring = axis.start + t[:, None, None] * direction + radius[:, None, None] * circle
    points = np.concatenate([axis.start[None], ring.reshape(-1, 3), axis.end[None]])
    along = np.concatenate([[0.0], np.repeat(t, around), [1.0]])
    faces = _ring_faces(rings, around)
    for _ in range(count - len(points)):
        longest = np.linalg.norm(np.diff(points[faces], axis=1), axis=-1).sum(1).argmax()
        a, b, c = faces[longest].tolist()
        points = np.concatenate([points, points[[a, b, c]].mean(0, keepdims=True)])
        along = np.append(along, along[[a, b, c]].mean())
        new = len(points) - 1
        faces = np.concatenate(
            [np.delete(faces, longest, 0), [[a, b, new], [b, c, new], [c, a, new]]]
        )
    return points, faces, along


def _ring_faces(rings: int, around: int) -> np.ndarray:
    """(2 rings around, 3) faces, counter-clockwise seen from outside."""
    grid = 1 + np.arange(rings * around).reshape(rings, around)
    after = np.roll(grid, -1, axis=1)
    first, last = np.zeros(around, int), np.full(around, 1 + rings * around)
    a, b, c, d = (part.ravel() for part in (grid[:-1], after[:-1], after[1:], grid[1:]))
    return np.concatenate(
        [
            np.stack([first, after[0], grid[0]], -1),
            np.stack([a, b, c], -1),
            np.stack([a, c, d], -1),
            np.stack([grid[-1], after[-1], last], -1),
        ]
    )
