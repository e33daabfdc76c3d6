"""What each network learns: its batches, its losses and its figures on held-out samples.

`build_task` makes one of a configuration; `init_net.training.loop.train` runs any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from datasets.detector import DetectorNoise
from fitter.errors import InputError
from fitter.hand_models import load_hand_model
from fitter.hand_models.open_hand import load_open_hand
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, LifterConfig, SegmentationConfig
from init_net.posing import hand_points
from init_net.samples.config import SamplesConfig
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.detected_samples import DetectedSamples, with_less
from init_net.samples.hand_sampler import HandSampler
from init_net.samples.joined import JoinedSamples, fitting_shapes
from init_net.samples.lifter_samples import LifterSamples
from init_net.samples.shards import SampleSource, ShardedSamples, render_shards
from init_net.samples.sightings import look_at_shards
from init_net.training.config import TrainConfig
from init_net.training.evaluation import crop_figures, lifter_figures, mask_figures
from init_net.training.loop import Task
from init_net.training.loss_weights import loss_weights
from init_net.training.losses import (
    geometric_terms,
    lifter_terms,
    mano_terms,
    mask_terms,
    squared_chords,
)

if TYPE_CHECKING:
    from init_net.networks.handnet import HandNet
    from init_net.networks.segmentation import HandSegmentation

_BATCHES, _ORDER = 1, 2
"""What a seed is for, besides the first weights."""

SEEN_SHARE = 0.25
"""Of the lifter's batches: rendered hands that the detector itself has seen; the others are seen
with its measured noise, which never runs out."""

DEFINITION_STD = 0.008
"""Crop units by which each keypoint's definition varies between hands for the lifter, so that it
does not learn one data set's joints by heart."""


def build_task(config: TrainConfig, device: torch.device) -> Task[Any]:
    """The task of a configuration; renders the samples that are missing and looks at them.

    Args:
        config: of the run.
        device: where the network is trained.

    Raises:
        InputError: samples are missing and cannot be rendered, or see `require_trainable`.
    """
    require_trainable(config)
    network: Any = build_network(config.network, config.run.seed).to(device)
    train, held_out = _seen(config, config.learned_from), _seen(config, [config.validation])
    match config.network:
        case LifterConfig():
            return LifterTask(config, network, train, held_out)
        case HandNetConfig():
            return HandNetTask(config, network, train, held_out)
        case SegmentationConfig():
            return SegmentationTask(config, network, train, held_out)


def prepare_samples(
    config: SamplesConfig, progress: Callable[[int], None] = lambda count: None
) -> None:
    """Render what is missing of a data set; see `render_shards`."""
    source = SampleSource(
        seed=config.seed,
        count=config.count,
        size=config.size,
        supersampling=config.supersampling,
        settings=config.settings,
    )
    render_shards(Path(config.folder), source, config.workers, progress)


def looks_at(config: TrainConfig, samples: SamplesConfig) -> int:
    """How often the detector looks at each sample of one of a configuration's data sets: networks
    that see images vary crops of the rendered picture themselves."""
    return samples.sightings if isinstance(config.network, LifterConfig) else 1


def look_at_samples(
    config: SamplesConfig, variants: int, progress: Callable[[int], None] = lambda count: None
) -> None:
    """Look at what nobody has looked at of a rendered data set; see `look_at_shards`."""
    look_at_shards(_opened(config), variants, config.workers, progress)


def _opened(config: SamplesConfig) -> ShardedSamples:
    return ShardedSamples(Path(config.folder), config.count)


def _seen(config: TrainConfig, sets: Sequence[SamplesConfig]) -> ShardedSamples:
    """Samples that the detector has looked at."""
    for samples in sets:
        prepare_samples(samples)
        look_at_samples(samples, looks_at(config, samples))
    opened = [_opened(samples) for samples in sets]
    return opened[0] if len(opened) == 1 else JoinedSamples(opened)


