"""What a run says of itself while it lasts, on a terminal and where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fitter.run import progress
from fitter.run.progress import NowAndThen, ProgressLine, duration
from fitter.run.watching import Watched
from fitter.store.schema import HandRow, ImageRow


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
    with ProgressLine(out, "fitting", 200, 20, "frames") as line:
        clock.now += 30
        line.show(30, "8 hands, 1 failed")
        clock.now += 90
        line.show(80, "50 hands, 2 failed")
    (line,) = told(out)
    assert line == "fitting: 80 of 200 frames, 50 hands, 2 failed, 0.5 a second, about 4 min left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")],
)
def test_times_in_words(seconds, said):
    assert duration(seconds) == said


def terminal(width) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def drawn(given: Console) -> str:
    """The line as it stands at the end."""
    text = given.file.getvalue().replace("\x1b[2K", "").replace("\r", "\n")
    return [line for line in text.split("\n") if line.strip() and "\x1b" not in line][-1]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    ("title", "total", "done"),
    [("fitting", 1000, 64.5), ("fitting, pass 2 of 2", 20, 3), ("fitting", 9_999_999, 123_456)],
)
def test_count_rate_and_time_left_are_whole_at_every_width(clock, width, title, total, done):
    out = terminal(width)
    with ProgressLine(out, title, total) as line:
        clock.now += 40
        line.show(done, "123456 hands, 2345 failed")
    shown = drawn(out)
    rate = done / 40
    assert len(shown) < width
    told = f"{int(done)}/{total} images, {rate:.3g}/s, {duration((total - done) / rate)} left"
    assert shown.startswith(title) and told in shown
    assert ("2345 failed" in shown) == (len(title) + len(told) + 27 + 6 + 3 <= width)


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_is_as_full_as_the_work_is_done(width):
    out = terminal(width)
    with ProgressLine(out, "fitting", 100) as line:
        line.show(25)
        quarter = line.text(width).plain
        line.show(100)
    whole = line.text(width)
    bar = quarter.count("\u2501")
    assert bar >= 6 and whole.plain.count("\u2501") == bar
    (full,) = [span.end - span.start for span in whole.spans if span.style == "bar.complete"]
    assert full == bar


def test_nothing_is_left_when_all_is_done(clock):
    line = ProgressLine(terminal(80), "fitting", 10)
    clock.now += 5
    line.show(10, "9 hands, 1 failed")
    assert "10/10 images, 2/s, 9 hands" in line.text(80).plain
    assert "left" not in line.text(80).plain


def test_no_escape_reaches_a_file_or_a_terminal_that_cannot_redraw(clock, monkeypatch):
    dumb = terminal(80)
    monkeypatch.setattr(type(dumb), "is_dumb_terminal", property(lambda self: True))
    for out in (console(), dumb):
        with ProgressLine(out, "fitting", 100) as line:
            clock.now += 61
            line.show(10)
        assert told(out) == ["fitting: 10 of 100 images, 0.164 a second, about 9 min left"]


def test_the_line_of_a_run_moves_with_every_image(clock):
    """Although images are fitted in batches: finding its hands is half of an image's work."""
    rows = [
        ImageRow(image_status="ok", hands=(HandRow(valid=True, side="left"),)),
        ImageRow(image_status="failed"),
    ]
    line = ProgressLine(terminal(120), "fitting", 12, 2)
    watched = Watched(line, 12, 2)
    shown = []

    def look():
        clock.now += 1
        shown.append(line.text(120).plain.split("/12")[0].split()[-1])

    for step in (watched.seen, watched.seen, watched.seen, watched.seen):
        step(1.0)
        look()
    watched.fitted(rows * 2)
    look()
    assert shown == ["2", "3", "3", "4", "6"]
    assert "2 hands, 2 failed" in line.text(120).plain
    watched.fitted(rows * 3)  # of which nobody has said that they were seen, as by Ray
    assert "12/12 images" in line.text(120).plain


def test_images_that_a_pass_leaves_out_are_no_work(clock):
    line = ProgressLine(terminal(120), "pass 1 of 2", 40)
    watched = Watched(line, 40, 0)
    left_out = [ImageRow(image_status="no_hand")] * 20
    read = [ImageRow(image_status="no_hand", image_width=4, image_height=4)] * 5
    for _ in (*left_out, *read):
        watched.seen(1.0)
    clock.now += 5
    watched.fitted(left_out + read)
    assert "5/20 images, 1/s, 15 s left" in line.text(120).plain
    watched.fitted(left_out[:5] + read * 2)  # as by Ray
    assert "15/15 images" in line.text(120).plain
