"""What a run says of itself where its output is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fitter.run import progress
from fitter.run.progress import NowAndThen, ProgressLine, duration


class Clock:
    """A clock that is set."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def console(**options) -> Console:
    return Console(file=io.StringIO(), width=200, **options)


def told(given: Console) -> list[str]:
    return given.file.getvalue().splitlines()


def test_a_file_gets_a_line_soon_and_one_a_minute(clock):
    out = console()
    lines = NowAndThen(out, "training", 1000, 100, "steps", first=10)
    for second in range(1, 131):  # two steps a second
        clock.now = 1000 + second
        lines.show(100 + 2 * second, f"loss {second}")
    assert told(out) == [
        "training: 120 of 1000 steps, loss 10, 2 a second, about 7 min left",
        "training: 240 of 1000 steps, loss 70, 2 a second, about 6 min left",
        "training: 360 of 1000 steps, loss 130, 2 a second, about 5 min left",
    ]


def test_what_was_there_before_took_no_time(clock):
    """Work that goes on tells that first."""
    out = console()
    lines = NowAndThen(out, "making", 10_000, None, "samples")
    clock.now += 30  # before it begins
    lines.show(9000)
    for second in range(1, 121):  # two samples a second
        clock.now += 1
        lines.show(9000 + 2 * second)
    assert told(out) == [
        "making: 9120 of 10000 samples, 2 a second, about 7 min left",
        "making: 9240 of 10000 samples, 2 a second, about 6 min left",
    ]


def test_nothing_is_said_of_what_is_over_or_has_not_begun(clock):
    out = console()
    lines = NowAndThen(out, "making", 50, unit="samples")
    clock.now += 3600
    lines.show(0)
    lines.show(50)
    assert told(out) == []


@pytest.mark.parametrize("options", [{"quiet": True}, {"force_terminal": True}])
def test_neither_on_a_terminal_nor_where_silence_is_asked_for(clock, options):
    out = console(**options)
    lines = NowAndThen(out, "making", 50)
    clock.now += 3600
    lines.show(20)
    assert told(out) == []


def test_a_fit_says_what_the_line_of_a_terminal_has(clock):
    out = console()
    with ProgressLine(out, 200, 20, "fitting", "frame") as line:
        clock.now += 30
        line.show(10, 8, 1)
        clock.now += 90
        line.show(60, 50, 2)
    (line,) = told(out)
    assert line == "fitting: 80 of 200 frames, 50 hands, 2 failed, 0.5 a second, about 4 min left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")],
)
def test_times_in_words(seconds, said):
    assert duration(seconds) == said
