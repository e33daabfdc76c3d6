"""A part of a data set: its first samples, or its last, so that others can be validated on.

What counts is unique samples: those of equal keypoints are one, as the coloured versions of each
picture of FreiHAND are, and stay together.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

if TYPE_CHECKING:
    from init_net.samples.shards import ShardedSamples

Part = Annotated[
    str | None,
    Field(
        pattern=r"^(first|last) 0?\.[0-9]+$",
        description="'first 0.7' or 'last 0.3' of the unique samples; null for all. Versions of "
        "one sample, and all looks at it, are on one side",
    ),
]


def span(part: str | None) -> tuple[Decimal, Decimal]:
    """Where a part begins and ends, of 1."""
    if part is None:
        return Decimal(0), Decimal(1)
    side, share = part.split()
    # Exactly: the last 0.3 begins where the first 0.7 ends.
    return (Decimal(0), Decimal(share)) if side == "first" else (1 - Decimal(share), Decimal(1))


def overlap(one: str | None, other: str | None) -> bool:
    """Whether two parts of one data set have a sample in common."""
    first, second = sorted((span(one), span(other)))
    return second[0] < first[1]


def places(samples: ShardedSamples, part: str | None) -> np.ndarray:
    """The samples of a part (K,), in ascending order."""
    unique = unique_samples(samples)
    count = int(unique.max()) + 1
    low, high = (round(count * edge) for edge in span(part))
    return np.flatnonzero((unique >= low) & (unique < high))


def unique_samples(samples: ShardedSamples) -> np.ndarray:
    """(N,) number of the unique sample that each one is a version of, by first appearance."""
    values = np.concatenate(
        [
            samples.column(name).reshape(len(samples), -1)
            for name in ("keypoints_2d", "keypoints_3d")
        ],
        1,
    )
    rows = np.ascontiguousarray(values, np.float32).view(np.dtype((np.void, 4 * values.shape[1])))
    _, first, group = np.unique(rows[:, 0], return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first, kind="stable")] = np.arange(len(first))
    return order[group.reshape(-1)]
