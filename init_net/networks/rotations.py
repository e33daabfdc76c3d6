"""Numbers of a network's last layer as rotations, so that zeros are the hand at rest."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

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
