"""The networks at their published sizes: what they are made of, and what a step costs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import torch
from arms import Plan, held_out
from measuring import median_seconds
from torch import Tensor, nn

from init_net.hand_decoder import HandDecoder
from init_net.networks.autoencoder import HandAutoencoder
from init_net.networks.build import build_network
from init_net.training.autoencoder_evaluation import autoencoder_inputs
from init_net.training.autoencoder_terms import AutoencoderTerms
from init_net.training.config import load_train_config
from init_net.training.loss_weights import loss_weights

PRINTED = {
    "pose": "30",
    "betas": "10",
    "scale": "1",
    "global_orient": "3",
    "transl": "3",
    "colours": "778 x 3",
    "appearance": "10",
    "lighting": "11",
    "estimated": "21 x 2",
}
"""Codes of S2HAND 3.1 and 3.3 and of Zhao 3.1."""


def sizes(preset: str, plan: Plan, batch: int, repeats: int) -> dict[str, Any]:
    """Parameters of each part, codes, and the cost of a step in which everything counts.

    Args:
        preset: in ``configs/train``.
        plan: whose held-out crops are looked at.
        batch: crops of a step.
        repeats: steps of which the median is taken.
    """
    config = load_train_config(preset)
    network = cast(HandAutoencoder, build_network(config.network, 0))
    crops = held_out(plan, network.config.input_size, network.config.margin)
    few = crops.crop(range(batch), (0,))
    with torch.no_grad():
        said = network.eval()(autoencoder_inputs(few))
    assert said.code is not None
    codes = {each.name: getattr(said.code, each.name) for each in fields(said.code)}
    codes["estimated"] = said.estimated
    terms = AutoencoderTerms(HandDecoder(network.config), config.supervised)
    stage = list(config.stages)[-1]
    weights = {name: each for name, each in loss_weights(config, stage).items() if each > 0}
    optimiser = torch.optim.Adam(network.train().parameters(), 1e-3)

    def step() -> None:
        found = terms(network(autoencoder_inputs(few)), few, list(weights))
        loss = sum((weights[name] * value.mean() for name, value in found.items()), torch.zeros(()))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return {
        "preset": preset,
        "input_size": network.config.input_size,
        "parts": {name: _count(part) for name, part in network.parts.items()},
        "shapes": {name: _shape(value) for name, value in codes.items() if value is not None},
        "printed": PRINTED,
        "losses": sorted(weights),
        "batch": batch,
        "cpu_seconds": round(median_seconds(step, repeats).cpu, 2),
        "threads": torch.get_num_threads(),
    }


def _count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


def _shape(code: Tensor) -> str:
    """Of one hand's code, as tables have it."""
    return " x ".join(map(str, code.shape[1:])) or "1"
