"""How a solver left a problem, such as a hand."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """How the solver left a problem."""

    CONVERGED = 0
    MAX_ITERATIONS = 1
    STALLED = 2
    DIVERGED = 3
