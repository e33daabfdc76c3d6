"""The averaged weights of a training run, written to be used: safetensors and a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from fitter.errors import InputError
from fitter.run.progress import say
from init_net.hand_model_id import OPEN_HAND, require_fitting
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import (
    AutoencoderConfig,
    JointVAEConfig,
    MeshNetConfig,
    NetworkConfig,
)
from init_net.samples.config import DatasetConfig, PosedHandsConfig, SamplesConfig
from init_net.training.checkpoints import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    require_same_run,
)
from init_net.training.config import SourceConfig, TrainConfig
from init_net.training.loss_weights import loss_weights
from init_net.training.run_folder import check_run, read_manifest
from init_net.weights import save_weights


def export(out: Path, config: TrainConfig, file: Path, console: Console) -> None:
    """Write the averaged weights of a run's last checkpoint.

    Args:
        out: folder of the run.
        config: of the run.
        file: of safetensors.
        console: to tell.

    Raises:
        InputError: there is no such run or checkpoint, or the file cannot be written.
    """
    if file.suffix != ".safetensors":
        raise InputError("training.export_name", file=f"--export {file}")
    checkpoint = find_checkpoint(out) if check_run(out, config) else None
    if checkpoint is None:
        raise InputError("training.nothing_to_export", file=out)
    found = load_checkpoint(checkpoint)
    require_same_run(checkpoint, found.config, config)
    network = build_network(config.network, config.run.seed)
    require_fitting(checkpoint, network, found.average)
    network.load_state_dict(found.average)
    save_weights(file, network.eval(), _info(config, found, read_manifest(out)["command"]))
    planned = found.planned or config.optimiser.steps
    megabytes = file.stat().st_size / 1e6
    measured = f"figures of step {found.validated}" if found.validated else "not validated yet"
    say(
        console,
        f"weights after {found.step} of {planned} steps, "
        f"{measured}: {file}, {megabytes:.2f} MB, and its card",
    )


def _info(config: TrainConfig, found: Checkpoint, command: str) -> WeightsInfo:
    """What the weights of a checkpoint say of themselves."""
    stages = {
        name: stage.model_dump(mode="json", exclude_none=True)
        for name, stage in config.stages.items()
    }
    return WeightsInfo(
        network=_public_network(config.network),
        command=command,
        steps=found.step,
        data={
            f"{what} {k}" if k > 1 else what: _public(source)
            for what, sources in (
                ("training", config.learned_from.values()),
                ("validation", config.held_out),
            )
            for k, source in enumerate(sources, 1)
        },
        figures=found.figures,
        hand_model=found.hand_model,
        options={
            # The steps of a run with stages are those of its stages.
            "optimiser": config.optimiser.model_dump(
                mode="json", exclude={"steps"} if config.stages else None
            ),
            "losses": {name: loss_weights(config, name) for name in config.stages}
            or loss_weights(config),
            **({"stages": stages} if stages else {}),
            **_supervision(config),
            "augmentation": config.augmentation.model_dump(mode="json"),
            # Of the training: whoever exports may have another device.
            "run": _public_run(found.config["run"]),
        },
        figures_step=found.validated or None,
    )


def _supervision(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """What an autoencoder's losses compare; nothing of other networks."""
    if not isinstance(config.network, AutoencoderConfig):
        return {}
    return {"supervision": config.supervised.model_dump(mode="json")}


def _public_network(network: NetworkConfig) -> NetworkConfig:
    """A network, without where somebody's hand model lies."""
    if not isinstance(network, AutoencoderConfig | JointVAEConfig | MeshNetConfig):
        return network
    return network.model_copy(update={"hand_model": _public_hand_model(network.hand_model)})


def _public_hand_model(source: str) -> str:
    """Of a hand model that somebody has as files only their name."""
    return source if source == OPEN_HAND else Path(source).name


def _public(source: SourceConfig) -> dict[str, object]:
    """Options of a source, without where somebody's files lie."""
    if isinstance(source, PosedHandsConfig):
        return source.model_dump(mode="json", exclude={"share"})
    hidden = {"folder", "workers", "samples", "split"}
    if isinstance(source, DatasetConfig) and source.dataset == "images":
        hidden.add("parameters")  # which pictures without annotations have not
    options = source.model_dump(mode="json", exclude=hidden, exclude_none=True)
    if not isinstance(source, DatasetConfig) and source.backgrounds not in (
        "procedural",
        "packages",
        "mixed",
    ):
        options["backgrounds"] = "a folder"
    if isinstance(source, SamplesConfig):
        options["hand_model"] = _public_hand_model(source.hand_model)
    return options


def _public_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a run; of the weights that it began with only the file's name."""
    start = options.get("start")
    return {**options, "start": None if start is None else Path(start).name}
