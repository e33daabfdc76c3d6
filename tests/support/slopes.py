"""Gradients beside slopes: what is checked where `torch.autograd.gradcheck` would take too long."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def assert_slopes(
    loss: Callable[..., Tensor],
    leaves: Sequence[Tensor],
    generator: torch.Generator,
    step: float,
    atol: float,
) -> list[Tensor]:
    """Hold the gradient by each leaf to a central difference along one random direction.

    Args:
        loss: a number, of the leaves.
        leaves: float64, each of which needs a gradient.
        generator: of the directions.
        step: of the differences.
        atol: beside a relative tolerance of 1e-5.

    Returns:
        The gradients.
    """
    gradients = torch.autograd.grad(loss(*leaves), leaves)
    for place, gradient in enumerate(gradients):
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        ends = [[leaf.detach().clone() for leaf in leaves] for _ in range(2)]
        ends[0][place] += step * direction
        ends[1][place] -= step * direction
        slope = (loss(*ends[0]) - loss(*ends[1])) / (2 * step)
        torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-5, atol=atol)
    return list(gradients)
