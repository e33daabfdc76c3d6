"""What a training step does to the weights: optimiser, learning rate, moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from init_net.training.config import OptimiserConfig


def learning_rate(config: OptimiserConfig, step: int) -> float:
    """Learning rate of a step, 0 being the first.

    It rises linearly over the warm-up steps and then falls along half a cosine, as in Loshchilov &
    Hutter, "SGDR", ICLR 2017, eq. 5, to ``learning_rate * final_fraction`` at the last step.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    last = config.steps - 1
    progress = (step - config.warmup_steps) / max(last - config.warmup_steps, 1)
    fraction = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    least = config.final_fraction
    return config.learning_rate * (least + (1 - least) * fraction)


def make_optimiser(network: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW that lets biases and the scales of normalisation be as large as they like."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate)


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
