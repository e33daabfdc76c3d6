"""Frames whose hands were found in every view, to rows: one fit a hand, whatever sees it.

DetectedFrame -> `FrameEngine.fit` -> FrameRow, some frames at a time. A batch of B hands has N
rows, a hand in a view each; what belongs to single views is done row by row as for images, what
belongs to hands once a hand in the rig's frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import Config
from fitter.confirmation import without_few_views, without_unconfirmed
from fitter.errors import sentence
from fitter.fitted_hands import FittedHands, RefinedHands, refused_below, without_phantom
from fitter.fitting.detected_frame import DetectedFrame, view_row
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Initializer, Predictions
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.fitting.network_hand import predicted_looks
from fitter.fitting.network_prior import with_network_prior
from fitter.fitting.observations import normalise
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_rows import RowBatch, SeenHand
from fitter.hand_slots import (
    beside_others,
    hidden_weighed,
    judged_hands,
    known_shapes,
    of_known_size,
    predicted,
)
from fitter.meshes import HandMeshes
from fitter.quality.judge import HandJudge
from fitter.quality.several_views import judged_together
from fitter.records import HandObservation, NormalisedHands
from fitter.refinement.refiner import Refiner
from fitter.refinement.viewed import ViewedScenes
from fitter.solvers.status import Status
from fitter.store.frame_schema import FrameRow, ViewHandRow
from fitter.store.schema import HandRow
from fitter.views.camera_hands import hand_in_camera
from fitter.views.joint_fit import JointFit, fit_rows
from fitter.views.matching import ViewedHand, match_hands
from fitter.views.rows import RigRows, RootJoint

_OF_VIEWS = frozenset(field.name for field in fields(ViewHandRow)) & frozenset(
    field.name for field in fields(HandRow)
)
"""What a frame keeps of a hand in each view, and an image of its hands."""

_OF_DETECTION = ("detector_relative_depth", "detector_relative_xyz")
"""What an image keeps of its hands, and a frame of none."""


@dataclass(frozen=True)
class _Fitted:
    """A hand's row in the rig's frame, and those in its views' cameras with their weights."""

    row: HandRow
    seen: list[HandRow]
    weights: list[float]


@dataclass(frozen=True)
class _Refined:
    """What stages made of some hands of a batch, and of these as some of its rows see them."""

    hands: RefinedHands
    views: RefinedHands

    def others(self, rows: RigRows) -> Tensor:
        """(n,) the other rows of these hands."""
        left = torch.isin(rows.hand, self.hands.index)
        left[self.views.index] = False
        return left.nonzero().flatten()


