"""What a training step does to the weights: optimiser, learning rate, moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from init_net.training.run_config import OptimiserConfig
from init_net.training.stage_config import Schedule, StageConfig

T = TypeVar("T")


@dataclass(frozen=True)
class LearningRate:
    """The learning rate of the steps of a stage, 0 being the first.

    It rises linearly over the warm-up, and then

    cosine
        falls along half a cosine, as in Loshchilov & Hutter, "SGDR", ICLR 2017, eq. 5, to
        ``highest * final_fraction`` at the last step;
    linear
        is constant but for the last `decay` steps, over which it falls to 0 as the stage ends;
    steps
        is multiplied by `factor` every `decay` steps.

    Attributes:
        highest: at the end of the warm-up.
        steps, warmup: their numbers.
        schedule: which of the three.
        final_fraction: of the cosine.
        decay: steps, not always whole; 0 for the cosine.
        factor: of the schedule steps.
    """

    highest: float
    steps: int
    warmup: int
    schedule: Schedule
    final_fraction: float
    decay: float
    factor: float

    @classmethod
    def of(cls, config: OptimiserConfig, stage: StageConfig, steps: int, epoch: float) -> Self:
        """That of a stage.

        Args:
            config: of the run.
            stage: whose options come first.
            steps: of the stage.
            epoch: steps of one pass over its samples.
        """

        def first(mine: T | None, theirs: T) -> T:
            return theirs if mine is None else mine

        decay = first(stage.decay_epochs, config.decay_epochs)
        return cls(
            highest=first(stage.learning_rate, config.learning_rate),
            steps=steps,
            warmup=config.warmup_steps,
            schedule=first(stage.schedule, config.schedule),
            final_fraction=config.final_fraction,
            decay=0.0 if decay is None else decay * epoch,
            factor=first(stage.decay_factor, config.decay_factor),
        )

    def at(self, step: int) -> float:
        """Of a step."""
        if step < self.warmup:
            return self.highest * (step + 1) / self.warmup
        if self.schedule == "linear":
            return self.highest * min(1.0, (self.steps - step) / self.decay)
        if self.schedule == "steps":
            # As many steps as whole epochs have are not always a whole number.
            return self.highest * self.factor ** math.floor(step / self.decay + 1e-9)
        last = self.steps - 1
        progress = (step - self.warmup) / max(last - self.warmup, 1)
        fraction = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        least = self.final_fraction
        return self.highest * (least + (1 - least) * fraction)


def make_optimiser(network: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW of those weights that learn; biases and the scales of normalisation may be as large as
    they like."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=config.learning_rate, betas=config.betas
    )


class WeightAverage(AveragedModel):
    """The exponential moving average of a network's weights.

    After update n = 1, 2, ... the average a of a value w is ``a + (1 - d) (w - a)`` with
    ``d = min(decay, (1 + n) / (10 + n))``: the first weights, which are random, are soon forgotten.
    Statistics of normalisation are averaged as weights are; counters are copied.

    Attributes:
        module: a network of the averages.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start with the network's weights as they are."""

        def move(averages: Sequence[Tensor], values: Sequence[Tensor], _: object) -> None:
            # The counter itself, which stays on the CPU: what is given would have to come back.
            updates = int(self.n_averaged)
            share = 1 - min(decay, (1 + updates) / (10 + updates))
            for average, value in zip(averages, values, strict=True):
                if average.is_floating_point():
                    average.lerp_(value, share)
                else:
                    average.copy_(value)

        super().__init__(network, multi_avg_fn=move, use_buffers=True)
        # The first update counts as one of many: PyTorch would take its weights as they are.
        self.n_averaged.fill_(1)

    @property
    def updates(self) -> int:
        """Their number."""
        return int(self.n_averaged) - 1

    def values(self) -> dict[str, Tensor]:
        """Name -> average, as in the network's `state_dict`."""
        return _state(self.module)

    def restore(self, values: Mapping[str, Tensor], updates: int) -> None:
        """Go on from `values` after `updates`."""
        self.module.load_state_dict(values)
        self.n_averaged.fill_(1 + updates)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Give a network the averages, in eval mode, and its own weights back at the end."""
        own = {name: value.clone() for name, value in _state(network).items()}
        modes = {module: module.training for module in network.modules()}
        network.load_state_dict(self.values())
        network.eval()
        try:
            yield
        finally:
            network.load_state_dict(own)
            for module, training in modes.items():
                module.training = training


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in network.state_dict().items()}