class _SampleTask:
    """What the tasks share: which samples a step learns from, and where the network is."""

    def __init__(self, config: TrainConfig, network: nn.Module, count: int) -> None:
        self.config, self.network = config, network
        self._count = count
        # Networks of no shape look at none.
        self._shapes = getattr(config.network, "betas", 0)
        self._device = next(network.parameters()).device

    def _chosen(self, step: int, size: int) -> np.ndarray:
        """(size,) samples of a step: each once in every pass over all, in a new order each."""
        place = step * size + np.arange(size)
        passes = np.unique(place // self._count)
        orders = {
            number: np.random.default_rng([self.config.run.seed, _ORDER, number]).permutation(
                self._count
            )
            for number in passes.tolist()
        }
        chosen = [orders[p // self._count][p % self._count] for p in place.tolist()]
        return np.array(chosen, np.int64)


class LifterTask(_SampleTask):
    """A `HandLifter` from hands that are sampled as it learns and from rendered ones."""

    def __init__(
        self,
        config: TrainConfig,
        network: nn.Module,
        train: ShardedSamples,
        held_out: ShardedSamples,
    ) -> None:
        """Load what the detector saw; images are not needed."""
        looks = [samples.sightings for samples in config.learned_from]
        self._seen = DetectedSamples.of(train, variants=looks)
        self._held_out = DetectedSamples.of(held_out, as_rendered=True)
        super().__init__(config, network, len(self._seen))
        self.weights = loss_weights(self.config)
        self._sampler = HandSampler(load_hand_model(), DetectorNoise.load(), DEFINITION_STD)

    def batch(self, step: int) -> LifterSamples:
        """See `Task.batch`."""
        size = self.config.optimiser.batch_size
        seen = round(SEEN_SHARE * size)
        seed = (self.config.run.seed, _BATCHES, step)
        parts = [
            self._seen.batch(self._chosen(step, seen), seed),
            self._sampler.sample(size - seen, seed),
        ]
        parts = [replace(part, betas=fitting_shapes(part.betas, self._shapes)) for part in parts]
        return with_less(LifterSamples.together(parts), seed)

    def losses(self, batch: LifterSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        lifted = self.network(batch.inputs)
        terms = lifter_terms(lifted, batch)
        return _scaled(terms, self.weights)

    def validate(self) -> dict[str, float]:
        """See `Task.validate`."""
        return lifter_figures(self.network, self._held_out)


class _ImageTask(_SampleTask):
    """What the networks that see images share."""

    def __init__(
        self,
        config: TrainConfig,
        network: HandNet | HandSegmentation,
        train: ShardedSamples,
        held_out: ShardedSamples,
    ) -> None:
        super().__init__(config, network, len(train))
        self._drop_keypoints = network.drop_keypoints
        size, margin = network.config.input_size, network.config.margin
        self._cropper = Cropper(train, size, margin, config.augmentation)
        self._held_out = Cropper(held_out, size, margin, None)

    def batch(self, step: int) -> CropSamples:
        """See `Task.batch`."""
        size = self.config.optimiser.batch_size
        seed = (self.config.run.seed, _BATCHES, step)
        crops = self._cropper.crop(self._chosen(step, size), seed)
        generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        seen = self._drop_keypoints(crops.inputs, generator)
        crops = crops.with_confidence(seen.confidence)
        return replace(crops, betas=fitting_shapes(crops.betas, self._shapes))


class HandNetTask(_ImageTask):
    """A `HandNet`: Seeber eq. 9 and Zhao 3.5, and rotations compared as rotations."""

    def __init__(self, *arguments: Any) -> None:
        """As `_ImageTask`."""
        super().__init__(*arguments)
        self.weights = loss_weights(self.config)
        model = load_hand_model(children=True).keypoint_model()
        self._model = model.to(torch.float32).to(self._device)

    def losses(self, batch: CropSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        hands = self.network(batch.inputs)
        # Under mixed precision a hand would be posed in halves: off by up to two millimetres.
        with torch.autocast(self._device.type, enabled=False):
            points, truth = hand_points(self._model, hands), batch.truth
        mano = mano_terms(hands, points, batch.hands, batch.positions)
        geometric = geometric_terms(hands, points, truth)
        chords = squared_chords(hands.rotations, batch.rotations)
        terms = {
            **{f"mano_{name}": value for name, value in mano.items()},
            **{f"geometric_{name}": value for name, value in geometric.items()},
            "global_rotation": chords[:, 0],
            "joint_rotations": chords[:, 1:].mean(1),
        }
        return _scaled(terms, self.weights)

    def validate(self) -> dict[str, float]:
        """See `Task.validate`."""
        return crop_figures(self.network, self._held_out)


class SegmentationTask(_ImageTask):
    """A `HandSegmentation`: binary cross entropy and Dice."""

    def __init__(self, *arguments: Any) -> None:
        """As `_ImageTask`."""
        super().__init__(*arguments)
        self.weights = loss_weights(self.config)

    def losses(self, batch: CropSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        return _scaled(mask_terms(self.network(batch.inputs), batch.mask), self.weights)

    def validate(self) -> dict[str, float]:
        """See `Task.validate`."""
        return mask_figures(self.network, self._held_out)


def require_trainable(config: TrainConfig) -> None:
    """Refuse what no training can be done with, before samples are rendered for hours.

    Raises:
        InputError: the network has no such loss, none is to count, its shape coefficients are not
            the samples', or its batches are too small for it.
    """
    loss_weights(config)
    network = config.network
    if not isinstance(network, SegmentationConfig):
        allowed = [
            load_open_hand(keypoint_offsets=False, children=children).shapedirs.shape[2]
            for children in (False, True)
        ]
        if network.betas not in allowed:
            expected = " or ".join(map(str, allowed))
            raise InputError(
                "training.other_betas", file="network.betas", expected=expected, found=network.betas
            )
    if not isinstance(network, LifterConfig) and config.optimiser.batch_size == 1:
        # The statistics of a batch would be those of one sample, or of one number.
        raise InputError("training.small_batch", file="optimiser.batch_size")


def _scaled(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    return {name: weights[name] * term for name, term in terms.items() if weights[name] > 0}
