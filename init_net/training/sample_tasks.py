"""What the tasks share: which samples a step learns from, crops of them, what is held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from init_net.networks.heatmaps import dropped_keypoints
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.fitted import with_fitted
from init_net.samples.lifter_samples import LifterSamples
from init_net.samples.mixing import Mixture
from init_net.samples.shards import ShardedSamples
from init_net.training.config import TrainConfig
from init_net.training.crop_batches import as_learned, batch_seed, keypoint_draws
from init_net.training.freezing import said
from init_net.training.pictures import SHOWN
from init_net.training.plan import Stage, Supply, make_plan
from init_net.training.sources import LearnedFrom, learned_from
from init_net.training.task import WHOLE

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder
    from init_net.networks.handnet import HandNet
    from init_net.networks.mesh_net import MeshNet
    from init_net.networks.segmentation import HandSegmentation

Batch = TypeVar("Batch", CropSamples, LifterSamples)
HeldOutSet = TypeVar("HeldOutSet")


@dataclass(frozen=True)
class HeldOut:
    """What is validated on: all of it together, and where it is several sets each by its name."""

    together: ShardedSamples
    apart: Mapping[str, ShardedSamples]

    @classmethod
    def of(cls, config: TrainConfig) -> HeldOut:
        """What a configuration validates on, which is there."""
        sets = config.held_out_sets if len(config.held_out_sets) > 1 else {}
        return cls(
            learned_from(config.held_out).samples,
            {name: learned_from([held_out]).samples for name, held_out in sets.items()},
        )


def by_set(
    sets: Mapping[str, HeldOutSet], figures: Callable[[HeldOutSet], dict[str, float]]
) -> dict[str, float]:
    """Figures of sets that are held out, those of each after its name and a slash; "" has none."""
    return {
        f"{name}/{key}" if name else key: value
        for name, held_out in sets.items()
        for key, value in figures(held_out).items()
    }


class SampleTask:
    """What the tasks share: which samples a step learns from, and where the network is."""

    def __init__(
        self,
        config: TrainConfig,
        network: nn.Module,
        train: LearnedFrom,
        items: tuple[np.ndarray, int],
    ) -> None:
        """`items` are (N,) the source of each that is learned from, and how many are in a batch."""
        self.config, self.network = config, network
        self._train = train
        owner, self._drawn = items
        counts = np.bincount(owner, minlength=len(config.learned_from))
        self.plan = make_plan(config, Supply(counts.tolist(), self._drawn))
        self._mixtures = [
            Mixture(owner, stage.shares, config.run.seed, stage.number)
            for stage in self.plan.stages
        ]
        # Networks of no shape look at none.
        self._shapes = getattr(config.network, "betas", 0)
        self._device = next(network.parameters()).device

    def pictures(self, stage: Stage) -> np.ndarray | None:
        """See `Task.pictures`."""
        return None

    def _chosen(self, step: int) -> np.ndarray:
        """(B,) items that a step learns from."""
        stage = self.plan.at(step)
        return self._mixtures[stage.number].chosen(step - stage.first, self._drawn)

    def _said(self, inputs: Any, step: int) -> Any:
        """What the network says in a step."""
        return said(self.network, inputs, self.plan.at(step))

    def _scaled(self, terms: Mapping[str, Tensor], step: int, counts: Tensor) -> dict[str, Tensor]:
        """Terms (B,) by the weights of losses in a step and by how far each hand `counts` (B,)."""
        weights = self.plan.at(step).losses
        return {
            name: weights[name] * counts * term for name, term in terms.items() if weights[name] > 0
        }

    def _weighted(self, batch: Batch, numbers: np.ndarray) -> Batch:
        """Samples `numbers` (B,) with how far each of them counts."""
        weights = self._train.weights
        return replace(
            batch,
            weight=torch.from_numpy(weights.hands[numbers]),
            keypoint_weight=torch.from_numpy(weights.keypoints[numbers]),
        )


class ImageTask(SampleTask):
    """What the networks that see images share."""

    def __init__(
        self,
        config: TrainConfig,
        network: HandNet | HandSegmentation | HandAutoencoder | MeshNet,
        train: LearnedFrom,
        held_out: HeldOut,
    ) -> None:
        super().__init__(config, network, train, (train.owner, config.optimiser.batch_size))
        size, margin = network.config.input_size, network.config.margin
        self._cropper = Cropper(train.samples, size, margin, config.augmentation)
        self._held_out = Cropper(held_out.together, size, margin, None)
        self._apart = {
            name: Cropper(samples, size, margin, None) for name, samples in held_out.apart.items()
        }

    def _shown(self) -> CropSamples:
        """Held-out crops that are shown, on the network's device."""
        count = min(SHOWN, len(self._held_out.samples))
        return self._held_out.crop(range(count), (0,)).to(self._device)

    def batch(self, step: int, rows: slice = WHOLE) -> CropSamples:
        """See `Task.batch`."""
        seed, chosen = batch_seed(self.config, step), self._chosen(step)
        first, *_ = rows.indices(len(chosen))
        numbers = chosen[rows]
        crops = self._weighted(self._cropper.crop(numbers, seed, first), numbers)
        crops = with_fitted(crops, torch.from_numpy(self._train.fitted[numbers]))
        return self._as_learned(crops, step, rows)

    def _as_learned(self, crops: CropSamples, step: int, rows: slice) -> CropSamples:
        """Some rows of a step's batch as the network is to learn from them: without some of their
        keypoints, and with as many shape coefficients as it says."""
        network = cast("HandNet | HandSegmentation", self.network)
        generator = keypoint_draws(self.config, step)
        dropout, size = network.config.keypoint_dropout, self.config.optimiser.batch_size
        dropped = dropped_keypoints(dropout, size, generator)[rows]
        return as_learned(crops, dropped, self._shapes)
