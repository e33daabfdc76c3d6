"""Dense layers behind each other, and what their last one says at first."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def dense_layers(sizes: list[int], start: Tensor | None = None, std: float = 0.0) -> nn.Sequential:
    """Linear layers between as many features as `sizes` says, with ReLU between them.

    Args:
        sizes: of what goes in, of what lies between two layers, of what comes out.
        start: (N,) what the last layer says nearly at first: its biases; None for PyTorch's own
            random weights there too.
        std: standard deviation of the last layer's weights at first, with `start`.
    """
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    last = layers[-2]
    if start is not None:
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=std)
        with torch.no_grad():
            last.bias.copy_(start)
    return nn.Sequential(*layers[:-1])
