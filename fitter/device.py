"""The device that computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, whose number shows in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
