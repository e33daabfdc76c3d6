"""What is known of B hands once they are fitted, for whoever judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from fitter.fitting.initializer import Predictions
from fitter.fitting.keypoint_fit import KeypointFit
from fitter.masks.hand_mask import HandMask
from fitter.records import HandCrop, HandObservation, HandParams, NormalisedHands


@dataclass(frozen=True)
class JudgedHands:
    """B fitted hands with all that was seen, predicted and fitted of them.

    Attributes:
        observed: as they were detected.
        crops: of each, None where there is none.
        hands: as right hands, with the detector's depth gain and without what networks say.
        predictions: of networks.
        fit: to the keypoints.
        right: (B) fitted and refined parameters of right hands.
        offsets: (B, V, 3) metres, of right hands; None where none were fitted.
        log_focal: (B,) see `SceneParams`.
        image_keypoints: (B, 21, 2) pixels of the full image.
        image_sizes: (B, 2) width and height of the full image, pixels.
        masks: place in the batch -> the hand's mask.
        mask_iou: place in the batch -> overlap of mesh and mask, NaN without one.
    """

    observed: Sequence[HandObservation]
    crops: Sequence[HandCrop | None]
    hands: NormalisedHands
    predictions: Predictions
    fit: KeypointFit
    right: HandParams
    offsets: Tensor | None
    log_focal: Tensor
    image_keypoints: Tensor
    image_sizes: Tensor
    masks: Mapping[int, HandMask]
    mask_iou: Mapping[int, float]
