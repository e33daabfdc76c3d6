"""Shapes are checked where data enters: names of axes are bound where they are met first.

    check_shapes(points=(points, ("B", "N", 3)), K=(K, ("B", 3, 3)))

A check takes about two microseconds. The error names the tensor, what was expected and what was
found. (jaxtyping with beartype says the same in annotations; it takes 24 microseconds a call of
two tensors, as long as a third of a projection, and imports JAX wherever that is installed.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Pattern = tuple[int | str, ...]
"""Expected sizes; a name stands for a size that has to be the same wherever the name stands."""


def check_shapes(**expected: tuple[Any, Pattern]) -> dict[str, int]:
    """Check the shapes of tensors or arrays.

    Args:
        expected: by the tensor's name, the tensor and its `Pattern`.

    Returns:
        The sizes that the names stand for.

    Raises:
        ValueError: a shape is another one, such as "K: expected shape (8, 3, 3), found (7, 3, 3)".
            A name whose size is not known yet stands for itself: "(B, N, 3)".
    """
    sizes: dict[str, int] = {}
    for name, (tensor, pattern) in expected.items():
        found = tuple(tensor.shape)
        wanted = filled(pattern, found, sizes)
        if wanted != found:
            raise ValueError(f"{name}: expected shape {_written(wanted)}, found {_written(found)}")
    return sizes


def filled(pattern: Pattern, shape: Sequence[int], sizes: dict[str, int]) -> Pattern:
    """Replace the names in a pattern by sizes; a name met first takes the size found in `shape`.

    Args:
        pattern: what is expected.
        shape: what is found. With another number of axes no name is bound.
        sizes: what the names stand for; names met first are added.
    """
    if len(pattern) == len(shape):
        for name, size in zip(pattern, shape, strict=True):
            if isinstance(name, str):
                sizes.setdefault(name, size)
    return tuple(sizes.get(size, size) if isinstance(size, str) else size for size in pattern)


def _written(shape: Pattern) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
