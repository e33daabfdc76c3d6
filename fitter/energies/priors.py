"""Energies on the parameters alone: anatomical limits, pose and shape priors.

Each returns one `Quadratic`, not yet weighted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitter.energies.residuals import Quadratic
from fitter.hand_models.anatomy import Anatomy
from fitter.hand_models.kinematics import BETAS, POSE
from fitter.hand_models.pose_prior import PosePrior
from fitter.records import HandParams


@dataclass(frozen=True)
class PoseSpace:
    """Anatomy and pose prior of one model as tensors in the space of `hand_pose`.

    Attributes:
        axes: (15, 3, 3) rows flexion, abduction, twist of each joint.
        lower: (15, 3) radians.
        upper: (15, 3) radians.
        means: (K, 45) of the mixture, radians.
        precisions: (K, 45, 45) of the mixture, 1 / radians^2.
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
            prior: over anatomical angles.
            like: a tensor with the wanted device and dtype.
        """
        to_pose = np.zeros((45, 45))
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


def anatomical_limits(params: HandParams, space: PoseSpace) -> Quadratic:
    """Squared radians by which the anatomical angles leave their limits, summed."""
    angles = torch.einsum("jac,bjc->bja", space.axes, params.hand_pose)
    excess = (angles - space.upper).clamp_min(0) - (space.lower - angles).clamp_min(0)
    gradient = 2 * torch.einsum("bja,jac->bjc", excess, space.axes).flatten(1)
    active = (excess != 0).to(angles.dtype)
    blocks = 2 * torch.einsum("jac,bja,jad->bjcd", space.axes, active, space.axes)
    hessian = gradient.new_zeros(gradient.shape[0], 15, 3, 15, 3)
    joint = torch.arange(15, device=gradient.device)
    hessian[:, joint, :, joint] = blocks.transpose(0, 1)
    return _embed(excess.square().flatten(1).sum(-1), gradient, hessian.reshape(-1, 45, 45), params)


def pose_prior(params: HandParams, space: PoseSpace) -> Quadratic:
    """Negative log-likelihood (twice, up to a constant) under the nearest component of a mixture.

    The maximum over components stands for the sum, as in Olson, Agarwal, "Inference on networks
    of mixtures for robust robot mapping", 2012, eq. 5.
    """
    difference = params.hand_pose.flatten(1)[:, None] - space.means
    gradient = torch.einsum("kij,bkj->bki", space.precisions, difference)
    energies = (difference * gradient).sum(-1) + space.offsets
    value, best = energies.min(-1)
    rows = torch.arange(best.shape[0], device=best.device)
    return _embed(value, 2 * gradient[rows, best], 2 * space.precisions[best], params)


def shape_prior(params: HandParams) -> Quadratic:
    """Squared length of `betas`, whose components have unit variance."""
    betas = params.betas
    gradient = torch.cat([betas.new_zeros(betas.shape[0], BETAS.start), 2 * betas], -1)
    diagonal = torch.zeros_like(gradient)
    diagonal[:, BETAS] = 2
    return Quadratic(betas.square().sum(-1), gradient, torch.diag_embed(diagonal))


def _embed(value: Tensor, gradient: Tensor, hessian: Tensor, params: HandParams) -> Quadratic:
    """Put derivatives by `hand_pose` in their place in the tangent space."""
    batch, size = params.betas.shape[0], BETAS.start + params.betas.shape[1]
    full_gradient = gradient.new_zeros(batch, size)
    full_gradient[:, POSE] = gradient
    full_hessian = gradient.new_zeros(batch, size, size)
    full_hessian[:, POSE, POSE] = hessian
    return Quadratic(value, full_gradient, full_hessian)
