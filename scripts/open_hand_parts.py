"""Joints, skin weights, joint regressor and flat pose of the open hand.

Shapes: V hand vertices, 16 joints in MANO's order (`fitter.conventions.JOINT_NAMES`). Lengths are
metres. The palm frame is MANO's: -x from the wrist to the middle knuckle, +y out of the back of the
hand, +z to the thumb's side; its origin is the wrist joint.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.sparse

from fitter.conventions import MODEL_FINGERS, PARENTS

MAKEHUMAN_DIGIT = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "little": 5}
FIRST_JOINT = {finger: 1 + 3 * row for row, finger in enumerate(MODEL_FINGERS)}
"""Model joint at the base of each finger: MCP, for the thumb CMC."""

SEGMENT_LENGTHS = {
    "thumb": (46.22, 31.57, 21.67 + 5.67),
    "index": (39.78, 22.38, 15.82 + 3.84),
    "middle": (44.63, 26.33, 17.40 + 3.95),
    "ring": (41.37, 25.65, 17.30 + 3.95),
    "little": (32.74, 18.11, 15.96 + 3.73),
}
"""Mean lengths in mm of the three segments from the base joint (thumb: metacarpal, proximal, distal
phalanx; fingers: proximal, middle, distal phalanx), the last with the soft tissue of the fingertip.
Source: A. Buryanov and V. Kotiuk, "Proportions of hand segments", Int. J. Morphol. 28(3), 2010."""

METACARPAL_BASE = (0.020, 0.45)
"""Where a finger's ray meets the carpus: metres in front of the wrist joint, and part of its
knuckle's distance from the hand's long axis. Only the direction in which a knuckle is moved back
hangs on it."""
KNUCKLE_DEPTH = 0.45
"""Depth of a finger's base joint below the back of the hand, as a part of the hand's thickness."""
PROPORTION_DEVIATIONS = {"palm": (0.03, 0.04, 0.04), "digit": 0.03, "segment": 0.015}
"""Standard deviations of proportions at equal size: the palm's length, thickness and breadth, a
digit's length, a segment's length beyond its digit's. Men's hands are 193.8 (9.8) mm long and 90.4
(4.2) mm broad (C. Gordon et al., "1988 anthropometric survey of U.S. Army personnel", 1989), the
two correlate by about a half, so at equal length the breadth deviates by about 4 %; the others are
set to match."""
KNUCKLE_BLEND = 0.010
SMOOTHINGS = 2
THUMB_BLEND = 0.020
"""Half widths in metres over which the skin passes from the wrist to a finger at its base."""


@dataclass
class RawHand:
    """What MakeHuman says of a hand in the palm frame.

    Attributes:
        vertices: (V, 3).
        faces: (F, 3).
        cubes: name of a joint cube without "joint-r-" -> (3,).
        bone_weights: MakeHuman's bone without ".R" -> (V,).
    """

    vertices: np.ndarray
    faces: np.ndarray
    cubes: dict[str, np.ndarray]
    bone_weights: dict[str, np.ndarray]


def palm_frame(
    wrist: np.ndarray, index: np.ndarray, middle: np.ndarray, little: np.ndarray
) -> np.ndarray:
    """Rotation (..., 3, 3) whose rows are the palm frame's axes, from (..., 3) joints."""
    x = wrist - middle
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    y = np.cross(index - little, x)
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], -2)


def smoothstep(value: np.ndarray, half_width: float) -> np.ndarray:
    """0 below -half_width, 1 above half_width, cubic between."""
    t = np.clip((value + half_width) / (2 * half_width), 0, 1)
    return t * t * (3 - 2 * t)


