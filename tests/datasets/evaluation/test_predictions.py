"""Predictions of any tool, scored by the same code as a store."""

import json

import numpy as np
import pytest

from datasets.annotations import Annotation
from datasets.evaluation import evaluate, freihand_evaluation, open_estimates, paper_table
from fitter.metrics import freihand_scores
from tests.support.annotated import InMemoryImages, K, annotated_hand, one_hand_images, project
from tests.support.errors import raises
from tests.support.scored_stores import ok, row_of, write_store

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(0, 0.04, (5, 21, 3)) + [0, 0, 0.6]
FOUND = (TRUTH + RNG.normal(0, 0.01, TRUTH.shape)).astype(np.float32).astype(float)


@pytest.fixture
def images():
    return one_hand_images(TRUTH)


def written(folder, document):
    file = folder / "pred.json"
    file.write_text(json.dumps(document))
    return file


def figures(file, images):
    return evaluate(open_estimates(file, images), images).whole.figures


def test_every_form_gives_the_figures_of_a_store(tmp_path, images):
    names = [f"rgb/{i:08d}.jpg" for i in range(5)]
    rows = {name: ok(row_of(hand)) for name, hand in zip(names, FOUND, strict=True)}
    stored = figures(write_store(tmp_path / "r.zarr", rows), images)
    lists = FOUND.tolist()
    for document in (
        [lists, []],
        [lists],
        dict(zip(names, ({"xyz": hand} for hand in lists), strict=True)),
        {name: [{"xyz": hand, "side": "right"}] for name, hand in zip(names, lists, strict=True)},
    ):
        found = figures(written(tmp_path, document), images)
        assert set(found) == set(stored)
        for key, value in found.items():
            assert value == pytest.approx(stored[key], rel=1e-4), key


def test_somebody_is_told_how_far_it_is(tmp_path, images):
    told = []
    found = open_estimates(written(tmp_path, [FOUND.tolist()]), images)
    evaluate(found, images, told=told.append)
    assert told[-1] == len(images) and told == sorted(told)


def test_images_without_a_hand_are_lost(tmp_path, images):
    hands = [None, *FOUND[1:].tolist()]
    whole = evaluate(
        open_estimates(written(tmp_path, [hands]), images), images, label="theirs"
    ).whole
    assert (whole.found, whole.lost) == (4, {"no_hand": 1})
    by_name = {"00000001.jpg": {"xyz": FOUND[1].tolist()}, "00000002.jpg": []}
    whole = evaluate(open_estimates(written(tmp_path, by_name), images), images).whole
    assert (whole.found, whole.lost) == (1, {"absent": 3, "no_hand": 1})


