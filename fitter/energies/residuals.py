"""What the energies of a least-squares stage hand to the solver, and the robust losses they share.

An energy that is a sum of robust losses ``m rho(|r|^2)`` with a Jacobian J of its residuals r has
the gradient ``2 m rho' J^T r`` and the Gauss-Newton Hessian ``2 m rho' J^T J`` (Triggs et al.,
"Bundle adjustment - a modern synthesis", 2000, section 4.3, without the second-order term, so that
it stays positive semi-definite).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Quadratic(NamedTuple):
    """One energy of B hands with its Gauss-Newton model in the variables it depends on.

    Attributes:
        value: (B,) the energy.
        gradient: (B, ...); each energy says by what.
        hessian: (B, ..., ...), or only its non-zero blocks where the energy says so.
    """

    value: Tensor
    gradient: Tensor
    hessian: Tensor


def weighted_sum(terms: list[tuple[float, Quadratic]]) -> Quadratic:
    """Sum of energies of the same variables, each times its weight."""
    weight, first = terms[0]
    total = Quadratic(*(weight * part for part in first))
    for weight, term in terms[1:]:
        for sum_, part in zip(total, term, strict=True):
            sum_.add_(part, alpha=weight)
    return total


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