def unit(vector: np.ndarray) -> np.ndarray:
    """Vector (..., 3) of length one."""
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def place_joints(hand: RawHand) -> np.ndarray:
    """The 16 joints (16, 3) of the hand.

    MakeHuman's wrist stays, its PIP and DIP (thumb: IP) joints move to the middle of the finger's
    cross-section. The joints toward the palm are set back along their ray until the segments
    measure what `SEGMENT_LENGTHS` says at this hand's size; the size is the ratio of the lengths
    from PIP to tip, summed over four fingers.
    """
    cube = {
        f: [hand.cubes[f"finger-{n}-{k}"] for k in (1, 2, 3, 4)] for f, n in MAKEHUMAN_DIGIT.items()
    }
    reach = [
        np.linalg.norm(p[2] - p[1]) + np.linalg.norm(p[3] - p[2])
        for f, p in cube.items()
        if f != "thumb"
    ]
    published = sum(sum(SEGMENT_LENGTHS[f][1:]) for f in MODEL_FINGERS if f != "thumb")
    size = sum(reach) / published
    wrist = hand.cubes["hand"]
    joints = np.zeros((16, 3))
    joints[0] = wrist
    for finger, first in FIRST_JOINT.items():
        lengths = size * np.array(SEGMENT_LENGTHS[finger])
        base, second, third, tip = cube[finger]
        digit = [hand.bone_weights[f"finger{MAKEHUMAN_DIGIT[finger]}-{k}"] for k in (1, 2, 3)]
        skin = hand.vertices[sum(digit) > 0.5]
        third = _to_middle(skin, third, unit(tip - second))
        if finger == "thumb":
            second = _back_along(third, [second, base, wrist], lengths[1])
            base = _back_along(second, [base, wrist], lengths[0])
        else:
            second = _to_middle(skin, second, unit(third - base))
            offset = base - wrist
            forward, beside = METACARPAL_BASE
            carpal = wrist + np.array([-forward, offset[1], beside * offset[2]])
            base = _to_depth(hand, _back_along(second, [base, carpal], lengths[0]))
        joints[first : first + 3] = base, second, third
    return joints


def _back_along(start: np.ndarray, path: list[np.ndarray], length: float) -> np.ndarray:
    """Point at distance `length` along the polyline from `start` through `path`."""
    for point in path:
        step = np.linalg.norm(point - start)
        if step >= length:
            return start + (point - start) * length / step
        start, length = point, length - step
    raise RuntimeError("the ray of a finger is shorter than its bone")


