"""What a training run says while it lasts."""

from __future__ import annotations

import io

from rich.console import Console

from fitter.run import progress
from init_net.training.progress_line import ProgressLine
from tests.support.training_cases import ToyTask, small_config


def test_a_file_is_told_how_long_it_takes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=200)
    plan = ToyTask(small_config()).plan
    with ProgressLine(console, plan) as line:
        line.entered(plan.stages[0])
        for step in range(5, 9):  # of 12, after the first four were done before
            now[0] += 5
            line.step(step, 0.125)
        line.validated(8, {"error": 2.0})
    assert console.file.getvalue().splitlines() == [
        "training: 7 of 12 steps, loss 0.125, 0.2 a second, about 25 s left",
        "step 8: error 2",
    ]
