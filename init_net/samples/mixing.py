"""Which samples a training step learns from: several sources in stated shares.

A function of the seed and the step alone, so that a run that was stopped goes on with the batches
that it would have had. Every batch has its shares as nearly as whole samples allow, and every
source is gone through once in each of its passes, in a new order each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CYCLE = 1000
"""Samples after which shares are exact; a share counts to a thousandth."""

_ORDER = 2
"""Apart from what else a seed decides."""


class Mixture:
    """Items of several sources, drawn in shares."""

    def __init__(
        self, owner: np.ndarray, shares: Sequence[float | None], seed: int, stage: int = 0
    ) -> None:
        """Prepare the order.

        Args:
            owner: (N,) int64, the source of each item.
            shares: of each source in a batch; None for those that share what is left by their
                numbers of items.
            seed: of the run.
            stage: number of the stage, each of which has orders of its own.

        Raises:
            ValueError: shares add up to more than 1, or to less with no source for the rest, or a
                source with a share has no item.
        """
        # The first stage is what runs without stages have.
        self._seed = [seed, _ORDER], [stage] if stage else []
        wanted = np.array([np.nan if share is None else share for share in shares])
        rest = np.flatnonzero(np.isnan(wanted))
        groups = [*([rest] if len(rest) else []), *np.flatnonzero(wanted > 0)[:, None]]
        left = 1 - np.nansum(wanted)
        parts = [*([left] if len(rest) else []), *wanted[wanted > 0]]
        if left < -1e-9 or (not len(rest) and abs(left) > 1e-9):
            raise ValueError(f"expected shares that add up to 1, got {shares}")
        members = [np.flatnonzero(np.isin(owner, group)) for group in groups]
        counts = _whole(np.array(parts), CYCLE)
        if any(count and not len(member) for count, member in zip(counts, members, strict=True)):
            raise ValueError(f"a source with a share has no item: {shares}")
        kept = np.flatnonzero(counts)
        self._members = [members[group] for group in kept]
        self._counts = counts[kept]
        # The k-th of a source's c places lies at (k + 1/2) / c of the cycle: evenly spread.
        at = np.concatenate([(np.arange(count) + 0.5) / count for count in self._counts])
        turn = np.repeat(np.arange(len(kept)), self._counts)
        self._turns = turn[np.argsort(at, kind="stable")]
        self._ranks = np.zeros(CYCLE, np.int64)
        for group, count in enumerate(self._counts):
            self._ranks[self._turns == group] = np.arange(count)

    def chosen(self, step: int, size: int) -> np.ndarray:
        """(size,) items of a step's batch.

        Args:
            step: of the stage, from 0 on.
            size: of every batch.
        """
        cycle, place = np.divmod(step * size + np.arange(size), CYCLE)
        group = self._turns[place]
        number = cycle * self._counts[group] + self._ranks[place]
        found = np.empty(size, np.int64)
        for k, member in enumerate(self._members):
            at = np.flatnonzero(group == k)
            passes, rank = np.divmod(number[at], len(member))
            for one in np.unique(passes).tolist():
                now = passes == one
                found[at[now]] = member[self._order(k, one)[rank[now]]]
        return found

    def _order(self, group: int, number: int) -> np.ndarray:
        """Of a source's items in one of its passes."""
        before, after = self._seed
        seed = [*before, number, group, *after]
        return np.random.default_rng(seed).permutation(len(self._members[group]))


def _whole(parts: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers nearest to `parts` of `total` that add up to it."""
    edges = np.rint(np.cumsum(parts) * total).astype(np.int64)
    edges[-1] = total
    return np.diff(edges, prepend=0)
