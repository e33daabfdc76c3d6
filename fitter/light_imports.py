"""Importing libraries and building networks without PyTorch's compiler.

    with without_compiler():
        import roma

RoMa and torchvision mark functions for `torch.compile` as they are imported, and PyTorch itself
when it fills tensors of the device "meta"; so they import the compiler (`torch._dynamo`), which
takes longer than all the rest. Nothing here is compiled by it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch


def _disable(
    function: Callable[..., Any] | None = None, *_: object, **__: object
) -> Callable[..., Any]:
    """`torch._dynamo.disable` where nothing is compiled."""
    return (lambda later: later) if function is None else function


_MARKS: dict[str, dict[str, Callable[..., Any]]] = {
    "torch._dynamo": {"disable": _disable},
    "torch._dynamo.utils": {"is_compile_supported": lambda device: False},
}
"""What is taken of the compiler meanwhile."""


class _Marks(ModuleType):
    """Stands in for a module of the compiler; what it lacks is taken from the module itself."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _remove()
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keep what is in the block from importing the compiler; afterwards it can be imported as
    ever. Does nothing where it is imported already."""
    if any(name in sys.modules for name in _MARKS):
        yield
        return
    for name, marks in _MARKS.items():
        module = _Marks(name)
        vars(module).update(marks)
        sys.modules[name] = module
    compiler = sys.modules["torch._dynamo"]
    vars(compiler)["utils"] = sys.modules["torch._dynamo.utils"]
    vars(torch)["_dynamo"] = compiler
    try:
        yield
    finally:
        _remove()


def _remove() -> None:
    for name in _MARKS:
        if isinstance(sys.modules.get(name), _Marks):
            del sys.modules[name]
    if isinstance(vars(torch).get("_dynamo"), _Marks):
        del vars(torch)["_dynamo"]
