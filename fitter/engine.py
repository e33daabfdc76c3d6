"""The second half of the pipeline: hands that were found, to fitted hands, to result rows.

DetectedImage -> `Engine.fit` -> ImageRow, some images at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.options import Config
from fitter.device import choose_device
from fitter.energies.priors import PoseSpace
from fitter.fitting.crops import HandCrop
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Predictions, load_initializer
from fitter.fitting.keypoint_fit import KeypointFit, fit_keypoints
from fitter.fitting.network_prior import with_network_prior
from fitter.fitting.observations import LEAST_EXTENT, ObservationBatch, normalise
from fitter.fitting.quality import rms_error, trust
from fitter.hand_models import HandModel, ManoOptions, load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.appearance import appearance_identity
from fitter.hand_models.pose_prior import load_pose_prior, pose_prior_identity
from fitter.hand_models.skinning import pose_keypoints
from fitter.records import FitStatus, HandObservation, HandParams, InitialisationSource
from fitter.refinement.refiner import Refined, Refiner, unmirrored
from fitter.refinement.scene import focal_applied
from fitter.solvers.status import Status
from fitter.store.schema import INITIALISATION_SOURCES, HandRow, ImageRow

_FIT_STATUS: dict[Status, FitStatus] = {
    Status.CONVERGED: "converged",
    Status.STALLED: "stalled",
    Status.MAX_ITERATIONS: "max_iterations",
    Status.DIVERGED: "diverged",
}


@dataclass(frozen=True)
class _Slot:
    """One hand of a block with what is needed to fit it."""

    hand: HandObservation
    crop: HandCrop | None
    intrinsics: np.ndarray
    intrinsics_source: str

    @classmethod
    def of(cls, image: DetectedImage, index: int) -> _Slot:
        crop = image.crops[index] if image.crops else None
        return cls(image.hands[index], crop, image.intrinsics, image.intrinsics_source)


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
        source = config.model.path or config.model.name
        tips = config.model.fingertips
        mano = ManoOptions(
            fingertips=tips if isinstance(tips, str) else tuple(tips),
            fix_left_shapedirs=config.model.fix_left_shapedirs,
        )
        right = load_hand_model(source, "right", torch.float64, mano).to(self.device)
        self.models: Mapping[str, HandModel] = {"right": right, "left": right.mirrored()}
        like = torch.zeros((), dtype=torch.float64, device=self.device)
        pose_space = PoseSpace.of(anatomy_of(right.data), load_pose_prior(), like)
        self.fit_model = FitModel(right.keypoint_model(), pose_space)
        self.refiner = Refiner(right, self.fit_model, config.refine)
        self.initializer = load_initializer(config, self.device)

    def fit(self, images: Sequence[DetectedImage]) -> list[ImageRow]:
        """Fit every hand of the images, at most `batch_size` at a time; one row an image.

        A row's last digits may depend on the other images: on a CPU the same images always give
        the same rows.
        """
        slots = [_Slot.of(image, h) for image in images for h in range(len(image.hands))]
        # As many as needed, of one size: a last batch of a few hands would cost almost a whole one.
        batches = max(1, math.ceil(len(slots) / self.config.run.batch_size))
        size = max(1, math.ceil(len(slots) / batches))
        rows: list[HandRow] = []
        for start in range(0, len(slots), size):
            rows += self._fit_batch(slots[start : start + size])
        found = iter(rows)
        return [image_row(image, [next(found) for _ in image.hands]) for image in images]

    def vertices(self, row: HandRow) -> np.ndarray:
        """(V, 3) float32 mesh of a fitted hand in metres, camera frame."""
        params = HandParams(
            *(
                torch.as_tensor(value, dtype=torch.float64, device=self.device)[None]
                for value in (row.global_orient, row.hand_pose, row.betas, row.transl)
            )
        )
        vertices = self.models[row.side](params).vertices[0].float().cpu().numpy()
        return vertices if row.vertex_offsets is None else vertices + row.vertex_offsets

    @property
    def identity(self) -> dict[str, str]:
        """What tells the parts of this engine from others, for the store: name -> digest."""
        networks = {} if self.initializer is None else self.initializer.digests
        return {
            **self.models["right"].data.identity,
            **pose_prior_identity(),
            **(appearance_identity() if self.config.refine.stages else {}),
            **{f"{name}_sha256": digest for name, digest in networks.items()},
        }

    def _fit_batch(self, slots: Sequence[_Slot]) -> list[HandRow]:
        like = self.fit_model.keypoints.joint_template
        hands = [slot.hand for slot in slots]
        observed = ObservationBatch.of(hands, [slot.intrinsics for slot in slots], like)
        guesses = self._predict(slots, observed)
        starts = list(guesses.starts.values())
        from_keypoints = self.config.init.source != "network"
        result = fit_keypoints(self.fit_model, observed, self.config.fit, starts, from_keypoints)
        params = result.params
        refined, index = self._refine(slots, observed, result, guesses)
        if refined is not None:
            hand = refined.params.hand.to(torch.float64)
            params = params.map(torch.clone)
            for name, whole in vars(params).items():
                whole[index] = getattr(hand, name)
        # Everything stored follows from the parameters as they are stored, in single precision,
        # so that a reader who poses the model gets the stored joints back.
        params = params.to(torch.float32).to(torch.float64)
        joints, keypoints = self._pose(params, observed.is_left)
        focal = like.new_zeros(len(slots))
        if refined is not None:
            focal[index] = refined.params.log_focal.to(like)
        arrays = {
            "global_orient": params.global_orient,
            "hand_pose": params.hand_pose,
            "betas": params.betas,
            "transl": params.transl,
            "joints_3d": joints,
            "keypoints_3d": keypoints,
            "keypoints_2d": project(keypoints, focal_applied(observed.intrinsics, focal)),
        }
        arrays = {name: tensor.float().cpu().numpy() for name, tensor in arrays.items()}
        status, iterations, cost = (
            tensor.cpu().numpy() for tensor in (result.status, result.iterations, result.cost)
        )
        stages = self._stage_values(refined, index.tolist())
        sources = _initialisation_sources(result, list(guesses.starts))
        rows = []
        for i, hand in enumerate(hands):
            fit = {name: array[i] for name, array in arrays.items()}
            solved = {
                "fit_status": _FIT_STATUS[Status(int(status[i]))],
                "initialisation_source": sources[i],
                "iterations": int(iterations[i]),
                "final_cost": float(cost[i]),
            }
            rows.append(self._hand_row(hand, fit, solved, stages.get(i, {})))
        return rows

    def _predict(self, slots: Sequence[_Slot], observed: ObservationBatch) -> Predictions:
        """What networks say of the hands, where they are asked."""
        crops = [slot.crop for slot in slots]
        if self.initializer is None:
            return Predictions({}, [None] * len(crops))
        return self.initializer(observed, crops)

    def _refine(
        self,
        slots: Sequence[_Slot],
        observed: ObservationBatch,
        result: KeypointFit,
        guesses: Predictions,
    ) -> tuple[Refined | None, Tensor]:
        """The stages after the keypoints, and the (N,) hands of the batch that went through."""
        if not self.config.refine.stages:
            return None, torch.zeros(0, dtype=torch.int64, device=observed.is_left.device)
        cropped = torch.tensor([slot.crop is not None for slot in slots], dtype=torch.bool)
        fitted = (result.status != int(Status.DIVERGED)).cpu()
        index = (cropped & fitted).nonzero().flatten().to(observed.is_left.device)
        if len(index) == 0:
            return None, index
        is_left = observed.is_left[index]
        unknown = [float(slots[i].intrinsics_source == "default") for i in index.tolist()]
        targets = normalise(observed[index], self.config.fit.relative_depth_gain)
        starts = [guess[index] for guess in guesses.starts.values()]
        refined = self.refiner(
            result.params[index].mirrored_where(is_left),
            [replace(slots[i].crop, predicted=guesses.masks[i]) for i in index.tolist()],
            with_network_prior(targets, starts, self.config.fit),
            self.config.fit,
            torch.tensor(unknown),
        )
        return replace(refined, params=unmirrored(refined.params, is_left)), index

    def _stage_values(
        self, refined: Refined | None, index: Sequence[int]
    ) -> dict[int, dict[str, object]]:
        """What the stages add to the rows of the hands at `index`."""
        if refined is None:
            return {}
        freed, params = self.refiner.freed, refined.params
        arrays = {
            "vertex_offsets": params.offsets if "offsets" in freed else None,
            "vertex_colours": params.vertex_colours if "vertex_colours" in freed else None,
            "appearance": params.appearance if "appearance" in freed else None,
            "lighting": params.lighting if "lighting" in freed else None,
        }
        kept = {name: t.float().cpu().numpy() for name, t in arrays.items() if t is not None}
        focal = params.log_focal.exp().tolist()
        overlap, status = refined.mask_iou.tolist(), refined.status.tolist()
        rows: dict[int, dict[str, object]] = {}
        for k, (i, mask) in enumerate(zip(index, refined.masks, strict=True)):
            rows[i] = {
                "focal_scale": focal[k] if "focal" in freed else None,
                "refine_status": _FIT_STATUS[Status(status[k])],
                "refine_iterations": int(refined.iterations[k]),
                "mask_source": None if mask is None else mask.source,
                "mask_agreement": None if mask is None else mask.agreement,
                "mask_iou": overlap[k],
                **{name: array[k] for name, array in kept.items()},
            }
        return rows

    def _pose(self, params: HandParams, is_left: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, 16, 3) and keypoints (B, 21, 3) of left and right hands, camera frame."""
        right = params.mirrored_where(is_left)
        joints, keypoints = pose_keypoints(self.fit_model.keypoints, right)
        mirror = torch.where(is_left[:, None], -1.0, 1.0).to(joints)
        axes = torch.cat([mirror, torch.ones_like(mirror), torch.ones_like(mirror)], -1)[:, None]
        return joints * axes, keypoints * axes

    def _hand_row(
        self,
        hand: HandObservation,
        fit: Mapping[str, np.ndarray],
        solved: Mapping[str, object],
        stages: Mapping[str, object],
    ) -> HandRow:
        finite = all(np.isfinite(array).all() for array in fit.values())
        valid = finite and solved["fit_status"] != "diverged"
        detected = {
            "side": hand.side,
            "side_score": hand.side_score,
            "detection_score": hand.score,
            "box": hand.box,
            "keypoints_2d_detected": hand.keypoints,
            "keypoint_confidence": hand.confidence,
            "detector_relative_depth": hand.relative_depth,
            "detector_relative_xyz": hand.relative_xyz,
        }
        if not valid:
            return HandRow(valid=False, fit_error=_why_failed(hand), **detected, **solved)
        error = np.linalg.norm(fit["keypoints_2d"] - hand.keypoints, axis=-1)
        residual, score = rms_error(hand, error), trust(hand, error)
        found = {**detected, **solved, **fit, **stages}
        row = HandRow(valid=True, residual_px=residual, score=score, **found)
        if self.config.output.save_vertices:
            return replace(row, vertices=self.vertices(row))
        return row


