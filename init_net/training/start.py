"""The weights that a run begins with: random ones, or another run's in all or some parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from fitter.config.files import described_presets
from fitter.errors import InputError
from init_net.hand_model_id import OPEN_HAND, posed_by, require_hand_model
from init_net.networks.build import build_network
from init_net.networks.config import (
    AutoencoderConfig,
    JointVAEConfig,
    MeshNetConfig,
    NetworkConfig,
    StereoConfig,
)
from init_net.training.config import TRAIN, TrainConfig
from init_net.training.freezing import parts_of
from init_net.weights import load_network, read_info, weights_file

if TYPE_CHECKING:
    from init_net.networks.handnet import HandNet
    from init_net.networks.stereo import StereoHandNet

_FREE = {"keypoint_dropout", "dropout", "feature_dropout", "hand_model", "twist"}
"""Options of a network that its weights do not depend on, or that are told by more than the place
of a file: hand models have a digest."""

_OF_A_HAND = {"geometry", "texture", "decoder", "vae", "parameters"}
"""Parts of networks that pose a hand model whose numbers are of that model: coefficients of an
autoencoder; vertices, joints and coefficients of a mesh network."""


def begun(config: TrainConfig) -> Any:
    """The network of a run as it begins, on the CPU: random, or with the weights of `begin_with`.

    Raises:
        InputError: see `begin_with`.
    """
    network = build_network(config.network, config.run.seed)
    begin_with(network, config)
    return network


def start_digest(config: TrainConfig) -> str | None:
    """SHA-256 of the file of weights that a run begins with; None for random ones, and where the
    file is not there: a run that goes on needs it no more."""
    if config.run.start is None:
        return None
    try:
        return hashlib.sha256(_start_file(config, config.run.start).read_bytes()).hexdigest()
    except OSError:
        return None


def begin_with(network: nn.Module, config: TrainConfig) -> None:
    """Give a network the weights of `TrainRunConfig.start`, all or those of `start_parts`.

    A stereo network may begin with those of a HandNet, for both of its views.

    Args:
        network: as it was built, with random weights.
        config: of the run.

    Raises:
        InputError: they cannot be read, or are of a network with other options or of another hand
            model; or a part is not there, or has other layers, or parts are asked for of no
            weights.
    """
    run = config.run
    if run.start is None:
        if run.start_parts is not None:
            raise InputError("training.no_start", file="run.start_parts")
        return
    mine = config.network
    path, own = _present_file(config, run.start), posed_by(mine)[1]
    if run.start_parts is not None:
        poses = isinstance(mine, AutoencoderConfig | JointVAEConfig | MeshNetConfig)
        if poses and _OF_A_HAND & run.start_parts.keys():
            _require_hand(path, own)
        _begin_parts(network, path, run.start_parts, own)
    elif isinstance(mine, StereoConfig) and read_info(path).network.kind == "handnet":
        _require_options(path, mine.mono, "network.mono")
        cast("StereoHandNet", network).begin_with(cast("HandNet", load_network(path)))
    else:
        _require_options(path, mine, "network")
        _require_hand(path, own)
        theirs = load_network(path, expected_kind=mine.kind, hand_model=own)
        network.load_state_dict(theirs.state_dict())


def crop_size(network: object) -> int | None:
    """Side of the crops that a network sees, pixels; None for one that sees none."""
    size = network.mono.input_size if isinstance(network, StereoConfig) else None
    return size or getattr(network, "input_size", None)


def start_crop_size(config: TrainConfig) -> int | None:
    """As `crop_size`, of the network whose weights a run begins with; None for random ones.

    Raises:
        InputError: they cannot be read.
    """
    start = config.run.start
    return None if start is None else crop_size(read_info(_present_file(config, start)).network)


def _start_file(config: TrainConfig, start: str) -> Path:
    mine = config.network
    return weights_file("handnet" if isinstance(mine, StereoConfig) else mine.kind, start)


def _present_file(config: TrainConfig, start: str) -> Path:
    path = _start_file(config, start)
    if path.is_file():
        return path
    preset = path.parent.name
    is_run = path.parts == ("runs", preset, "weights.safetensors")
    if is_run and preset in described_presets(TRAIN):
        raise InputError("training.start_not_trained", file=path, preset=preset)
    raise InputError("training.start_missing", file=path)


def _require_options(path: Path, wanted: NetworkConfig, where: str) -> None:
    """Refuse weights of a network with other options than one that is `where` in a
    configuration."""
    free: Any = {**dict.fromkeys(_FREE, True), "mono": _FREE}
    mine, theirs = (each.model_dump(exclude=free) for each in (wanted, read_info(path).network))
    for name, option in mine.items():
        if theirs.get(name) != option:
            raise InputError(
                "training.other_start",
                file=path,
                option=f"{where}.{name}",
                expected=option,
                found=theirs.get(name),
            )


def _require_hand(path: Path, own: str) -> None:
    """Refuse weights that say numbers of another hand model than `own`."""
    info = read_info(path)
    require_hand_model(path, info.hand_model, posed_by(info.network)[0], own)


def _begin_parts(
    network: nn.Module, path: Path, wanted: Mapping[str, str], hand_model: str
) -> None:
    """Give parts of a network, which is of a hand model, the weights of parts of the network in a
    file."""
    given = None if hand_model == OPEN_HAND else hand_model
    mine, theirs = parts_of(network), parts_of(load_network(path, hand_model=given))
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
