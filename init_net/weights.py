"""Weights to ship: a safetensors file that says what network it is of, and a card for people.

Parameters are stored in half precision. Buffers, such as the statistics of batch normalisation,
are few and may be small or large, so they keep their own type, as do values beyond half precision.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fitter.detection.networks.weights import detector_digest
from fitter.errors import InputError
from fitter.system.files import write_whole
from init_net.hand_model_id import (
    OPEN_HAND,
    HandModelId,
    posed_by,
    require_fitting,
    require_hand_model,
)
from init_net.model_card import WeightsInfo, model_card
from init_net.networks.build import AnyNetwork, build_network
from init_net.networks.config import (
    AutoencoderConfig,
    JointVAEConfig,
    LifterConfig,
    MeshNetConfig,
    NetworkConfig,
)
from init_net.offer import SHIPPED, SHIPPED_WEIGHTS, shipped_file

FORMAT = "fit-hands network"
LAYOUT = 1

_Posing = AutoencoderConfig | JointVAEConfig | MeshNetConfig
"""Networks whose hand model is an option."""

_SMALL = 1 << 16
"""Elements up to which a buffer keeps its precision."""


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
        **({} if info.detector is None else {"detector": info.detector}),
    }
    content = _sorted_header(save(_stored(network), metadata))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        write_whole(path.with_suffix(".md"), model_card(info, network, len(content)).encode())
    except OSError as error:
        raise InputError(
            "weights.cannot_write", file=path, reason=error.strerror or str(error)
        ) from error


def weights_file(name: str, given: str = SHIPPED) -> Path:
    """The file that an option of `init_net.offer.InitNetOptions` means.

    Args:
        name: of the network.
        given: a path, "shipped", or the name of weights that ship (`shipped_file`).
    """
    if given == SHIPPED:
        return SHIPPED_WEIGHTS / f"{name}.safetensors"
    return shipped_file(given) or Path(given)


def read_info(path: Path) -> WeightsInfo:
    """What a file of weights says of itself.

    Raises:
        InputError: see `load_network`.
    """
    return _read(path)[0]


def load_network(
    path: Path,
    device: torch.device | str = "cpu",
    expected_kind: str | None = None,
    hand_model: str | None = None,
) -> AnyNetwork:
    """A trained network, in float32 and eval mode.

    Args:
        path: of a file that `save_weights` wrote.
        device: where it is wanted.
        expected_kind: lifter, handnet, segmentation, stereo, autoencoder, joint_vae or mesh_net;
            None for any.
        hand_model: where the files of a MANO or NIMBLE model lie that the network poses its hands
            with, in the place of where they lay in its training, of which weights keep the name
            alone; None: there. A network of the open hand does not ask for any.

    Raises:
        InputError: the file is missing, damaged, none of weights, from a newer version, of another
            kind of network or another hand model, takes the features of another detector, or its
            tensors are not those of its network, which is not built before that is known.
    """
    info, tensors = _read(path)
    if expected_kind is not None and info.network.kind != expected_kind:
        raise InputError(
            "weights.other_network", file=path, expected=expected_kind, found=info.network.kind
        )
    if hand_model is not None and isinstance(info.network, _Posing):
        info = replace(info, network=_posed_by(info.network, hand_model))
    require_hand_model(path, info.hand_model, *posed_by(info.network))
    _require_detector(path, info)
    outline = _outline(path, info.network)
    if outline is not None:
        require_fitting(path, outline, tensors)
    try:
        network = build_network(info.network, seed=0)
    except InputError as error:
        raise error.about(file=path) from error
    require_fitting(path, network, tensors)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False).to(device)


def _posed_by(
    network: AutoencoderConfig | JointVAEConfig | MeshNetConfig, hand_model: str
) -> NetworkConfig:
    """A network whose hand model lies elsewhere."""
    if network.hand_model == OPEN_HAND:
        return network
    return network.model_copy(update={"hand_model": hand_model})


def _require_detector(path: Path, info: WeightsInfo) -> None:
    """Refuse a network that takes the features of another detector than the one installed."""
    current = detector_digest()
    if isinstance(info.network, LifterConfig) and info.detector != current:
        found = "none" if info.detector is None else info.detector[:12]
        raise InputError("weights.other_detector", file=path, expected=current[:12], found=found)


def _outline(path: Path, config: NetworkConfig) -> nn.Module | None:
    """A network without memory for its numbers, whatever sizes a file asks for.

    None where it cannot be built so: some encoders look at values while they are built, and there
    are none. What else is wrong with an encoder shows when it is built with memory.
    """
    try:
        with torch.device("meta"):
            return build_network(config, seed=0)
    except InputError:
        return None
    except (RuntimeError, TypeError) as error:  # sizes that PyTorch cannot count
        raise InputError("weights.too_large", file=path) from error


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
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError("weights.missing", file=path) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("weights.cannot_read", file=path, reason=reason) from error
    except SafetensorError as error:
        raise InputError("weights.damaged", file=path) from error
    if metadata.get("format") != FORMAT:
        raise InputError("weights.foreign", file=path)
    layout = metadata.get("layout")
    if layout != str(LAYOUT):
        raise InputError("weights.other_layout", file=path, expected=LAYOUT, found=layout)
    return _info(path, metadata), tensors


def _info(path: Path, metadata: dict[str, str]) -> WeightsInfo:
    """What a file's metadata say; files from before `options`, `figures_step`, `detector`
    and the crops' margin were kept are read as well."""
    try:
        network: NetworkConfig = TypeAdapter(NetworkConfig).validate_json(metadata["network"])
        return WeightsInfo(
            network=network,
            command=metadata["command"],
            steps=int(metadata["steps"]),
            data=json.loads(metadata["data"]),
            figures=json.loads(metadata["figures"]),
            hand_model=HandModelId(metadata["hand_model"], metadata["hand_model_sha256"]),
            options=json.loads(metadata.get("options", "{}")),
            figures_step=json.loads(metadata.get("figures_step", "null")),
            detector=metadata.get("detector"),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            "weights.unknown_network", file=path, option=place, reason=first["msg"]
        ) from None
    except (KeyError, ValueError) as error:
        raise InputError("weights.incomplete", file=path, reason=str(error)) from error
