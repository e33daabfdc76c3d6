"""The judgement of fitted hands: which keypoints are seen, and how good the fit is expected to be.

JudgedHands -> `HandJudge` -> Judgement
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.energies.scene import focal_applied
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Predictions
from fitter.hand_models import HandModel
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.quality.features import features_of
from fitter.quality.inputs import JudgedHands
from fitter.quality.model import Quality, load_quality_model
from fitter.quality.visibility import (
    VisibilityModel,
    combined,
    inside_image,
    mask_visibility,
    mesh_visibility,
)
from fitter.records import HandParams, NormalisedHands


@dataclass(frozen=True)
class Judgement:
    """What is thought of B fitted hands; NaN for one that was not fitted.

    Attributes:
        visibility: (B, 21) float32, probability that each keypoint is seen.
        error_mm: (B,) expected error after alignment, millimetres.
        probability: (B,) that it is a hand and this error is below
            `fitter.quality.model.GOOD_MM`.
        presence: (B,) that it is a hand.
    """

    visibility: np.ndarray
    error_mm: np.ndarray
    probability: np.ndarray
    presence: np.ndarray


class HandJudge:
    """A hand model and a quality model, on one device."""

    def __init__(
        self,
        hand: HandModel,
        fit_model: FitModel,
        quality: Callable[[np.ndarray], Quality] | None = None,
    ) -> None:
        """Prepare.

        Args:
            hand: the right-hand model.
            fit_model: of the keypoint fit.
            quality: from features (B, F) to what is expected; None for the model that ships.
        """
        drawn = HandModel(hand.data, torch.float32).to(hand.v_template.device)
        self.visibility_model = VisibilityModel.of(drawn)
        self.fit_model = fit_model
        self._quality = quality

    def __call__(self, judged: JudgedHands) -> Judgement:
        """Judge B hands."""
        # Not inference mode: tables that libraries keep would be made in it.
        with torch.no_grad():
            visibility = self.visibility(judged)
            features = features_of(judged, self.fit_model, visibility)
        unfitted = ~judged.right.transl.isfinite().all(-1).cpu().numpy()
        # Loaded when it is asked: whoever trains one has none yet.
        quality = (self._quality or load_quality_model())(features)
        return Judgement(
            visibility=visibility.float().cpu().numpy(),
            error_mm=np.where(unfitted, np.nan, quality.error_mm),
            probability=np.where(unfitted, np.nan, quality.probability),
            presence=np.where(unfitted, np.nan, quality.presence),
        )

    def seen_by_mesh(
        self, right: HandParams, hands: NormalisedHands, predictions: Predictions
    ) -> Tensor:
        """(B, 21) probability that keypoints are seen, as far as a hand's own mesh and networks
        tell; 1 for hands that were not fitted.

        Args:
            right: (B) right hands.
            hands: the same as they were detected.
            predictions: of networks.
        """
        with torch.no_grad():
            fitted = right.transl.isfinite().all(-1) & hands.is_usable
            index = fitted.nonzero().flatten()
            found = torch.ones_like(hands.confidence)
            if len(index) == 0:
                return found
            K = hands.intrinsics[index]
            seen = mesh_visibility(self.visibility_model, right[index], K).to(found)
            for said in predictions.initialisations.values():
                seen = combined(seen, said.visible[index].to(found))
            return found.index_copy(0, index, seen)

    def visibility(self, judged: JudgedHands) -> Tensor:
        """(B, 21) probability that each keypoint is seen; NaN for hands that were not fitted.

        What mesh and networks say together, times what masks and the image's border leave of it:
        nothing shows a keypoint outside the image. Other hands of the image are asked in
        `fitter.quality.visibility.behind_others`.
        """
        right = judged.right
        fitted = right.transl.isfinite().all(-1) & judged.hands.is_usable
        index = fitted.nonzero().flatten()
        found = torch.full_like(judged.hands.confidence, torch.nan)
        if len(index) == 0:
            return found
        hands = right[index]
        K = focal_applied(judged.hands.intrinsics[index], judged.log_focal[index])
        offsets = None if judged.offsets is None else judged.offsets[index]
        seen = mesh_visibility(self.visibility_model, hands, K, offsets).to(found)
        for said in judged.predictions.initialisations.values():
            seen = combined(seen, said.visible[index].to(found))
        seen = seen * torch.as_tensor(self._masks(judged, index)).to(found)
        seen = seen * inside_image(judged.image_keypoints[index], judged.image_sizes[index])
        return found.index_copy(0, index, seen)

    def _masks(self, judged: JudgedHands, index: Tensor) -> np.ndarray:
        """(N, 21) what masks say of the hands at `index` (N,)."""
        points = pose_keypoints(self.fit_model.keypoints, judged.right[index])[1]
        said = np.ones((len(index), 21))
        for row, place in enumerate(index.tolist()):
            mask, crop = judged.masks.get(place), judged.crops[place]
            if mask is None or crop is None:
                continue
            K = torch.as_tensor(crop.intrinsics).to(points)[None]
            K = focal_applied(K, judged.log_focal[place : place + 1].to(K))
            positions = project(points[row : row + 1], K)[0].cpu().numpy()
            said[row] = mask_visibility(mask.mask, mask.weight, np.nan_to_num(positions))
        return said
