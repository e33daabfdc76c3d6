"""Hands of one picture that touch, fitted together after each hand's own stages.

refined hands -> groups -> masks and order of depth from what is drawn -> Levenberg-Marquardt over
all hands of a group -> again -> the stages after least squares once more -> better for every hand's
keypoints, or left as they were
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.interaction import InteractionConfig
from fitter.energies.scene import SceneParams, focal_applied
from fitter.interaction.contact_points import ContactSurface
from fitter.interaction.coupling import to_other
from fitter.interaction.group_problem import grouped
from fitter.interaction.group_scene import GroupScene
from fitter.interaction.pictured import Bucket, HandsOfPictures, buckets
from fitter.interaction.records import Interaction
from fitter.interaction.relative_place import relative_places
from fitter.interaction.touching import PicturedHands, Touching, touching
from fitter.records import HandParams
from fitter.refinement.refiner import Refined, Refiner
from fitter.solvers import Status


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
        """Whether hands are fitted together: where one of their stages is one of least squares; the
        energies of the last of these are gone on with."""
        return self.config.enabled and bool(self.refiner.least_squares)

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
        if len(np.unique(hands.picture)) == len(hands.picture):
            return []  # nobody has another hand in the picture: no mesh is needed to see that
        return touching(self._pictured(hands), self.config.box_margin)

    def scene(self, hands: HandsOfPictures, bucket: Bucket) -> GroupScene:
        """What the fit of groups of one size shares."""
        task = hands.refined.task.select(bucket.hands)
        return GroupScene(self.refiner, self.surface, self.config, hands, bucket, task)

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
            rounds = scene.fitted(before)
        params, kept = self._last_good(scene, before, rounds)
        if self.refiner.after_least_squares:
            params, diverged = scene.finished(params.map(torch.clone))
            kept = kept & self._is_better(scene, before, params) & ~diverged
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

    def _last_good(
        self,
        scene: GroupScene,
        before: SceneParams,
        rounds: Sequence[tuple[SceneParams, Tensor]],
    ) -> tuple[SceneParams, Tensor]:
        """Each group after its last round that is better than its hands' own fits, and (G,) bool
        which groups have one. The later a round, the more penetration weighs there, and the more
        hands that cannot come out of each other are bent for it."""
        chosen = before
        kept = torch.zeros(len(scene.bucket.groups), dtype=torch.bool, device=before.transl.device)
        for params, diverged in reversed(rounds):
            good = self._is_better(scene, before, params) & ~diverged.clone() & ~kept
            chosen = _choose(good.repeat_interleave(scene.bucket.count), params, chosen)
            kept = kept | good
            if bool(kept.all()):
                break
        return chosen, kept

    def _is_better(self, scene: GroupScene, before: SceneParams, after: SceneParams) -> Tensor:
        """(G,) bool: no hand's keypoints are farther off than they may be."""
        view = scene.task.view
        with torch.no_grad():
            old, new = (self.refiner.keypoint_error(view, params) for params in (before, after))
        fine = (new - old <= self.config.max_rise).view(-1, scene.bucket.count)
        return fine.all(1)


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


def _numbers(found: Sequence[Touching], picture: np.ndarray) -> dict[int, int]:
    """Place of a hand -> number of its group in its picture, from 1."""
    numbers: dict[int, int] = {}
    counted: dict[int, int] = defaultdict(int)
    for group in found:
        where = int(picture[group.hands[0]])
        counted[where] += 1
        numbers |= dict.fromkeys(group.hands, counted[where])
    return numbers
