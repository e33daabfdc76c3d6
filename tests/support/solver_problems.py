"""Least-squares problems of known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fitter.hand_models.tangent import TRANSL
from fitter.records import HandParams
from fitter.solvers.levenberg_marquardt import Linearization

SHAPES = 2


D = 51 + SHAPES


Residual = Callable[[Tensor, Tensor], Tensor]


def hands(count: int) -> HandParams:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(count, *shape, dtype=torch.float64)

    return HandParams(zeros(3), zeros(15, 3), zeros(SHAPES), zeros(3))


def at(positions: list[list[float]]) -> HandParams:
    """Hands at rest but for `transl`."""
    start = hands(len(positions))
    return HandParams(
        start.global_orient,
        start.hand_pose,
        start.betas,
        torch.tensor(positions, dtype=torch.float64),
    )


@dataclass
class Problem:
    """Residuals of (transl, data) as a least-squares problem; notes what it is asked."""

    residual: Residual
    data: Tensor
    sizes: list[int] = field(default_factory=list)
    costs: list[Tensor] = field(default_factory=list)

    def linearize(self, params: HandParams) -> Linearization:
        self.sizes.append(len(params.transl))
        pairs = zip(params.transl, self.data, strict=True)
        parts = [
            (self.residual(x, d), torch.func.jacrev(self.residual)(x, d)) for x, d in pairs
        ] or [(torch.zeros(1).double(), torch.zeros(1, 3).double())]
        residual = torch.stack([r for r, _ in parts])[: len(params.transl)]
        jacobian = torch.zeros(*residual.shape, D, dtype=residual.dtype)
        jacobian[..., TRANSL] = torch.stack([j for _, j in parts])[: len(params.transl)]
        cost = residual.square().sum(-1)
        self.costs.append(cost)
        gradient = 2 * (residual[:, None] @ jacobian)[:, 0]
        return Linearization(cost, gradient, 2 * jacobian.mT @ jacobian)

    def select(self, index: Tensor) -> Problem:
        return Problem(self.residual, self.data[index], self.sizes, self.costs)


def linear(x: Tensor, target: Tensor) -> Tensor:
    mixing = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
    return mixing.double() @ (x - target)


def rosenbrock(x: Tensor, target: Tensor) -> Tensor:
    """Rosenbrock's valley moved so that the minimum is at `target`."""
    y = x - target + 1
    return torch.stack([10 * (y[1] - y[0] ** 2), 1 - y[0], y[2] - 1])
