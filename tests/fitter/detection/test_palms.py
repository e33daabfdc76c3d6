"""From the palm network's numbers to palms and windows: what must hold whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitter.detection.palms import (
    Palms,
    anchors,
    decode_palms,
    intersection_over_union,
    palm_window,
    suppress_palms,
)
from fitter.detection.windows import Window


def palms(boxes, scores) -> Palms:
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    middles = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    return Palms(boxes, np.repeat(middles[:, None], 7, axis=1), np.array(scores, dtype=float))


@st.composite
def some_palms(draw) -> Palms:
    count = draw(st.integers(0, 8))
    numbers = st.floats(0, 150)
    corners = [[draw(numbers), draw(numbers)] for _ in range(count)]
    sizes = [draw(st.floats(1, 60)) for _ in range(count)]
    scores = sorted([draw(st.floats(0.01, 1)) for _ in range(count)], reverse=True)
    boxes = [[x, y, x + s, y + s] for (x, y), s in zip(corners, sizes, strict=True)]
    return palms(boxes, scores)


def test_anchors_are_the_middles_of_cells():
    places = anchors()
    assert places.shape == (2016, 2)
    fine, coarse = places[: 24 * 24 * 2], places[24 * 24 * 2 :]
    assert fine[:3].tolist() == [[4, 4], [4, 4], [12, 4]]
    assert coarse[5:7].tolist() == [[8, 8], [24, 8]]
    for part in (fine, coarse):
        np.testing.assert_allclose(part.mean(axis=0), 96)
        assert (part.min(), part.max()) == (part[0, 0], 192 - part[0, 0])


def test_palms_are_read_relative_to_their_anchor():
    values, logits = np.zeros((2016, 18)), np.full(2016, -9.0)
    logits[[7, 1500]] = 1.0, 2.0
    values[7, :4], values[7, 4:] = (3, -2, 20, 10), 5.0
    found = decode_palms(values, logits, 0.5)
    assert len(found) == 2 and found.scores[0] > found.scores[1]
    x, y = anchors()[7]
    np.testing.assert_allclose(found.boxes[1], [x - 7, y - 7, x + 13, y + 3])
    np.testing.assert_allclose(found.points[1], np.tile([x + 5, y + 5], (7, 1)))
    assert found.scores[1] == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize("logit", [-1e30, 1e30, -700.0, 700.0])
def test_logits_without_measure_are_scores(logit):
    found = decode_palms(np.zeros((2016, 18)), np.full(2016, logit, np.float32), 0.0)
    assert len(found) == 2016 and np.isfinite(found.scores).all()
    assert found.scores[0] == pytest.approx(float(logit > 0), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(some_palms())
def test_suppression_leaves_one_palm_for_all_that_overlap(found):
    kept = suppress_palms(found)
    assert len(kept) <= len(found) and (len(kept) > 0) == (len(found) > 0)
    assert (np.diff(kept.scores) <= 0).all()
    assert set(kept.scores) <= set(found.scores)
    # A mean of boxes lies within them.
    if len(found):
        assert kept.boxes.min() >= found.boxes.min() - 1e-9
        assert kept.boxes.max() <= found.boxes.max() + 1e-9
    apart = palms(
        np.array([[i * 100, 0, i * 100 + 50, 50] for i in range(4)]), [0.9, 0.8, 0.7, 0.6]
    )
    np.testing.assert_array_equal(suppress_palms(apart).boxes, apart.boxes)


def test_what_is_merged_is_weighted_by_score():
    merged = suppress_palms(palms([[0, 0, 10, 10], [1, 2, 11, 12]], [0.9, 0.3]))
    assert len(merged) == 1 and merged.scores[0] == 0.9
    np.testing.assert_allclose(merged.boxes[0], [0.25, 0.5, 10.25, 10.5])


def test_palms_without_area_stay_by_themselves():
    point = [5.0, 5.0, 5.0, 5.0]
    kept = suppress_palms(palms([point, point], [0.9, 0.8]))
    assert kept.boxes.tolist() == [point, point]
    assert intersection_over_union(np.array(point), np.array([point, [0, 0, 9, 9]])).tolist() == [
        0,
        0,
    ]


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, -135])
def test_the_window_turns_with_the_palm(degrees):
    """Fingers up in the window, its middle ahead of the palm, 2.6 times as large."""
    angle = np.radians(degrees)
    up = np.array([np.sin(angle), -np.cos(angle)])
    middle, size = np.array([100.0, 80.0]), 40.0
    box = np.concatenate([middle - size / 2, middle + size / 2])
    points = np.tile(middle, (7, 1))
    points[0], points[2] = middle - 15 * up, middle + 15 * up
    window = palm_window(box, points)
    seen = window.points_from_picture(points, 224)
    assert seen[0, 0] == pytest.approx(seen[2, 0]) and seen[0, 1] > seen[2, 1]
    assert window.size == pytest.approx(2.6 * size)
    np.testing.assert_allclose(window.centre, middle + 0.5 * size * up)


def test_palms_of_a_window_lie_in_the_picture():
    found = palms([[10, 20, 30, 40]], [0.9])
    window = Window(np.array([300.0, 200.0]), 96.0)
    there = found.to_picture(window)
    corner = window.centre - 48
    np.testing.assert_allclose(there.boxes[0], np.array([10, 20, 30, 40]) / 2 + np.tile(corner, 2))
    np.testing.assert_allclose(there.points[0, 0], np.array([20, 30]) / 2 + corner)
