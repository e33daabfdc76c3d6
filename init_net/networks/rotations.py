"""Numbers of a network's last layer as rotations, so that zeros are the hand at rest; and how a
hand is turned where a network begins."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from fitter.rotations import roma

Representation = Literal["6d", "axis_angle"]
"""How a network's output stands for a rotation."""

_SHORTEST = 1e-6
"""Length below which a vector of the 6D representation is not scaled to 1: no division by zero."""

COUNTS: dict[Representation, int] = {"6d": 6, "axis_angle": 3}
"""Numbers that a rotation takes."""


def to_rotations(values: Tensor, representation: Representation) -> Tensor:
    """Rotation matrices of a network's numbers; zeros give the identity.

    "6d" is the continuous representation of Zhou et al. 2019, "On the Continuity of Rotation
    Representations in Neural Networks", eq. 15: Gram-Schmidt on two columns, here given as their
    difference from the identity's. "axis_angle" is Rodrigues' formula, as Seeber 3.1 has it.

    Args:
        values: (B, J, 6), row by row of the (3, 2) columns, or (B, J, 3) axis-angle, radians.
        representation: which of the two.

    Returns:
        (B, J, 3, 3).
    """
    if representation == "axis_angle":
        return roma.rotvec_to_rotmat(values)
    columns = values.unflatten(-1, (3, 2))
    identity = torch.eye(3, 2, dtype=values.dtype, device=values.device)
    return roma.special_gramschmidt(columns + identity, epsilon=_SHORTEST)


def facing_hand(keypoints: Tensor) -> Tensor:
    """The rotation that has a right hand's fingers point up in the image and its palm to the
    camera (not published: where networks begin).

    Args:
        keypoints: (21, 3) of the hand, any frame.

    Returns:
        (3, 3) R, ``x_view = R x``.
    """
    index, middle, little = (keypoints[k] - keypoints[0] for k in (5, 9, 17))
    across, forward = index - little, functional.normalize(middle, dim=0)
    across = functional.normalize(across - (across @ forward) * forward, dim=0)
    # Of a right hand whose palm is seen, fingers up, the index finger is to the right.
    hand = torch.stack([across, forward, torch.linalg.cross(across, forward)], 1)
    seen = hand.new_tensor([1, -1, -1]).diag()
    return seen @ hand.T
