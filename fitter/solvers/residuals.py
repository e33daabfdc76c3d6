"""Least-squares problems from a function of their residuals, differentiated by PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.solvers.levenberg_marquardt import Linearization


@dataclass(frozen=True)
class Residuals:
    """B problems that minimise the sum of their squared residuals; a state is one tensor (B, D).

    Attributes:
        function: x (D,), the data of the same problem (...) -> residuals (R,); any function that
            `torch.func` can map and differentiate.
        data: (B, ...) what each problem is given.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    data: Tensor

    def linearize(self, params: Tensor) -> Linearization:
        """Sums ``|r|^2``, gradients ``2 J^T r``, Hessians ``2 J^T J``; J is the Jacobian of r."""

        def twice(x: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
            found = self.function(x, data)
            return found, found

        mapped = torch.func.vmap(torch.func.jacrev(twice, has_aux=True))
        jacobian, residual = mapped(params, self.data)
        gradient = 2 * (jacobian.mT @ residual[..., None])[..., 0]
        return Linearization(residual.square().sum(-1), gradient, 2 * jacobian.mT @ jacobian)

    def select(self, index: Tensor) -> Residuals:
        """The problems at `index` (n,) alone."""
        return Residuals(self.function, self.data[index])
