"""The pieces of a run by their numbers, for workers that take them in any order and may die."""

from __future__ import annotations

from fitter.sources import Sources
from fitter.work import Plan, cut


class Feeder:
    """Knows the pieces of a run by their numbers, and counts how often each is begun to be fitted.

    Pieces are numbered in the order of the blocks, of which only the last may be shorter.
    """

    def __init__(self, plan: Plan) -> None:
        """What there is to be done."""
        self._plan = plan
        self._per_block = -(-len(plan.blocks[0]) // plan.length)
        self._fitted: dict[int, int] = {}
        self._begun: set[int] = set()
        self._stopped = False

    def part(self, number: int) -> Sources | None:
        """The pictures of the piece of this number; None if it is not to be done any more."""
        block, place = divmod(number, self._per_block)
        if self._stopped and block not in self._begun:
            return None
        self._begun.add(block)
        return self._plan.part(cut(self._plan.blocks[block], self._plan.length)[place])

    def begin(self, number: int) -> int:
        """The piece of this number is going to be fitted; the how many-th time."""
        times = self._fitted[number] = self._fitted.get(number, 0) + 1
        return times

    def end(self, number: int) -> None:
        """The piece of this number needs not be counted any longer."""
        self._fitted.pop(number, None)

    def stop(self) -> list[int]:
        """Begin no further block; the places, among those of the plan, of those begun."""
        self._stopped = True
        return sorted(self._begun)
