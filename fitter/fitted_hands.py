"""B fitted hands as tensors, and the rows that they become.

KeypointFit, Refined -> `FittedHands.of`: right hands -> mirrored back, once -> HandRow a hand
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.errors import sentence
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.fitting.observations import LEAST_EXTENT
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.quality.judge import Judgement
from fitter.records import LEAST_PRESENCE, FitStatus, HandObservation, HandParams, mirror_where
from fitter.refinement.refiner import Refined
from fitter.refinement.scene import focal_applied
from fitter.solvers.status import Status
from fitter.store.schema import HandRow
from fitter.tracked_hands import TrackedHand

_FIT_STATUS: dict[Status, FitStatus] = {
    Status.CONVERGED: "converged",
    Status.STALLED: "stalled",
    Status.MAX_ITERATIONS: "max_iterations",
    Status.DIVERGED: "diverged",
}


@dataclass(frozen=True)
class RefinedHands:
    """What the stages after the keypoints made of some hands of a batch.

    Attributes:
        index: (N,) int64 places in the batch.
        result: of these N right hands.
        freed: groups of parameters that any stage freed; the others are not stored.
    """

    index: Tensor
    result: Refined
    freed: frozenset[str]


@dataclass(frozen=True)
class FittedHands:
    """B fitted hands in the camera of their full image, left ones as left ones.

    Every tensor that is stored follows from the parameters in single precision, as these are
    stored: a reader who poses the model gets the stored joints back.

    Attributes:
        params: float64 values of single precision; a left hand's are those of the mirrored model.
        right: the same hands as right ones.
        log_focal: (B,) see `SceneParams`; 0 for a hand that was not refined.
        joints: (B, J, 3) metres.
        keypoints: (B, 21, 3) metres, in the definition that was asked for.
        image_keypoints: (B, 21, 2) pixels, projection of those that the fit compares with the
            detector's, in whatever definition `keypoints` are.
        size: (B,) metres, see `fitter.hand_models.hand_size`.
        fit: how the fit to the keypoints ended.
        offsets: (N, V, 3) metres, of the refined hands, or None.
        refined: those of them that were refined, or None where none was.
    """

    params: HandParams
    right: HandParams
    log_focal: Tensor
    joints: Tensor
    keypoints: Tensor
    image_keypoints: Tensor
    size: Tensor
    fit: KeypointFit
    offsets: Tensor | None
    refined: RefinedHands | None

    @classmethod
    def of(
        cls,
        model: KeypointModel,
        fit: KeypointFit,
        refined: RefinedHands | None,
        intrinsics: Tensor,
        is_left: Tensor,
        definition: KeypointDefinition | None = None,
    ) -> FittedHands:
        """Put together what was fitted, and mirror left hands back.

        Args:
            model: right-hand model.
            fit: of B right hands.
            refined: of some of them, or None.
            intrinsics: (B, 3, 3) K of the full images.
            is_left: (B,) bool.
            definition: of `keypoints`; None for those of the fit.
        """
        right, focal = fit.params, intrinsics.new_zeros(len(intrinsics))
        offsets = None
        if refined is not None:
            right = right.with_hands(refined.index, refined.result.params.hand.to(torch.float64))
            focal = focal.index_copy(0, refined.index, refined.result.params.log_focal.to(focal))
            if "offsets" in refined.freed:
                offsets = mirror_where(is_left[refined.index], refined.result.params.offsets)
        right = right.to(torch.float32).to(torch.float64)
        joints, marks = pose_keypoints(model, right)
        keypoints = marks if definition is None else definition.keypoints(right)
        joints, marks, keypoints = (
            mirror_where(is_left, points) for points in (joints, marks, keypoints)
        )
        return cls(
            params=right.mirrored_where(is_left),
            right=right,
            log_focal=focal,
            joints=joints,
            keypoints=keypoints,
            image_keypoints=project(marks, focal_applied(intrinsics, focal)),
            size=HandSize.of(model)(right.betas),
            fit=fit,
            offsets=offsets,
            refined=refined,
        )

    @property
    def right_offsets(self) -> Tensor | None:
        """(B, V, 3) metres, of the hands as right ones; None where none were fitted."""
        if self.refined is None or "offsets" not in self.refined.freed:
            return None
        offsets = self.refined.result.params.offsets
        return offsets.new_zeros(len(self.keypoints), *offsets.shape[1:]).index_copy(
            0, self.refined.index, offsets
        )

    def rows(
        self, hands: Sequence[HandObservation], sources: Sequence[str], judged: Judgement
    ) -> list[HandRow]:
        """A row a hand.

        Args:
            hands: what was detected of each of the B hands.
            sources: what each value of `KeypointFit.initialisation` from 0 on stands for.
            judged: what is thought of the B hands.
        """
        rows = [
            replace(_detected(hand), **vars(outcome))
            for hand, outcome in zip(hands, self._outcomes(sources), strict=True)
        ]
        poses, stages = self._poses(), self._stages()
        return [
            replace(row, valid=False, fit_error=_why_failed(hand))
            if row.fit_status == "diverged" or not pose.is_finite
            else replace(
                row,
                valid=True,
                residual_px=_residual(hand, pose),
                keypoint_visibility=judged.visibility[i],
                predicted_error_mm=float(judged.error_mm[i]),
                score=float(judged.probability[i]),
                **vars(pose),
                **stages.get(i, {}),
            )
            for i, (row, pose, hand) in enumerate(zip(rows, poses, hands, strict=True))
        ]

    def filled_rows(self, hands: Sequence[TrackedHand]) -> list[HandRow]:
        """A row of each hand of which nothing was found in its image.

        Args:
            hands: what their tracks say.
        """
        return [
            HandRow(
                valid=pose.is_finite,
                filled=True,
                track=hand.track,
                side=hand.side,
                side_score=hand.side_score,
                hand_size_source="fitted",
                **vars(pose),
            )
            for hand, pose in zip(hands, self._poses(), strict=True)
        ]

    def _outcomes(self, sources: Sequence[str]) -> list[_Outcome]:
        """How the fit to the keypoints ended for each hand."""
        fit = self.fit
        columns = (fit.status, fit.initialisation, fit.iterations, fit.cost)
        return [
            _Outcome(
                fit_status=_FIT_STATUS[Status(status)],
                initialisation_source=None if source < 0 else sources[source],
                iterations=iterations,
                final_cost=cost,
            )
            for status, source, iterations, cost in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def _poses(self) -> list[_Pose]:
        columns = (
            *(getattr(self.params, field.name) for field in fields(HandParams)),
            self.joints,
            self.keypoints,
            self.image_keypoints,
            self.size,
        )
        return [_Pose(*values) for values in zip(*map(_single, columns), strict=True)]

    def _stages(self) -> dict[int, dict[str, Any]]:
        """What the stages add to the rows of the hands that went through them, by place."""
        if self.refined is None:
            return {}
        freed, result = self.refined.freed, self.refined.result
        params = result.params
        optional = {
            "vertex_offsets": self.offsets,
            "vertex_colours": params.vertex_colours if "vertex_colours" in freed else None,
            "appearance": params.appearance if "appearance" in freed else None,
            "lighting": params.lighting if "lighting" in freed else None,
            "texture": result.texture,
            "focal_scale": params.log_focal.exp() if "focal" in freed else None,
        }
        stored = {name: _single(value) for name, value in optional.items() if value is not None}
        status, overlap = result.status.tolist(), result.mask_iou.tolist()
        return {
            place: {
                "refine_status": _FIT_STATUS[Status(status[k])],
                "refine_iterations": int(result.iterations[k]),
                "mask_source": None if mask is None else mask.source,
                "mask_agreement": None if mask is None else mask.agreement,
                "mask_iou": overlap[k],
                **{name: array[k] for name, array in stored.items()},
            }
            for k, (place, mask) in enumerate(
                zip(self.refined.index.tolist(), result.masks, strict=True)
            )
        }


@dataclass(frozen=True)
class _Outcome:
    """How the fit of one hand to its keypoints ended: fields of `HandRow`."""

    fit_status: FitStatus
    initialisation_source: str | None
    iterations: int
    final_cost: float


@dataclass(frozen=True)
class _Pose:
    """Where one fitted hand is: fields of `HandRow`, float32."""

    global_orient: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    joints_3d: np.ndarray
    keypoints_3d: np.ndarray
    keypoints_2d: np.ndarray
    hand_size: np.ndarray

    @property
    def is_finite(self) -> bool:
        return all(np.isfinite(array).all() for array in vars(self).values())


def without_phantom(row: HandRow, hand: HandObservation) -> HandRow:
    """The row of a fitted hand; not valid where the detector's looks say that it is none."""
    if not row.valid or not hand.is_doubtful:
        return row
    facts = {"least": LEAST_PRESENCE, "found": hand.presence}
    return replace(row, valid=False, fit_error=sentence("fit.phantom", facts))


