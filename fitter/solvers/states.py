"""The states of B problems side by side, and what a solver does with them whatever they are.

A state is a tensor with the batch first, or a mapping or a dataclass of such states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

State = TypeVar("State")


def map_tensors(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the corresponding tensors of states that are built alike.

    Raises:
        TypeError: the states hold something that is neither a tensor nor a mapping nor a dataclass.
    """
    return _mapped(function, states)


def _mapped(function: Callable[..., Tensor], states: tuple[Any, ...]) -> Any:
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    if isinstance(first, Mapping):
        return {name: _mapped(function, tuple(state[name] for state in states)) for name in first}
    if is_dataclass(first) and not isinstance(first, type):
        parts = {
            field.name: _mapped(function, tuple(getattr(state, field.name) for state in states))
            for field in fields(first)
        }
        return replace(first, **parts)
    raise TypeError(f"a state is made of tensors, mappings and dataclasses, got {type(first)}")


def select(state: State, index: Tensor) -> State:
    """The rows at `index` (n,) of every tensor."""
    return map_tensors(lambda tensor: tensor[index], state)


def where(condition: Tensor, yes: State, no: State) -> State:
    """The rows of `yes` where `condition` (B,) is true, else those of `no`."""

    def choose(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(condition.view(-1, *[1] * (one.ndim - 1)), one, other)

    return map_tensors(choose, yes, no)


def put(whole: State, index: Tensor, part: State) -> State:
    """`whole` with the rows of `part` in the place of those at `index` (n,)."""
    return map_tensors(lambda tensor, rows: tensor.index_copy(0, index, rows), whole, part)
