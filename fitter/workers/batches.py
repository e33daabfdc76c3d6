"""The work of a run in batches: split from blocks, put together to blocks again.

block -> `split` -> Batch -> tasks -> a worker -> FittedBatch -> `Collector` -> rows of a block
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fitter.config.options import Config
from fitter.inputs.frame_sources import RunSources, Task
from fitter.store.layout import Block
from fitter.store.row_kinds import Row
from fitter.system.stopping import StopRequest

Seen = Callable[[float], None]
"""Told whenever an image has been looked at, from any thread: which share of its row it is, of a
frame's image less than 1."""


@dataclass(frozen=True)
class Batch:
    """Images or frames `start` to `stop` (exclusive) of the block at place `block`: detected and
    fitted together, because the last digits of a fit may depend on what is in its batch."""

    block: int
    start: int
    stop: int


def batch_length(config: Config, views: int) -> int:
    """Images or frames of a batch, which has about `run.batch_size` images.

    Args:
        config: of the run.
        views: cameras of each frame; 1 for images.
    """
    return max(1, config.run.batch_size // views)


def split(block: Block, length: int) -> list[Batch]:
    """A block in batches of `length` rows, the last one shorter where it has to be."""
    starts = range(block.start, block.stop, length)
    return [Batch(block.index, start, min(start + length, block.stop)) for start in starts]


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        sources: all images or frames of the store, and what is known about them.
        blocks: to be done, in order.
        length: images or frames per batch.
    """

    sources: RunSources
    blocks: Sequence[Block]
    length: int

    def batches(self, stop: StopRequest) -> Iterator[list[Task]]:
        """What is in each batch, in order; up to the end of a block once a stop is asked."""
        for block in self.blocks:
            if stop.asked:
                return
            for batch in split(block, self.length):
                yield self.tasks(batch)

    def block_of(self, place: int) -> Block:
        """The block in which the row at `place` is."""
        return self.blocks[bisect_right(self.blocks, place, key=lambda b: b.start) - 1]

    def tasks(self, batch: Batch) -> list[Task]:
        """The images or frames of a batch, at least one."""
        return [*self.sources.tasks(batch.start, batch.stop)]


@dataclass(frozen=True)
class FittedBatch:
    """What became of the images or frames of a batch.

    Attributes:
        start: place of the first of them in the whole listing.
        names: of the images or frames.
        rows: of the same.
        masks: images that had a mask.
        unrendered: (name, reason) of every overlay that could not be rendered.
        lost: times that a process that detects or renders was lost.
        codes: of the errors of images that failed, by their names; of frames none.
        objects: images of which known objects were given.
    """

    start: int
    names: list[str]
    rows: list[Row]
    masks: int
    unrendered: list[tuple[str, str]] = field(default_factory=list)
    lost: int = 0
    codes: Mapping[str, str] = field(default_factory=dict)
    objects: int = 0


class Collector:
    """Puts batches together to blocks, in whatever order they come."""

    def __init__(self, plan: Plan) -> None:
        """The plan of whose blocks batches will come."""
        self._plan = plan
        self._found: dict[Block, dict[int, FittedBatch]] = {}

    @property
    def is_between(self) -> bool:
        """Whether no block has been begun and not completed."""
        return not self._found

    def add(self, done: FittedBatch) -> tuple[Block, list[FittedBatch]] | None:
        """Take a batch.

        Returns:
            Its block, and all the block's batches in order, if this was the last one; else None.
        """
        block = self._plan.block_of(done.start)
        found = self._found.setdefault(block, {})
        found[done.start] = done
        if sum(len(batch.rows) for batch in found.values()) < len(block):
            return None
        del self._found[block]
        return block, [found[start] for start in sorted(found)]
