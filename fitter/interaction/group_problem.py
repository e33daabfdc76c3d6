"""The objective of hands that are fitted together, and the space that their parameters live in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from fitter.config.interaction import InteractionConfig
from fitter.fitting.fit_model import FitModel
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.tangent import HandManifold
from fitter.hand_models.vertex_jacobian import SurfaceJacobian
from fitter.interaction.contact_points import ContactSurface
from fitter.interaction.coupling import CoupledRows, GroupSum, to_other
from fitter.interaction.occlusion import SeenPoints
from fitter.interaction.pair_terms import (
    PosedPairs,
    alike_rows,
    closeness_rows,
    contact_rows,
    order_rows,
    without_shape,
)
from fitter.records import HandParams, TensorBatch
from fitter.solvers import LeastSquaresProblem, Linearization
from fitter.solvers.states import map_tensors


@dataclass(frozen=True)
class PairData(TensorBatch):
    """What is known of P pairs of hands, whatever their parameters.

    Attributes:
        group: (P,) int64, ascending.
        first, second: (P,) int64 places in the group.
        alike: (P,) float64 weight of their difference in shape.
        order: points of which the picture says who is nearer.
        beside: points of hands that touch in the picture.
    """

    group: Tensor
    first: Tensor
    second: Tensor
    alike: Tensor
    order: SeenPoints
    beside: SeenPoints


@dataclass(frozen=True)
class GroupHands(TensorBatch):
    """What is known of the G n hands of G groups, one group after the other.

    Attributes:
        left: (G n,) bool.
        offsets: (G n, V, 3) metres, added to the posed vertices.
        known: what the shapes keep to.
    """

    left: Tensor
    offsets: Tensor
    known: KnownShape


class OwnProblem(LeastSquaresProblem[HandParams], Protocol):
    """The objective of hands, each by itself."""

    def select(self, index: Tensor) -> Self:
        """That of the hands at `index` (n,) alone."""
        ...

    def without_objects(self) -> Self:
        """The same without what known objects say."""
        ...


@dataclass(frozen=True)
class GroupProblem:
    """The objective of G groups of n hands; a `LeastSquaresProblem` of `HandParams` of which every
    tensor is (G, n, ...).

    Attributes:
        model: right-hand model.
        surface: of it, with what the contact of two needs.
        own: of the G n hands, each by itself, one group after the other.
        hands: of the same hands.
        pairs: which of them say something of each other.
        count: n.
        config: weights and scales.
        shape_prior: weight of the squared coefficients of the shape in `own`.
    """

    model: FitModel
    surface: ContactSurface
    own: OwnProblem
    hands: GroupHands
    pairs: PairData
    count: int
    config: InteractionConfig
    shape_prior: float

    def linearize(self, params: HandParams) -> Linearization:
        """The hands' own objectives and what pairs of them say."""
        hands = flat(params)
        total = GroupSum(self.own.linearize(hands), self.count)
        hands = self.hands.known.sized(self.model.size, hands)
        posed = self.posed(hands)
        if len(self.pairs.group):
            self._add_contact(total, posed)
            self._add_depth(total, posed)
            self._add_alike(total, hands)
        return total.linearization()

    def posed(self, hands: HandParams) -> SurfaceJacobian:
        """The meshes of the G n hands, each in its own frame."""
        surface = self.surface.kinematics(hands.to(self.hands.offsets.dtype))
        return surface._replace(vertices=surface.vertices + self.hands.offsets)

    def meshes(self, hands: HandParams) -> Tensor:
        """(G n, V, 3) vertices of hands that need not keep to what is known of their shapes, as
        `linearize` poses them."""
        return self.posed(self.hands.known.sized(self.model.size, hands)).vertices

    def without_one_sided(self) -> Self:
        """The same without what only says that hands are not in each other or in another order,
        or not in known objects: how far apart they are it leaves open."""
        silent = dict.fromkeys(("penetration_weight", "attraction_weight", "ordinal_weight"), 0.0)
        own = self.own.without_objects()
        return replace(self, own=own, config=self.config.model_copy(update=silent))

    def select(self, index: Tensor) -> Self:
        """The groups at `index` (n,) alone."""
        places = self.places(index)
        groups = len(self.hands.left) // self.count
        number = torch.full((groups,), -1, device=index.device)
        number[index] = torch.arange(len(index), device=index.device)
        group = number[self.pairs.group]
        kept = (group >= 0).nonzero().flatten()
        kept = kept[group[kept].argsort(stable=True)]
        pairs = replace(self.pairs[kept], group=group[kept])
        return replace(self, own=self.own.select(places), hands=self.hands[places], pairs=pairs)

    def places(self, index: Tensor) -> Tensor:
        """(m n,) places of the hands of the groups at `index` (m,)."""
        within = torch.arange(self.count, device=index.device)
        return (index[:, None] * self.count + within).flatten()

    @property
    def _has_contact(self) -> bool:
        return self.config.penetration_weight > 0 or self.config.attraction_weight > 0

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """(P,) places of the firsts and the seconds among the G n hands."""
        start = self.pairs.group * self.count
        return start + self.pairs.first, start + self.pairs.second

    def _add_contact(self, total: GroupSum, posed: SurfaceJacobian) -> None:
        if not self._has_contact:
            return
        # Each hand's vertices against the other's surface.
        first, second = (torch.cat(ends) for ends in zip(self.ends, self.ends[::-1], strict=True))
        pairs = self._pairs(posed, first, second)
        found = self.surface.between(
            to_other(pairs.differ, pairs.first.vertices),
            pairs.second.vertices,
            self.config.attraction_reach,
        )
        rows = contact_rows(pairs, found, self.config)
        total.add(first, second, self._held(rows, first, second))

    def _add_depth(self, total: GroupSum, posed: SurfaceJacobian) -> None:
        first, second = self.ends
        pairs, config = self._pairs(posed, first, second), self.config
        if config.ordinal_weight > 0:
            rows = order_rows(pairs, self.pairs.order, config)
            total.add(first, second, self._held(rows, first, second))
        if config.closeness_weight > 0:
            rows = closeness_rows(pairs, self.pairs.beside, config)
            total.add(first, second, self._held(rows, first, second))

    def _add_alike(self, total: GroupSum, hands: HandParams) -> None:
        first, second = self.ends
        betas = hands.betas[first], hands.betas[second]
        rows = alike_rows(betas, self.pairs.alike, self.surface.layout)
        total.add(first, second, self._held(rows, first, second))

    def _pairs(self, posed: SurfaceJacobian, first: Tensor, second: Tensor) -> PosedPairs:
        left = self.hands.left
        return PosedPairs(posed.select(first), posed.select(second), left[first] != left[second])

    def _held(self, rows: CoupledRows, first: Tensor, second: Tensor) -> CoupledRows:
        """Rows of hands of which those of a known size or shape keep theirs."""
        known = self.hands.known
        held = known.size.isfinite() | known.betas.isfinite().all(-1)
        return without_shape(rows, (held[first], held[second]), self.surface.layout.betas)


