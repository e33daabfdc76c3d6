"""The second half of the pipeline: hands that were found, to fitted hands, to result rows.

DetectedImage -> `Engine.fit` -> ImageRow, some images at a time.
DetectedFrame -> `Engine.fit_frames` -> FrameRow, likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import Config
from fitter.device import choose_device
from fitter.energies.priors import PoseSpace
from fitter.fitted_hands import FittedHands, RefinedHands, refused_below, without_phantom
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Predictions, load_initializer
from fitter.fitting.keypoint_fit import (
    KeypointFit,
    fit_keypoints,
    keypoint_information,
    keypoint_motion_information,
    nothing_fitted,
)
from fitter.fitting.network_hand import predicted_looks
from fitter.fitting.network_prior import with_network_prior
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.appearance_loading import appearance_identity
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.motion import HandMotion, PoseBasis
from fitter.hand_models.pose_prior import load_pose_prior, on_skeleton, pose_prior_identity
from fitter.hand_slots import (
    Slot,
    batches_of,
    beside_objects,
    beside_others,
    expected_hands,
    expected_motion,
    hidden_weighed,
    image_row,
    judged_hands,
    known_objects,
    known_shapes,
    of_known_size,
    predicted,
    rest_offsets,
)
from fitter.interaction.joint_stage import JointStage
from fitter.interaction.pictured import HandsOfPictures
from fitter.meshes import HandMeshes
from fitter.quality.judge import HandJudge, Judgement
from fitter.quality.model import quality_identity
from fitter.records import HandParams, NormalisedHands
from fitter.refinement.refiner import Refined, Refiner
from fitter.solvers.status import Status
from fitter.store.frame_schema import FrameRow
from fitter.store.schema import TRACK_INITIALISATION, HandRow, ImageRow

if TYPE_CHECKING:
    from fitter.frame_engine import FrameEngine


class Engine:
    """A hand model ready to be fitted to observations, on one device."""

    def __init__(self, config: Config) -> None:
        """Load the model.

        Args:
            config: of the run.

        Raises:
            InputError: the model's file or the device is not usable.
        """
        self.config = config
        self.device = choose_device(config.run.device)
        self.meshes = HandMeshes.of(config.model, self.device, config.refine.linear_light)
        right = self.meshes.right
        like = torch.zeros((), dtype=torch.float64, device=self.device)
        pose_space = PoseSpace.of(anatomy_of(right.data), load_pose_prior(), like)
        self.fit_model = FitModel(right.keypoint_model(), pose_space)
        self.refiner = Refiner(right, self.fit_model, config.refine, config.fit)
        self.interaction = JointStage(self.refiner, config.interaction)
        self.motion_basis = PoseBasis.of(
            on_skeleton(load_pose_prior(), anatomy_of(right.data)),
            anatomy_of(right.data).axes,
            config.tracks.pose_components,
        )
        self.judge = HandJudge(right, self.fit_model)
        self.initializer = load_initializer(config, self.device)
        definition = config.output.keypoint_definition
        self.definition = KeypointDefinition.of(right, definition)

    def fit(self, images: Sequence[DetectedImage]) -> list[ImageRow]:
        """Fit every hand of the images, about `batch_size` at a time; one row an image.

        A row's last digits may depend on the other images: on a CPU the same images always give
        the same rows.
        """
        rows: list[HandRow] = []
        for batch in batches_of(images, self.config.run.batch_size):
            rows += self._fit_batch(batch)
        found, filled = iter(rows), self._filled(images)
        together = [
            [
                *beside_others(self.meshes, [next(found) for _ in image.hands], image.intrinsics),
                *filled.get(k, []),
            ]
            for k, image in enumerate(images)
        ]
        return [image_row(*pair) for pair in zip(images, together, strict=True)]

    def _filled(self, images: Sequence[DetectedImage]) -> dict[int, list[HandRow]]:
        """The hands that are filled in, by the place of their image."""
        missing = [
            (k, image.intrinsics, hand)
            for k, image in enumerate(images)
            if image.tracks is not None and image.intrinsics is not None
            for hand in image.tracks.filled
        ]
        if not missing:
            return {}
        places, intrinsics, hands = zip(*missing, strict=True)
        like = self.fit_model.keypoints.joint_template
        params = expected_hands(hands, self.motion_basis, self.fit_model.size, like)
        fitted = FittedHands.of(
            self.fit_model.keypoints,
            replace(nothing_fitted(self.fit_model, len(hands)), params=params),
            None,
            like.new_tensor(np.stack(intrinsics)),
            torch.tensor([hand.side == "left" for hand in hands], device=like.device),
            self.definition,
        )
        found: dict[int, list[HandRow]] = {}
        for place, row in zip(places, fitted.filled_rows(hands), strict=True):
            if self.config.output.save_vertices:
                row = replace(row, vertices=self.meshes.vertices(row))
            found.setdefault(place, []).append(row)
        return found

    def fit_frames(self, frames: Sequence[DetectedFrame]) -> list[FrameRow]:
        """Fit every hand of the frames, each to all views that see it; one row a frame.

        Hands of different views that are one are found by their lines of sight. As many hands are
        fitted at once as have `batch_size` rows, a hand in a view each; a row's last digits may
        depend on the other frames.
        """
        return self.frames.fit(frames)

    @cached_property
    def frames(self) -> FrameEngine:
        """What fits frames, of the parts of this engine."""
        from fitter.frame_engine import FrameEngine  # runs of images do without

        return FrameEngine(
            self.config,
            self.meshes,
            self.fit_model,
            self.refiner,
            self.judge,
            self.initializer,
            self.definition,
        )

    @property
    def identity(self) -> dict[str, str]:
        """What tells this engine from others, for the store: name -> digest."""
        return self.parts | quality_identity()

    @property
    def parts(self) -> dict[str, str]:
        """What tells the parts that fit from others: name -> digest."""
        networks = {} if self.initializer is None else self.initializer.digests
        return {
            **self.meshes.data.identity,
            **pose_prior_identity(),
            **(appearance_identity(self.meshes.data) if self.config.refine.stages else {}),
            **{f"{name}_sha256": digest for name, digest in networks.items()},
        }

    def _fit_batch(self, images: Sequence[DetectedImage]) -> list[HandRow]:
        """Hands of one batch: mirrored in, predicted, fitted, refined, mirrored out."""
        slots = [Slot.of(image, h) for image in images for h in range(len(image.hands))]
        like, config = self.fit_model.keypoints.joint_template, self.config.fit
        observations = [of_known_size(slot.hand, config.hand_size) for slot in slots]
        known = known_shapes(observations, self.fit_model)
        observed = ObservationBatch.of(observations, [slot.intrinsics for slot in slots], like)
        detected = normalise(observed)
        predictions = self._predict(slots, detected)
        initialisations = list(predictions.initialisations.values())
        alone = detected.with_depth_gain(config.relative_depth_gain)
        hands = with_network_prior(alone, initialisations, config)
        from_keypoints = self.config.init.source != "network"
        motion = expected_motion(observations, self.motion_basis, like)
        fit = fit_keypoints(
            self.fit_model, hands, config, initialisations, from_keypoints, known, motion
        )
        refined = self._refine(slots, hands, fit, predictions, known, motion)

        def told(refined: RefinedHands | None) -> tuple[FittedHands, Judgement]:
            right, definition = self.fit_model.keypoints, self.definition
            K, is_left = observed.intrinsics, observed.is_left
            fitted = FittedHands.of(right, fit, refined, K, is_left, definition)
            return fitted, self.judge(judged_hands(slots, alone, predictions, fitted))

        eligible = np.array([not hand.is_doubtful for hand in observations])
        if (least := self.config.output.min_quality) > 0 and self.interaction.is_wanted:
            # What is refused afterwards may push nothing.
            eligible &= told(refined)[1].probability >= least
        refined, together = self._together(images, slots, observed, predictions, refined, eligible)
        fitted, judged = told(refined)
        sources = ["keypoints", *predictions.initialisations, TRACK_INITIALISATION]
        rows = fitted.rows(observations, sources, judged)
        rows = [
            row if row.has_failed else replace(row, **together.get(place, {"touch_group": 0}))
            for place, row in enumerate(rows)
        ]
        rows = [without_phantom(*pair) for pair in zip(rows, observations, strict=True)]
        rows = [
            beside_objects(*pair, self.meshes, self.refiner)
            for pair in zip(rows, slots, strict=True)
        ]
        rows = [refused_below(row, self.config.output.min_quality) for row in rows]
        asked = [
            image.tracks is not None and image.tracks.asks for image in images for _ in image.hands
        ]
        rows = self._with_information(rows, hands, fitted, asked)
        if not self.config.output.save_vertices:
            return rows
        return [
            row if row.has_failed else replace(row, vertices=self.meshes.vertices(row))
            for row in rows
        ]

    def _together(
        self,
        images: Sequence[DetectedImage],
        slots: Sequence[Slot],
        observed: ObservationBatch,
        predictions: Predictions,
        refined: RefinedHands | None,
        eligible: np.ndarray,
    ) -> tuple[RefinedHands | None, dict[int, dict[str, Any]]]:
        """Hands of one image that touch, those that are `eligible` (B,) bool, fitted together; and,
        by place among the slots, what their rows say of it."""
        if refined is None or not self.interaction.is_wanted:
            return refined, {}
        places = refined.index.tolist()
        hands = [slots[place].hand for place in places]
        picture = np.repeat(np.arange(len(images)), [len(image.hands) for image in images])
        result, found = self.interaction(
            HandsOfPictures(
                refined=refined.result,
                picture=picture[places],
                left=observed.is_left[refined.index],
                intrinsics=observed.intrinsics[refined.index],
                masks=[predictions.masks[place] for place in places],
                eligible=eligible[places],
                sureness=np.array([hand.score for hand in hands]),
                people=[hand.person for hand in hands],
            )
        )
        told = {places[number]: dict(vars(each)) for number, each in found.items()}
        return replace(refined, result=result), told

    def _with_information(
        self,
        rows: list[HandRow],
        hands: NormalisedHands,
        fitted: FittedHands,
        asked: Sequence[bool],
    ) -> list[HandRow]:
        """The rows with what their images say, of valid hands, for what several images share.

        Args:
            rows, hands, fitted: of the batch.
            asked: whether a hand's track is to be made; the shape is also asked of hands that are
                somebody's.
        """
        shape = [k for k, row in enumerate(rows) if row.valid and (row.person or asked[k])]
        motion = [k for k in shape if asked[k]]
        basis, config = self.motion_basis, self.config.fit
        shapes = self._said(
            fitted,
            shape,
            self.refiner.shape_information,
            lambda at, right: keypoint_information(self.fit_model, hands[at], right, config),
        )
        motions = self._said(
            fitted,
            motion,
            lambda refined, at: self.refiner.motion_information(refined, at, basis),
            lambda at, right: keypoint_motion_information(
                self.fit_model, hands[at], right, config, basis
            ),
        )
        return [
            replace(row, shape_information=shapes.get(place), motion_information=motions.get(place))
            if place in shapes
            else row
            for place, row in enumerate(rows)
        ]

    def _said(
        self,
        fitted: FittedHands,
        places: Sequence[int],
        of_refined: Callable[[Refined, Tensor], Tensor],
        of_keypoints: Callable[[Tensor, HandParams], Tensor],
    ) -> dict[int, np.ndarray]:
        """What images say of the hands at some places of a batch: of refined ones by the energies
        of their stages, of others by those of the keypoints."""
        refined = fitted.refined
        found: dict[int, np.ndarray] = {}
        at = {} if refined is None else {p: k for k, p in enumerate(refined.index.tolist())}
        device = fitted.keypoints.device
        if refined is not None and (those := [p for p in places if p in at]):
            said = of_refined(refined.result, torch.tensor([at[p] for p in those], device=device))
            found |= dict(zip(those, said.cpu().numpy(), strict=True))
        if alone := [p for p in places if p not in at]:
            index = torch.tensor(alone, device=device)
            found |= dict(
                zip(alone, of_keypoints(index, fitted.right[index]).cpu().numpy(), strict=True)
            )
        return found

    def _predict(self, slots: Sequence[Slot], hands: NormalisedHands) -> Predictions:
        """What networks say of the hands, where they are asked."""
        return predicted(self.initializer, hands, [slot.crop for slot in slots])

    def _refine(
        self,
        slots: Sequence[Slot],
        hands: NormalisedHands,
        fit: KeypointFit,
        predictions: Predictions,
        known: KnownShape,
        motion: HandMotion | None,
    ) -> RefinedHands | None:
        """The stages after the keypoints, of the hands that were fitted and have a crop."""
        if not self.config.refine.stages:
            return None
        crops = {
            place: slot.crop
            for place, (slot, status) in enumerate(zip(slots, fit.status.tolist(), strict=True))
            if slot.crop is not None and status != Status.DIVERGED
        }
        if not crops:
            return None
        index = torch.tensor(list(crops), device=fit.status.device)
        least = self.config.refine.hidden_weight
        hands = hidden_weighed(self.judge, hands, fit.params, predictions, least)
        unknown = [float(slots[place].intrinsics_source == "default") for place in crops]
        said = list(predictions.initialisations.values())
        looks = predicted_looks(self.fit_model, said, fit.initialisation)
        result = self.refiner(
            fit.params[index],
            list(crops.values()),
            [predictions.masks[place] for place in crops],
            hands[index],
            torch.tensor(unknown),
            known[index],
            rest_offsets([slots[place].hand for place in crops], self.refiner),
            looks=None if looks is None else looks[index],
            objects=known_objects([slots[place] for place in crops], self.refiner),
            motion=None if motion is None else motion[index],
        )
        return RefinedHands(index, result, self.refiner.freed)
