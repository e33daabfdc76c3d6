"""What a training run shows while it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fitter.run import progress
from fitter.run.progress import say
from init_net.training.plan import Plan, Stage

_FIRST = 10.0
"""Seconds of steps after which a file is told how long all of them may take."""


class ProgressLine:
    """Steps done, loss and remaining time, elsewhere than on a terminal a line a minute; and
    validations."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console, self._plan = console, plan
        self._line = progress.ProgressLine(console, "training", plan.steps, None, "steps", _FIRST)

    def step(self, done: int, loss: float) -> None:
        """Bring the line up to date; the rate is that of the steps after the first of this run."""
        self._line.show(done, f"loss {loss:.4g}")

    def entered(self, stage: Stage) -> None:
        """Print a line about a stage that begins or goes on."""
        if not self._plan.is_staged:
            return
        self._line.title = f"training {stage.name}"
        count = len(self._plan.stages)
        say(
            self._console,
            f"stage {stage.name} ({stage.number + 1} of {count}): up to step {stage.end} of "
            f"{self._plan.steps}",
        )

    def validated(self, done: int, figures: Mapping[str, float]) -> None:
        """Print a line above the progress."""
        shown = ", ".join(f"{name} {value:.5g}" for name, value in figures.items())
        say(self._console, f"step {done}: {shown}")

    def __enter__(self) -> ProgressLine:
        self._line.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._line.__exit__(*details)
