"""What a stereo network learns, stage by stage (Seeber 3.5, Fig. 5).

In a stage without its stereo layer, as the synthetic adaptation is, both views are learned from by
themselves, on the losses of a `HandNet`. In one with it the fused hand is learned (eq. 11), and
each view as well where any of the mono network learns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fitter.hand_models import load_hand_model
from init_net.networks.heatmaps import dropped_keypoints
from init_net.networks.stereo import StereoHandNet
from init_net.posing import regressed_vertices
from init_net.records import (
    CropPredictions,
    FusedHands,
    RegressedHands,
    StereoInputs,
    StereoPredictions,
)
from init_net.samples.mixing import Mixture
from init_net.samples.stereo_samples import StereoCropper, StereoSamples
from init_net.samples.stereo_shards import StereoShards
from init_net.stereo_fusion import fuse
from init_net.training.config import TrainConfig
from init_net.training.crop_batches import as_learned, batch_seed, keypoint_draws
from init_net.training.freezing import said
from init_net.training.handnet_terms import HandNetTerms
from init_net.training.loss_weights import OF_BOTH_VIEWS, ViewWeights
from init_net.training.losses import stereo_terms
from init_net.training.pictures import SHOWN, crop_pictures
from init_net.training.plan import Stage, Supply, make_plan
from init_net.training.stereo_evaluation import StereoErrors
from init_net.training.task import WHOLE


class StereoTask:
    """A `StereoHandNet` from rendered pairs, a share of which is held out."""

    def __init__(self, config: TrainConfig, network: StereoHandNet, pairs: StereoShards) -> None:
        """Split the pairs, the same way in every run."""
        self.config, self._stereo = config, network
        self.network: nn.Module = network
        assert config.pairs is not None  # a stereo network has some
        learned, held_out = pairs.parted(config.pairs.portion)
        size, margin = network.config.input_size, network.config.margin
        self._cropper = StereoCropper(learned, size, margin, config.augmentation)
        self._held_out = StereoCropper(held_out, size, margin, None)
        self._size = config.optimiser.batch_size
        self.plan = make_plan(config, Supply([len(learned)], self._size))
        owner = np.zeros(len(learned), np.int64)
        self._mixtures = [
            Mixture(owner, stage.shares, config.run.seed, stage.number)
            for stage in self.plan.stages
        ]
        self._device = next(network.parameters()).device
        self._model = load_hand_model(children=True).to(self._device)
        self._marks = self._model.keypoint_model()
        self._of_views = HandNetTerms(self._model, self._device)

    def batch(self, step: int, rows: slice = WHOLE) -> StereoSamples:
        """See `Task.batch`."""
        stage = self.plan.at(step)
        numbers = self._mixtures[stage.number].chosen(step - stage.first, self._size)
        first, *_ = rows.indices(self._size)
        pairs = self._cropper.crop(numbers[rows], batch_seed(self.config, step), first)
        mono, generator = self._stereo.config.mono, keypoint_draws(self.config, step)
        # A hand may be without keypoints in one view and not in the other.
        left, right = (
            as_learned(
                view,
                dropped_keypoints(mono.keypoint_dropout, self._size, generator)[rows],
                self._stereo.config.betas,
            )
            for view in (pairs.left, pairs.right)
        )
        return replace(pairs, left=left, right=right)

    def losses(self, batch: StereoSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        stage = self.plan.at(step)
        found: StereoPredictions = said(self.network, batch.inputs, stage)
        weights = {name: weight for name, weight in stage.losses.items() if weight > 0}
        terms: dict[str, Tensor] = {}
        # Under mixed precision a hand would be posed in halves: off by up to two millimetres.
        with torch.autocast(self._device.type, enabled=False):
            if weights.keys() & ViewWeights.model_fields.keys():
                right = self._of_views(_view(found.right, found.right_pose), batch.right)
                left = self._of_views(_view(found.left, found.left_pose), batch.left)
                terms |= {name: (right[name] + left[name]) / 2 for name in right}
            if found.weights is not None:  # the stereo layer is there
                terms |= self._of_both(found, batch)
        return {name: weight * terms[name] for name, weight in weights.items()}

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`."""
        return StereoErrors.of(self._stereo, self._held_out).figures()

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`: the left view, and beside it the right one. Both show the fused
        hand where the stage has the stereo layer, else each what is said of it alone."""
        count = min(SHOWN, len(self._held_out.pairs))
        pairs = self._held_out.crop(range(count), (0,)).to(self._device)
        found: StereoPredictions = said(self.network, pairs.inputs, stage)
        if found.weights is None:
            both = ((found.left, pairs.left), (found.right, pairs.right))
            left, right = (self._of_views.points(hands, view).positions for hands, view in both)
        else:
            fused = fuse(found, pairs.inputs.geometry, self._marks)
            left, right = seen_by_both(fused, pairs.inputs)
        return np.concatenate(
            [crop_pictures(pairs.left, left, None), crop_pictures(pairs.right, right, None)], 1
        )

    def _of_both(self, found: StereoPredictions, batch: StereoSamples) -> dict[str, Tensor]:
        """Of the fused hands, in the right view's frame."""
        fused = fuse(found, batch.inputs.geometry, self._marks)
        terms = stereo_terms(
            regressed_vertices(self._model, fused.hands),
            regressed_vertices(self._model, batch.right.hands),
            fused.points,
            batch.right.points,
        )
        return {f"{OF_BOTH_VIEWS}{name}": term for name, term in terms.items()}


def seen_by_both(hands: FusedHands, inputs: StereoInputs) -> tuple[Tensor, Tensor]:
    """Where both cameras see fused hands: (B, 21, 2) of the left and of the right crop, crop
    units."""
    right = hands.points + hands.wrist[:, None]
    left = (right - inputs.translation[:, None]) @ inputs.rotation
    seen_left, seen_right = (
        focal[:, None, None] * points[..., :2] / points[..., 2:]
        for points, focal in ((left, inputs.left_focal), (right, inputs.right_focal))
    )
    return seen_left, seen_right


def _view(hands: RegressedHands, pose: Tensor) -> CropPredictions:
    return CropPredictions(hands, None, None, pose)
