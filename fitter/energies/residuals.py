"""What the energies of a least-squares stage hand to the solver, and the robust loss they share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Quadratic(NamedTuple):
    """One energy of B hands with its Gauss-Newton model in the tangent space of the parameters.

    Attributes:
        value: (B,) the energy.
        gradient: (B, D).
        hessian: (B, D, D).
    """

    value: Tensor
    gradient: Tensor
    hessian: Tensor


def quadratic_of(residual: Tensor, jacobian: Tensor, weight: Tensor, value: Tensor) -> Quadratic:
    """The Gauss-Newton model of a robust sum of squares.

    Args:
        residual: (B, R).
        jacobian: (B, R, D).
        weight: (B, R) derivative of the robust loss by the squared residual (times 2 for
            ``value = residual.square().sum(-1)`` it is 1).
        value: (B,) the robust energy itself.
    """
    weighted = jacobian * weight[..., None]
    gradient = 2 * (residual[:, None] @ weighted)[:, 0]
    return Quadratic(value, gradient, 2 * (weighted.transpose(1, 2) @ jacobian))


def geman_mcclure(squared: Tensor) -> tuple[Tensor, Tensor]:
    """rho(s) = s / (1 + s), which no outlier can raise above 1, and its derivative.

    Geman, McClure, "Statistical methods for tomographic image reconstruction", 1987.

    Args:
        squared: residuals squared, in units of the scale at which a residual counts as outlier.
    """
    inverse = 1 / (1 + squared)
    return squared * inverse, inverse.square()


def charbonnier(squared: Tensor) -> tuple[Tensor, Tensor]:
    """rho(s) = 2 (sqrt(1 + s) - 1), quadratic near zero and linear far away, and its derivative.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed
    imaging", 1994.

    Args:
        squared: residuals squared, in units of the scale at which the loss turns linear.
    """
    root = torch.sqrt(1 + squared)
    return 2 * (root - 1), 1 / root
