"""Anatomical axes, angles and limits of the finger joints of a hand model: MANO's 15, and the
metacarpals of models in which they move.

Angles
    A joint's rotation vector (axis-angle, relative to the rest pose, in the model's rest frame) is
    written in three orthonormal axes of that joint: flexion, abduction, twist. The angles here are
    the COMPONENTS of the rotation vector along these axes, not Euler angles, so the map between
    the two is linear and the limits are a box in rotation-vector space. With one angle at a time
    the two readings agree; at 90 degrees of flexion with 20 of abduction they differ by several
    degrees of twist, which is why the twist limits of the knuckles are not zero.

Signs, for either hand
    flexion    positive curls the finger toward the palm.
    abduction  positive leads away from the middle finger (index toward the thumb, ring and little
               away from it; the middle finger itself toward the index), and for the thumb out of
               its plane of flexion: away from the palm (palmar abduction).
    twist      about the bone; positive is supination: the finger's pad turns toward the thumb's
               side. Opposing the thumb pronates it, so its twist is then negative.
    The triple (flexion, abduction, twist) of a right hand is right-handed for index, middle and
    thumb and left-handed for ring and little, whose abduction is the other way round. Axes are
    axial vectors: mirroring x maps an axis a to a * (1, -1, -1), which keeps angles as they are.

Limits, in degrees from the rest pose: a flat hand, fingers spread, thumb half abducted
    ==================  ===========  ==========  ========  ==================================
    joint               flexion      abduction   twist     published range
    ==================  ===========  ==========  ========  ==================================
    index MCP           -30 to 95    -20 to 15   +-15      AAOS: 45 extension, 90 flexion,
    middle MCP          -30 to 95    -12 to 12   +-15      20 abduction; Lin: 0 to 90 active,
    ring MCP            -30 to 95    -20 to 12   +-15      abduction +-15, in all 30; the little
    little MCP          -30 to 95    -30 to 15   +-15      finger spreads furthest
    PIP                 -5 to 110    +-5         +-5       AAOS: 0 to 100; Lin: 0 to 110
    DIP                 -15 to 90    +-5         +-5       AAOS: 0 to 90, slight hyperextension
    thumb CMC           -25 to 50    -30 to 45   -30 to 15 Cooney: 53 flexion-extension, 42
                                                           abduction-adduction, 17 axial, in all;
                                                           AAOS: 70 abduction
    thumb MCP           -10 to 60    +-12        +-12      AAOS: 0 to 50; e-hand.com: -10 to 55
    thumb IP            -20 to 85    +-5         +-5       AAOS: 20 extension, 80 flexion
    ==================  ===========  ==========  ========  ==================================
    Abduction reaches further inwards than outwards because the models rest with spread fingers.
    The carpometacarpal range is wider than Cooney's means because the models let this one joint
    stand for the trapezium, the whole thenar and the differences between people.

Metacarpals of index, middle, ring and little finger, where a model has joints at their bases
    ==================  ===========  ==========  ========
    joint               flexion      abduction   twist
    ==================  ===========  ==========  ========
    index CMC           -2.75 to     +-1         +-2.5
                        8.25
    middle CMC          -1.75 to     +-2         +-2.5
                        5.25
    ring CMC            -5 to 15     +-3.5       +-13.5
    little CMC          -6.75 to     +-6.5       +-11
                        20.25
    ==================  ===========  ==========  ========
    El-shennawy, Nakamura, Patterson, Viegas, "Three-dimensional kinematic analysis of the second
    through fifth carpometacarpal joints", J Hand Surg Am 26, 2001, measured 11, 7, 20, 27 degrees
    of flexion-extension in all, 2, 4, 7, 13 of radial-ulnar deviation, 5, 5, 27, 22 of
    pronation-supination. They do not say where a flat hand lies in these ranges; three quarters
    of flexion are taken to lie before it, because the palm hollows and hardly bends back, and half
    of the others.

    AAOS: American Academy of Orthopaedic Surgeons, "Joint Motion: Method of Measuring and
    Recording", 1965, as tabulated by Norkin and White, "Measurement of Joint Motion".
    Lin: Lin, Wu, Huang, "Modeling the constraints of human hand motion", HUMO 2000.
    Cooney: Cooney, Lucca, Chao, Linscheid, "The kinesiology of the thumb trapeziometacarpal
    joint", J Bone Joint Surg Am 63, 1981.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fitter.conventions import FINGERS, MIRROR_AXIS_ANGLE, MODEL_FINGERS
from fitter.hand_models.skeleton import MANO_SKELETON, Skeleton
from fitter.records import Side

if TYPE_CHECKING:
    from fitter.hand_models.model_data import HandModelData

FLEXION, ABDUCTION, TWIST = 0, 1, 2
"""Position of each anatomical angle in the last dimension of angles and rows of axes."""

THUMB_PRONATION = np.deg2rad(60.0)
"""Angle in radians by which the thumb's plane of flexion is turned about the thumb's bones from
the plane at right angles to the palm toward the palm. The plane in which the thumb flexes is
inclined 45 to 60 degrees to the palm in opposition (Taylor and Schwarz, "The anatomy and mechanics
of the human hand", Artificial Limbs 1955) and the trapezium is pronated by 80 degrees against the
third metacarpal (Cooney 1981), of which a flat hand, supinated at this joint, shows less."""

_LOCAL_SHARE = 0.5
"""How much of a finger's transverse direction comes from its neighbours (the arch of the knuckles)
instead of from the line through the outer knuckles."""

_FINGER_MCP_ABDUCTION = {
    "index": (-20.0, 15.0),
    "middle": (-12.0, 12.0),
    "ring": (-20.0, 12.0),
    "little": (-30.0, 15.0),
}
_PIP = ((-5.0, 110.0), (-5.0, 5.0), (-5.0, 5.0))
_DIP = ((-15.0, 90.0), (-5.0, 5.0), (-5.0, 5.0))
_THUMB = (
    ((-25.0, 50.0), (-30.0, 45.0), (-30.0, 15.0)),
    ((-10.0, 60.0), (-12.0, 12.0), (-12.0, 12.0)),
    ((-20.0, 85.0), (-5.0, 5.0), (-5.0, 5.0)),
)


_METACARPAL_RANGES = {
    "index": (11.0, 2.0, 5.0),
    "middle": (7.0, 4.0, 5.0),
    "ring": (20.0, 7.0, 27.0),
    "little": (27.0, 13.0, 22.0),
}
"""Degrees of flexion, abduction and twist, from one end to the other."""

_SHARE_OF_EXTENSION = 0.25
"""Of the range of a metacarpal's flexion; the rest of it bends the palm."""


class NoAxesError(ValueError):
    """Joints that coincide or lie on one line, which define no anatomical axes."""


@dataclass(frozen=True)
class Anatomy:
    """What a model's joints may do, R of them beside the root.

    Attributes:
        axes: (R, 3, 3) float64; rows are the unit axes of flexion, abduction and twist of every
            rotating joint but the root, in the order of the skeleton, in the model's rest frame.
            Orthonormal.
        lower: (R, 3) float64 radians, smallest anatomical angles.
        upper: (R, 3) float64 radians, largest anatomical angles.
        skeleton: the tree of joints.
    """

    axes: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    skeleton: Skeleton = MANO_SKELETON

    def hand_pose(self, finger_angles: Tensor) -> Tensor:
        """Poses (B, R, 3) of the anatomical angles (B, 15, 3) of MANO's joints, as
        `datasets.poses.sampler` draws them; metacarpals stay at rest."""
        angles = finger_angles
        if self.skeleton.metacarpal_rows:
            angles = finger_angles.new_zeros(len(finger_angles), self.skeleton.rotations, 3)
            angles[:, list(self.skeleton.finger_rows)] = finger_angles
        return hand_pose_from_angles(angles, self.axes)


def finger_joints(finger: str) -> slice:
    """Rows of one finger's three joints among the 15 of MANO's order, from palm to tip."""
    start = 3 * MODEL_FINGERS.index(finger)
    return slice(start, start + 3)


def joint_limits() -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (15, 3) float64 in radians of the anatomical angles of MANO's joints.

    The first table in this module's docstring; the same for every model whose rest pose is a flat
    hand.
    """
    degrees = np.empty((15, 3, 2))
    for finger in MODEL_FINGERS:
        if finger == "thumb":
            degrees[finger_joints(finger)] = _THUMB
        else:
            mcp = ((-30.0, 95.0), _FINGER_MCP_ABDUCTION[finger], (-15.0, 15.0))
            degrees[finger_joints(finger)] = (mcp, _PIP, _DIP)
    radians = np.deg2rad(degrees)
    return radians[..., 0], radians[..., 1]


def metacarpal_limits(finger: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (3,) float64 in radians of a metacarpal's anatomical angles.

    Args:
        finger: index, middle, ring or little.
    """
    size = np.deg2rad(_METACARPAL_RANGES[finger])
    lower = -size * [_SHARE_OF_EXTENSION, 0.5, 0.5]
    return lower, lower + size


def metacarpal_axes(bone: np.ndarray, knuckle: np.ndarray) -> np.ndarray:
    """Anatomical axes of a metacarpal, which bends about the same hinge as its finger does at the
    knuckle, as far as its bone allows.

    Args:
        bone: (3,) from its base to the knuckle, metres.
        knuckle: (3, 3) axes of the knuckle, see `Anatomy.axes`.

    Returns:
        (3, 3) float64, see `Anatomy.axes`.
    """
    twist = _unit(np.asarray(bone, float))
    # A left hand's axis points from the knuckle to the base, as those of its fingers do.
    twist = twist * np.sign(twist @ knuckle[TWIST])
    hinge = _unit(knuckle[FLEXION] - (knuckle[FLEXION] @ twist) * twist)
    # Ring and little finger have triples of the other handedness.
    handedness = np.sign(np.linalg.det(knuckle))
    return np.stack([hinge, handedness * np.cross(twist, hinge), twist])


def joint_axes(rest_joints: np.ndarray, tips: np.ndarray, side: Side = "right") -> np.ndarray:
    """Anatomical axes of the 15 finger joints, from the rest pose of a flattish hand.

    Twist is the direction of the bone that the joint moves. A finger bends in one sagittal plane:
    its flexion axis at the knuckle is at right angles to the proximal phalanx and to the palm's
    normal at that knuckle, and the two hinges after it are parallel to it as far as their bones
    allow. The palm's normal at a knuckle is spanned by the line from the wrist and the
    transverse direction, which follows the arch of the knuckles. The thumb bends in a plane that
    is turned about its metacarpal by `THUMB_PRONATION`.

    Args:
        rest_joints: (16, 3) joints of the rest pose in MANO's order.
        tips: (5, 3) fingertips in the order of `FINGERS` (thumb first).
        side: which hand these joints belong to.

    Returns:
        (15, 3, 3) float64, see `Anatomy.axes`.
    """
    rest_joints, tips = np.asarray(rest_joints, float), np.asarray(tips, float)
    if rest_joints.shape != (16, 3) or tips.shape != (5, 3):
        raise ValueError(
            f"expected rest_joints (16, 3) and tips (5, 3), got {rest_joints.shape}, {tips.shape}"
        )
    if side == "left":
        mirror = np.array([-1.0, 1.0, 1.0])
        right = joint_axes(rest_joints * mirror, tips * mirror)
        return right * np.array(MIRROR_AXIS_ANGLE)
    axes = np.empty((15, 3, 3))
    normals = _palm_normals(rest_joints)
    for finger in MODEL_FINGERS:
        rows = finger_joints(finger)
        chain = np.vstack([rest_joints[1:][rows], tips[FINGERS.index(finger)]])
        bones = _unit(np.diff(chain, axis=0))
        if finger == "thumb":
            pad = _thumb_pad_direction(bones[0], rest_joints, normals)
        else:
            pad = normals[finger]
        hinge = np.cross(bones[0], pad)
        hinge = _unit(hinge - np.sum(hinge * bones, axis=1, keepdims=True) * bones)
        outward = -1.0 if finger in ("ring", "little") else 1.0
        axes[rows, FLEXION] = hinge
        axes[rows, ABDUCTION] = outward * np.cross(bones, hinge)
        axes[rows, TWIST] = bones
    return axes


def anatomy_of(data: HandModelData) -> Anatomy:
    """Axes and limits of a model of either side, from its mean rest shape.

    Fingertips are the joints of the skeleton that are called so, else the model's tip vertices.

    Raises:
        ValueError: the skeleton has not the joints of MANO, or others than metacarpals beside them.
    """
    skeleton, joints = data.skeleton, data.rest_joints.template
    names = [f"{finger}_tip" for finger in FINGERS]
    if set(names) <= set(skeleton.names):
        tips = joints[[skeleton.names.index(name) for name in names]]
    else:
        tips = data.v_template[list(data.tip_vertices)]
    own_axes = joint_axes(joints[[0, *skeleton.finger_joints]], tips, data.side)
    axes, limits = np.empty((skeleton.rotations, 3, 3)), np.empty((2, skeleton.rotations, 3))
    axes[list(skeleton.finger_rows)] = own_axes
    limits[:, list(skeleton.finger_rows)] = joint_limits()
    for row in skeleton.metacarpal_rows:
        name = skeleton.pose_names[row]
        finger, _, kind = name.partition("_")
        if kind != "cmc" or finger not in _METACARPAL_RANGES:
            raise ValueError(f"no anatomy is known of the joint {name}")
        base = skeleton.rotating[row]
        knuckle = skeleton.names.index(f"{finger}_mcp")
        knuckle_axes = own_axes[finger_joints(finger).start]
        axes[row] = metacarpal_axes(joints[knuckle] - joints[base], knuckle_axes)
        limits[:, row] = metacarpal_limits(finger)
    return Anatomy(axes, limits[0], limits[1], skeleton)


def anatomical_angles(hand_pose: Tensor, axes: Tensor | np.ndarray) -> Tensor:
    """Components of rotation vectors (..., R, 3) along the axes (R, 3, 3), radians.

    Returns:
        (..., R, 3): flexion, abduction, twist, with the dtype and device of `hand_pose`.
    """
    axes = torch.as_tensor(axes, dtype=hand_pose.dtype, device=hand_pose.device)
    return torch.einsum("...jc,jac->...ja", hand_pose, axes)


def hand_pose_from_angles(angles: Tensor, axes: Tensor | np.ndarray) -> Tensor:
    """Rotation vectors (..., R, 3) of anatomical angles (..., R, 3); see `anatomical_angles`."""
    axes = torch.as_tensor(axes, dtype=angles.dtype, device=angles.device)
    return torch.einsum("...ja,jac->...jc", angles, axes)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.all(lengths > 0):
        raise NoAxesError("joints that coincide or lie on one line define no anatomical axes")
    return vectors / lengths


def _palm_normals(rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Unit normals of a right palm at the knuckles of the four fingers, pointing out of it."""
    fingers = ("index", "middle", "ring", "little")
    knuckles = np.array([rest_joints[1 + finger_joints(finger).start] for finger in fingers])
    across = _unit(knuckles[0] - knuckles[3])
    before, after = [0, 0, 1, 2], [1, 2, 3, 3]
    neighbours = _unit(knuckles[before] - knuckles[after])
    transverse = (1 - _LOCAL_SHARE) * across + _LOCAL_SHARE * neighbours
    normals = _unit(np.cross(transverse, knuckles - rest_joints[0]))
    return dict(zip(fingers, normals, strict=True))


def _thumb_pad_direction(
    bone: np.ndarray, rest_joints: np.ndarray, normals: dict[str, np.ndarray]
) -> np.ndarray:
    """Direction toward which a right thumb bends, at right angles to its metacarpal `bone`."""
    palm = _unit(sum(normals.values(), start=np.zeros(3)))
    facing = _unit(palm - (palm @ bone) * bone)
    # Toward the fingers: the other direction at right angles to the metacarpal.
    inward = np.cross(facing, bone)
    return np.cos(THUMB_PRONATION) * facing + np.sin(THUMB_PRONATION) * inward
