"""Least-squares problems of three variables and of known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fitter.solvers import Linearization

Residual = Callable[[Tensor, Tensor], Tensor]


def at(positions: list[list[float]]) -> Tensor:
    """(B, 3) where B problems begin."""
    return torch.tensor(positions, dtype=torch.float64)


@dataclass
class Problem:
    """Residuals of (x, data), one problem after the other; notes what it is asked."""

    residual: Residual
    data: Tensor
    sizes: list[int] = field(default_factory=list)
    costs: list[Tensor] = field(default_factory=list)

    def linearize(self, params: Tensor) -> Linearization:
        self.sizes.append(len(params))
        pairs = list(zip(params, self.data, strict=True)) or [(torch.zeros(3).double(),) * 2]
        residual = torch.stack([self.residual(*pair) for pair in pairs])[: len(params)]
        jacobian = torch.stack([torch.func.jacrev(self.residual)(*pair) for pair in pairs])
        jacobian = jacobian[: len(params)]
        cost = residual.square().sum(-1)
        self.costs.append(cost)
        gradient = 2 * (residual[:, None] @ jacobian)[:, 0]
        return Linearization(cost, gradient, 2 * jacobian.mT @ jacobian)

    def select(self, index: Tensor) -> Problem:
        return type(self)(self.residual, self.data[index], self.sizes, self.costs)


def linear(x: Tensor, target: Tensor) -> Tensor:
    mixing = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
    return mixing.double() @ (x - target)


def rosenbrock(x: Tensor, target: Tensor) -> Tensor:
    """Rosenbrock's valley moved so that the minimum is at `target`."""
    y = x - target + 1
    return torch.stack([10 * (y[1] - y[0] ** 2), 1 - y[0], y[2] - 1])