def _to_middle(skin: np.ndarray, point: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Move a point within a finger to the middle of the cross-section at right angles to `along`.

    `skin` (S, 3) is the finger's own. The middle is that of the extents along two axes, so that
    dense skin weighs no more than sparse.
    """
    offset = skin - point
    ring = offset[(np.abs(offset @ along) < 0.003) & (np.linalg.norm(offset, axis=1) < 0.016)]
    across = unit(np.cross(along, [0.0, 1.0, 0.0]))
    for axis in (across, np.cross(along, across)):
        reach = ring @ axis
        point = point + axis * (reach.max() + reach.min()) / 2
    return point


def _to_depth(hand: RawHand, point: np.ndarray) -> np.ndarray:
    """Move a point along y to `KNUCKLE_DEPTH` of the thickness of the hand there."""
    corners = hand.vertices[hand.faces][:, :, [2, 0]] - point[[2, 0]]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    areas = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], 1)
    total = areas.sum(1)
    inside = (areas * np.sign(total)[:, None] >= 0).all(1) & (np.abs(total) > 1e-14)
    heights = (areas[inside] / total[inside, None] * hand.vertices[hand.faces[inside], 1]).sum(1)
    back, palm = heights.max(), heights.min()
    return np.array([point[0], back - KNUCKLE_DEPTH * (back - palm), point[2]])


def skin_weights(hand: RawHand, joints: np.ndarray) -> np.ndarray:
    """Weights (V, 16), rows sum to one.

    A finger's ray is MakeHuman's phalanges and metacarpal of that finger; who owns which skin
    between two fingers is taken over as MakeHuman has it, and so are the passages at PIP and DIP.
    At the base joint, which has moved, the ray is split anew between wrist and finger.
    """
    raw = hand.bone_weights
    weights = np.zeros((len(hand.vertices), 16))
    for finger, first in FIRST_JOINT.items():
        digit = MAKEHUMAN_DIGIT[finger]
        phalanges = [raw[f"finger{digit}-{k}"] for k in (1, 2, 3)]
        along = unit(joints[first + 1] - joints[first])
        height = (hand.vertices - joints[first]) @ along
        if finger == "thumb":
            ray = _thumb_ray(hand, joints[first], joints[first + 1], sum(phalanges))
            split = smoothstep(height, THUMB_BLEND)
        else:
            ray = sum(phalanges) + raw[f"metacarpal{digit - 1}"]
            split = smoothstep(height, KNUCKLE_BLEND)
        weights[:, first + 1], weights[:, first + 2] = phalanges[1:]
        weights[:, first] = np.clip(ray - phalanges[1] - phalanges[2], 0, None) * split
    thumb = slice(FIRST_JOINT["thumb"], FIRST_JOINT["thumb"] + 3)
    others = np.setdiff1d(np.arange(1, 16), np.arange(16)[thumb])
    room = np.clip(1 - weights[:, thumb].sum(1), 0, 1)
    total = weights[:, others].sum(1)
    weights[:, others] *= np.minimum(1, room / np.maximum(total, 1e-9))[:, None]
    weights[:, 0] = np.clip(1 - weights[:, 1:].sum(1), 0, None)
    return prune(smooth(weights, hand.faces, SMOOTHINGS))


def smooth(weights: np.ndarray, faces: np.ndarray, times: int) -> np.ndarray:
    """Average weights (V, J) with the mean of the neighbours, half and half, several times."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(pairs))
    adjacency = scipy.sparse.csr_matrix((ones, pairs.T), shape=(len(weights),) * 2)
    degree = np.asarray(adjacency.sum(1))
    for _ in range(times):
        weights = 0.5 * weights + 0.5 * (adjacency @ weights) / degree
    return weights


def prune(weights: np.ndarray) -> np.ndarray:
    """Keep the four largest weights of every vertex; what is missing to one goes to the wrist."""
    weights = np.clip(weights, 0, None)
    weights[:, 0] = np.clip(1 - weights[:, 1:].sum(1), 0, None)
    weights[weights < np.sort(weights, 1)[:, -4:-3]] = 0
    weights[weights < 1e-4] = 0
    return weights / weights.sum(1, keepdims=True)


def _thumb_ray(hand: RawHand, base: np.ndarray, knuckle: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Part of the skin that goes with the thumb: MakeHuman's, and the ball of the thumb."""
    along = np.clip((hand.vertices - base) @ (knuckle - base) / np.sum((knuckle - base) ** 2), 0, 1)
    distance = np.linalg.norm(hand.vertices - base - along[:, None] * (knuckle - base), axis=1)
    return np.maximum(raw, smoothstep(0.024 - distance, 0.014))


def joint_regressor(vertices: np.ndarray, joints: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Convex combinations (16, V) of skin vertices around each joint that give the joints (16, 3).

    Non-negative least squares among the vertices of a slab about the joint, pulled toward equal
    shares. `ends` (16, 3) is the joint or the fingertip that follows each joint: it gives the
    slab's direction.
    """
    regressor = np.zeros((16, len(vertices)))
    for joint, (position, end) in enumerate(zip(joints, ends, strict=True)):
        offset = vertices - position
        axial = np.abs(offset @ unit(end - position))
        radial = np.linalg.norm(offset, axis=1)
        for reach, half_width in itertools.product(
            (0.014, 0.018, 0.022, 0.026, 0.034, 0.045), (0.004, 0.006, 0.009, 0.013)
        ):
            near = np.flatnonzero((axial < half_width) & (radial < reach))
            if len(near) < 8:
                continue
            system = np.concatenate(
                [1e4 * offset[near].T, 1e2 * np.ones((1, len(near))), 0.1 * np.eye(len(near))]
            )
            goal = np.concatenate([np.zeros(3), [1e2], np.full(len(near), 0.1 / len(near))])
            share, _ = scipy.optimize.nnls(system, goal)
            share[share < 1e-5] = 0
            share /= share.sum()
            # Three or four corners would do, but would follow three or four vertices' whims.
            if np.linalg.norm(share @ offset[near]) < 2e-5 and (share > 2e-3).sum() >= 8:
                break
        else:
            raise RuntimeError(f"joint {joint} is not within the skin around it")
        regressor[joint, near] = share
    return regressor


def minimal_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Smallest rotations (..., 3, 3) that take unit vectors `source` to `target` (..., 3).

    Rodrigues' formula with the cross product as the axis: R = I + [c] + [c]^2 / (1 + s.t).
    """
    c = np.cross(source, target)
    zero = np.zeros_like(c[..., 0])
    skew = np.stack(
        [
            np.stack([zero, -c[..., 2], c[..., 1]], -1),
            np.stack([c[..., 2], zero, -c[..., 0]], -1),
            np.stack([-c[..., 1], c[..., 0], zero], -1),
        ],
        -2,
    )
    cosine = np.sum(source * target, -1)[..., None, None]
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def segment_directions(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Directions (..., 15, 3) of the segments beyond joints 1 to 15; `tips` (..., 5, 3) is in the
    order of `MODEL_FINGERS`."""
    ends = segment_ends(joints, tips)
    return unit(ends - joints)[..., 1:, :]


def segment_ends(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """The joint or tip (..., 16, 3) after each joint; after the wrist, the middle knuckle."""
    ends = np.empty_like(joints)
    ends[..., 0, :] = joints[..., FIRST_JOINT["middle"], :]
    for row, first in enumerate(FIRST_JOINT.values()):
        ends[..., first : first + 2, :] = joints[..., first + 1 : first + 3, :]
        ends[..., first + 2, :] = tips[..., row, :]
    return ends


def flat_directions(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Segment directions (15, 3) of the flat hand: each finger straight from its knuckle toward its
    tip as seen from above, in the palm's plane; the thumb as it is."""
    directions = segment_directions(joints, tips)
    for row, (finger, first) in enumerate(FIRST_JOINT.items()):
        if finger != "thumb":
            directions[first - 1 : first + 2] = unit((tips[row] - joints[first]) * [1.0, 0.0, 1.0])
    return directions


def sample_proportions(goal: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random changes of proportion (count, 16, 3, 3) of the segments, as linear maps of the flat
    hand: the palm's length, thickness and breadth, each digit's length and, less, each segment's.

    MakeHuman's morphs scale all fingers alike and hardly touch the palm. `goal` (15, 3) holds the
    segments' directions; the deviations are those of `PROPORTION_DEVIATIONS`.
    """
    deviation = PROPORTION_DEVIATIONS
    palm = 1 + rng.normal(0.0, [deviation["palm"]], (count, 3))
    digits = rng.normal(0.0, deviation["digit"], (count, 5)).repeat(3, axis=1)
    stretch = digits + rng.normal(0.0, deviation["segment"], (count, 15))
    maps = np.tile(np.eye(3), (count, 16, 1, 1))
    maps[:, 0] = palm[:, :, None] * np.eye(3)
    maps[:, 1:] += stretch[:, :, None, None] * goal[:, :, None] * goal[:, None, :]
    return maps


def repose(
    vertices: np.ndarray,
    joints: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    goal: np.ndarray,
    proportions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the segments of (N, V, 3) hands to the directions `goal` (15, 3), by linear blending.

    Args:
        vertices: (N, V, 3) in the palm frame.
        joints: (N, 16, 3).
        ends: (N, 5, 3) points toward which the last segments go, in the order of `MODEL_FINGERS`.
        weights: (V, 16).
        goal: (15, 3) unit directions of the segments beyond joints 1 to 15.
        proportions: (N, 16, 3, 3) linear maps of the segments after the turn.

    Returns:
        The vertices (N, V, 3) and joints (N, 16, 3), wrists at the origin.
    """
    maps = np.tile(np.eye(3), (len(vertices), 16, 1, 1))
    directions = segment_directions(joints, ends)
    maps[:, 1:] = minimal_rotation(directions, np.broadcast_to(goal, directions.shape))
    maps = proportions @ maps
    placed = np.zeros_like(joints)
    for joint, parent in enumerate(PARENTS[1:], 1):
        bone = joints[:, joint] - joints[:, parent]
        placed[:, joint] = placed[:, parent] + np.einsum("nij,nj->ni", maps[:, parent], bone)
    shift = placed - np.einsum("njab,njb->nja", maps, joints)
    blended = np.einsum("vj,njab->nvab", weights, maps)
    moved = np.einsum("nvab,nvb->nva", blended, vertices)
    return moved + np.einsum("vj,nja->nva", weights, shift), placed
