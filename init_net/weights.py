"""Weights to ship: a safetensors file that says what network it is of, and a card for people.

Parameters are stored in half precision. Buffers, such as the statistics of batch normalisation,
are few and may be small or large, so they keep their own type, as do values beyond half precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fitter.errors import InputError
from fitter.system.files import write_whole
from init_net.hand_model_id import (
    HandModelId,
    current_hand_model,
    require_fitting,
    require_hand_model,
)
from init_net.networks.build import build_network
from init_net.networks.config import NetworkConfig

FORMAT = "fit-hands network"
LAYOUT = 1

_SMALL = 1 << 16
"""Elements up to which a buffer keeps its precision."""

_TITLES = {
    "lifter": ("KeypointLifter", "2D keypoints to a relative 3D hand"),
    "handnet": ("HandNet", "picture and 2D keypoints to the parameters of a hand"),
    "segmentation": ("HandSegmentation", "picture and 2D keypoints to the mask of a hand"),
}


@dataclass(frozen=True)
class WeightsInfo:
    """What is said of a network's weights.

    Attributes:
        network: its configuration.
        command: that trained it.
        steps: of the training.
        data: what it has learned from and was validated on, JSON-able: name of a data set ->
            option -> value.
        figures: of the last validation.
        hand_model: that its joints, rotations and shape are of.
        options: of the training, JSON-able: section of its configuration -> option -> value; empty
            in files from before they were kept.
        figures_step: steps done when the figures were measured; None likewise, and without figures.
    """

    network: NetworkConfig
    command: str
    steps: int
    data: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, float]
    hand_model: HandModelId = field(default_factory=current_hand_model)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    figures_step: int | None = None


def save_weights(path: Path, network: nn.Module, info: WeightsInfo) -> None:
    """Write a network's weights and, beside them, their card (``.md``).

    Args:
        path: of the safetensors file.
        network: of the configuration in `info`.
        info: what is said of it.

    Raises:
        InputError: they cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "layout": str(LAYOUT),
        "network": info.network.model_dump_json(),
        "hand_model": info.hand_model.name,
        "hand_model_sha256": info.hand_model.sha256,
        "command": info.command,
        "steps": str(info.steps),
        "data": json.dumps(info.data),
        "figures": json.dumps(info.figures),
        "options": json.dumps(info.options),
        "figures_step": json.dumps(info.figures_step),
    }
    content = _sorted_header(save(_stored(network), metadata))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        write_whole(path.with_suffix(".md"), model_card(info, network, len(content)).encode())
    except OSError as error:
        raise InputError(f"cannot write weights {path}: {error.strerror}") from error


def read_info(path: Path) -> WeightsInfo:
    """What a file of weights says of itself.

    Raises:
        InputError: see `load_network`.
    """
    return _read(path)[0]


def load_network(
    path: Path, device: torch.device | str = "cpu", expected_kind: str | None = None
) -> nn.Module:
    """A trained network, in float32 and eval mode.

    Args:
        path: of a file that `save_weights` wrote.
        device: where it is wanted.
        expected_kind: lifter, handnet or segmentation; None for any.

    Raises:
        InputError: the file is missing, damaged, none of weights, from a newer version, of another
            kind of network or another hand model, or its tensors are not those of its network,
            which is not built before that is known.
    """
    info, tensors = _read(path)
    if expected_kind is not None and info.network.kind != expected_kind:
        raise InputError(
            f"{path}: expected weights of the network {expected_kind!r}, found those of "
            f"{info.network.kind!r}"
        )
    require_hand_model(path, info.hand_model)
    outline = _outline(path, info.network)
    if outline is not None:
        require_fitting(path, outline, tensors)
    network = build_network(info.network, seed=0)
    require_fitting(path, network, tensors)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False).to(device)


def _outline(path: Path, config: NetworkConfig) -> nn.Module | None:
    """A network without memory for its numbers, whatever sizes a file asks for; None for the few
    encoders that cannot be built so."""
    try:
        with torch.device("meta"):
            return build_network(config, seed=0)
    except InputError as error:
        # Some look at values while they are built, and there are none.
        if "meta tensors" in str(error):
            return None
        raise InputError(f"{path}: {error}") from error
    except (RuntimeError, TypeError) as error:  # sizes that PyTorch cannot count
        raise InputError(
            f"{path}: expected a network that can be built, found one too large for any memory"
        ) from error


