"""What is known of hands' shapes beforehand and stays in their fits: a size, or the whole shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.tangent import TangentLayout
from fitter.records import HandParams, TensorBatch


@dataclass(frozen=True)
class KnownShape(TensorBatch):
    """What B hands keep to.

    Attributes:
        size: (B,) metres, see `fitter.hand_models.hand_size`; NaN where it is not known, or where
            the whole shape is.
        betas: (B, S) shape coefficients, NaN where they are not known; or (B, 1) where none are.
    """

    size: Tensor
    betas: Tensor

    @classmethod
    def of(cls, size: Tensor, betas: Tensor) -> Self:
        """Sizes (B,) and shapes (B, S), NaN where they are not known; a shape has its own size."""
        return cls(torch.where(_is_known(betas), torch.nan, size), betas)

    @classmethod
    def nothing(cls, like: Tensor) -> Self:
        """Nothing known of as many hands as `like` (B, ...) has."""
        unknown = like.new_full((len(like), 1), torch.nan)
        return cls(unknown[:, 0], unknown)

    def held(self, model: HandSize, betas: Tensor) -> Tensor:
        """The nearest shapes to `betas` (B, S) that are as is known; differentiable.

        Unlike `sized` it asks the device nothing.
        """
        moved = model.held(betas, self.size.to(betas.dtype))
        return torch.where(_is_known(self.betas)[:, None], self.betas.to(betas.dtype), moved)

    def sized(self, model: HandSize, hand: HandParams) -> HandParams:
        """B hands with the shapes that `held` gives."""
        hand = model.sized(hand, self.size)
        if self._knows_no_betas:
            return hand
        known = _is_known(self.betas)[:, None]
        return replace(hand, betas=torch.where(known, self.betas.to(hand.betas.dtype), hand.betas))

    def placed(self, model: HandSize, hand: HandParams) -> HandParams:
        """`sized`, with the hands moved along the line of sight until they look as before."""
        hand = model.placed(hand, self.size)
        return hand if self._knows_no_betas else model.shaped(hand, self.held(model, hand.betas))

    def restrict(
        self, model: HandSize, betas: Tensor, gradient: Tensor, hessian: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Derivatives of an objective of shapes that cannot change, see `HandSize.restrict`.

        Where the whole shape is known its gradient is 0, and its block of the Hessian is the
        largest entry of the diagonal times the identity, coupled to nothing.

        Args:
            model: the size of the hand model.
            betas: (B, S) where the derivatives were taken.
            gradient: (B, D) by the tangent vector of `fitter.hand_models.tangent`.
            hessian: (B, D, D).

        Returns:
            Two of the same shapes.
        """
        gradient, hessian = model.restrict(betas, self.size, gradient, hessian)
        if self._knows_no_betas:
            return gradient, hessian
        fixed = torch.zeros_like(gradient, dtype=torch.bool)
        fixed[:, TangentLayout(betas.shape[-1], 0).betas] = _is_known(self.betas)[:, None]
        stiff = hessian.diagonal(dim1=-2, dim2=-1).amax(-1)[:, None, None]
        identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
        either = fixed[:, :, None] | fixed[:, None, :]
        return torch.where(fixed, 0.0, gradient), torch.where(either, stiff * identity, hessian)

    @property
    def _knows_no_betas(self) -> bool:
        """Whether no shape is known; on a GPU False, because to ask it would take as long."""
        return self.betas.device.type == "cpu" and not bool(_is_known(self.betas).any())


def _is_known(betas: Tensor) -> Tensor:
    """(B,) bool."""
    return betas.isfinite().all(-1)
