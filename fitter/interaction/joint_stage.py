"""Hands of one picture that touch, fitted together after each hand's own stages.

refined hands -> groups -> masks and order of depth from what is drawn -> Levenberg-Marquardt over
all hands of a group -> again -> better for every hand's keypoints, or left as they were
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.interaction import InteractionConfig
from fitter.energies.scene import SceneParams, focal_applied
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
from fitter.interaction.records import Interaction
from fitter.interaction.relative_place import relative_places
from fitter.interaction.touching import PicturedHands, Touching, touching
from fitter.records import HandParams
from fitter.refinement.refiner import Refined, Refiner
from fitter.refinement.stages import LeastSquaresObjective, StageTask
from fitter.solvers import LevenbergMarquardt, Status, levenberg_marquardt


@dataclass(frozen=True)
class HandsOfPictures:
    """N refined hands of some pictures.

    Attributes:
        refined: the hands, as right ones.
        picture: (N,) which picture each is in.
        left: (N,) bool.
        intrinsics: (N, 3, 3) K of the pictures.
        masks: of each (S, S) in [0, 1] what a network sees in its crop, or None.
        eligible: (N,) bool, whether it is taken for a hand at all.
        sureness: (N,) the greater the surer.
        people: whose hand each is, where that is known.
    """

    refined: Refined
    picture: np.ndarray
    left: Tensor
    intrinsics: Tensor
    masks: Sequence[np.ndarray | None]
    eligible: np.ndarray
    sureness: np.ndarray
    people: Sequence[str | None]


@dataclass(frozen=True)
class Bucket:
    """G groups of n hands each.

    Attributes:
        groups: of them.
        places: (G, n) int64 of the hands among the N.
    """

    groups: list[Touching]
    places: Tensor

    @property
    def count(self) -> int:
        """n."""
        return self.places.shape[1]

    @property
    def hands(self) -> Tensor:
        """(G n,) places, one group after the other."""
        return self.places.flatten()

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """(P,) group of each pair, and the places of both hands in it."""
        found = [(g, i, j) for g, group in enumerate(self.groups) for i, j in group.pairs]
        group, first, second = torch.tensor(found, device=self.places.device).T
        return group, first, second


class JointStage:
    """Fits hands that touch together, on one device."""

    def __init__(self, refiner: Refiner, config: InteractionConfig) -> None:
        """Prepare.

        Args:
            refiner: with the stages that the hands went through.
            config: weights and budget.
        """
        self.refiner, self.config = refiner, config

    @property
    def is_wanted(self) -> bool:
        """Whether hands are fitted together: where their last stage is one of least squares, whose
        energies the stage goes on with."""
        stages = list(self.refiner.config.stages.values())
        return self.config.enabled and bool(stages) and stages[-1].solver == "lm"

    @cached_property
    def surface(self) -> ContactSurface:
        """Of the model."""
        model = self.refiner.model
        return ContactSurface.of(model.kinematics, model.hand.faces)

    def __call__(self, hands: HandsOfPictures) -> tuple[Refined, dict[int, Interaction]]:
        """Fit groups of touching hands together.

        Returns:
            All hands, those that touch nothing as they were, bit for bit; and by place among the N
            what became of hands in groups.
        """
        found = self.groups(hands)
        if not found:
            return hands.refined, {}
        numbers = _numbers(found, hands.picture)
        refined = hands.refined
        outcome: dict[int, Interaction] = {}
        for bucket in buckets(found, hands.left.device):
            refined, told = self._fit(hands, refined, bucket, numbers)
            outcome |= told
        return refined, outcome

    def groups(self, hands: HandsOfPictures) -> list[Touching]:
        """Which of them are fitted together."""
        return touching(self._pictured(hands), self.config.box_margin)

    def scene(self, hands: HandsOfPictures, bucket: Bucket) -> GroupScene:
        """What the fit of groups of one size shares."""
        return GroupScene(self, hands, bucket, hands.refined.task.select(bucket.hands))

    def _pictured(self, hands: HandsOfPictures) -> PicturedHands:
        refined = hands.refined
        model = self.refiner.model
        with torch.inference_mode():
            params = refined.params
            mesh = model.hand(params.hand)
            left = hands.left
            K = focal_applied(hands.intrinsics, params.log_focal.to(hands.intrinsics))
            vertices = to_other(left, (mesh.vertices + params.offsets).to(K))
            inside = (vertices[..., 2] > 0).all(1) & vertices.isfinite().flatten(1).all(1)
            points = project(vertices, K)
            boxes = torch.cat([points.amin(1), points.amax(1)], 1)
            usable = inside & (refined.status != int(Status.DIVERGED))
            boxes = torch.where(usable[:, None], boxes, torch.nan)
            keypoints = project(to_other(left, mesh.keypoints.to(K)), K)
        boxes_array = boxes.cpu().numpy().copy()
        boxes_array[~hands.eligible] = np.nan
        return PicturedHands(
            hands.picture,
            left.cpu().numpy(),
            boxes_array,
            keypoints.cpu().numpy().copy(),
            hands.sureness,
        )

    def _fit(
        self,
        hands: HandsOfPictures,
        refined: Refined,
        bucket: Bucket,
        numbers: dict[int, int],
    ) -> tuple[Refined, dict[int, Interaction]]:
        """Groups of one size."""
        where = bucket.hands
        before = refined.params[where]
        scene = self.scene(hands, bucket)
        with torch.inference_mode():
            params, diverged = scene.fitted(before)
        params = params.map(torch.clone)
        kept = self._is_better(scene, before, params) & ~diverged.clone()
        chosen = kept.repeat_interleave(bucket.count)
        after = _choose(chosen, params, before)
        index = chosen.nonzero().flatten()
        places = where[index]
        whole = refined.params.with_hands(places, after[index])
        iou = self.refiner.mask_iou(after, scene.task.view)
        refined = replace(
            refined,
            params=whole,
            mask_iou=refined.mask_iou.index_copy(0, places, iou[index]),
        )
        with torch.inference_mode():
            told = relative_places(scene.problem(after), grouped_hand(after, bucket.count), kept)
        return refined, {
            int(place): Interaction(
                touch_group=numbers[int(place)],
                interaction_status="joint" if bool(chosen[k]) else "alone",
                relative_place=told.place[k],
                relative_place_std=told.std[k],
                penetration_depth=float(told.depth[k]),
            )
            for k, place in enumerate(where.tolist())
        }

    def _is_better(self, scene: GroupScene, before: SceneParams, after: SceneParams) -> Tensor:
        """(G,) bool: no hand's keypoints are farther off than they may be."""
        view = scene.task.view
        with torch.no_grad():
            old, new = (self.refiner.keypoint_error(view, params) for params in (before, after))
        fine = (new - old <= self.config.max_rise).view(-1, scene.bucket.count)
        return fine.all(1)


