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


def current_hand_model(betas: int = 0) -> HandModelId:
    """The open hand that ships with the project, as a network of `betas` coefficients knows it.

    Its first shape components are those of adults. Whoever says no more than these is not concerned
    by the files that describe children.
    """
    data = load_open_hand()
    if betas > data.shapedirs.shape[2]:
        data = load_open_hand(children=True)
    return HandModelId(data.name, data.sha256)


def require_hand_model(path: Path, found: HandModelId, betas: int = 0) -> None:
    """Refuse a file whose network speaks of another hand model than the one installed.

    Args:
        path: of the file.
        found: what it says.
        betas: shape coefficients of the network.

    Raises:
        InputError: it does.
    """
    current = current_hand_model(betas)
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
