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
from init_net.networks.stereo import StereoHandNet
from init_net.posing import regressed_vertices
from init_net.records import CropPredictions, RegressedHands, StereoPredictions
from init_net.samples.crop_samples import CropSamples
from init_net.samples.joined import fitting_shapes
from init_net.samples.mixing import Mixture
from init_net.samples.splitting import split_samples
from init_net.samples.stereo_samples import StereoCropper, StereoSamples
from init_net.samples.stereo_shards import StereoShards
from init_net.stereo_fusion import fuse
from init_net.training.config import TrainConfig
from init_net.training.freezing import said
from init_net.training.handnet_terms import HandNetTerms
from init_net.training.loss_weights import OF_BOTH_VIEWS, ViewWeights
from init_net.training.losses import stereo_terms
from init_net.training.plan import Stage, Supply, make_plan
from init_net.training.stereo_evaluation import StereoErrors

_BATCHES = 1
"""What a seed is for, besides the first weights and the order of samples."""


class StereoTask:
    """A `StereoHandNet` from rendered pairs, a share of which is held out."""

    def __init__(self, config: TrainConfig, network: StereoHandNet, pairs: StereoShards) -> None:
        """Split the pairs, the same way in every run."""
        self.config, self._stereo = config, network
        self.network: nn.Module = network
        assert config.pairs is not None  # a stereo network has some
        learned, held_out = split_samples(np.arange(len(pairs)), config.pairs.learned)
        size, margin = network.config.input_size, network.config.margin
        self._cropper = StereoCropper(pairs.subset(learned), size, margin, config.augmentation)
        self._held_out = StereoCropper(pairs.subset(held_out), size, margin, None)
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

    def batch(self, step: int) -> StereoSamples:
        """See `Task.batch`."""
        seed = (self.config.run.seed, _BATCHES, step)
        stage = self.plan.at(step)
        numbers = self._mixtures[stage.number].chosen(step - stage.first, self._size)
        pairs = self._cropper.crop(numbers, seed)
        generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        # A hand may be without keypoints in one view and not in the other.
        left, right = (self._with_less(view, generator) for view in (pairs.left, pairs.right))
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

    def pictures(self, stage: Stage) -> None:
        """See `Task.pictures`: none of pairs."""

    def _with_less(self, view: CropSamples, generator: torch.Generator) -> CropSamples:
        seen = self._stereo.drop_keypoints(view.inputs, generator)
        view = view.with_confidence(seen.confidence)
        return replace(view, betas=fitting_shapes(view.betas, self._stereo.config.betas))

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


def _view(hands: RegressedHands, pose: Tensor) -> CropPredictions:
    return CropPredictions(hands, None, None, pose)
