"""Do fingers pass through each other? Answered for many hands at once, from their bones alone.

Every phalanx and every metacarpal is a row of spheres as thick as the flesh around the bone. The
radii are those of the open hand at rest: the distance of the vertices that a bone moves from its
line. Flesh gives way, so spheres may overlap a little before it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fitter.conventions import FINGERS, MODEL_FINGERS

SAMPLES = 5
"""Spheres along each bone, both ends included."""
RADII = {
    "index": (0.0093, 0.0087, 0.0072),
    "middle": (0.0098, 0.0086, 0.0072),
    "little": (0.0074, 0.0066, 0.0057),
    "ring": (0.0091, 0.0074, 0.0064),
    "thumb": (0.0115, 0.0100, 0.0088),
}
"""Metres: thickness of the three bones of a finger, from the palm to the tip."""
PALM_RADIUS = 0.013
WEB_RADIUS = 0.0095
"""Of the flesh between thumb and palm."""
FIRMNESS = 0.9
"""Share of two radii to which the flesh of touching fingers lets their bones come."""
PAD_FIRMNESS = 0.78
"""The same for the pads of thumb and finger, and of fingers on the palm, which are softer."""


@dataclass(frozen=True)
class Spheres:
    """S spheres on the bones of a hand; see `hand_spheres`.

    Attributes:
        ends: (S, 2) which of the 21 points [16 joints, tips of thumb to little] a sphere lies
            between; share: (S,) how far from the first to the second.
        radius: (S,) metres.
        finger: (S,) row of `MODEL_FINGERS`, -1 for the palm; bone: (S,) 0, 1, 2 from the palm to
            the tip, -1 for the palm, -2 for the web of the thumb.
        joint: (S,) the joint of the 16 that moves the sphere.
    """

    ends: np.ndarray
    share: np.ndarray
    radius: np.ndarray
    finger: np.ndarray
    bone: np.ndarray
    joint: np.ndarray

    def centres(self, points: Tensor) -> Tensor:
        """(B, S, 3) centres in the frame of the points (B, 21, 3): joints, then tips."""
        share = torch.as_tensor(self.share, dtype=points.dtype, device=points.device)[:, None]
        first, second = points[:, self.ends[:, 0]], points[:, self.ends[:, 1]]
        return first + share * (second - first)


@cache
def hand_spheres() -> Spheres:
    """The spheres of every hand: 5 a bone for the fingers, then 4 along each
    metacarpal and 4 in the web of the thumb."""
    rows = []
    for finger, name in enumerate(MODEL_FINGERS):
        chain = [1 + 3 * finger, 2 + 3 * finger, 3 + 3 * finger, 16 + FINGERS.index(name)]
        for bone in range(3):
            for share in np.linspace(0, 1, SAMPLES):
                # A fingertip is rounder than its bone is long: the last sphere ends inside it.
                share = min(share, 0.78) if bone == 2 else share
                ends, joint = (chain[bone], chain[bone + 1]), chain[bone]
                rows.append((*ends, share, RADII[name][bone], finger, bone, joint))
    for finger in range(4):
        for share in np.linspace(0.35, 0.9, 4):
            rows.append((0, 1 + 3 * finger, share, PALM_RADIUS, -1, -1, 0))
    for ends, share in (((14, 1), 0.2), ((14, 1), 0.4), ((13, 1), 0.5), ((13, 1), 0.25)):
        rows.append((*ends, share, WEB_RADIUS, -1, -2, 13))
    table = np.array(rows)
    whole = table[:, [0, 1, 4, 5, 6]].astype(int)
    return Spheres(
        ends=whole[:, :2],
        share=table[:, 2],
        radius=table[:, 3],
        finger=whole[:, 2],
        bone=whole[:, 3],
        joint=whole[:, 4],
    )


@cache
def _least_distances() -> np.ndarray:
    """(S, S) metres that two spheres' centres must keep; 0 for pairs that may do as they like."""
    spheres = hand_spheres()
    finger, bone, radius = spheres.finger, spheres.bone, spheres.radius
    least = FIRMNESS * (radius[:, None] + radius)
    one, other = finger[:, None], finger
    is_pair = (one != other) & (one >= 0) & (one < other)
    thumb = MODEL_FINGERS.index("thumb")
    # The thumb's metacarpal lies in the palm's flesh; only the outer bones of fingers may hit it.
    is_pair &= ~((other == thumb) & (bone == 0) & (bone[:, None] < 1))
    # Knuckles that stand side by side share the flesh between them.
    side_by_side = (bone[:, None] == 0) & (bone == 0)
    low = (spheres.share[:, None] < 0.6) | (spheres.share < 0.6)
    is_pair &= ~(side_by_side & low)
    outer = np.where(other == thumb, (bone == 2) | ((bone == 1) & (spheres.share > 0.4)), bone >= 1)
    in_web = (bone[:, None] == -2) & (other == thumb)
    against_palm = (one == -1) & (other >= 0) & outer & ~in_web
    pads = (other == thumb) & (bone[:, None] == 2) & (bone == 2)
    least = np.where(pads | (against_palm & (bone == 2)), least * PAD_FIRMNESS / FIRMNESS, least)
    return np.where(is_pair | against_palm, least, 0.0)


def overlap(points: Tensor) -> Tensor:
    """How far the fingers of each hand reach into each other or into the palm.

    Args:
        points: (B, 21, 3) metres, any frame: 16 joints in MANO's order, then the tips of thumb,
            index, middle, ring and little.

    Returns:
        (B,) metres, deepest overlap of any two spheres beyond what flesh allows; 0 or less is none.
    """
    spheres = hand_spheres()
    centres = spheres.centres(points)
    least = _least_distances()
    rows, columns = np.nonzero(least)
    gap = centres[:, rows] - centres[:, columns]
    distance = (gap[..., 0] ** 2 + gap[..., 1] ** 2 + gap[..., 2] ** 2).sqrt()
    wanted = torch.as_tensor(least[rows, columns], dtype=points.dtype, device=points.device)
    return (wanted - distance).amax(dim=1)