@dataclass(frozen=True)
class GroupScene:
    """What the fit of G groups of n hands shares from round to round."""

    stage: JointStage
    hands: HandsOfPictures
    bucket: Bucket
    task: StageTask

    def fitted(self, params: SceneParams) -> tuple[SceneParams, Tensor]:
        """The G n hands after all rounds, and (G,) bool which groups diverged."""
        config, model = self.stage.config, self.task.model
        options = LevenbergMarquardt(
            max_iterations=config.iterations,
            relative_tolerance=self.stage.refiner.least_squares[-1].tolerance,
        )
        manifold = GroupManifold(model.fit.manifold, self.bucket.count)
        diverged = torch.zeros(len(self.bucket.groups), dtype=torch.bool, device=self.left.device)
        for penetration in config.penetration_weights:
            problem = self.problem(params, penetration)
            start = grouped(params.hand.to(torch.float64), self.bucket.count)
            result = levenberg_marquardt(problem, start, options, manifold)
            hand = self.task.known.sized(model.fit.size, flat(result.params))
            params = params.with_hand(hand.to(params.transl.dtype))
            diverged = diverged | (result.status == int(Status.DIVERGED))
        return params, diverged

    def problem(self, params: SceneParams, penetration: float | None = None) -> GroupProblem:
        """What is minimised from where the hands are, with a weight of penetration of its own or
        the last round's."""
        stage, bucket = self.stage, self.bucket
        hidden, order, beside = self._seen(params)
        view = self.task.view
        weight = view.mask_weight * ~hidden
        task = replace(self.task, view=replace(view, mask_weight=weight))
        last = stage.refiner.least_squares[-1]
        own = LeastSquaresObjective.of(task, last, params)
        group, first, second = bucket.pairs
        pairs = PairData(group, first, second, self._alike, order, beside)
        held = GroupHands(self.left, params.offsets, self.task.known)
        model = self.task.model.fit
        return GroupProblem(
            model=model,
            surface=stage.surface,
            own=own,
            hands=held,
            pairs=pairs,
            count=bucket.count,
            config=stage.config
            if penetration is None
            else stage.config.model_copy(update={"penetration_weight": penetration}),
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
        beside = points_beside(drawn[0], self.task.model.hand.faces)
        return hidden > 0, self._order(drawn[0], *ends), beside

    def _drawn(self, params: SceneParams, first: Tensor, second: Tensor) -> DrawnPairs:
        """Pairs in the crops of the first hands."""
        model, view = self.task.model, self.task.view
        vertices = model.hand(params.hand).vertices + params.offsets
        K = focal_applied(view.intrinsics, params.log_focal)[first]
        other = to_other(self.left[first] != self.left[second], vertices[second])
        return draw_pairs(model.topology, vertices[first], other, K, view.size)

    def _order(self, drawn: DrawnPairs, first: Tensor, second: Tensor) -> SeenPoints:
        shares = self._shares
        K = self.task.view.intrinsics
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
        return self.stage.config.alike_weight * torch.tensor(
            weights, dtype=torch.float64, device=like.device
        )


def grouped_hand(params: SceneParams, count: int) -> HandParams:
    """The hands as (G, n, ...) float64."""
    return grouped(params.hand.to(torch.float64), count)


def _choose(chosen: Tensor, one: SceneParams, other: SceneParams) -> SceneParams:
    """The hands of `one` where `chosen` (B,), else those of `other`."""
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in vars(one))
    return replace(
        one,
        **{name: torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b) for name, a, b in pairs},
    )


def buckets(found: Sequence[Touching], device: torch.device) -> list[Bucket]:
    """Groups of one size together, the smallest first."""
    by_size: dict[int, list[Touching]] = defaultdict(list)
    for group in found:
        by_size[len(group.hands)].append(group)
    return [
        Bucket(groups, torch.tensor([group.hands for group in groups], device=device))
        for _, groups in sorted(by_size.items())
    ]


def _numbers(found: Sequence[Touching], picture: np.ndarray) -> dict[int, int]:
    """Place of a hand -> number of its group in its picture, from 1."""
    numbers: dict[int, int] = {}
    counted: dict[int, int] = defaultdict(int)
    for group in found:
        where = int(picture[group.hands[0]])
        counted[where] += 1
        numbers |= dict.fromkeys(group.hands, counted[where])
    return numbers
