"""What two hands say of each other, as residuals with their Jacobians, and its sum over groups.

Every hand is posed as a right hand in its own frame: of a left hand that is the picture's camera
with x negated. Between two hands of one side both frames are one; between a left and a right hand a
point of one is taken to the other's by negating x.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fitter.solvers import Linearization


class CoupledRows(NamedTuple):
    """Robust residuals of P pairs of hands to first order, see `fitter.energies.residuals`.

    Attributes:
        value: (P,) their weighted sum.
        residual: (P, N).
        weight: (P, N) twice the slope of the robust loss, times the weight; 0 where there is none.
        by_first: (P, N, D) derivatives by the first hand's tangent vector.
        by_second: (P, N, D) by the second's.
    """

    value: Tensor
    residual: Tensor
    weight: Tensor
    by_first: Tensor
    by_second: Tensor


def to_other(differ: Tensor, vectors: Tensor) -> Tensor:
    """Points or directions (P, ..., 3) of one hand's frame in the other's, where their sides
    differ, (P,) bool; the same the other way round."""
    flip = vectors.new_tensor([-1.0, 1.0, 1.0])
    return torch.where(differ.view(-1, *[1] * (vectors.ndim - 1)), vectors * flip, vectors)


class GroupSum:
    """The derivatives of G groups of n hands, which pairs are added to.

    The Hessian is kept in blocks of two hands: (G n, n, D, D), row hand and column hand in group.
    """

    def __init__(self, own: Linearization, count: int) -> None:
        """Begin with what each of the G n hands says by itself."""
        hands, size = own.gradient.shape
        self.count = count
        self.cost = own.cost.view(-1, count).sum(1)
        self.gradient = own.gradient.clone()
        self.hessian = own.hessian.new_zeros(hands, count, size, size)
        places = torch.arange(hands, device=own.cost.device)
        self.hessian[places, places % count] = own.hessian

    def add(self, first: Tensor, second: Tensor, rows: CoupledRows) -> None:
        """Add what pairs of hands, (P,) places among the G n of each, say."""
        weighted = [rows.weight[..., None] * by for by in (rows.by_first, rows.by_second)]
        beside = rows.residual[..., None]
        hands, bys = (first, second), (rows.by_first, rows.by_second)
        self.cost = self.cost.index_add(0, first // self.count, rows.value)
        for hand, weigh in zip(hands, weighted, strict=True):
            self.gradient.index_add_(0, hand, (weigh.mT @ beside)[..., 0])
            for other, by in zip(hands, bys, strict=True):
                at = (hand, other % self.count)
                self.hessian.index_put_(at, weigh.mT @ by, accumulate=True)

    def linearization(self) -> Linearization:
        """(G,) costs with derivatives by the tangent vectors of a group's hands in a row."""
        groups, size = len(self.cost), self.count * self.gradient.shape[1]
        blocks = self.hessian.view(groups, self.count, self.count, *self.hessian.shape[2:])
        whole = blocks.permute(0, 1, 3, 2, 4).reshape(groups, size, size)
        return Linearization(self.cost, self.gradient.view(groups, size), whole)
