"""The tangent space of a hand's parameters: its layout, rotations to first order, the step along
it.

Tangent vector of one hand with S shape coefficients and R joints that rotate beside the root,
D = 6 + S + 3 R entries, see `TangentLayout`:
    0:3          left-multiplicative increment of the global rotation, R <- exp(delta) R
    3:6          increment of `transl`
    6:6 + S      increments of the `betas`
    6 + S:       increments of the R axis-angle vectors of `hand_pose`, in the skeleton's order
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi
from typing import NamedTuple, Self

import torch
from torch import Tensor

from fitter.hand_models.skeleton import Skeleton
from fitter.records import HandParams
from fitter.rotations import roma

GLOBAL = slice(0, 3)
TRANSL = slice(3, 6)


class TangentLayout(NamedTuple):
    """Where the parts of a tangent vector stand.

    Attributes:
        shapes: S, the number of shape coefficients.
        rotations: R, the number of rows of `hand_pose`.
    """

    shapes: int
    rotations: int

    @classmethod
    def of(cls, params: HandParams) -> Self:
        """That of hands with such parameters."""
        return cls(params.betas.shape[-1], params.hand_pose.shape[-2])

    @property
    def common(self) -> int:
        """6 + S, the number of entries before the pose."""
        return 6 + self.shapes

    @property
    def size(self) -> int:
        """D."""
        return self.common + 3 * self.rotations

    @property
    def betas(self) -> slice:
        """The shape's entries."""
        return slice(6, self.common)

    @property
    def pose(self) -> slice:
        """The entries of `hand_pose`."""
        return slice(self.common, self.size)


def descendants(skeleton: Skeleton, like: Tensor) -> Tensor:
    """(J, J): entry (j, b) is 1 where bone b hangs on joint j (itself included)."""
    count = range(skeleton.count)
    table = [[float(skeleton.is_below(bone, joint)) for bone in count] for joint in count]
    return torch.tensor(table).to(like)


def exp_and_left_jacobian(vectors: Tensor, generators: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation matrices exp(w^) and left Jacobians J(w) of SO(3), in one go because they share
    their quotients: ``exp((w + d)^) = exp((J(w) d)^) exp(w^)`` to first order.

    Rodrigues' formula, and Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in
    robotics", eq. 145.

    Args:
        vectors: (..., 3) rotation vectors w, radians.
        generators: (3, 9), maps a vector to its flattened cross-product matrix (`skew`).

    Returns:
        Two of (..., 3, 3).
    """
    squared = vectors.square().sum(-1)[..., None, None]
    angle = squared.sqrt()
    # sin(t) / t, (1 - cos t) / t^2 and (t - sin t) / t^3. The last loses digits at small angles,
    # but is then multiplied by t^2: no entry of the sum is off by more than rounding.
    sine = torch.sinc(angle / pi)
    cosine = 0.5 * torch.sinc(angle / (2 * pi)).square()
    third = (1 - sine) / squared.clamp_min(torch.finfo(squared.dtype).tiny)
    hat = (vectors @ generators).unflatten(-1, (3, 3))
    hat_squared = vectors[..., :, None] * vectors[..., None, :]
    hat_squared.diagonal(dim1=-2, dim2=-1).sub_(squared[..., 0])
    identity = torch.eye(3, dtype=hat.dtype, device=hat.device)
    rotation = identity + sine * hat + cosine * hat_squared
    return rotation, identity + cosine * hat + third * hat_squared


def skew(vector: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3) with ``skew(a) @ b == cross(a, b)``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def retract(params: HandParams, step: Tensor) -> HandParams:
    """Move along a tangent vector.

    Args:
        params: of B hands.
        step: (B, D).
    """
    increment, current = roma.rotvec_to_unitquat(
        torch.stack([step[:, GLOBAL], params.global_orient])
    )
    rotation = roma.unitquat_to_rotvec(roma.quat_product(increment, current))
    layout = TangentLayout.of(params)
    return replace(
        params,
        global_orient=rotation,
        transl=params.transl + step[:, TRANSL],
        hand_pose=params.hand_pose + step[:, layout.pose].unflatten(-1, (-1, 3)),
        betas=params.betas + step[:, layout.betas],
    )


@dataclass(frozen=True)
class HandManifold:
    """The space of a hand's parameters, for `fitter.solvers`.

    Attributes:
        rotations: R, the number of rows of `hand_pose`.
        max_rotation: radians; the largest change of any one rotation in a step. Without it joints
            of fingertips flip by 180 degrees.
    """

    rotations: int
    max_rotation: float = 0.5

    def retract(self, state: HandParams, step: Tensor) -> HandParams:
        """Move B hands along steps (B, D), see `retract`."""
        return retract(state, step)

    def shortened(self, step: Tensor) -> Tensor:
        """Steps (B, D) of the same directions in which no rotation exceeds `max_rotation`."""
        pose = step[:, step.shape[1] - 3 * self.rotations :]
        rotations = torch.cat([step[:, GLOBAL], pose], -1).unflatten(-1, (-1, 3))
        largest = rotations.square().sum(-1).amax(-1).sqrt()
        return step * (self.max_rotation / largest.clamp_min(self.max_rotation))[:, None]
