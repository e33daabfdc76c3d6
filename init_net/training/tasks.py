"""What each network learns: its batches, its losses and its figures on held-out samples.

`build_task` makes one of a configuration; `init_net.training.loop.train` runs any.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from datasets.detector import DetectorNoise
from fitter.errors import InputError
from fitter.hand_models import load_hand_model
from fitter.hand_models.open_hand import load_open_hand
from init_net.hand_decoder import HandDecoder
from init_net.hand_model_id import network_hand_model, require_components
from init_net.networks.config import (
    AutoencoderConfig,
    HandNetConfig,
    JointVAEConfig,
    LifterConfig,
    MeshNetConfig,
    SegmentationConfig,
    StereoConfig,
)
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.detected_samples import DetectedSamples, with_less
from init_net.samples.hand_sampler import HandSampler
from init_net.samples.joined import fitting_shapes
from init_net.samples.lifter_samples import LifterSamples
from init_net.samples.stereo_shards import StereoShards
from init_net.training.autoencoder_task import AutoencoderTask
from init_net.training.config import TrainConfig
from init_net.training.crop_batches import batch_seed
from init_net.training.evaluation import crop_figures, lifter_figures, mask_figures
from init_net.training.freezing import said
from init_net.training.handnet_terms import HandNetTerms
from init_net.training.joint_vae_task import JointVAETask
from init_net.training.learnable import require_learnable
from init_net.training.loss_weights import MASK_PART, OF_MASKS
from init_net.training.losses import lifter_terms, mask_terms
from init_net.training.mesh_task import MeshTask
from init_net.training.pictures import SHOWN, crop_pictures, relative_pictures
from init_net.training.plan import Stage
from init_net.training.sample_tasks import HeldOut, ImageTask, SampleTask, by_set
from init_net.training.sources import (
    LearnedFrom,
    learned_from,
    look_at,
    looks_at,
    prepare,
)
from init_net.training.stage_checks import require_stages
from init_net.training.start import begun
from init_net.training.stereo_task import StereoTask
from init_net.training.task import WHOLE, Task

if TYPE_CHECKING:
    from init_net.networks.handnet import HandNet
    from init_net.networks.segmentation import HandSegmentation

SEEN_SHARE = 0.8
"""Of the lifter's batches: rendered hands that the detector itself has seen; the others are seen
with its measured noise, which never runs out."""

DEFINITION_STD = 0.008
"""Crop units by which each keypoint's definition varies between hands for the lifter, so that it
does not learn one data set's joints by heart."""


def build_task(
    config: TrainConfig, device: torch.device, network: nn.Module | None = None
) -> Task[Any]:
    """The task of a configuration; renders the samples that are missing and looks at them.

    Args:
        config: of the run.
        device: where the network is trained.
        network: of the configuration, as the run begins or to be given the weights of a
            checkpoint; None for that of `begun`.

    Raises:
        InputError: samples are missing and cannot be rendered, or see `require_trainable` and
            `begun`.
    """
    require_trainable(config)
    trained: Any = (begun(config) if network is None else network).to(device)
    if isinstance(config.network, JointVAEConfig):
        return JointVAETask(config, trained)
    sources = tuple(config.stored.values())
    for source in (*sources, *config.held_out):
        prepare(source)
        look_at(source, looks_at(config, source))
    if config.pairs is not None:
        pairs = StereoShards(Path(config.pairs.folder), config.pairs.count)
        return StereoTask(config, trained, pairs)
    train = learned_from(sources, config.compares_sightings)
    held_out = HeldOut.of(config)
    match config.network:
        case LifterConfig():
            return LifterTask(config, trained, train, held_out)
        case HandNetConfig():
            return HandNetTask(config, trained, train, held_out)
        case SegmentationConfig():
            return SegmentationTask(config, trained, train, held_out)
        case AutoencoderConfig():
            return AutoencoderTask(config, trained, train, held_out)
        case MeshNetConfig():
            return MeshTask(config, trained, train, held_out)
        case StereoConfig():
            raise AssertionError("a stereo network has pairs")


