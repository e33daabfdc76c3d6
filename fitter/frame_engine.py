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

from fitter.config.options import Config, FitConfig
from fitter.errors import sentence
from fitter.fitted_hands import FittedHands, refused_below, without_phantom
from fitter.fitting.detected_frame import DetectedFrame, view_row
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Initializer, Predictions
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.fitting.network_prior import with_network_prior
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_slots import (
    Slot,
    beside_others,
    judged_hands,
    known_shapes,
    of_known_size,
    predicted,
)
from fitter.meshes import HandMeshes
from fitter.quality.judge import HandJudge, Judgement
from fitter.records import HandObservation, NormalisedHands, mirror_where
from fitter.refinement.refiner import Refiner
from fitter.rig import RigCamera
from fitter.store.frame_schema import FrameRow, ViewHandRow
from fitter.store.schema import HandRow
from fitter.views.joint_fit import JointFit, fit_rows
from fitter.views.matching import ViewedHand, as_of_side, match_hands
from fitter.views.rows import RigRows, RootJoint

_OF_VIEWS = frozenset(field.name for field in fields(ViewHandRow)) & frozenset(
    field.name for field in fields(HandRow)
)
"""What a frame keeps of a hand in each view, and an image of its hands."""

_OF_DETECTION = ("detector_relative_depth", "detector_relative_xyz")
"""What an image keeps of its hands, and a frame of none."""


@dataclass(frozen=True)
class _Seen:
    """One hand of a frame with what is needed to fit it.

    Attributes:
        hand: its views.
        slots: in each of them, as a hand of one side.
        cameras: of these views.
    """

    hand: ViewedHand
    slots: tuple[Slot, ...]
    cameras: tuple[RigCamera, ...]

    @classmethod
    def of(cls, frame: DetectedFrame, hand: ViewedHand) -> _Seen:
        slots = []
        for view, place in hand.places.items():
            image = frame.views[view]
            assert image is not None  # it has hands
            slot = Slot.of(image, place)
            if slot.hand.side != hand.side:
                crop = None if slot.crop is None else slot.crop.mirrored()
                slot = replace(slot, hand=as_of_side(slot.hand, hand.side), crop=crop)
            slots.append(slot)
        return cls(hand, tuple(slots), tuple(frame.rig.cameras[view] for view in hand.places))

    @property
    def best(self) -> HandObservation:
        """As the view sees it that is surest of it; of the greatest presence in any view."""
        hands = [slot.hand for slot in self.slots]
        best = max(hands, key=lambda hand: hand.score)
        presences = [hand.presence for hand in hands if hand.presence is not None]
        sizes = [hand.hand_size for hand in hands if hand.hand_size is not None]
        return replace(
            best,
            presence=max(presences) if len(presences) == len(hands) else None,
            hand_size=sizes[0] if sizes else None,
        )


@dataclass(frozen=True)
class _Fitted:
    """A hand's row in the rig's frame, and those in its views' cameras with their weights."""

    row: HandRow
    seen: list[HandRow]
    weights: list[float]