def model_card(info: WeightsInfo, network: nn.Module, size: int) -> str:
    """What a user should know about weights, as Markdown.

    Args:
        info: what is said of them.
        network: that they are of, for their number.
        size: of their file, bytes.
    """
    title, meaning = _TITLES[info.network.kind]
    number = sum(parameter.numel() for parameter in network.parameters())
    of = info.options.get("optimiser", {}).get("steps")
    lines = [
        f"# {title}: {meaning}",
        "",
        f"{number:,} weights in half precision, {size / 1e6:.2f} MB. Trained for {info.steps:,} "
        f"{'' if of is None else f'of {of:,} '}steps; the weights are their exponential moving "
        f"average. Joints, rotations and shape are those of the hand model {info.hand_model.name}, "
        f"whose sha256 is `{info.hand_model.sha256}`.",
        "",
        "## Training",
        "",
        "```",
        info.command,
        "```",
        "",
        "Every hand was rendered by this project; docs/synthetic.md says how.",
        "",
        *_table("data", info.data),
        "",
        "## Figures",
        "",
        *_figures(info),
        "",
        "## Network",
        "",
        "| option | value |",
        "| --- | --- |",
        *(f"| {name} | {json.dumps(value)} |" for name, value in _options(info).items()),
        *_training_options(info),
    ]
    return "\n".join(lines) + "\n"


def _options(info: WeightsInfo) -> dict[str, Any]:
    return info.network.model_dump(mode="json")


def _figures(info: WeightsInfo) -> list[str]:
    if not info.figures:
        return ["None: they were not validated yet."]
    after = "" if info.figures_step is None else f" after {info.figures_step:,} steps"
    return [
        f"On the held-out samples{after}, as `train-hands` computes them:",
        "",
        "| figure | value |",
        "| --- | --- |",
        *(f"| {name} | {value:.6g} |" for name, value in info.figures.items()),
    ]


def _training_options(info: WeightsInfo) -> list[str]:
    """Lines on how to train the same, where that is known."""
    if not info.options:
        return []
    return [
        "",
        "## Options of the training",
        "",
        "With those of the network and the data above, they are its whole configuration; losses "
        "are weights of terms.",
        "",
        "| option | value |",
        "| --- | --- |",
        *(
            f"| {section}.{name} | {json.dumps(value)} |"
            for section, values in info.options.items()
            for name, value in values.items()
        ),
    ]


def _table(what: str, columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines of a table with a column for each mapping and a row for each of their names."""
    rows = list(dict.fromkeys(name for column in columns.values() for name in column))
    cells = [[str(column.get(row, "")) for column in columns.values()] for row in rows]
    return [
        f"| {' | '.join([what, *columns])} |",
        f"| {' | '.join(['---'] * (1 + len(columns)))} |",
        *(f"| {' | '.join([row, *line])} |" for row, line in zip(rows, cells, strict=True)),
    ]


def _stored(network: nn.Module) -> dict[str, Tensor]:
    """The network's state as it is stored, name -> contiguous tensor on the CPU."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    stored = {}
    for name, value in network.state_dict().items():
        value = value.detach().cpu()
        is_large = name in parameters or value.numel() > _SMALL
        if value.is_floating_point() and is_large and torch.isfinite(value.half()).all():
            value = value.half()
        # Of its own: safetensors stores no two names of one memory.
        stored[name] = value.clone().contiguous()
    return stored


def _sorted_header(content: bytes) -> bytes:
    """A safetensors file whose metadata are in order: they are written in a random one.

    Eight bytes of length, little endian, go before the header, which is JSON padded with spaces to
    a multiple of eight bytes.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _read(path: Path) -> tuple[WeightsInfo, dict[str, Tensor]]:
    expected = f"{path}: expected network weights (safetensors)"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{expected}, found no such file") from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{expected}, found one that cannot be read: {reason}") from error
    except SafetensorError as error:
        raise InputError(f"{expected}, found a cut-off, damaged or foreign file") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{expected} of a network of fit-hands, found a file of something else")
    if metadata.get("layout") != str(LAYOUT):
        raise InputError(
            f"{path}: expected network weights in layout {LAYOUT}, found layout "
            f"{metadata.get('layout')}, which another version of fit-hands wrote"
        )
    try:
        network = TypeAdapter(NetworkConfig).validate_json(metadata["network"])
        info = WeightsInfo(
            network=network,
            command=metadata["command"],
            steps=int(metadata["steps"]),
            data=json.loads(metadata["data"]),
            figures=json.loads(metadata["figures"]),
            hand_model=HandModelId(metadata["hand_model"], metadata["hand_model_sha256"]),
            # Files from before they were kept are read as well.
            options=json.loads(metadata.get("options", "{}")),
            figures_step=json.loads(metadata.get("figures_step", "null")),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: expected a network that this version of fit-hands knows, found another "
            f"({place}: {first['msg']})"
        ) from None
    except (KeyError, ValueError) as error:
        raise InputError(f"{expected} with all that is said of them, found {error}") from error
    return info, tensors