@dataclass(frozen=True)
class GroupManifold:
    """The space of the parameters of n hands, tensors (G, n, ...).

    Attributes:
        hand: of one hand.
        count: n.
    """

    hand: HandManifold
    count: int

    def retract(self, state: HandParams, step: Tensor) -> HandParams:
        """Move G groups along steps (G, n D)."""
        moved = self.hand.retract(flat(state), step.reshape(len(step) * self.count, -1))
        return map_tensors(lambda x: x.unflatten(0, (-1, self.count)), moved)

    def shortened(self, step: Tensor) -> Tensor:
        """Steps (G, n D) of the same directions in which no hand moves farther than it may."""
        hands = step.reshape(len(step) * self.count, -1)
        length = hands.norm(dim=1).clamp_min(torch.finfo(step.dtype).tiny)
        share = self.hand.shortened(hands).norm(dim=1) / length
        share = torch.where(hands.norm(dim=1) > 0, share, 1.0)
        return step * share.view(-1, self.count).amin(1, keepdim=True)


def flat(params: HandParams) -> HandParams:
    """Tensors (G, n, ...) as (G n, ...)."""
    return params.map(lambda x: x.flatten(0, 1))


def grouped(params: HandParams, count: int) -> HandParams:
    """Tensors (G n, ...) as (G, n, ...)."""
    return params.map(lambda x: x.unflatten(0, (-1, count)))
