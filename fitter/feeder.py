"""The pieces of a run by their numbers, for workers that take them in any order and may die."""

from __future__ import annotations

from dataclasses import dataclass

from fitter.sources import Sources
from fitter.work import Plan, cut


@dataclass(frozen=True)
class Task:
    """What the feeder says of a piece.

    Attributes:
        sources: its pictures, or None for a piece that is not to be done any more.
        times: how often it has been begun, this time included.
    """

    sources: Sources | None
    times: int = 1


class Feeder:
    """Knows the pieces of a run, hands them out by their numbers and counts how often.

    Pieces are numbered in the order of the blocks, of which only the last may be shorter.
    """

    def __init__(self, plan: Plan) -> None:
        """What there is to be done."""
        self._plan = plan
        self._per_block = -(-len(plan.blocks[0]) // plan.length)
        self._asked: dict[int, int] = {}
        self._begun: set[int] = set()
        self._stopped = False

    def task(self, number: int) -> Task:
        """The piece of this number, to be done now."""
        block, place = divmod(number, self._per_block)
        if self._stopped and block not in self._begun:
            return Task(None)
        self._begun.add(block)
        times = self._asked[number] = self._asked.get(number, 0) + 1
        piece = cut(self._plan.blocks[block], self._plan.length)[place]
        return Task(self._plan.part(piece), times)

    def done(self, number: int) -> None:
        """The piece of this number needs not be counted any longer."""
        self._asked.pop(number, None)

    def stop(self) -> list[int]:
        """Begin no further block; the places, among those of the plan, of those begun."""
        self._stopped = True
        return sorted(self._begun)
