"""Numba's home: how kernels are compiled, and run for every image of a batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba


def compile_kernel(function: Callable) -> Callable:
    """Numba's nopython compiler, keeping the machine code on disk where a place can be written."""
    return _compile(function, fastmath=False)


def compile_sum(function: Callable) -> Callable:
    """The same for a function that sums up what others compute, in any order of the terms."""
    return _compile(function, fastmath={"reassoc", "nsz"})


def _compile(function: Callable, fastmath: bool | set[str]) -> Callable:
    # Division as IEEE 754 has it: raising instead costs a branch, and no loop with one is turned
    # into vector instructions.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache can files be written
        return numba.njit(**options)(function)


def for_each_image(work: Callable[[int], Any], count: int) -> list[Any]:
    """Results of ``work(index)`` below `count`, on as many threads as PyTorch is told to use."""
    import torch  # not by processes that read pictures alone: it takes 600 MB

    threads = min(count, torch.get_num_threads())
    if threads <= 1:
        return [work(index) for index in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(count)))