@dataclass(frozen=True)
class FrameEngine:
    """A hand model ready to be fitted to hands that several views see; the parts of `Engine`."""

    config: Config
    meshes: HandMeshes
    fit_model: FitModel
    refiner: Refiner
    judge: HandJudge
    initializer: Initializer | None
    definition: KeypointDefinition | None

    @property
    def root(self) -> RootJoint:
        """The joint about which hands turn."""
        return RootJoint.of(self.fit_model.keypoints)

    def fit(self, frames: Sequence[DetectedFrame]) -> list[FrameRow]:
        """See `fitter.engine.Engine.fit_frames`."""
        matched = [match_hands(frame) for frame in frames]
        slots = self.config.detector.slots
        seen = [
            SeenHand.of(frame, hand)
            for frame, hands in zip(frames, matched, strict=True)
            for hand in hands[:slots]
        ]
        found = iter([hand for batch in self._batches(seen) for hand in self._fit_batch(batch)])
        return [
            self._row(frame, hands, [next(found) for _ in hands[:slots]])
            for frame, hands in zip(frames, matched, strict=True)
        ]

    def _batches(self, hands: Sequence[SeenHand]) -> Iterator[list[SeenHand]]:
        """Hands of at most `batch_size` rows together, but of one hand all."""
        batch: list[SeenHand] = []
        rows = 0
        for hand in hands:
            if batch and rows + len(hand.slots) > self.config.run.batch_size:
                yield batch
                batch, rows = [], 0
            batch.append(hand)
            rows += len(hand.slots)
        if batch:
            yield batch

    def _fit_batch(self, hands: Sequence[SeenHand]) -> list[_Fitted]:
        """Hands of one batch: mirrored in, predicted, fitted, mirrored out."""
        config = self.config.fit
        batch = RowBatch.of(hands, config.hand_size, self.fit_model.keypoints.joint_template)
        detected = normalise(batch.observed)
        predictions = self._predict(batch, detected)
        initialisations = list(predictions.initialisations.values())
        alone = detected.with_depth_gain(config.relative_depth_gain)
        seen = with_network_prior(alone, initialisations, config)
        sure = batch.sureness(config)[batch.rows.hand]
        seen = replace(seen, confidence=sure[:, None] * seen.confidence)
        bests = [of_known_size(hand.best, config.hand_size) for hand in hands]
        known = known_shapes(bests, self.fit_model)
        joint = fit_rows(
            self.fit_model,
            batch.rows,
            seen,
            config,
            list(predictions.starts.values()),
            self.config.init.source != "network",
            known,
            batch.points,
        )
        refined = self._refine(batch, seen, joint, predictions, known)
        return self._fitted(batch, bests, joint, refined, alone, predictions)

    def _predict(self, batch: RowBatch, detected: NormalisedHands) -> Predictions:
        """What networks say of the rows, and of hands by all of their views."""
        found = predicted(self.initializer, detected, [slot.crop for slot in batch.slots])
        if self.initializer is None:
            return found
        return replace(found, together=self.initializer.together(batch.viewed(detected)))

    def _refine(
        self,
        batch: RowBatch,
        seen: NormalisedHands,
        joint: JointFit,
        predictions: Predictions,
        known: KnownShape,
    ) -> _Refined | None:
        """The stages after the keypoints, of hands that were fitted, over rows with a crop."""
        fitted = (joint.hands.status != int(Status.DIVERGED))[batch.rows.hand]
        crops = {
            place: slot.crop
            for place, slot in enumerate(batch.slots)
            if slot.crop is not None and bool(fitted[place] & seen.is_usable[place])
        }
        if not self.config.refine.stages or not crops:
            return None
        places = torch.tensor(list(crops), device=batch.rows.hand.device)
        rows, hands = replace(batch.rows, weight=joint.weight).of_rows(places)
        right = batch.rows.in_views(joint.hands.params, self.root)
        least = self.config.refine.hidden_weight
        seen = hidden_weighed(self.judge, seen, right, predictions, least)
        # A row's network speaks of it even where the fit began at what it says of another.
        begun = joint.hands.initialisation[batch.rows.hand]
        looks = predicted_looks(self.fit_model, list(predictions.starts.values()), begun)
        result = self.refiner(
            joint.hands.params[hands],
            list(crops.values()),
            [predictions.masks[place] for place in crops],
            seen[places],
            torch.zeros(len(places)),
            views=ViewedScenes(rows, known[hands], self.root),
            looks=None if looks is None else looks[places],
        )
        in_views = replace(
            result,
            params=result.task.seen(result.params),
            iterations=result.iterations[rows.hand],
            status=result.status[rows.hand],
            texture=None if result.texture is None else result.texture[rows.hand],
        )
        # Masks are those of views.
        alone = replace(
            result,
            masks=[None] * len(hands),
            mask_iou=result.mask_iou.new_full((len(hands),), torch.nan),
        )
        freed = self.refiner.freed
        return _Refined(RefinedHands(hands, alone, freed), RefinedHands(places, in_views, freed))

    def _fitted(
        self,
        batch: RowBatch,
        bests: list[HandObservation],
        joint: JointFit,
        refined: _Refined | None,
        alone: NormalisedHands,
        predictions: Predictions,
    ) -> list[_Fitted]:
        """The rows of hands, and of what their views saw."""
        model, rows, fit = self.fit_model.keypoints, batch.rows, joint.hands
        of_hands, of_views = (None, None) if refined is None else (refined.hands, refined.views)
        nowhere = torch.eye(3).to(fit.cost).expand(rows.count, 3, 3)
        whole = FittedHands.of(model, fit, of_hands, nowhere, batch.is_left, self.definition)
        seen_before = rows.in_views(fit.params, self.root)
        if refined is not None:
            # What a view without a crop sees of a hand that others refined.
            others = refined.others(rows)
            seen_after = rows.in_views(whole.right, self.root)
            seen_before = seen_before.with_hands(others, seen_after[others])
        in_views = KeypointFit(
            seen_before,
            fit.cost[rows.hand],
            fit.iterations[rows.hand],
            fit.status[rows.hand],
            fit.initialisation[rows.hand],
        )
        observed = batch.observed
        views = FittedHands.of(
            model, in_views, of_views, observed.intrinsics, observed.is_left, self.definition
        )
        judged = self.judge(judged_hands(batch.slots, alone, predictions, views))
        sources = ["keypoints", *predictions.starts]
        seen = views.rows(batch.observations, sources, judged)
        weights = joint.weight.cpu().numpy()
        fitted = (fit.iterations > 0).cpu().numpy()
        together = judged_together(judged, rows.hand.cpu().numpy(), weights, batch.noise, fitted)
        hands = whole.rows(bests, sources, together)
        places = np.split(np.arange(len(rows)), np.cumsum([len(h.slots) for h in batch.hands])[:-1])
        return [
            _Fitted(self._kept(row, best), [seen[k] for k in own], weights[own].tolist())
            for row, best, own in zip(hands, bests, places, strict=True)
        ]

    def _kept(self, row: HandRow, best: HandObservation) -> HandRow:
        """The row of a hand of a frame, without what belongs to single views."""
        row = refused_below(without_phantom(row, best), self.config.output.min_quality)
        nothing: dict[str, Any] = dict.fromkeys((*_OF_VIEWS, *_OF_DETECTION))
        row = replace(row, **nothing)
        if not self.config.output.save_vertices or row.has_failed:
            return row
        return replace(row, vertices=self.meshes.vertices(row))

    def _row(
        self, frame: DetectedFrame, matched: Sequence[ViewedHand], fitted: Sequence[_Fitted]
    ) -> FrameRow:
        """The row of a frame.

        Args:
            frame: the frame.
            matched: its hands, beyond the slots too.
            fitted: those of the slots.
        """
        kept, views = matched[: len(fitted)], []
        hands = [hand.row for hand in fitted]
        if self.config.detector.unconfirmed == "refuse":
            hands = without_unconfirmed(frame, kept, hands, self.meshes)
        hands = without_few_views(kept, hands, self.config.detector.least_views)
        for view, image in enumerate(frame.views):
            own = {
                k: list(hand.places).index(view)
                for k, hand in enumerate(kept)
                if view in hand.places
            }
            if image is not None:
                seen = [fitted[k].seen[row] for k, row in own.items()]
                # What stands before a hand may be a hand that this view did not find.
                unseen = [
                    hand_in_camera(row, frame.rig.cameras[view], ViewHandRow())
                    for k, row in enumerate(hands)
                    if k not in own and row.valid
                ]
                seen = beside_others(self.meshes, seen, image.intrinsics, unseen)
                shown = dict(zip(own, seen, strict=True))
            else:
                shown = {}
            cells = [
                _view_hand(shown.get(k), fitted[k].weights[own[k]] if k in own else 0.0)
                for k in range(len(fitted))
            ]
            found = 0 if image is None else len(image.hands)
            views.append(view_row(image, cells, found - len(own)))
        if all(image is None or image.size is None for image in frame.views):
            return FrameRow(frame_status="failed", frame_error=_why(frame), views=tuple(views))
        return FrameRow(
            frame_status="ok" if fitted else "no_hand",
            hands_beyond=len(matched) - len(fitted),
            hands=tuple(hands),
            views=tuple(views),
        )


def _view_hand(row: HandRow | None, weight: float) -> ViewHandRow:
    if row is None:
        return ViewHandRow(view_weight=0.0)
    return ViewHandRow(view_weight=weight, **{name: getattr(row, name) for name in _OF_VIEWS})


def _why(frame: DetectedFrame) -> str:
    """Why a frame has no view to be fitted to."""
    errors = [
        f"{camera.name}: {image.error}"
        for camera, image in zip(frame.rig.cameras, frame.views, strict=True)
        if image is not None and image.error
    ]
    return "; ".join(errors) or sentence("fit.no_view", {})
