"""Hands as the keypoints left them, and their crops, through masks and stages to refined hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.energies import DECLARATIONS, Need
from fitter.config.options import FitConfig
from fitter.config.stages import RefineConfig, StageConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.known_objects import KnownObjects
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Looks
from fitter.fitting.keypoint_fit import KeypointProblem
from fitter.fitting.motion_information import motion_information
from fitter.fitting.shape_information import (
    shape_information,
    shapeless,
    without_shape_priors,
)
from fitter.hand_models import HandModel
from fitter.hand_models.appearance import uniform_appearance
from fitter.hand_models.appearance_loading import load_appearance
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.motion import HandMotion, PoseBasis
from fitter.masks.hand_mask import HandMask, given_mask, grabcut_mask, network_mask
from fitter.masks.hiding import without_hidden
from fitter.raster import rasterize
from fitter.records import HandCrop, HandParams, NormalisedHands
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.looks import rig_looks, taken_looks
from fitter.refinement.scene import SceneModel, SceneParams, SceneView, draw, focal_applied
from fitter.refinement.stages import StageTask, run_stages
from fitter.refinement.viewed import ViewedScenes
from fitter.solvers import LeastSquaresProblem


@dataclass(frozen=True)
class Refined:
    """B refined right hands (left ones mirrored), seen in N rows, see `StageTask`.

    Attributes:
        params: of all that was fitted.
        iterations: (B,) int64 steps of all stages.
        status: (B,) int64 values of `fitter.solvers.status.Status`.
        masks: of each row, None for one without.
        mask_iou: (N,) of the mesh's silhouette and the mask where it is trusted, NaN without one.
        task: what the hands were compared with.
        texture: (B, T, T, 3) reflectance of the skin in linear light; None where no stage frees it.
    """

    params: SceneParams
    iterations: Tensor
    status: Tensor
    masks: Sequence[HandMask | None]
    mask_iou: Tensor
    task: StageTask
    texture: Tensor | None = None


class Refiner:
    """A hand model ready to be refined against pictures, on one device."""

    def __init__(
        self, hand: HandModel, fit_model: FitModel, config: RefineConfig, fit: FitConfig
    ) -> None:
        """Prepare the model for drawing.

        Args:
            hand: the right-hand model.
            fit_model: the keypoint stage's.
            config: the stages.
            fit: the keypoint stage's options.
        """
        self.config, self.fit = config, fit
        drawn = HandModel(hand.data, torch.float32).to(hand.v_template.device)
        # Textures may be large: they are read only where a stage looks at them.
        vertices = len(hand.data.v_template)
        skin = load_appearance(hand.data) if self.shows_skin else uniform_appearance(vertices)
        appearance = skin.to(drawn.v_template.device)
        shades_pixels = "texture" in self.freed or appearance.is_mapped
        self.model = SceneModel(
            drawn,
            fit_model,
            appearance,
            config.light,
            config.linear_light,
            config.texture_size if shades_pixels else 0,
        )

    @property
    def freed(self) -> frozenset[str]:
        """Groups of parameters that any stage frees."""
        return frozenset(group for stage in self.config.stages.values() for group in stage.free)

    @property
    def least_squares(self) -> list[StageConfig]:
        """The stages that are solved by least squares, in order."""
        return [stage for stage in self.config.stages.values() if stage.solver == "lm"]

    @property
    def after_least_squares(self) -> dict[str, StageConfig]:
        """The stages after the last that is solved by least squares, by name."""
        names = list(self.config.stages)
        last = max(
            (k for k, n in enumerate(names) if self.config.stages[n].solver == "lm"), default=-1
        )
        return {name: self.config.stages[name] for name in names[last + 1 :]}

    @property
    def shows_skin(self) -> bool:
        """Whether any stage compares colours, or frees those of the model."""
        energies = [e for stage in self.config.stages.values() for e in stage.energies.items()]
        compared = any(
            Need.COLOURS in DECLARATIONS[name].needs for name, weight in energies if weight
        )
        return compared or not self.freed.isdisjoint(("appearance", "texture"))

    def __call__(
        self,
        hands: HandParams,
        crops: Sequence[HandCrop],
        predicted_masks: Sequence[np.ndarray | None],
        observed: NormalisedHands,
        focal_unknown: Tensor,
        known: KnownShape | None = None,
        rest_offsets: Tensor | None = None,
        views: ViewedScenes | None = None,
        looks: Looks | None = None,
        objects: KnownObjects | None = None,
        motion: HandMotion | None = None,
    ) -> Refined:
        """Refine B hands, seen in N rows: one each, or those of `views`.

        Args:
            hands: B right ones, in the camera of their (mirrored) image, or in the rig's frame.
            crops: of each row.
            predicted_masks: of each row, see `fitter.fitting.initializer.Predictions.masks`.
            observed: what is known of the same rows, all of them usable.
            focal_unknown: (N,) 1 where K was guessed.
            known: of the B shapes, which stays; None for nothing, and where `views` says it.
            rest_offsets: (B, V, 3) see `StageTask`.
            views: which cameras see which hands; None for one each.
            looks: what networks say of the rows; None for nothing.
            objects: what each of the B hands may touch; None for nothing.
            motion: where other frames expect the B hands; None for nothing, and where `views` are.
        """
        intrinsics = self._tensor([crop.intrinsics for crop in crops])
        silhouettes = self._silhouettes(self._seen(hands, views), intrinsics)
        triples = zip(crops, predicted_masks, silhouettes, strict=True)
        masks = [self._mask(*each) for each in triples]
        view = self._view(crops, masks, focal_unknown)
        targets = KeypointTargets.of(observed, known, motion)
        begun = self._begun(looks, views)
        task = StageTask(self.model, view, targets, self.fit, rest_offsets, views, begun, objects)
        result = run_stages(task, hands, self.config.stages)
        pulled = self._pulled_off(task, hands, result.params)
        if len(pulled):
            without = replace(view, mask_weight=view.mask_weight.index_fill(0, pulled, 0.0))
            of = pulled if views is None else views.rows.hand[pulled].unique()
            alone = replace(task, view=without).select(of)
            again = run_stages(alone, hands[of], self.config.stages)
            result, view = result.with_hands(of, again), without
            for i in pulled.tolist():
                masks[i] = masks[i] and masks[i].rejected()
        task = replace(task, view=view)
        return Refined(
            params=result.params,
            iterations=result.iterations,
            status=result.status,
            masks=masks,
            mask_iou=self.mask_iou(task.seen(result.params), view),
            task=task,
            texture=self._texture(result.params),
        )

    def _begun(self, looks: Looks | None, views: ViewedScenes | None) -> Looks | None:
        """What B hands begin with, of what is said of N rows; None where that is nothing."""
        if looks is None:
            return None
        taken = taken_looks(looks, self.config)
        if not bool(taken.said.any()):
            return None
        return taken if views is None else rig_looks(views.rows, taken)

    def _seen(self, hands: HandParams, views: ViewedScenes | None) -> HandParams:
        """B hands as the N rows see them."""
        return hands if views is None else views.rows.in_views(hands, views.root)

    def shape_information(self, refined: Refined, index: Tensor) -> Tensor:
        """What the images of some hands say of their shapes, by the energies of the last stage that
        is solved by least squares, or by those of the keypoint fit where there is none.

        Args:
            refined: B hands.
            index: (N,) int64 places of the wanted ones among them.

        Returns:
            (N, E) float64, see `fitter.fitting.shape_information`.
        """
        problem, hands = self._as_seen(refined, index)
        with torch.inference_mode():
            found = problem.linearize(hands)
            return shape_information(found, hands.betas).clone()

    def motion_information(self, refined: Refined, index: Tensor, basis: PoseBasis) -> Tensor:
        """What the images of some hands say of where they are, by the same energies.

        Args:
            refined, index: as of `shape_information`.
            basis: of their poses.

        Returns:
            (N, E) float32, see `fitter.fitting.motion_information`.
        """
        problem, hands = self._as_seen(refined, index)
        with torch.inference_mode():
            found = problem.linearize(hands)
            return motion_information(found, hands, self.model.fit, basis).clone()

    def _as_seen(
        self, refined: Refined, index: Tensor
    ) -> tuple[LeastSquaresProblem[HandParams], HandParams]:
        """What the images of some hands are compared by, without priors of shape and motion, and
        the hands, float64."""
        # What is held says nothing of the image.
        task = refined.task.select(index).as_seen()
        params = refined.params[index]
        hands = params.hand.to(torch.float64)
        squares = self.least_squares
        problem: LeastSquaresProblem[HandParams] = KeypointProblem(
            self.model.fit, task.targets, shapeless(self.fit)
        )
        if squares:
            weights = without_shape_priors(squares[-1].energies)
            stage = squares[-1].model_copy(update={"energies": weights})
            problem = LeastSquaresObjective.of(task, stage, params)
        return problem, hands

    def _pulled_off(self, task: StageTask, start: HandParams, after: SceneParams) -> Tensor:
        """(n,) rows with a mask that moved away from their keypoints by more than `max_pull`."""
        view = task.view
        with torch.inference_mode():
            before = self.keypoint_error(view, task.seen(self.model.start(start)))
            rise = self.keypoint_error(view, task.seen(after)) - before
            has_mask = view.mask_weight.flatten(1).any(1)
            return (has_mask & (rise > self.config.max_pull)).nonzero().flatten().clone()

    def keypoint_error(self, view: SceneView, params: SceneParams) -> Tensor:
        """(N,) root mean square distance of projected and detected keypoints, weighted by
        confidence, over the longer side of the box around the detected ones."""
        drawing = draw(self.model, params, view, None, shaded=False)
        mass = view.confidence
        squared = (drawing.keypoints - view.keypoints).square().sum(-1)
        # A keypoint that was not seen may lie anywhere.
        squared = torch.where(mass > 0, squared, 0.0)
        error = ((mass * squared).sum(-1) / mass.sum(-1).clamp_min(1e-9)).sqrt()
        # The crop's side is `margin` times the box's.
        return error * (self.config.margin / view.size)

    def _silhouettes(self, hands: HandParams, intrinsics: Tensor) -> np.ndarray:
        """(B, S, S) 0 or 1, hands without offsets."""
        with torch.inference_mode():
            vertices = self.model.hand(hands.to(intrinsics.dtype)).vertices
            return self._drawn(vertices, intrinsics).float().cpu().numpy()

    def _drawn(self, vertices: Tensor, intrinsics: Tensor) -> Tensor:
        screen = torch.cat([project(vertices, intrinsics), vertices[..., 2:]], -1)
        side = self.config.resolution
        return rasterize(screen, self.model.topology, (side, side)).mask

    def _mask(
        self, crop: HandCrop, predicted: np.ndarray | None, silhouette: np.ndarray
    ) -> HandMask | None:
        found = self._found_mask(crop, predicted, silhouette)
        if found is None or not self.config.spare_hidden:
            return found
        return without_hidden(found, crop, silhouette)

    def _found_mask(
        self, crop: HandCrop, predicted: np.ndarray | None, silhouette: np.ndarray
    ) -> HandMask | None:
        if crop.given is not None:
            return given_mask(crop, silhouette, snap=self.config.snap_masks)
        match self.config.segmentation:
            case "network" if predicted is not None:
                return network_mask(predicted, crop, silhouette)
            case "grabcut":
                return grabcut_mask(crop, silhouette)
        return None

    def _view(
        self,
        crops: Sequence[HandCrop],
        masks: Sequence[HandMask | None],
        focal_unknown: Tensor,
    ) -> SceneView:
        side = self.config.resolution
        nothing = np.zeros((side, side), np.float32)
        like = self.model.hand.v_template
        return SceneView(
            image=self._tensor([crop.pixels for crop in crops]) / 255,
            mask=self._tensor([nothing if mask is None else mask.mask for mask in masks]),
            mask_weight=self._tensor([nothing if mask is None else mask.weight for mask in masks]),
            image_weight=self._tensor([crop.inside_share for crop in crops]),
            intrinsics=self._tensor([crop.intrinsics for crop in crops]),
            keypoints=self._tensor([crop.keypoints for crop in crops]),
            confidence=self._tensor([crop.confidence for crop in crops]),
            focal_unknown=focal_unknown.to(like),
        )

    def _texture(self, params: SceneParams) -> Tensor | None:
        if "texture" not in self.freed:
            return None
        with torch.no_grad():
            return self.model.maps(params).diffuse

    def mask_iou(self, params: SceneParams, view: SceneView) -> Tensor:
        """(N,) of the silhouettes and the masks where these are trusted, NaN without one."""
        with torch.inference_mode():
            vertices = self.model.hand(params.hand).vertices + params.offsets
            drawn = self._drawn(vertices, focal_applied(view.intrinsics, params.log_focal))
            drawn = drawn.to(view.mask)
            both = (view.mask_weight * drawn * view.mask).flatten(1).sum(1)
            either = view.mask_weight * (drawn + view.mask - drawn * view.mask)
            # 0 / 0 is NaN, which is what a hand without a mask is to have.
            return (both / either.flatten(1).sum(1)).clone()

    def _tensor(self, arrays: list[np.ndarray]) -> Tensor:
        like = self.model.hand.v_template
        return torch.as_tensor(np.stack(arrays), dtype=like.dtype, device=like.device)
