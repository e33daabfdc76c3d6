"""The prior of a hand's size, which one image does not show."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.energies.declare import least_squares
from fitter.energies.residuals import Quadratic
from fitter.hand_models.hand_size import HandSize
from fitter.records import HandParams


@least_squares("size_prior", "hand", "size", by="shape")
def size_prior(params: HandParams, size: HandSize) -> Quadratic:
    """``(ln(L / L_mean) / sigma)^2``, twice the negative log-likelihood of the size L if it is
    distributed log-normally with the model's own mean and relative standard deviation.

    `shape_prior` holds the size only as one of many components, so that whatever moves a finger's
    proportions or a silhouette's width by a little moves the size, and with it the distance.

    Args:
        params: of B hands.
        size: of the hand model.

    Returns:
        The gradient is (B, S) by `betas`, the Gauss-Newton Hessian is (B, S, S).
    """
    length, slope = size.with_slope(params.betas)
    residual: Tensor = torch.log(length / size.mean) / size.relative_std
    jacobian = slope / (length * size.relative_std)[:, None]
    hessian = 2 * jacobian[:, :, None] * jacobian[:, None, :]
    return Quadratic(residual.square(), 2 * residual[:, None] * jacobian, hessian)
