"""Pairs as the stereo network sees them: both crops, how their cameras stand, the truth.

Each view is cropped and varied by itself (`init_net.samples.crop_samples.Cropper`). A crop that
turns about its line of sight turns its camera, and one that moves has another line of sight. So
what leads from the left view frame to the right one is made of the cameras and of both crops:
``R = V_right R_cameras V_left^T`` and ``t = V_right t_cameras``, where V leads from a camera's
frame to the view frame of its crop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fitter.records import TensorBatch
from init_net.records import StereoInputs
from init_net.samples.config import AugmentationConfig
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.stereo_shards import StereoShards


@dataclass(frozen=True)
class StereoSamples(TensorBatch):
    """B pairs of crops and what is true of their hands.

    Attributes:
        left, right: the crops, each with the truth in its own view frame.
        rotation, translation, left_focal, right_focal: see `StereoInputs`.
        left_wrist, right_wrist: (B, 3) metres, where the wrist keypoint is in either view frame; a
            keypoint is there at ``left.points + left_wrist``.
    """

    left: CropSamples
    right: CropSamples
    rotation: Tensor
    translation: Tensor
    left_focal: Tensor
    right_focal: Tensor
    left_wrist: Tensor
    right_wrist: Tensor

    @property
    def inputs(self) -> StereoInputs:
        """What the network sees."""
        return StereoInputs(
            left=self.left.inputs,
            right=self.right.inputs,
            rotation=self.rotation,
            translation=self.translation,
            left_focal=self.left_focal,
            right_focal=self.right_focal,
        )


@dataclass(frozen=True)
class StereoCropper:
    """Cuts pairs of crops.

    Attributes:
        pairs: that the detector has looked at.
        size: S.
        margin: side of a crop over the longer side of the keypoints' box.
        variation: how crops are varied, those of a pair each in its own way; None for none.
    """

    pairs: StereoShards
    size: int
    margin: float
    variation: AugmentationConfig | None

    def crop(self, indices: Iterable[int], seed: tuple[int, ...], first: int = 0) -> StereoSamples:
        """Crops of pairs.

        Args:
            indices: of the pairs, B.
            seed: decides how they are varied, non-negative numbers.
            first: place of the first one in the batch that the seed is of, see `Cropper.crop`.
        """
        numbers = np.fromiter(indices, np.int64)
        (left, left_view), (right, right_view) = (
            cropper.crop_with_views(numbers, (*seed, side), first)
            for side, cropper in enumerate(self._croppers)
        )
        cameras = torch.from_numpy(self.pairs.rotation[numbers])
        shift = torch.from_numpy(self.pairs.translation[numbers])
        return StereoSamples(
            left=left,
            right=right,
            rotation=(right_view.rotation @ cameras @ left_view.rotation.mT).float(),
            translation=(right_view.rotation @ shift[..., None])[..., 0].float(),
            left_focal=left_view.focal.float(),
            right_focal=right_view.focal.float(),
            left_wrist=left_view.wrist.float(),
            right_wrist=right_view.wrist.float(),
        )

    @cached_property
    def _croppers(self) -> tuple[Cropper, Cropper]:
        return (
            Cropper(self.pairs.left, self.size, self.margin, self.variation),
            Cropper(self.pairs.right, self.size, self.margin, self.variation),
        )
