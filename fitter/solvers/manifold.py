"""The spaces that states live in, as far as a solver has to know them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Protocol, TypeVar

from torch import Tensor

Point = TypeVar("Point")


class Manifold(Protocol[Point]):
    """A space in which a step is a vector of D numbers, such as that of a hand's rotations.

    The hand's is `fitter.hand_models.tangent.HandManifold`. D is what the problem's gradient has.
    """

    def retract(self, state: Point, step: Tensor) -> Point:
        """Move B states along B steps (B, D)."""
        ...

    def shortened(self, step: Tensor) -> Tensor:
        """The same B steps (B, D), each as long as may be tried at once."""
        ...


@dataclass(frozen=True)
class Euclidean:
    """Vectors that a step is added to; a state is one tensor (B, D).

    Attributes:
        max_step: length of the longest step, in the unit of the state.
    """

    max_step: float = inf

    def retract(self, state: Tensor, step: Tensor) -> Tensor:
        """The sum."""
        return state + step

    def shortened(self, step: Tensor) -> Tensor:
        """Steps no longer than `max_step`, their directions kept."""
        if self.max_step == inf:
            return step
        length = step.norm(dim=-1, keepdim=True)
        return step * (self.max_step / length.clamp_min(self.max_step))
