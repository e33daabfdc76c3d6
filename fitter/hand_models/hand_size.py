"""A hand's size in one number: from the wrist's joint along the bones to the middle fingertip.

One image does not show it: a small hand nearby looks like a large one far away. So it is a quantity
of its own here, beside the shape coefficients it follows from: with a prior of its own
(`fitter.energies.size`), and held as an equation where the user knows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from fitter.hand_models.keypoint_model import KeypointModel
from fitter.hand_models.tangent import TangentLayout
from fitter.records import HandParams

_JOINTS, _TIP = (0, 4, 5, 6), 2
"""Wrist and middle finger in the order of MANO's joints, and of the tips."""

_KEYPOINTS = (0, 9, 10, 11, 12)
"""The same among the 21 keypoints."""

_PATH = len(_KEYPOINTS)

_NEWTON_STEPS = 4
"""The size is all but linear in the shape, so that few steps reach the last digits."""


@dataclass(frozen=True)
class HandSize:
    """The size of a hand model as a function of its S shape coefficients.

    It is that of the rest pose. Bones keep their lengths in every pose; the fingertip, a vertex of
    the skin, moves against the last of them by what blending the skin gives.

    Attributes:
        template: (P, 3) metres, rest positions of wrist, the middle finger's three joints and its
            tip, of the mean shape; then that of the root joint where it is not the wrist, which is
            a keypoint in models whose keypoints are combinations of vertices.
        shapedirs: (P, 3, S) their displacement for each unit of a coefficient.
        root: place of the root joint, about which the hand rotates.
    """

    template: Tensor
    shapedirs: Tensor
    root: int

    @classmethod
    def of(cls, model: KeypointModel) -> Self:
        """That of a model, on its device and dtype."""
        if model.regressed is not None:
            rest, basis = model.rest_keypoints()
            path = list(_KEYPOINTS)
            return cls(
                template=torch.cat([rest[path], model.joint_template[:1]]),
                shapedirs=torch.cat([basis[path], model.joint_shapedirs[:1]]),
                root=_PATH,
            )
        joints = list(_JOINTS)
        template = [model.joint_template[joints], model.tip_template[_TIP : _TIP + 1]]
        shapedirs = [model.joint_shapedirs[joints], model.tip_shapedirs[_TIP : _TIP + 1]]
        return cls(torch.cat(template), torch.cat(shapedirs), 0)

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`Tensor.to` on every tensor."""
        tensors = {name: getattr(self, name) for name in ("template", "shapedirs")}
        return replace(self, **{name: tensor.to(*args) for name, tensor in tensors.items()})

    @cached_property
    def mean(self) -> Tensor:
        """() metres, of the mean shape."""
        return self(self.template.new_zeros(1, self.shapedirs.shape[-1]))[0]

    @cached_property
    def relative_std(self) -> Tensor:
        """() standard deviation over the mean among hands whose coefficients have unit variance,
        to first order."""
        _, slope = self.with_slope(self.template.new_zeros(1, self.shapedirs.shape[-1]))
        return slope[0].norm() / self.mean

    def __call__(self, betas: Tensor) -> Tensor:
        """(B,) metres, of shapes (B, S); differentiable."""
        return self._bones(betas).norm(dim=-1).sum(-1)

    def with_slope(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) metres of shapes (B, S), and (B, S) their derivatives by the coefficients."""
        bones = self._bones(betas)
        length = bones.norm(dim=-1)
        by_betas = self.shapedirs[:_PATH].diff(dim=0)
        slope = torch.einsum("bkc,kcs->bs", bones / length[..., None], by_betas)
        return length.sum(-1), slope

    def held(self, betas: Tensor, size: Tensor) -> Tensor:
        """The nearest shapes of known sizes.

        Args:
            betas: (B, S).
            size: (B,) metres; NaN where it is not known.

        Returns:
            (B, S) differentiable; where the size is not known as they were.
        """
        known = size.isfinite()
        wanted = torch.where(known, size, 1.0)
        moved = betas
        for _ in range(_NEWTON_STEPS):
            found, slope = self.with_slope(moved)
            step = (wanted - found) / slope.square().sum(-1)
            moved = moved + step[:, None] * slope
        return torch.where(known[:, None], moved, betas)

    def sized(self, hand: HandParams, size: Tensor) -> HandParams:
        """Hands with known sizes (B,) where they are."""
        if _none_known(size):
            return hand
        return replace(hand, betas=self.held(hand.betas, size))

    def placed(self, hand: HandParams, size: Tensor) -> HandParams:
        """Hands with known sizes (B,), moved along the line of sight until they look as before."""
        if _none_known(size):
            return hand
        return self.shaped(hand, self.held(hand.betas, size))

    def shaped(self, hand: HandParams, betas: Tensor) -> HandParams:
        """Hands with shapes (B, S), moved along the line of sight until they look as before."""
        changed = (betas != hand.betas).any(-1)
        factor = torch.where(changed, self(betas) / self(hand.betas), 1.0)[:, None]
        root = (self.root_of(hand.betas) + hand.transl) * factor
        return replace(hand, betas=betas, transl=root - self.root_of(betas))

    def restrict(
        self, betas: Tensor, size: Tensor, gradient: Tensor, hessian: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Derivatives of an objective of shapes whose size cannot change.

        They are those of ``f(held(betas))`` to first order: with n the unit vector along which the
        size grows and P = I - n n^T, the gradient is P g and the Hessian P H P. Along n the Hessian
        is the largest entry of its diagonal, so that it stays invertible and no step goes there.

        Args:
            betas: (B, S) where the derivatives were taken.
            size: (B,) metres; NaN where it is not known, and may change.
            gradient: (B, D) by the tangent vector of `fitter.hand_models.tangent`.
            hessian: (B, D, D).

        Returns:
            Two of the same shapes.
        """
        if _none_known(size):
            return gradient, hessian
        known = size.isfinite()
        _, slope = self.with_slope(betas)
        normal = torch.zeros_like(gradient)
        normal[:, TangentLayout(betas.shape[1], 0).betas] = slope / slope.norm(dim=-1, keepdim=True)
        normal = torch.where(known[:, None], normal, 0.0)
        along = (normal * gradient).sum(-1, keepdim=True)
        turned = (hessian @ normal[..., None])[..., 0]
        both = (normal * turned).sum(-1)
        stiff = hessian.diagonal(dim1=-2, dim2=-1).amax(-1)
        across = normal[:, :, None] * turned[:, None, :]
        outer = normal[:, :, None] * normal[:, None, :]
        restricted = hessian - across - across.mT + (both + stiff)[:, None, None] * outer
        return gradient - along * normal, torch.where(known[:, None, None], restricted, hessian)

    def _bones(self, betas: Tensor) -> Tensor:
        """(B, 4, 3) from wrist to tip."""
        return self._points(betas)[:, :_PATH].diff(dim=1)

    def root_of(self, betas: Tensor) -> Tensor:
        """(B, 3) metres, the root joint of shapes (B, S) in the rest pose."""
        return self._points(betas)[:, self.root]

    @property
    def root_shapedirs(self) -> Tensor:
        """(3, S) how it moves with the coefficients."""
        return self.shapedirs[self.root]

    def _points(self, betas: Tensor) -> Tensor:
        return self.template + torch.einsum("kcs,bs->bkc", self.shapedirs, betas)


def _none_known(size: Tensor) -> bool:
    """Whether nothing has to be held; on a GPU, where asking means waiting, never for sure."""
    return size.device.type == "cpu" and not bool(size.isfinite().any())
