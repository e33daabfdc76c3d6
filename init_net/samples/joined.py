"""Several data sets of rendered samples, read as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from fitter.errors import InputError
from init_net.samples.shards import ShardedSamples


class JoinedSamples(ShardedSamples):
    """Samples of several folders, one set after the other, numbered through.

    Where one set has more shape coefficients than another, because it shows children, the others'
    are 0.
    """

    def __init__(self, sets: Sequence[ShardedSamples]) -> None:
        """Join sets.

        Args:
            sets: at least one, of images of one size.

        Raises:
            InputError: images are of several sizes.
        """
        self.folder, self.size = sets[0].folder, sets[0].size
        for other in sets:
            if other.size != self.size:
                raise InputError(
                    "samples.other_option",
                    file=other.folder,
                    option="size",
                    expected=self.size,
                    found=other.size,
                )
        self._sets = list(sets)
        self._starts = np.cumsum([0, *(len(part) for part in sets)])
        self._shapes = max(part.column("betas").shape[1] for part in sets)

    @property
    def sets(self) -> Sequence[ShardedSamples]:
        """See `ShardedSamples.sets`."""
        return self._sets

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, indices: Iterable[int], names: Sequence[str]) -> dict[str, np.ndarray]:
        """See `ShardedSamples.read`."""
        wanted = np.array([int(i) for i in indices], np.int64)
        owner = np.searchsorted(self._starts, wanted, side="right") - 1
        rows: dict[str, np.ndarray] = {}
        for number in np.unique(owner).tolist():
            at = np.flatnonzero(owner == number)
            found = self._sets[number].read(wanted[at] - self._starts[number], names)
            for name, values in found.items():
                values = self._padded(name, values)
                if name not in rows:
                    rows[name] = np.empty((len(wanted), *values.shape[1:]), values.dtype)
                rows[name][at] = values
        return rows

    def column(self, name: str) -> np.ndarray:
        """See `ShardedSamples.column`."""
        return np.concatenate([self._padded(name, part.column(name)) for part in self._sets])

    def _padded(self, name: str, values: np.ndarray) -> np.ndarray:
        if name != "betas":
            return values
        return np.pad(values, ((0, 0), (0, self._shapes - values.shape[1])))


def fitting_shapes(betas: Tensor, count: int) -> Tensor:
    """Shape coefficients (B, S) as a network of `count` of them is to say them, (B, count).

    Those of children that it has and the samples lack are 0. Those that it lacks are cut off: of a
    child it then learns how the hand differs from the mean child's, which is as adults differ from
    the mean adult's.
    """
    lacking = max(0, count - betas.shape[1])
    return torch.nn.functional.pad(betas[:, :count], (0, lacking))
