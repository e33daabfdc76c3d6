"""Which cameras see which hands of a batch, and hands from the rig's frame to a camera's and back.

A hand turns about its root joint (`fitter.conventions`), so with ``x_v = R_v x + t_v``

    global rotation   R_v G
    translation       R_v (root(betas) + transl) + t_v - root(betas)

and pose and shape are the same in every camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from fitter.hand_models.keypoint_model import KeypointModel
from fitter.records import HandParams
from fitter.rotations import roma


class RootJoint(NamedTuple):
    """The joint about which a hand turns, in the rest pose.

    Attributes:
        template: (3,) metres, of the mean shape.
        shapedirs: (3, S) its displacement for each unit of a shape coefficient.
    """

    template: Tensor
    shapedirs: Tensor

    @classmethod
    def of(cls, model: KeypointModel) -> Self:
        """That of a model, on its device and dtype."""
        return cls(model.joint_template[0], model.joint_shapedirs[0])

    def to(self, like: Tensor) -> RootJoint:
        """The same on another tensor's device and in its dtype."""
        return RootJoint(self.template.to(like), self.shapedirs.to(like))

    def __call__(self, betas: Tensor) -> Tensor:
        """(N, 3) metres, of shapes (N, S)."""
        return self.template + betas @ self.shapedirs.T


@dataclass(frozen=True)
class RigRows:
    """N rows, a hand in a camera each, of B hands; every hand has at least one.

    Attributes:
        hand: (N,) int64 place of the hand in the batch, ascending.
        rotation: (N, 3, 3) from the rig's axes to the camera's. Of a left hand, as of everything of
            it, the mirror image, see `mirrored_where`.
        translation: (N, 3) metres, where the rig's origin lies in the camera's frame.
        weight: (N,) how far the row counts beside the hand's others, in [0, 1].
        count: B.
    """

    hand: Tensor
    rotation: Tensor
    translation: Tensor
    weight: Tensor
    count: int

    def __len__(self) -> int:
        return len(self.hand)

    def to(self, like: Tensor) -> RigRows:
        """The same on another tensor's device and in its dtype."""
        return replace(
            self,
            hand=self.hand.to(like.device),
            rotation=self.rotation.to(like),
            translation=self.translation.to(like),
            weight=self.weight.to(like),
        )

    def mirrored_where(self, is_left: Tensor) -> RigRows:
        """The rows with those of left hands, `is_left` (B,) bool, in the mirrored rig.

        With M = diag(-1, 1, 1), ``M x_v = (M R M) (M x) + M t``: what the mirrored camera sees of
        the mirrored hand is the mirrored image, with the K that `normalise` mirrors.
        """
        flip = self.translation.new_tensor([-1.0, 1.0, 1.0])
        left = is_left[self.hand]
        return replace(
            self,
            rotation=torch.where(
                left[:, None, None], flip[:, None] * self.rotation * flip, self.rotation
            ),
            translation=torch.where(left[:, None], flip * self.translation, self.translation),
        )

    @property
    def rows_of_hand(self) -> Tensor:
        """(B,) int64 number of rows of each hand."""
        ones = torch.ones_like(self.hand)
        return ones.new_zeros(self.count).index_add_(0, self.hand, ones)

    def mean(self, values: Tensor) -> Tensor:
        """(B, ...) means over the rows of each hand of values (N, ...), all rows alike."""
        number = self.rows_of_hand.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
        return self.sum(values) / number

    def weighted_mean(self, values: Tensor) -> Tensor:
        """(B, ...) means over the rows of each hand by their weights; 0 where all of these are."""
        rows = self.reduced("mean")
        return rows.sum(rows.weighted(values))

    @property
    def first(self) -> Tensor:
        """(B,) int64 the first row of each hand."""
        number = self.rows_of_hand
        return number.cumsum(0) - number

    def reduced(self, reduction: Literal["sum", "mean"]) -> RigRows:
        """The rows with weights by which a sum over a hand's rows is their weighted sum or mean."""
        if reduction == "sum":
            return self
        total = self.sum(self.weight)[self.hand]
        return replace(self, weight=self.weight / torch.where(total > 0, total, 1.0))

    def of_weight(self, weight: Tensor) -> RigRows:
        """The same with other weights (N,)."""
        return replace(self, weight=weight)

    def sum(self, values: Tensor) -> Tensor:
        """(B, ...) sums over the rows of each hand of values (N, ...); differentiable."""
        zeros = values.new_zeros(self.count, *values.shape[1:])
        return zeros.index_add(0, self.hand, values)

    def weighted(self, values: Tensor) -> Tensor:
        """(N, ...) values times the rows' weights; 0 where these are, whatever the value."""
        weight = self.weight.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
        return torch.where(weight > 0, weight * values, 0.0)

    def of_rows(self, places: Tensor) -> tuple[RigRows, Tensor]:
        """The rows at `places` (n,), ascending, alone, and (B',) the hands that have any: those
        that the rows then count."""
        hands, number = self.hand[places].unique_consecutive(return_inverse=True)
        rows = RigRows(
            number,
            self.rotation[places],
            self.translation[places],
            self.weight[places],
            len(hands),
        )
        return rows, hands

    def select(self, index: Tensor) -> tuple[RigRows, Tensor]:
        """The rows of the hands at `index` (n,), which may repeat, as a batch of n hands, and (N',)
        the places of these rows among the present ones."""
        taken = self.rows_of_hand[index]
        hand = torch.arange(len(index), device=index.device).repeat_interleave(taken)
        before = (taken.cumsum(0) - taken)[hand]
        place = self.first[index][hand] + torch.arange(len(hand), device=index.device) - before
        return RigRows(
            hand, self.rotation[place], self.translation[place], self.weight[place], len(index)
        ), place

    def in_views(self, hands: HandParams, root: RootJoint) -> HandParams:
        """B hands in the rig's frame as the N rows that the cameras see; differentiable.

        Args:
            hands: in the rig's frame.
            root: of the hand model, in the dtype of `hands`.
        """
        seen = hands[self.hand]
        return _moved(seen, self.rotation, self.translation, root)

    def to_rig(self, seen: HandParams, root: RootJoint) -> HandParams:
        """N hands in their rows' cameras, each in the rig's frame; the inverse of `in_views`."""
        return to_rig(seen, self.rotation, self.translation, root)


