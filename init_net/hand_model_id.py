"""Which hand model a network speaks of, and whether weights fit a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from fitter.errors import InputError
from fitter.hand_models.open_hand import load_open_hand


@dataclass(frozen=True)
class HandModelId:
    """Which hand model a network's joints, rotations and shape are of.

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


def current_hand_model() -> HandModelId:
    """The open hand that ships with the project."""
    data = load_open_hand()
    return HandModelId(data.name, data.sha256)


def require_hand_model(path: Path, found: HandModelId) -> None:
    """Refuse a file whose network speaks of another hand model than the one installed.

    Raises:
        InputError: it does.
    """
    current = current_hand_model()
    if found != current:
        raise InputError(f"{path}: expected a network for the hand model {current}, found {found}")


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
    kind = f"{path}: expected the weights of a {type(network).__name__} as its configuration says"
    for name in [*wanted, *(name for name in values if name not in wanted)]:
        if not isinstance(values.get(name), Tensor):
            raise InputError(f"{kind}, found none for {name!r}")
        if name not in wanted:
            raise InputError(f"{kind}, found some for {name!r}, which it does not have")
        if wanted[name].shape != values[name].shape:
            raise InputError(
                f"{kind}, with {name!r} of {_in_words(wanted[name].shape)}, found "
                f"{_in_words(values[name].shape)}"
            )
        if not torch.isfinite(values[name]).all():
            raise InputError(f"{path}: expected finite weights, found others in {name!r}")


def _in_words(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) or "one number"