def refused_below(row: HandRow, least: float) -> HandRow:
    """A hand as stored where scores below `least` are not wanted: all of it, but not valid."""
    if not row.valid or row.score is None or row.score >= least:
        return row
    reason = sentence("fit.low_quality", {"least": least, "found": row.score})
    return replace(row, valid=False, fit_error=reason)


def _single(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def _detected(hand: HandObservation) -> HandRow:
    return HandRow(
        valid=False,
        side=hand.side,
        side_score=hand.side_score,
        detection_score=hand.score,
        box=hand.box,
        keypoints_2d_detected=hand.keypoints,
        keypoint_confidence=hand.confidence,
        detector_relative_depth=hand.relative_depth,
        detector_relative_xyz=hand.relative_xyz,
        hand_size_source="fitted" if hand.hand_size is None else "given",
        person=hand.person,
        track=None if hand.tracked is None else hand.tracked.track,
    )


def _residual(hand: HandObservation, pose: _Pose) -> float:
    """Root mean square distance of fitted and detected keypoints, pixels, over those that were
    seen; 0 if none was."""
    error = np.linalg.norm(pose.keypoints_2d - hand.keypoints, axis=-1)
    return float(np.sqrt(np.mean(np.square(error[hand.seen])))) if hand.seen.any() else 0.0


def _why_failed(hand: HandObservation) -> str:
    x0, y0, x1, y1 = hand.box
    extent = max(x1 - x0, y1 - y0)
    if not np.isfinite(hand.keypoints).all() or not np.isfinite(hand.confidence).all():
        return sentence("fit.not_finite", {})
    if extent < LEAST_EXTENT:
        return sentence("fit.too_small", {"least": LEAST_EXTENT, "found": extent})
    return sentence("fit.no_hand", {})
