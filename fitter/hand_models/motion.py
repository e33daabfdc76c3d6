"""Coordinates in which a hand's motion is smooth, and how they follow from its parameters.

A hand has 6 + P of them, P = 3 R for its R rotating joints:
    0:3      rotation of the root joint; differences are left increments, in the camera's axes
    3:6      place of the root joint c: ``c_x / c_z``, ``c_y / c_z`` and ``ln(c_z / size)``
    6:6 + P  `hand_pose`

The first two of the place are the line of sight, the third the distance along it in sizes of the
hand. All three change by about as much where the hand moves by as much across the line of sight and
along it, divided by its distance; and an image that shows a hand shows all three, whatever its
size, which it does not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.pose_prior import PosePrior, pose_pca
from fitter.hand_models.tangent import skew
from fitter.records import HandParams, TensorBatch
from fitter.rotations import roma

ROTATION, PLACE = slice(0, 3), slice(3, 6)
RIGID = 6
"""Coordinates before the pose's."""


@dataclass(frozen=True)
class HandMotion(TensorBatch):
    """Where B right hands are to be expected: a Gaussian in the coordinates of their motion.

    Attributes:
        rotation: (B, 3) axis-angle of the mean.
        place: (B, 3) mean of the place.
        pose: (B, P) mean of the pose.
        information: (B, 6 + P, 6 + P) inverse covariance, symmetric positive semi-definite; 0 for
            a hand of which nothing is expected.
    """

    rotation: Tensor
    place: Tensor
    pose: Tensor
    information: Tensor


@dataclass(frozen=True)
class PoseBasis:
    """The leading components of the poses of hands.

    Attributes:
        mean: (P,) radians.
        components: (K, P) orthonormal rows.
        std: (K,) radians, of hands along each.
    """

    mean: np.ndarray
    components: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, prior: PosePrior, axes: np.ndarray, count: int) -> PoseBasis:
        """The first `count` components, or all of fewer.

        Args:
            prior: over the anatomical angles of the model's joints.
            axes: (R, 3, 3) of these joints, see `fitter.hand_models.anatomy.Anatomy.axes`.
            count: K.
        """
        mean, components = pose_pca(prior, axes)
        return cls(mean, components[:count], prior.std[:count])

    @property
    def count(self) -> int:
        """K."""
        return len(self.std)

    @cached_property
    def forward(self) -> np.ndarray:
        """(K, P): ``coordinates = forward @ (pose - mean)``, in standard deviations."""
        return self.components / self.std[:, None]

    @cached_property
    def backward(self) -> np.ndarray:
        """(P, K): ``pose = mean + backward @ coordinates``."""
        return self.components.T * self.std


def place_of(size: HandSize, hand: HandParams) -> Tensor:
    """(B, 3) the place of B hands in front of the camera; differentiable."""
    root = size.root_of(hand.betas) + hand.transl
    depth = root[:, 2:]
    return torch.cat([root[:, :2] / depth, torch.log(depth / size(hand.betas)[:, None])], 1)


def transl_at(size: HandSize, betas: Tensor, place: Tensor) -> Tensor:
    """(B, 3) `transl` of hands of shapes (B, S) at places (B, 3)."""
    depth = size(betas)[:, None] * place[:, 2:].exp()
    return depth * torch.cat([place[:, :2], torch.ones_like(depth)], 1) - size.root_of(betas)


def place_slopes(size: HandSize, hand: HandParams) -> tuple[Tensor, Tensor]:
    """Derivatives of `place_of` by `transl` (B, 3, 3) and by the shape coefficients (B, 3, S)."""
    root = size.root_of(hand.betas) + hand.transl
    depth = root[:, 2, None, None]
    by_root = torch.eye(3, dtype=root.dtype, device=root.device).repeat(len(root), 1, 1)
    by_root[:, :2, 2] = -root[:, :2] / root[:, 2:]
    by_root = by_root / depth
    by_betas = by_root @ size.root_shapedirs
    length, slope = size.with_slope(hand.betas)
    by_betas[:, 2] -= slope / length[:, None]
    return by_root, by_betas


def rotation_difference(rotation: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """How far rotations are from others, and how that changes.

    Args:
        rotation, mean: (B, 3) axis-angle.

    Returns:
        (B, 3) rotation vectors e with ``R = exp(e^) R_mean``; (B, 3, 3) the inverse of the left
        Jacobian of SO(3) at e, by which e changes with a left increment of R (Sola, Deray,
        Atchuthan, "A micro Lie theory for state estimation in robotics", 2018, eq. 146).
    """
    both = roma.rotvec_to_unitquat(torch.stack([rotation, mean]))
    difference = roma.unitquat_to_rotvec(roma.quat_product(both[0], roma.quat_conjugation(both[1])))
    angle = difference.norm(dim=-1)[:, None, None]
    hat = skew(difference)
    # (1 - (t / 2) cot(t / 2)) / t^2, whose limit is 1 / 12.
    small = angle < 1e-3
    safe = torch.where(small, 1.0, angle).clamp_max(2 * pi - 1e-3)
    factor = torch.where(small, 1 / 12, (1 - 0.5 * safe / torch.tan(0.5 * safe)) / safe.square())
    identity = torch.eye(3, dtype=hat.dtype, device=hat.device)
    return difference, identity - 0.5 * hat + factor * (hat @ hat)
