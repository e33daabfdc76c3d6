"""The tree of joints of a hand model: how many there are, which of them rotate, what hangs on what.

A model's `HandParams.hand_pose` has one row for each joint but the root that rotates, in the order
of `Skeleton.rotating`. MANO and the open hand have 16 joints, all of which rotate; NIMBLE has 25,
of which the root and 19 others rotate and the five ends of the fingers do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fitter.conventions import JOINT_NAMES, PARENTS


@dataclass(frozen=True)
class Skeleton:
    """A kinematic tree of J joints, parents before their children, the root first.

    Attributes:
        names: of the J joints, each once.
        parents: of the J joints; -1 for the root, which is joint 0.
        rotating: the R joints beside the root that rotate, ascending, in the order of the rows of
            `hand_pose`. The others keep the orientation of their parent.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rotating: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the tree.

        Raises:
            ValueError: the joints are no such tree.
        """
        count = len(self.names)
        ordered = all(0 <= parent < joint for joint, parent in enumerate(self.parents) if joint)
        if len(self.parents) != count or self.parents[:1] != (-1,) or not ordered:
            raise ValueError(
                f"expected {count} parents, -1 first and each before its children, "
                f"found {self.parents}"
            )
        if sorted(set(self.rotating)) != list(self.rotating) or not all(
            0 < joint < count for joint in self.rotating
        ):
            raise ValueError(
                f"expected each rotating joint once, ascending, root left out: {self.rotating}"
            )

    @property
    def count(self) -> int:
        """J, the number of joints."""
        return len(self.names)

    @property
    def rotations(self) -> int:
        """R, the number of rows of `hand_pose`."""
        return len(self.rotating)

    @property
    def pose_names(self) -> tuple[str, ...]:
        """Names of the joints of the rows of `hand_pose`."""
        return tuple(self.names[joint] for joint in self.rotating)

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Joints by their distance from the root: all of one level can be posed at once."""
        depth = [0] * self.count
        for joint, parent in enumerate(self.parents):
            depth[joint] = depth[parent] + 1 if parent >= 0 else 0
        return tuple(
            tuple(joint for joint in range(self.count) if depth[joint] == level)
            for level in range(max(depth) + 1)
        )

    @cached_property
    def carriers(self) -> tuple[int, ...]:
        """For each of the J joints the joint of `moving` whose rotation it has: its own place there
        or that of the nearest rotating joint above it."""
        return self._carriers((0, *self.rotating))

    @cached_property
    def moving(self) -> Skeleton:
        """The root and the R rotating joints alone; what hangs on the others hangs on their
        carriers, as part of the same rigid body."""
        if self.rotations == self.count - 1:
            return self
        kept = (0, *self.rotating)
        parents = tuple(-1 if j == 0 else self.carriers[self.parents[j]] for j in kept)
        names = tuple(self.names[joint] for joint in kept)
        return Skeleton(names, parents, tuple(range(1, len(kept))))

    @cached_property
    def finger_joints(self) -> tuple[int, ...]:
        """MANO's 15 joints, three of each finger, by their names.

        Raises:
            ValueError: one of them is missing or does not rotate.
        """
        missing = [name for name in JOINT_NAMES[1:] if name not in self.pose_names]
        if missing:
            raise ValueError(f"expected rotating joints of the names of MANO's, missing {missing}")
        return tuple(self.names.index(name) for name in JOINT_NAMES[1:])

    @cached_property
    def mano_joints(self) -> tuple[int, ...]:
        """The joints that MANO has too, in its order: the root and `finger_joints`."""
        return (0, *self.finger_joints)

    @cached_property
    def mano_carriers(self) -> tuple[int, ...]:
        """For each of the J joints the one of MANO's 16 whose segment it belongs to: its own or
        that of the nearest above it."""
        return self._carriers(self.mano_joints)

    @cached_property
    def finger_rows(self) -> tuple[int, ...]:
        """The rows of `hand_pose` of `finger_joints`."""
        return tuple(self.rotating.index(joint) for joint in self.finger_joints)

    @cached_property
    def metacarpal_rows(self) -> tuple[int, ...]:
        """The rows of `hand_pose` of the joints that MANO has not: those of the metacarpals."""
        return tuple(row for row in range(self.rotations) if row not in self.finger_rows)

    def _carriers(self, kept: tuple[int, ...]) -> tuple[int, ...]:
        """For each joint the place among `kept` of itself or of the nearest above it."""
        place = {joint: number for number, joint in enumerate(kept)}
        carriers: list[int] = []
        for joint, parent in enumerate(self.parents):
            carriers.append(place.get(joint, carriers[parent] if parent >= 0 else 0))
        return tuple(carriers)

    def is_below(self, joint: int, ancestor: int) -> bool:
        """Whether a joint hangs on another, or is it."""
        while joint > ancestor:
            joint = self.parents[joint]
        return joint == ancestor


MANO_SKELETON = Skeleton(JOINT_NAMES, PARENTS, tuple(range(1, len(JOINT_NAMES))))
"""MANO's 16 joints, which the open hand has too."""

_NIMBLE_FINGERS = {
    "thumb": ("cmc", "mcp", "ip", "tip"),
    **dict.fromkeys(("index", "middle", "ring", "little"), ("cmc", "mcp", "pip", "dip", "tip")),
}

_NIMBLE_NAMES = (
    "wrist",
    *(f"{finger}_{joint}" for finger, joints in _NIMBLE_FINGERS.items() for joint in joints),
)

NIMBLE_SKELETON = Skeleton(
    names=_NIMBLE_NAMES,
    parents=(-1, *(0 if n.endswith("_cmc") else i for i, n in enumerate(_NIMBLE_NAMES[1:]))),
    rotating=tuple(i for i, n in enumerate(_NIMBLE_NAMES) if i and not n.endswith("_tip")),
)
"""NIMBLE's 25 joints (Li et al. 2022): thumb to little finger, each from palm to tip. The four
metacarpals rotate at the wrist (`index_cmc` and so on), the ends of the fingers do not."""