def to_rig(seen: HandParams, rotation: Tensor, translation: Tensor, root: RootJoint) -> HandParams:
    """N hands in cameras, each in the rig's frame.

    Args:
        seen: in the frames of their cameras.
        rotation: (N, 3, 3) and translation: (N, 3) metres, of the cameras, see `RigRows`.
        root: of the hand model, in the dtype of `seen`.
    """
    inverse = rotation.mT
    return _moved(seen, inverse, -(inverse @ translation[..., None])[..., 0], root)


def _moved(hands: HandParams, rotation: Tensor, translation: Tensor, root: RootJoint) -> HandParams:
    """Hands in the frame of ``x' = rotation x + translation``."""
    rotation, translation = (x.to(hands.transl.dtype) for x in (rotation, translation))
    turn = roma.rotmat_to_unitquat(rotation)
    orient = roma.quat_product(turn, roma.rotvec_to_unitquat(hands.global_orient))
    rest = root(hands.betas)
    place = (rotation @ (rest + hands.transl)[..., None])[..., 0] + translation
    return replace(hands, global_orient=roma.unitquat_to_rotvec(orient), transl=place - rest)


def pull_back(
    rows: RigRows, root: RootJoint, gradient: Tensor, hessian: Tensor
) -> tuple[Tensor, Tensor]:
    """Derivatives by the tangent vectors of the hands in their cameras, turned into derivatives by
    the tangent vectors of the same hands in the rig's frame (`fitter.hand_models.tangent`).

    With the tangent vector (omega, tau, beta, theta) of the hand in the rig's frame, that in the
    camera is ``(R omega, R tau + (R - I) S beta, beta, theta)``, S the root's `shapedirs`: rotation
    increments act from the left, and ``exp((R omega)^) R = R exp(omega^)``. With T this matrix, the
    gradient is ``T^T g`` and the Gauss-Newton Hessian ``T^T H T``.

    Args:
        rows: N rows.
        root: of the hand model.
        gradient: (N, D).
        hessian: (N, D, D).

    Returns:
        (N, D) and (N, D, D), row by row.
    """
    common = 6 + root.shapedirs.shape[-1]
    identity = torch.eye(common, dtype=gradient.dtype, device=gradient.device)
    turned = identity.repeat(len(rows), 1, 1)
    turned[:, :3, :3] = turned[:, 3:6, 3:6] = rows.rotation
    turned[:, 3:6, 6:] = (rows.rotation - identity[:3, :3]) @ root.shapedirs
    slope = gradient.clone()
    slope[:, :common] = (gradient[:, None, :common] @ turned)[:, 0]
    curved = hessian.clone()
    curved[:, :common] = turned.mT @ hessian[:, :common]
    curved[:, :, :common] = curved[:, :, :common] @ turned
    return slope, curved
