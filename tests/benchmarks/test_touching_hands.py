"""What the benchmark of touching hands keeps and counts."""

import json

import numpy as np
import pytest
import touching_hands_data
from measuring import BenchmarkError
from touching_hands import COLUMNS, _keep, _kept, batched, errors_in_std, figures
from touching_hands_data import RenderedPairs, SeenPair, TrueHand

ASKED = {"seed": 1, "set": [], "camera": "known"}


def row(penetration: float, status: str | None = "joint", **changes: object) -> dict:
    values = dict.fromkeys(COLUMNS, 1.0) | {"penetration": penetration}
    place = {"relative_place_xyz": [1.0, 2.0, -6.0], "relative_place_std": [1.0, 2.0, 3.0]}
    return {**values, **place, "swapped_fingers": 0, "status": status, **changes}


def pair(number: int, **changes: object) -> dict:
    told = {"kind": "palms", "found": [True, True], "phantoms": 0, "true_penetration": 0.1}
    return {"number": number, **told, **changes}


def test_means_are_over_pairs_of_which_both_hands_were_found() -> None:
    pairs = [
        pair(0, alone=row(8.0, None), together=row(1.0)),
        pair(1, alone=row(2.0, None), together=row(2.0, "alone"), taken_for_none=1),
        pair(2, found=[True, False]),
        pair(3, found=[False, False], phantoms=2),
    ]
    told = figures(pairs)
    counts = {name: told[name] for name in ("both_found", "one_missed", "both_missed", "phantoms")}
    assert counts == {"both_found": 2, "one_missed": 1, "both_missed": 1, "phantoms": 2}
    assert told["alone"]["penetration"]["mean"] == 5.0
    assert told["together"]["penetration"]["mean"] == 1.5
    assert told["fitted_together"] == 1 and told["taken_for_none"] == 1
    assert told["penetration_of_those"] == {"alone": 8.0, "together": 1.0}
    assert told["together"]["relative_depth"]["mean"] == 6.0


def test_errors_of_a_normal_distribution_are_one_deviation() -> None:
    std = np.array([1.0, 2.0, 5.0])
    errors = np.random.default_rng(0).normal(0, std, (20000, 3))
    rows = [
        {"relative_place_xyz": each.tolist(), "relative_place_std": std.tolist()} for each in errors
    ]
    assert errors_in_std(rows) == pytest.approx([1, 1, 1], abs=0.03)
    assert errors_in_std([{"relative_place_std": None}]) is None


def test_pairs_go_on_where_they_were_stopped_by_the_same_options_alone(tmp_path) -> None:
    path = tmp_path / "pairs.json"
    assert _kept(path, ASKED) == []
    _keep(path, ASKED, [pair(0), pair(1, found=[True, False])])
    assert [each["number"] for each in _kept(path, ASKED)] == [0, 1]
    assert json.loads(path.read_text())["figures"]["pairs"] == 2
    with pytest.raises(BenchmarkError):
        _kept(path, ASKED | {"seed": 2})
    assert [list(each) for each in batched(range(3, 8), 2)] == [[3, 4], [5, 6], [7]]


def test_a_kept_pair_is_read_and_not_made_again(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)

    def hand(side):
        return TrueHand(side, *(rng.normal(size=s) for s in ((16, 3), (21, 3), (9, 3), (21, 2))))

    pixels = rng.integers(0, 255, (4, 4, 3), np.uint8)
    made = SeenPair("palms", (hand("right"), hand("left")), pixels, np.eye(3))
    monkeypatch.setattr(touching_hands_data, "ImageDetector", lambda *_, **__: _NoDetector())
    source = RenderedPairs(7, None, True, tmp_path / "kept")
    monkeypatch.setattr(source, "_made", lambda number: made)
    assert source.seen(3) is made
    monkeypatch.setattr(source, "_made", None)
    read = source.seen(3)
    assert read.kind == "palms" and [one.side for one in read.hands] == ["right", "left"]
    np.testing.assert_array_equal(read.pixels, pixels)
    for one, other in zip(read.hands, made.hands, strict=True):
        for name in ("joints", "keypoints", "vertices", "positions"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


class _NoDetector:
    detector = None