class LifterTask(SampleTask):
    """A `HandLifter` from hands that are sampled as it learns and from rendered ones."""

    def __init__(
        self,
        config: TrainConfig,
        network: nn.Module,
        train: LearnedFrom,
        held_out: HeldOut,
    ) -> None:
        """Load what the detector saw; images are not needed."""
        looks = [samples.sightings for samples in config.stored.values()]
        self._seen = DetectedSamples.of(train.samples, variants=looks)
        self._held_out = DetectedSamples.of(held_out.together, as_rendered=True)
        self._apart = {
            name: DetectedSamples.of(samples, as_rendered=True)
            for name, samples in held_out.apart.items()
        }
        items = train.owner[self._seen.index], round(SEEN_SHARE * config.optimiser.batch_size)
        super().__init__(config, network, train, items)
        self._sampler = HandSampler(load_hand_model(), DetectorNoise.load(), DEFINITION_STD)

    def batch(self, step: int, rows: slice = WHOLE) -> LifterSamples:
        """See `Task.batch`; hands without images are made all at once, which is cheaper."""
        size = self.config.optimiser.batch_size
        seed = batch_seed(self.config, step)
        chosen = self._chosen(step)
        parts = [
            self._weighted(self._seen.batch(chosen, seed), self._seen.index[chosen]),
            self._sampler.sample(size - len(chosen), seed),
        ]
        parts = [replace(part, betas=fitting_shapes(part.betas, self._shapes)) for part in parts]
        whole = with_less(LifterSamples.together(parts), seed)
        return whole if rows == WHOLE else whole[rows]

    def losses(self, batch: LifterSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        terms = lifter_terms(self._said(batch.inputs, step), batch)
        return self._scaled(terms, step, batch.weight)

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`."""
        sets = {"": self._held_out, **self._apart}
        return by_set(sets, lambda held_out: lifter_figures(self.network, held_out, stage.without))

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`."""
        hands = self._held_out.samples[:SHOWN]
        lifted = said(self.network, hands.inputs.to(self._device), stage)
        return relative_pictures(lifted.keypoints, hands.keypoints)


class HandNetTask(ImageTask):
    """A `HandNet`: Seeber eq. 9 and 10 and Zhao 3.5, and rotations compared as rotations.

    Of what a stage leaves out, head or decoder, there is no loss and no figure.
    """

    def __init__(self, *arguments: Any) -> None:
        """As `ImageTask`."""
        super().__init__(*arguments)
        self._terms = HandNetTerms(load_hand_model(children=True), self._device)

    def losses(self, batch: CropSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        said = self._said(batch.inputs, step)
        terms: dict[str, Tensor] = {}
        if said.hands is not None:
            terms |= self._scaled(self._terms(said, batch), step, batch.weight)
        if said.mask_logits is not None:
            masks = mask_terms(said.mask_logits, batch.mask)
            named = {f"{OF_MASKS}{name}": value for name, value in masks.items()}
            terms |= self._scaled(named, step, batch.weight * batch.has_mask)
        return terms

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`: of hands, and of masks where the stage has the decoder."""
        network = cast("HandNet", self.network)

        def figures(held_out: Cropper) -> dict[str, float]:
            found = crop_figures(network, held_out, absent=stage.without)
            if network.segmentation is None or MASK_PART in stage.without:
                return found
            return {**mask_figures(network, held_out, absent=stage.without), **found}

        return by_set({"": self._held_out, **self._apart}, figures)

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`."""
        crops = self._shown()
        found = said(self.network, crops.inputs, stage)
        hands = found.hands
        points = None if hands is None else self._terms.points(hands, crops).positions
        return crop_pictures(crops, points, found.mask_logits)


class SegmentationTask(ImageTask):
    """A `HandSegmentation`: binary cross entropy and Dice."""

    def losses(self, batch: CropSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        terms = mask_terms(self._said(batch.inputs, step), batch.mask)
        return self._scaled(terms, step, batch.weight * batch.has_mask)

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`."""
        network = cast("HandSegmentation", self.network)
        sets = {"": self._held_out, **self._apart}
        return by_set(sets, lambda held_out: mask_figures(network, held_out))

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`."""
        crops = self._shown()
        return crop_pictures(crops, None, said(self.network, crops.inputs, stage))


def require_trainable(config: TrainConfig) -> dict[str, str]:
    """Refuse what no training can be done with, before samples are rendered for hours.

    Returns:
        Of data sets that lack something: what is not learned from them, see `require_learnable`.

    Raises:
        InputError: the network has no such loss, none is to count, its shape coefficients are not
            the samples' or its hand model's, its batches are too small for it, its data sets are
            not what they should be, or they lack what the losses of a stage compare; or see
            `require_stages`.
    """
    require_stages(config)
    network = config.network
    if isinstance(network, AutoencoderConfig):
        _require_hand(network)
    elif isinstance(network, JointVAEConfig | MeshNetConfig):
        model = network_hand_model(network.hand_model, network.betas)
        shapes = model.data.shapedirs.shape[2]
        require_components(model.data, "betas", shapes, network.betas)
    elif not isinstance(network, SegmentationConfig):
        allowed = [
            load_open_hand(keypoint_offsets=False, children=children).shapedirs.shape[2]
            for children in (False, True)
        ]
        if network.betas not in allowed:
            expected = " or ".join(map(str, allowed))
            raise InputError(
                "training.other_betas", file="network.betas", expected=expected, found=network.betas
            )
    if not isinstance(network, LifterConfig | JointVAEConfig) and config.optimiser.batch_size == 1:
        # The statistics of a batch would be those of one sample, or of one number.
        raise InputError("training.small_batch", file="optimiser.batch_size")
    return require_learnable(config)


def _require_hand(network: AutoencoderConfig) -> None:
    """Refuse a hand model that cannot be read or has not the components that are asked for.

    Raises:
        InputError: see `HandDecoder` and `HandDecoder.appearance`.
    """
    decoder = HandDecoder(network)
    if network.appearance == "components":
        # Read here, which refuses it: NIMBLE's textures are in a file of their own.
        _ = decoder.appearance
