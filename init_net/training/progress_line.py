"""What a training run shows while it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fitter.run.progress import NowAndThen, say
from init_net.training.plan import Plan, Stage

_FIRST = 10.0
"""Seconds of steps after which a file is told how long all of them may take."""


class ProgressLine:
    """Steps done, loss and remaining time, elsewhere than on a terminal a line a minute; and
    validations."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("training {task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=console.quiet or not console.is_terminal,
            speed_estimate_period=300,
        )
        self._plan, self._stage = plan, ""
        self._task: TaskID | None = None
        self._lines: NowAndThen | None = None

    def step(self, done: int, loss: float) -> None:
        """Bring the line up to date."""
        if self._task is None:  # so that the rate is that of this part of the run
            self._task = self._progress.add_task(
                "", total=self._plan.steps, completed=done - 1, loss="", stage=""
            )
            self._lines = NowAndThen(
                self._console, "training", self._plan.steps, done - 1, "steps", _FIRST
            )
        self._progress.update(self._task, completed=done, loss=f"{loss:.4g}", stage=self._stage)
        if self._lines is not None:
            self._lines.show(done, f"loss {loss:.4g}")

    def entered(self, stage: Stage) -> None:
        """Print a line about a stage that begins or goes on."""
        if not self._plan.is_staged:
            return
        self._stage = stage.name
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
        self._progress.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._progress.__exit__(*details)
