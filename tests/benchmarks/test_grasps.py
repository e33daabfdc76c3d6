"""What the benchmark of grasps keeps and counts."""

import json
from dataclasses import asdict

import pytest
from grasps import ARMS, Measured, read, summary


def line(name: str, arm: str, **figures: float) -> Measured:
    return Measured(name, arm, **{"found": True, "depth": 1.0, **figures})


def test_a_line_that_broke_off_is_measured_again(tmp_path) -> None:
    lines = [line("a", arm) for arm in ARMS]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in lines)[:-20])
    assert [(one.name, one.arm) for one in read(path)] == [("a", ARMS[0])]
    assert read(tmp_path / "none.jsonl") == []


def test_means_are_over_the_hands_that_both_arms_found() -> None:
    lines = [
        line("a", "unknown", depth=8.0, precision=0.5),
        line("a", "known", depth=0.5),
        line("b", "unknown", depth=100.0),
        line("b", "known", found=False),
    ]
    found = summary(lines)
    assert found["unknown"]["found"] == 2 and found["known"]["found"] == 1
    assert found["unknown"]["M-PD"] == 8.0 and found["known"]["M-PD"] == 0.5
    assert found["unknown"]["deep share"] == 1.0 and found["known"]["deep share"] == 0.0
    assert found["unknown"]["over 5 mm"] == 1 and found["unknown"]["over 10 mm"] == 0
    assert found["unknown"]["touching"] == 1 and found["unknown"]["precision"] == pytest.approx(0.5)
