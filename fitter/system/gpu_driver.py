"""Whether this machine can have a GPU, without loading PyTorch."""

from __future__ import annotations

import ctypes


def has_gpu_driver() -> bool:
    """Whether the library of NVIDIA's driver, which PyTorch computes through, is installed."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
