"""The network at its published size: what it is made of, and what one step of learning costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from init_net.networks.build import build_network
from init_net.networks.handnet import HandNet
from init_net.records import CropInputs
from init_net.training.config import load_train_config
from init_net.training.losses import mask_terms

PRESET = "handnet_published"


def sizes(batch: int, repeats: int, preset: str = PRESET) -> dict[str, Any]:
    """Parameters of each part, shapes along the way, and the cost of a step.

    Args:
        batch: crops of a step.
        repeats: steps that are timed, after one that is not.
        preset: in ``configs/train``.
    """
    config = load_train_config(preset)
    torch.manual_seed(0)
    network = cast(HandNet, build_network(config.network, 0))
    size = config.network.input_size
    crops = CropInputs(
        torch.rand(batch, 3, size, size), size * torch.rand(batch, 21, 2), torch.ones(batch, 21)
    )
    network.eval()
    with _watched(network) as shapes, torch.no_grad():
        network(crops)
    return {
        "preset": preset,
        "input_size": size,
        "parts": {
            name: sum(weight.numel() for weight in part.parameters())
            for name, part in network.parts.items()
        },
        "shapes": {name: list(shape[1:]) for name, shape in shapes.items()},
        "batch": batch,
        "cpu_seconds": round(step_seconds(network.train(), crops, repeats), 2),
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _watched(network: HandNet) -> Iterator[dict[str, torch.Size]]:
    """The shapes that modules give while the block lasts."""
    layers = [layer for layer in network.head if isinstance(layer, nn.Linear)]
    named: dict[str, nn.Module] = {
        "fusion, bottleneck": network.fusion.reduce,
        "fusion, weights": network.fusion.expand,
        "fusion, output": network.fusion.project,
        "X_base": network.pool,
        "dense 1": layers[0],
        "dense 2": layers[1],
        "outputs": layers[2],
    }
    if network.segmentation is not None:
        named["mask"] = network.segmentation
    shapes: dict[str, torch.Size] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            shapes[name] = output.shape

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    try:
        yield shapes
    finally:
        for handle in handles:
            handle.remove()


def step_seconds(network: HandNet, crops: CropInputs, repeats: int) -> float:
    """Processor time of a step in which everything learns: forward, backward, Adam. The loss is a
    stand-in for eq. 9, whose cost is that of 61 numbers, and eq. 10."""
    optimiser = torch.optim.Adam(network.parameters(), 2e-4, (0.9, 0.99))
    true = torch.zeros(crops.image.shape[0], *crops.image.shape[2:])

    def step() -> None:
        said = network(crops)
        assert said.hands is not None
        loss = said.hands.rotations.square().mean() + said.hands.betas.square().mean()
        if said.mask_logits is not None:
            loss = loss + mask_terms(said.mask_logits, true)["bce"].mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    begun = time.process_time()
    for _ in range(repeats):
        step()
    return (time.process_time() - begun) / repeats
