"""Which hand model a network speaks of, and whether weights fit a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from fitter.errors import InputError
from fitter.hand_models import HandModel, HandModelData, load_hand_model
from fitter.hand_models.open_hand import load_open_hand


@dataclass(frozen=True)
class HandModelId:
    """Which hand model a network's keypoints, rotations and shape are of.

    Attributes:
        name: of the model.
        sha256: hexadecimal digest of its files.
    """

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:12]})"

    @classmethod
    def of(cls, values: object) -> Self | None:
        """What `asdict` made of one, None for anything else."""
        names = [field.name for field in fields(cls)]
        if not isinstance(values, dict) or values.keys() != {*names}:
            return None
        return cls(**values) if all(isinstance(values[name], str) for name in names) else None


OPEN_HAND = "open_hand"
"""The hand model of all networks that name none."""


def network_hand_model(source: str = OPEN_HAND, betas: int = 0) -> HandModel:
    """The right hand that a network of `betas` shape coefficients speaks of, in float32 on the CPU.

    The open hand's first shape components are those of adults. Whoever says no more than these is
    not concerned by the files that describe children.

    Args:
        source: see `fitter.hand_models.load_hand_model`.
        betas: coefficients; a model with fewer is given as it is.

    Raises:
        InputError: see `load_hand_model`.
    """
    # Networks are also built without memory for their numbers; a hand is always one of numbers.
    with torch.device("cpu"):
        children = source == OPEN_HAND and betas > load_open_hand().shapedirs.shape[2]
        return load_hand_model(source, children=children)


def posed_by(network: object) -> tuple[int, str]:
    """What `current_hand_model` is asked of a network: its shape coefficients, and what it poses
    its hands with.

    Args:
        network: its configuration, or a mapping that such a one was stored as; what is not there is
            that of networks that do not say it.
    """
    stored = network if isinstance(network, Mapping) else None
    betas, source = (
        getattr(network, name, None) if stored is None else stored.get(name)
        for name in ("betas", "hand_model")
    )
    return betas if isinstance(betas, int) else 0, source if isinstance(source, str) else OPEN_HAND


def require_source(network: object) -> None:
    """Refuse a network to be trained whose hand model lies nowhere.

    Args:
        network: see `posed_by`.

    Raises:
        InputError: `training.no_hand_model`.
    """
    source = posed_by(network)[1]
    if source != OPEN_HAND and not Path(source).exists():
        raise InputError("training.no_hand_model", file=f"network.hand_model={source}")


def require_components(data: HandModelData, option: str, available: int, wanted: int) -> None:
    """Refuse a network with more coefficients than its hand model has components.

    Args:
        data: of the hand model.
        option: of the network, whose components they are.
        available: how many the model has.
        wanted: how many the network says.

    Raises:
        InputError: it does.
    """
    if wanted > available:
        raise InputError(
            "network.few_components",
            file=f"network.{option}",
            expected=available,
            hand_model=data.name,
            found=wanted,
        )


def current_hand_model(betas: int = 0, source: str = OPEN_HAND) -> HandModelId:
    """The hand model as it is here, as a network of `betas` coefficients knows it.

    Args:
        betas: shape coefficients of the network.
        source: what the network poses its hands with, see `network_hand_model`; that of a network
            that names none is the open hand, which ships with the project.

    Raises:
        InputError: see `network_hand_model`.
    """
    data = network_hand_model(source, betas).data
    return HandModelId(data.name, data.sha256)


def require_hand_model(
    path: Path, found: HandModelId, betas: int = 0, source: str = OPEN_HAND
) -> None:
    """Refuse a file whose network speaks of another hand model than the one that is here.

    Args:
        path: of the file.
        found: what it says.
        betas: shape coefficients of the network.
        source: what the network poses its hands with.

    Raises:
        InputError: it does, or there is no such model here.
    """
    if source != OPEN_HAND and not Path(source).exists():
        raise InputError("weights.no_hand_model", file=path, expected=found, found=source)
    current = current_hand_model(betas, source)
    if found != current:
        raise InputError("weights.other_hand_model", file=path, expected=current, found=found)


def require_fitting(path: Path, network: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of a network's architecture, or not finite.

    Args:
        path: of the file, for the message.
        network: that its configuration describes.
        values: name -> value, as in a `state_dict`.

    Raises:
        InputError: a tensor is missing, too many, of another shape, or not finite.
    """
    wanted = network.state_dict()
    kind = type(network).__name__
    for name in [*wanted, *(name for name in values if name not in wanted)]:
        where = {"file": path, "network": kind, "tensor": name}
        if not isinstance(values.get(name), Tensor):
            raise InputError("weights.no_tensor", **where)
        if name not in wanted:
            raise InputError("weights.extra_tensor", **where)
        shapes = (wanted[name].shape, values[name].shape)
        if shapes[0] != shapes[1]:
            expected, found = map(_in_words, shapes)
            raise InputError("weights.other_shape", **where, expected=expected, found=found)
        if not torch.isfinite(values[name]).all():
            raise InputError("weights.not_finite", **where)


def _in_words(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) or "one number"
