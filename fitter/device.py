"""The device that computes."""

from __future__ import annotations

import torch

from fitter.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device that `--device` asks for.

    Raises:
        InputError: there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device {name!r}: expected a CUDA GPU that this PyTorch can use, found none; "
            "use --device cpu"
        )
    return torch.device(name)
