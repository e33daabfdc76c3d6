"""The work of a run in pieces: cut from blocks, put together to blocks again.

block -> `cut` -> Batch -> a worker -> FittedBatch -> `Collector` -> rows of the block
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fitter.inputs.sources import Sources
from fitter.store.result_store import Block
from fitter.store.schema import ImageRow
from fitter.system.stopping import StopRequest


@dataclass(frozen=True)
class Batch:
    """Images `start` to `stop` (exclusive) of the block at place `block`: looked at and fitted
    together, because the last digits of a fit may depend on what is in its batch."""

    block: int
    start: int
    stop: int


def cut(block: Block, length: int) -> list[Batch]:
    """A block in pieces of `length` images, the last one shorter where it has to be."""
    starts = range(block.start, block.stop, length)
    return [Batch(block.index, start, min(start + length, block.stop)) for start in starts]


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        sources: all pictures of the store, and what is known about them.
        blocks: to be done, in order.
        length: images per piece.
    """

    sources: Sources
    blocks: Sequence[Block]
    length: int

    def parts(self, stop: StopRequest) -> Iterator[Sources]:
        """The pictures of each piece, in order; up to the end of a block once a stop is asked."""
        for block in self.blocks:
            if stop.asked:
                return
            for piece in cut(block, self.length):
                yield self.part(piece)

    def block_of(self, place: int) -> Block:
        """The block in which the picture at `place` is."""
        return self.blocks[bisect_right(self.blocks, place, key=lambda b: b.start) - 1]

    def part(self, piece: Batch) -> Sources:
        """The pictures of a piece."""
        return self.sources.part(piece.start, self.sources.names[piece.start : piece.stop])


@dataclass(frozen=True)
class FittedBatch:
    """What became of the pictures of a piece.

    Attributes:
        start: place of the first of them.
        names: of the pictures.
        rows: of the pictures.
        masks: pictures that had a mask.
        undrawn: (name, reason) of every overlay that could not be drawn.
        lost: times that a process that looks at pictures was lost.
    """

    start: int
    names: list[str]
    rows: list[ImageRow]
    masks: int
    undrawn: list[tuple[str, str]] = field(default_factory=list)
    lost: int = 0


class Collector:
    """Puts pieces together to blocks, in whatever order they come."""

    def __init__(self, plan: Plan) -> None:
        """The plan of whose blocks pieces will come."""
        self._plan = plan
        self._found: dict[Block, dict[int, FittedBatch]] = {}

    @property
    def is_between(self) -> bool:
        """Whether no block has been begun and not completed."""
        return not self._found

    def add(self, done: FittedBatch) -> tuple[Block, list[FittedBatch]] | None:
        """Take a piece.

        Returns:
            Its block, and all the block's pieces in order, if this was the last one; else None.
        """
        block = self._plan.block_of(done.start)
        found = self._found.setdefault(block, {})
        found[done.start] = done
        if sum(len(piece.rows) for piece in found.values()) < len(block):
            return None
        del self._found[block]
        return block, [found[start] for start in sorted(found)]
