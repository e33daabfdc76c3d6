"""What one image says of a hand's shape, once its pose and its place have been eliminated.

Near its optimum a hand's cost is ``f + g d + d H d / 2`` in the tangent vector d of all its
parameters. For a given shape the best of the others leaves a quadratic in the shape alone, by the
Schur complement (Triggs et al., "Bundle adjustment - a modern synthesis", 2000, section 6.1)::

    I = H_bb - H_bo H_oo^-1 H_ob        information
    c = g_b - H_bo H_oo^-1 g_o          slope
    cost(b) = const + (b - b_0) I (b - b_0) / 2 + c (b - b_0)

It is kept as I and the vector ``v = I b_0 - c``: the cost is ``b I b / 2 - v b`` up to a constant,
so that those of many images are added up by adding both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.hand_models.tangent import TangentLayout
from fitter.solvers import Linearization

SHAPE_PRIORS = ("shape_prior", "size_prior")
"""Energies that say what hands look like in general, and nothing of an image."""

FLOOR = 1e-9
"""Added to the diagonal of what is eliminated, relative to its largest entry."""


class ShapeInformation(NamedTuple):
    """Of one image, or of several added up.

    Attributes:
        matrix: (..., S, S) symmetric positive semi-definite.
        vector: (..., S) the matrix times the shape that is best for the image alone.
    """

    matrix: np.ndarray
    vector: np.ndarray


def entries(num_betas: int) -> int:
    """Numbers that are stored of a hand: the upper triangle of the matrix, row by row, and the
    vector."""
    return num_betas * (num_betas + 3) // 2


def without_shape_priors(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights of energies, without those of what is known of shapes in general."""
    return {name: weight for name, weight in weights.items() if name not in SHAPE_PRIORS}


def shapeless(config: FitConfig) -> FitConfig:
    """The options of the keypoint fit without what is known of shapes in general."""
    return config.model_copy(update={"shape_prior_weight": 0.0, "size_prior_weight": 0.0})


def shape_information(found: Linearization, betas: Tensor) -> Tensor:
    """What is stored of each hand.

    Args:
        found: the objective of B hands, without priors of the shape, where they were fitted.
        betas: (B, S) float64 shapes there.

    Returns:
        (B, S (S + 3) / 2) float64, see `entries`; NaN for a hand whose derivatives are not finite.
    """
    count = betas.shape[-1]
    shape = torch.zeros(found.gradient.shape[-1], dtype=torch.bool, device=betas.device)
    shape[TangentLayout(count, 0).betas] = True
    own, others = shape.nonzero().flatten(), (~shape).nonzero().flatten()
    hessian = found.hessian[:, others[:, None], others]
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    diagonal += FLOOR * diagonal.amax(-1, keepdim=True).clamp_min(1e-12)
    across = found.hessian[:, others[:, None], own]
    factor, failed = torch.linalg.cholesky_ex(hessian)
    right = torch.cat([across, found.gradient[:, others, None]], -1)
    solved = across.mT @ torch.cholesky_solve(right, factor)
    matrix = found.hessian[:, own[:, None], own] - solved[..., :count]
    matrix = (matrix + matrix.mT) / 2
    slope = found.gradient[:, own] - solved[..., count]
    vector = (matrix @ betas[..., None])[..., 0] - slope
    rows, columns = torch.triu_indices(count, count, device=betas.device)
    kept = torch.cat([matrix[:, rows, columns], vector], -1)
    usable = (failed == 0) & kept.isfinite().all(-1) & found.cost.isfinite()
    return torch.where(usable[:, None], kept, torch.nan)


def unpacked(stored: np.ndarray, num_betas: int) -> ShapeInformation:
    """Stored numbers (..., S (S + 3) / 2) as matrices and vectors."""
    rows, columns = np.triu_indices(num_betas)
    matrix = np.zeros((*stored.shape[:-1], num_betas, num_betas))
    matrix[..., rows, columns] = matrix[..., columns, rows] = stored[..., : len(rows)]
    return ShapeInformation(matrix, stored[..., len(rows) :])