def _initialisation_sources(
    result: KeypointFit, names: Sequence[str]
) -> list[InitialisationSource | None]:
    """Where each hand's fit started, by the networks' names."""
    known = ["keypoints", *(name if name in INITIALISATION_SOURCES else "other" for name in names)]
    return [None if start < 0 else known[start] for start in result.start.tolist()]


def _why_failed(hand: HandObservation) -> str:
    x0, y0, x1, y1 = hand.box
    extent = max(x1 - x0, y1 - y0)
    if not np.isfinite(hand.keypoints).all() or not np.isfinite(hand.confidence).all():
        return "expected finite keypoints, found some that are not"
    if extent < LEAST_EXTENT:
        return f"expected keypoints that span at least {LEAST_EXTENT:g} pixels, found {extent:.2g}"
    return "found no hand in front of the camera that explains these keypoints with this K"


def image_row(image: DetectedImage, hands: Sequence[HandRow]) -> ImageRow:
    """The row of an image with those of its hands; a failed one's where it has no size."""
    size, changed = image.file or (None, None)
    stamps = {"file_size": size, "file_time": changed, "inputs_digest": image.inputs_digest}
    if image.size is None:
        return ImageRow(image_status="failed", image_error=image.error, **stamps)
    return ImageRow(
        image_status="ok" if hands else "no_hand",
        image_width=image.size[0],
        image_height=image.size[1],
        intrinsics=image.intrinsics,
        intrinsics_source=image.intrinsics_source,
        hands=tuple(hands),
        **stamps,
    )
