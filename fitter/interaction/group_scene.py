"""Groups of one size from round to round: what is seen of them, and what is minimised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fitter.config.interaction import InteractionConfig
from fitter.energies.known_objects import KnownObjects
from fitter.energies.scene import SceneParams, focal_applied
from fitter.hand_models.known_shape import KnownShape
from fitter.interaction.apart import DEEP, deepest, one_in_front
from fitter.interaction.contact_points import ContactSurface
from fitter.interaction.coupling import to_other
from fitter.interaction.group_problem import (
    GroupHands,
    GroupManifold,
    GroupProblem,
    PairData,
    flat,
    grouped,
)
from fitter.interaction.occlusion import (
    DrawnPairs,
    SeenPoints,
    draw_pairs,
    hidden_by_other,
    points_beside,
    points_in_order,
    seen_in_other_crop,
)
from fitter.interaction.pictured import Bucket, HandsOfPictures
from fitter.interaction.shared_shape import kept_shapes
from fitter.records import HandParams
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.refiner import Refiner
from fitter.refinement.stages import StageTask, go_on
from fitter.refinement.things_depth import things_depth
from fitter.solvers import LevenbergMarquardt, SolverResult, Status, levenberg_marquardt, states


@dataclass(frozen=True)
class GroupScene:
    """What the fit of G groups of n hands shares from round to round."""

    refiner: Refiner
    surface: ContactSurface
    config: InteractionConfig
    hands: HandsOfPictures
    bucket: Bucket
    task: StageTask

    def fitted(self, params: SceneParams) -> list[tuple[SceneParams, Tensor]]:
        """After each round that looks at penetration: the G n hands, and (G,) bool which groups
        diverged up to then."""
        known = self._kept_shapes(params)
        placed = known.placed(self.task.model.fit.size, params.hand.to(torch.float64))
        params = params.with_hand(placed.to(params.transl.dtype))
        return replace(self, task=self.task.of_known_shape(known))._rounds(params)

    def _kept_shapes(self, params: SceneParams) -> KnownShape:
        group, first, second = self.bucket.pairs
        start, alike = group * self.bucket.count, self._alike > 0
        pairs = (start + first)[alike], (start + second)[alike]
        return kept_shapes(self.task.model.fit.size, params.betas, self.task.known, pairs)

    def _rounds(self, params: SceneParams) -> list[tuple[SceneParams, Tensor]]:
        size = self.task.model.fit.size
        diverged = torch.zeros(len(self.bucket.groups), dtype=torch.bool, device=self.left.device)
        after: list[tuple[SceneParams, Tensor]] = []
        for config in self.config.of_rounds():
            problem = self.problem(params, config)
            result = self._solved(problem, grouped(params.hand.to(torch.float64), problem.count))
            if config.penetration_weight > 0:
                result = self._taken_apart(problem, result)
            hand = self.task.known.sized(size, flat(result.params))
            params = params.with_hand(hand.to(params.transl.dtype))
            diverged = diverged | (result.status == int(Status.DIVERGED))
            after.append((params, diverged))
        return after[1:] or after

    def _solved(self, problem: GroupProblem, start: HandParams) -> SolverResult[HandParams]:
        options = LevenbergMarquardt(
            max_iterations=self.config.iterations,
            relative_tolerance=self.refiner.least_squares[-1].tolerance,
        )
        manifold = GroupManifold(self.task.model.fit.manifold, problem.count)
        return levenberg_marquardt(problem, start, options, manifold)

    def _taken_apart(
        self, problem: GroupProblem, result: SolverResult[HandParams]
    ) -> SolverResult[HandParams]:
        """The result with that of groups whose hands are deep in each other still from where one
        hand is in front of the other, where that costs less."""
        deep = deepest(problem, flat(result.params)) > DEEP
        index = (deep & (result.status != int(Status.DIVERGED))).nonzero().flatten()
        if not len(index):
            return result
        part, stuck = problem.select(index), states.select(result, index)
        best = stuck
        for front in (1.0, -1.0):
            tried = self._solved(part, one_in_front(part, stuck.params, front))
            cheaper = (tried.cost < best.cost) & (tried.status != int(Status.DIVERGED))
            best = states.where(cheaper, tried, best)
        return result.with_rows(index, best)

    def finished(self, params: SceneParams) -> tuple[SceneParams, Tensor]:
        """The G n hands after the stages that come after least squares, once more, from where the
        group's fit left them; and (G,) bool which groups diverged. Each hand is by itself there,
        but for pixels in which another one stands in front."""
        stages = self.refiner.after_least_squares
        if not stages:
            return params, self.left.new_zeros(len(self.bucket.groups))
        with torch.inference_mode():
            hidden = self._seen(params)[0]
        weight = self.task.view.mask_weight * ~hidden.clone()
        task = replace(self.task, view=replace(self.task.view, mask_weight=weight))
        result = go_on(task, params, stages)
        diverged = result.status.view(-1, self.bucket.count) == int(Status.DIVERGED)
        return result.params, diverged.any(1)

    def problem(self, params: SceneParams, config: InteractionConfig | None = None) -> GroupProblem:
        """What is minimised from where the hands are, with a round's weights or the last one's."""
        bucket = self.bucket
        hidden, order, beside = self._seen(params)
        view = self.task.view
        weight = view.mask_weight * ~hidden
        task = replace(self.task, view=replace(view, mask_weight=weight))
        last = self.refiner.least_squares[-1]
        own = LeastSquaresObjective.of(task, last, params)
        group, first, second = bucket.pairs
        pairs = PairData(group, first, second, self._alike, order, beside)
        held = GroupHands(self.left, params.offsets, self.task.known)
        model = self.task.model.fit
        return GroupProblem(
            model=model,
            surface=self.surface,
            own=own,
            hands=held,
            pairs=pairs,
            count=bucket.count,
            config=self.config if config is None else config,
            shape_prior=last.energies.get("shape_prior", 0.0),
        )

    @cached_property
    def left(self) -> Tensor:
        """(G n,) bool."""
        return self.hands.left[self.bucket.hands]

    def _seen(self, params: SceneParams) -> tuple[Tensor, SeenPoints, SeenPoints]:
        """(G n, S, S) bool pixels in which another hand stands in front, points that say who is
        nearer, and points that touch in the picture."""
        group, first, second = self.bucket.pairs
        start = group * self.bucket.count
        ends = start + first, start + second
        drawn = [self._drawn(params, *pair) for pair in (ends, ends[::-1])]
        side = self.task.view.size
        hidden = torch.zeros(len(self.left), side, side, dtype=torch.int64, device=start.device)
        for hand, each in zip(ends, drawn, strict=True):
            hidden = hidden.index_add(0, hand, hidden_by_other(each).long())
        if self.task.objects is not None:
            self._hide_behind_things(hidden, params, self.task.objects)
        beside = points_beside(drawn[0], self.task.model.hand.faces)
        return hidden > 0, self._order(params, drawn[0], *ends), beside

    def _hide_behind_things(
        self, hidden: Tensor, params: SceneParams, objects: KnownObjects
    ) -> None:
        """Count, in place, the pixels of (G n, S, S) in which a thing stands before the hand."""
        holding = [k for k, own in enumerate(objects.surfaces) if own]
        if not holding:
            return
        hands = torch.tensor(holding, device=hidden.device)
        K = focal_applied(self.task.view.intrinsics, params.log_focal)
        depth = self._drawn(params, hands, hands).own_depth
        things = things_depth(objects[hands], K[hands], depth.shape[1])
        hidden[hands] += (things < depth).long()

    def _drawn(self, params: SceneParams, first: Tensor, second: Tensor) -> DrawnPairs:
        """Pairs in the crops of the first hands."""
        model, view = self.task.model, self.task.view
        vertices = model.hand(params.hand).vertices + params.offsets
        K = focal_applied(view.intrinsics, params.log_focal)[first]
        other = to_other(self.left[first] != self.left[second], vertices[second])
        return draw_pairs(model.topology, vertices[first], other, K, view.size)

    def _order(
        self, params: SceneParams, drawn: DrawnPairs, first: Tensor, second: Tensor
    ) -> SeenPoints:
        shares = self._shares
        K = focal_applied(self.task.view.intrinsics, params.log_focal)
        other = seen_in_other_crop(
            shares[second], K[first], K[second], self.left[first] != self.left[second]
        )
        return points_in_order(drawn, self.task.model.hand.faces, shares[first], other)

    @cached_property
    def _shares(self) -> Tensor:
        """(G n, S, S) what networks see of the hands in their crops, NaN where nothing is said."""
        side = self.task.view.size
        nothing = np.full((side, side), np.nan, np.float32)
        masks = [self.hands.masks[place] for place in self.bucket.hands.tolist()]
        stacked = np.stack([nothing if mask is None else mask for mask in masks])
        return torch.as_tensor(stacked).to(self.task.view.mask)

    @cached_property
    def _alike(self) -> Tensor:
        """(P,) weight of each pair's difference in shape: of a left and a right hand that may be
        one person's."""
        places, people = self.bucket.places.tolist(), self.hands.people
        sides = self.hands.left.tolist()
        weights = []
        for g, group in enumerate(self.bucket.groups):
            own = [places[g][k] for k in range(self.bucket.count)]
            alone = self.bucket.count == 2
            for i, j in group.pairs:
                who = {people[own[i]], people[own[j]]}
                known = None not in who
                same = len(who) == 1 if known else alone
                weights.append(float(same and sides[own[i]] != sides[own[j]]))
        like = self.hands.intrinsics
        return self.config.alike_weight * torch.tensor(
            weights, dtype=torch.float64, device=like.device
        )
