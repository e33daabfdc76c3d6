"""The device that computes."""

from __future__ import annotations

import torch

from fitter.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device that `--device` asks for.

    Args:
        name: "auto" (a CUDA GPU if there is one, else the CPU) or a device of PyTorch.

    Raises:
        InputError: there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("device.missing", file=f"device {name!r}")
    return torch.device(name)
