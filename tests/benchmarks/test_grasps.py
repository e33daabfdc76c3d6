"""What the benchmark of grasps keeps and counts."""

import json
from dataclasses import asdict

import pytest
from grasps import ARMS, Measured, read, run, summary


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


def test_what_known_objects_gain_is_how_much_nearer_hands_come() -> None:
    """Means, medians and shares of three hands, two of which come nearer."""
    before, after = (40.0, 30.0, 20.0), (10.0, 20.0, 50.0)
    lines = [
        line(name, arm, raw=raw)
        for arm, values in zip(ARMS, (before, after), strict=True)
        for name, raw in zip("abc", values, strict=True)
    ]
    found = summary([*lines, line("alone", ARMS[0])])["known"]
    assert found["raw"] == pytest.approx(80 / 3) and found["raw, median"] == 20
    assert found["nearer"] == pytest.approx(10 / 3)
    assert found["nearer, share"] == pytest.approx(2 / 3)


def test_what_is_measured_is_not_measured_again(tmp_path) -> None:
    asked = []

    class Images:
        names = ("a", "b")

        def __len__(self) -> int:
            return 2

    class Fits:
        images = Images()

        def measured(self, place, left):
            asked.append((place, *left))
            yield from (line("ab"[place], arm) for arm in left)

    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(asdict(line(*one))) + "\n" for one in [("a", ARMS[0])]))
    lines = run(Fits(), path, 5)
    assert asked == [(0, ARMS[1]), (1, *ARMS)]
    assert {(one.name, one.arm) for one in lines} == {(n, arm) for n in "ab" for arm in ARMS}
    assert [(one.name, one.arm) for one in read(path)] == [(one.name, one.arm) for one in lines]