@dataclass(frozen=True)
class _Batch:
    """B hands and their N rows, as all steps of a fit share them.

    Attributes:
        hands: B of them.
        slots: N of them.
        observed: N, `rows` likewise, mirrored where hands are left ones.
        is_left: (B,) bool.
    """

    hands: Sequence[_Seen]
    slots: list[Slot]
    observations: list[HandObservation]
    observed: ObservationBatch
    rows: RigRows
    is_left: Tensor

    @classmethod
    def of(cls, hands: Sequence[_Seen], hand_size: float | None, like: Tensor) -> _Batch:
        slots = [slot for hand in hands for slot in hand.slots]
        cameras = [camera for hand in hands for camera in hand.cameras]
        observations = [of_known_size(slot.hand, hand_size) for slot in slots]

        def tensor(arrays: Sequence[np.ndarray]) -> Tensor:
            return torch.as_tensor(np.stack(arrays), dtype=like.dtype, device=like.device)

        numbers = [number for number, hand in enumerate(hands) for _ in hand.slots]
        rows = RigRows(
            hand=torch.tensor(numbers, device=like.device),
            rotation=tensor([camera.rotation for camera in cameras]),
            translation=tensor([camera.translation for camera in cameras]),
            weight=tensor([np.concatenate([hand.hand.weights for hand in hands])])[0],
            count=len(hands),
        )
        is_left = torch.tensor([hand.hand.side == "left" for hand in hands], device=like.device)
        observed = ObservationBatch.of(observations, [slot.intrinsics for slot in slots], like)
        return cls(hands, slots, observations, observed, rows.mirrored_where(is_left), is_left)

    @property
    def points(self) -> Tensor:
        """(B, 21, 3) where lines of sight meet, of right hands."""
        like = self.rows.translation
        points = like.new_tensor(np.stack([hand.hand.points for hand in self.hands]))
        return mirror_where(self.is_left, points)

    def sureness(self, config: FitConfig) -> Tensor:
        """(B,) factors on the weights of keypoints, by how well views agree.

        A sum of squares over the variance is the likelihood, so that a hand whose views see its
        keypoints with another variance than the weights are made for needs others, beside the same
        priors.
        """
        noise = np.array([hand.hand.noise for hand in self.hands])
        with np.errstate(divide="ignore"):
            factor = np.square(config.view_noise / noise).clip(1, config.view_sureness)
        return self.rows.translation.new_tensor(np.where(np.isfinite(noise), factor, 1.0))


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
            _Seen.of(frame, hand)
            for frame, hands in zip(frames, matched, strict=True)
            for hand in hands[:slots]
        ]
        found = iter([hand for batch in self._batches(seen) for hand in self._fit_batch(batch)])
        return [
            self._row(frame, hands, [next(found) for _ in hands[:slots]])
            for frame, hands in zip(frames, matched, strict=True)
        ]

    def _batches(self, hands: Sequence[_Seen]) -> Iterator[list[_Seen]]:
        """Hands of at most `batch_size` rows together, but of one hand all."""
        batch: list[_Seen] = []
        rows = 0
        for hand in hands:
            if batch and rows + len(hand.slots) > self.config.run.batch_size:
                yield batch
                batch, rows = [], 0
            batch.append(hand)
            rows += len(hand.slots)
        if batch:
            yield batch

    def _fit_batch(self, hands: Sequence[_Seen]) -> list[_Fitted]:
        """Hands of one batch: mirrored in, predicted, fitted, mirrored out."""
        config = self.config.fit
        batch = _Batch.of(hands, config.hand_size, self.fit_model.keypoints.joint_template)
        detected = normalise(batch.observed)
        predictions = predicted(self.initializer, detected, [slot.crop for slot in batch.slots])
        initialisations = list(predictions.initialisations.values())
        alone = detected.with_depth_gain(config.relative_depth_gain)
        seen = with_network_prior(alone, initialisations, config)
        sure = batch.sureness(config)[batch.rows.hand]
        seen = replace(seen, confidence=sure[:, None] * seen.confidence)
        bests = [of_known_size(hand.best, config.hand_size) for hand in hands]
        joint = fit_rows(
            self.fit_model,
            batch.rows,
            seen,
            config,
            initialisations,
            self.config.init.source != "network",
            known_shapes(bests, self.fit_model),
            batch.points,
        )
        return self._fitted(batch, bests, joint, alone, predictions)

    def _fitted(
        self,
        batch: _Batch,
        bests: list[HandObservation],
        joint: JointFit,
        alone: NormalisedHands,
        predictions: Predictions,
    ) -> list[_Fitted]:
        """The rows of hands, and of what their views saw."""
        model, rows, fit = self.fit_model.keypoints, batch.rows, joint.hands
        nowhere = torch.eye(3).to(fit.cost).expand(rows.count, 3, 3)
        whole = FittedHands.of(model, fit, None, nowhere, batch.is_left, self.definition)
        in_views = KeypointFit(
            rows.in_views(whole.right, self.root),
            fit.cost[rows.hand],
            fit.iterations[rows.hand],
            fit.status[rows.hand],
            fit.initialisation[rows.hand],
        )
        observed = batch.observed
        views = FittedHands.of(
            model, in_views, None, observed.intrinsics, observed.is_left, self.definition
        )
        judged = self.judge(judged_hands(batch.slots, alone, predictions, views))
        sources = ["keypoints", *predictions.initialisations]
        seen = views.rows(batch.observations, sources, judged)
        weights = joint.weight.cpu().numpy()
        hands = whole.rows(bests, sources, _together(judged, rows, weights))
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
        for view, image in enumerate(frame.views):
            own = {
                k: list(hand.places).index(view)
                for k, hand in enumerate(kept)
                if view in hand.places
            }
            if image is not None:
                seen = [fitted[k].seen[row] for k, row in own.items()]
                seen = beside_others(self.meshes, seen, image.intrinsics)
                hands = dict(zip(own, seen, strict=True))
            else:
                hands = {}
            cells = [
                _view_hand(hands.get(k), fitted[k].weights[own[k]] if k in own else 0.0)
                for k in range(len(fitted))
            ]
            found = 0 if image is None else len(image.hands)
            views.append(view_row(image, cells, found - len(own)))
        if all(image is None or image.size is None for image in frame.views):
            return FrameRow(frame_status="failed", frame_error=_why(frame), views=tuple(views))
        return FrameRow(
            frame_status="ok" if fitted else "no_hand",
            hands_beyond=len(matched) - len(fitted),
            hands=tuple(hand.row for hand in fitted),
            views=tuple(views),
        )


def _view_hand(row: HandRow | None, weight: float) -> ViewHandRow:
    if row is None:
        return ViewHandRow(view_weight=0.0)
    return ViewHandRow(view_weight=weight, **{name: getattr(row, name) for name in _OF_VIEWS})


def _together(judged: Judgement, rows: RigRows, weights: np.ndarray) -> Judgement:
    """What is thought of hands, of what is thought of them in their views: as the view that sees
    them best thinks, of those that count for more than half of one in full.

    A view's judgement knows nothing of the other views, which leave less open: it is a bound.
    """
    hand = rows.hand.cpu().numpy()
    counted = (weights > 0.5) | (np.bincount(hand, weights > 0.5, rows.count)[hand] == 0)
    visibility = np.full((rows.count, 21), np.nan, np.float32)
    error, probability = np.full((2, rows.count), np.nan)
    for number in range(rows.count):
        own = (hand == number) & counted
        visibility[number] = judged.visibility[own].max(0)
        error[number] = judged.error_mm[own].min()
        probability[number] = judged.probability[own].max()
    return Judgement(visibility, error, probability)


def _why(frame: DetectedFrame) -> str:
    """Why a frame has no view to be fitted to."""
    errors = [
        f"{camera.name}: {image.error}"
        for camera, image in zip(frame.rig.cameras, frame.views, strict=True)
        if image is not None and image.error
    ]
    return "; ".join(errors) or sentence("fit.no_view", {})
