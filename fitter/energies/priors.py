"""Energies on the parameters alone: anatomical limits, pose and shape priors.

Each returns one `Quadratic`, not yet weighted, and says by which parameters its derivatives are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitter.energies.declare import least_squares
from fitter.energies.residuals import Quadratic
from fitter.hand_models.anatomy import Anatomy
from fitter.hand_models.pose_prior import PosePrior, on_skeleton
from fitter.records import HandParams


@dataclass(frozen=True)
class PoseSpace:
    """Anatomy and pose prior of one model as tensors in the space of `hand_pose`.

    Attributes:
        axes: (R, 3, 3) rows flexion, abduction, twist of each joint.
        lower: (R, 3) radians.
        upper: (R, 3) radians.
        means: (K, 3 R) of the mixture, radians.
        precisions: (K, 3 R, 3 R) of the mixture, 1 / radians^2.
        offsets: (K,) twice the negative logarithm of each component's peak, least one 0.
    """

    axes: Tensor
    lower: Tensor
    upper: Tensor
    means: Tensor
    precisions: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, anatomy: Anatomy, prior: PosePrior, like: Tensor) -> PoseSpace:
        """Turn the prior's anatomical angles into axis-angle vectors about the model's axes.

        Args:
            anatomy: of the model.
            prior: over the anatomical angles of MANO's 15 joints.
            like: a tensor with the wanted device and dtype.
        """
        prior = on_skeleton(prior, anatomy)
        to_pose = np.zeros((len(prior.mean), len(prior.mean)))
        for joint, axes in enumerate(anatomy.axes):
            block = slice(3 * joint, 3 * joint + 3)
            to_pose[block, block] = axes.T
        factors = to_pose @ prior.mixture_precision_factors
        log_peaks = np.log(prior.mixture_weights) + prior.mixture_log_norms
        offsets = 2 * (log_peaks.max() - log_peaks)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=like.dtype, device=like.device)

        return cls(
            axes=tensor(anatomy.axes),
            lower=tensor(anatomy.lower),
            upper=tensor(anatomy.upper),
            means=tensor(prior.mixture_means @ to_pose.T),
            precisions=tensor(factors @ np.swapaxes(factors, -1, -2)),
            offsets=tensor(offsets),
        )

    def to(self, like: Tensor) -> PoseSpace:
        """The same on another tensor's device and in its dtype."""
        return PoseSpace(*(value.to(like) for value in vars(self).values()))


@least_squares("limits", "hand", "space", by="joints")
def anatomical_limits(params: HandParams, space: PoseSpace) -> Quadratic:
    """Squared radians by which the anatomical angles leave their limits, summed.

    The gradient is (B, 3 R) by `hand_pose`, the Hessian's non-zero blocks are (B, R, 3, 3).
    """
    angles = (space.axes @ params.hand_pose[..., None])[..., 0]
    excess = (angles - space.upper).clamp_min(0) - (space.lower - angles).clamp_min(0)
    gradient = 2 * (excess[..., None, :] @ space.axes)
    active = (excess != 0).to(angles.dtype)
    blocks = 2 * (space.axes.mT * active[..., None, :]) @ space.axes
    return Quadratic(excess.square().flatten(1).sum(-1), gradient.flatten(1), blocks)


@least_squares("pose_prior", "hand", "space", by="hand_pose")
def pose_prior(params: HandParams, space: PoseSpace) -> Quadratic:
    """Twice the negative log-likelihood of the pose, up to a constant, under the nearest component
    of a mixture: ``min_k (p - m_k)^T P_k (p - m_k) + c_k`` (Olson, Agarwal, "Inference on networks
    of mixtures for robust robot mapping", 2012, eq. 5).

    The maximum over components stands for the sum, as there. Gradient (B, 3 R) and
    Hessian (B, 3 R, 3 R) are by `hand_pose`.
    """
    difference = params.hand_pose.flatten(1) - space.means[:, None]
    gradient = difference @ space.precisions
    energies = (difference * gradient).sum(-1) + space.offsets[:, None]
    value, best = energies.min(0)
    rows = torch.arange(len(best), device=best.device)
    return Quadratic(value, 2 * gradient[best, rows], space.precisions[best].mul_(2))


@least_squares("shape_prior", "hand", by="betas")
def shape_prior(params: HandParams) -> Quadratic:
    """``||betas||^2``, twice the negative log-likelihood of components of unit variance.

    The gradient is (B, S) by `betas`, the Hessian's diagonal is (B, S).
    """
    betas = params.betas
    return Quadratic(betas.square().sum(-1), 2 * betas, torch.full_like(betas, 2))
