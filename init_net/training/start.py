"""The weights that a run begins with: random ones, or another run's in all or some parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from fitter.errors import InputError
from init_net.training.config import TrainConfig
from init_net.training.freezing import parts_of
from init_net.weights import load_network, read_info, weights_file

_FREE = {"keypoint_dropout", "dropout", "feature_dropout"}
"""Options of a network that its weights do not depend on."""


def begin_with(network: nn.Module, config: TrainConfig) -> None:
    """Give a network the weights of `TrainRunConfig.start`, all or those of `start_parts`.

    Args:
        network: as it was built, with random weights.
        config: of the run.

    Raises:
        InputError: they cannot be read, or are of a network with other options; or a part is not
            there, or has other layers, or parts are asked for of no weights.
    """
    run = config.run
    if run.start is None:
        if run.start_parts is not None:
            raise InputError("training.no_start", file="run.start_parts")
        return
    path = weights_file(config.network.kind, run.start)
    if run.start_parts is not None:
        _begin_parts(network, path, run.start_parts)
        return
    found = read_info(path).network
    mine, theirs = (each.model_dump(exclude=_FREE) for each in (config.network, found))
    for name, wanted in mine.items():
        if theirs.get(name) != wanted:
            raise InputError(
                "training.other_start",
                file=path,
                option=f"network.{name}",
                expected=wanted,
                found=theirs.get(name),
            )
    network.load_state_dict(load_network(path, expected_kind=config.network.kind).state_dict())


def _begin_parts(network: nn.Module, path: Path, wanted: Mapping[str, str]) -> None:
    """Give parts of a network the weights of parts of the network in a file."""
    mine, theirs = parts_of(network), parts_of(load_network(path))
    for name, other in wanted.items():
        for part, parts, where in ((name, mine, "run.start_parts"), (other, theirs, path)):
            if part not in parts:
                known = ", ".join(parts) or "none"
                raise InputError("training.unknown_start", file=where, part=part, known=known)
        values, own = theirs[other].state_dict(), mine[name].state_dict()
        if {key: value.shape for key, value in own.items()} != {
            key: value.shape for key, value in values.items()
        }:
            raise InputError("training.other_start_part", file=path, part=name, found=other)
        mine[name].load_state_dict(values)