def test_marks_sides_and_scores_are_used(tmp_path):
    left = TRUTH[0] + [-0.2, 0, 0]
    annotated = Annotation("a.jpg", K, (annotated_hand(left, "left"), annotated_hand(TRUTH[0])))
    images = InMemoryImages([annotated])
    # Both predicted relative to the wrist: only the marks and sides tell where they are.
    hands = [
        {"xyz": (points - points[0]).tolist(), "side": side, "uv": (project(points) + 2).tolist()}
        for points, side in ((TRUTH[0], "right"), (left, "left"))
    ]
    found = evaluate(open_estimates(written(tmp_path, {"a.jpg": hands}), images), images)
    assert found.match == "place" and found.whole.found == 2
    assert found.whole.figures["kp2d_px"] == pytest.approx(2 * 2**0.5)
    assert found.whole.figures["root_aligned_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert found.whole.other_side == 0


def test_freihands_evaluation_is_of_the_numbers_in_the_file(tmp_path):
    vertices = RNG.normal(0, 0.04, (5, 40, 3)) + [0, 0, 0.6]
    found = vertices + RNG.normal(0, 0.01, vertices.shape)
    hands = [annotated_hand(t, vertices=v) for t, v in zip(TRUTH, vertices, strict=True)]
    images = InMemoryImages([Annotation(f"{i}.jpg", K, (hand,)) for i, hand in enumerate(hands)])
    file = written(tmp_path, [FOUND.tolist(), found.tolist()])
    scored = freihand_evaluation(open_estimates(file, images), images)
    assert vars(scored.scores) == pytest.approx(
        vars(freihand_scores(FOUND, TRUTH, found, vertices))
    )
    assert scored.found == scored.hands == 5 and not scored.lost
    (rule,) = scored.notes
    assert "best detection score" in rule and scored.printed().endswith(rule)
    some = written(tmp_path, [[None, *FOUND[1:].tolist()]])
    told = freihand_evaluation(open_estimates(some, images), images).printed()
    assert "4 of 5 hands; the others: 1 no hand" in told
    none = written(tmp_path, [[None] * 5])
    with raises("evaluation.no_hands", file=none):
        freihand_evaluation(open_estimates(none, images), images)


def test_names_that_match_nothing_are_told(tmp_path, images):
    hand = {"xyz": FOUND[0].tolist()}
    file = written(tmp_path, {"00000000.jpg": hand, "cat.jpg": hand})
    found = evaluate(open_estimates(file, images), images)
    assert found.notes == ("1 image name of pred.json is not of the data set: cat.jpg.",)
    assert ("  not in the source", "4") in found.rows()
    assert found.notes[0] in paper_table("freihand", [found]).notes[-1]
    file = written(tmp_path, {"00000000.jpg": hand, "cat.jpg": hand, "dog.jpg": hand})
    scored = freihand_evaluation(open_estimates(file, images), images)
    assert scored.notes == ("2 image names of pred.json are not of the data set, such as cat.jpg.",)
    assert "1 of 5 hands; the others: 4 not in the source" in scored.printed()


@pytest.mark.parametrize(("factor", "is_told"), [(1, 0), (2.5, 0), (0.4, 0), (100, 1), (1000, 1)])
def test_another_unit_than_metres_is_told(tmp_path, images, factor, is_told):
    file = written(tmp_path, [(factor * TRUTH).tolist()])
    notes = evaluate(open_estimates(file, images), images).notes
    assert len(notes) == is_told
    assert freihand_evaluation(open_estimates(file, images), images).notes == notes
    if is_told:
        expected = f"The hands of pred.json are {factor:.3g} times as large"
        assert notes[0].startswith(expected)


HAND = FOUND[0].tolist()


@pytest.mark.parametrize(
    ("document", "code", "facts"),
    [
        ([[HAND] * 4], "predictions.entries", {"what": "xyz", "found": 4, "expected": 5}),
        ([[HAND] * 5, [HAND]], "predictions.entries", {"what": "verts", "found": 1}),
        ({}, "predictions.form", {}),
        ([1, 2], "predictions.form", {}),
        ([], "predictions.form", {}),
        ("text", "predictions.form", {}),
        ({"cat.jpg": {"xyz": HAND}}, "evaluation.other_images", {}),
        ([[HAND[:20]] * 5], "predictions.points", {"expected": "21x3", "found": "20x3"}),
        ([[[[float("nan")] * 3] * 21] * 5], "predictions.points", {"found": "nan or infinity"}),
        ([[HAND] * 5, [[[1, 2]]] * 5], "predictions.points", {"what": "verts", "found": "1x2"}),
        (
            {"00000000.jpg": {"xyz": HAND, "uv": 3}},
            "predictions.points",
            {"what": "uv", "found": "one number"},
        ),
        ([[[[1], [1, 2]]] * 5], "predictions.points", {"found": "something else"}),
        ({"00000000.jpg": {"verts": HAND}}, "predictions.hand", {}),
        ({"00000000.jpg": {"xyz": HAND, "joints": HAND}}, "predictions.hand", {}),
        ({"00000000.jpg": {"xyz": HAND, "side": "both"}}, "predictions.side", {"found": "both"}),
        ({"00000000.jpg": {"xyz": HAND, "score": "1"}}, "predictions.score", {"found": "1"}),
    ],
)
def test_bad_files_are_refused(tmp_path, images, document, code, facts):
    file = written(tmp_path, document)
    with raises(code, file=file, **facts):
        open_estimates(file, images)


def test_what_is_no_json_is_refused(tmp_path, images):
    file = tmp_path / "pred.json"
    file.write_text("[[1, 2")
    with raises("predictions.not_json", file=file):
        open_estimates(file, images)
    file.write_bytes(b"\xff\xfe\x00")
    with raises("predictions.not_json", file=file):
        open_estimates(file, images)
