"""What a stage does to a network: which of its parts learn, and which stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fitter.errors import InputError
from init_net.networks.build import build_network
from init_net.training.config import TrainConfig
from init_net.training.plan import Stage
from init_net.training.stage_names import require_names


def parts_of(network: nn.Module) -> Mapping[str, nn.Module]:
    """The parts of a network that has some (`init_net.networks.parts.HasParts`), else none."""
    parts: Mapping[str, nn.Module] = getattr(network, "parts", {})
    return parts


def enter(network: nn.Module, stage: Stage) -> None:
    """Have a network learn what a stage trains, and nothing else.

    What does not learn, or is left out, is frozen: it needs no gradient and is in eval mode, so
    that neither weights nor statistics of normalisation move and nothing is dropped at random. All
    else is in training mode. Gradients of an earlier stage are gone.
    """
    network.zero_grad(set_to_none=True)
    network.train()
    for name, part in parts_of(network).items():
        learns = name not in stage.without and (stage.trains is None or name in stage.trains)
        part.requires_grad_(learns)
        part.train(learns)


def said(network: nn.Module, inputs: Any, stage: Stage) -> Any:
    """What a network says of inputs without the parts that a stage leaves out."""
    return network(inputs, absent=stage.without) if stage.without else network(inputs)


def require_parts(config: TrainConfig) -> None:
    """Refuse stages whose parts the network has not, or cannot do without.

    Raises:
        InputError: a stage leaves out a part that cannot be missed, or several that cannot be
            missed together; or see `require_names`.
    """
    if not any(stage.trains or stage.without for stage in config.stages.values()):
        return
    with torch.device("meta"):  # names are asked for, not weights
        network = build_network(config.network, config.run.seed)
    parts = parts_of(network)
    optional: frozenset[str] = getattr(network, "optional_parts", frozenset())
    require_names(config, parts)
    for name, stage in config.stages.items():
        where = f"stages.{name}"
        for part in stage.without:
            if part not in optional:
                known = ", ".join(part for part in parts if part in optional) or "none"
                raise InputError(
                    "training.needed_part", file=f"{where}.without", part=part, known=known
                )
        if stage.without and set(parts) <= set(stage.without):
            raise InputError("training.no_parts", file=f"{where}.without")
        fault = getattr(network, "absence_fault", _no_fault)(frozenset(stage.without))
        if fault is not None:
            raise InputError("training.impossible_parts", file=f"{where}.without", reason=fault)


def require_learned(config: TrainConfig) -> None:
    """Refuse stages that keep parts at random weights: frozen, learned in no stage before, and of
    no weights that the run begins with.

    Raises:
        InputError: there is such a stage.
    """
    if config.run.start is not None and config.run.start_parts is None:
        return
    with torch.device("meta"):
        parts = frozenset(parts_of(build_network(config.network, config.run.seed)))
    learned = frozenset(config.run.start_parts or ())
    for name, stage in config.stages.items():
        there = parts - frozenset(stage.without)
        trained = there if stage.trains is None else frozenset(stage.trains)
        random = sorted(there - trained - learned)
        if random:
            raise InputError(
                "training.frozen_random", file=f"stages.{name}.trains", parts=", ".join(random)
            )
        learned |= trained


def _no_fault(absent: frozenset[str]) -> None:
    """Of a network any of whose optional parts can be left out together."""
