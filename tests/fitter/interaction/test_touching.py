"""Which hands are fitted together."""

from __future__ import annotations

import numpy as np

from fitter.interaction.touching import Touching, touching
from tests.support.touching_cases import pictured

CHAIN = [[0, 0, 10, 10], [100, 0, 110, 10], [9, 0, 19, 10], [18, 5, 28, 15], [105, 5, 115, 15]]


def test_groups_are_connected_boxes_of_one_picture() -> None:
    found = touching(pictured(CHAIN), 0.0)
    assert found == [
        Touching((0, 2, 3), ((0, 1), (1, 2))),
        Touching((1, 4), ((0, 1),)),
    ]
    apart = touching(pictured(CHAIN, picture=np.array([0, 1, 1, 1, 1])), 0.0)
    assert [group.hands for group in apart] == [(1, 4), (2, 3)]


def test_a_wider_margin_reaches_farther() -> None:
    boxes = [[0, 0, 10, 10], [11, 0, 21, 10]]
    assert touching(pictured(boxes), 0.0) == []
    assert [group.hands for group in touching(pictured(boxes), 0.06)] == [(0, 1)]


def test_who_is_no_hand_takes_no_part() -> None:
    boxes = [*CHAIN]
    boxes[2] = [np.nan] * 4
    assert [group.hands for group in touching(pictured(boxes), 0.0)] == [(1, 4)]


def test_a_hand_that_was_found_twice_takes_part_once_as_the_surer() -> None:
    boxes = [[0, 0, 10, 10], [0, 1, 10, 11], [9, 0, 19, 10]]
    left = np.array([False, False, True])
    for surer, expected in ((0, (0, 2)), (1, (1, 2))):
        sureness = np.where(np.arange(3) == surer, 0.9, 0.5)
        found = touching(pictured(boxes, left=left, sureness=sureness), 0.0)
        assert [group.hands for group in found] == [expected]
    # Equally sure: the first. Of the other side it is another hand, such as in prayer.
    assert [g.hands for g in touching(pictured(boxes, left=left), 0.0)] == [(0, 2)]
    prayer = touching(pictured(boxes, left=np.array([False, True, True])), 0.0)
    assert (0, 1) in [prayer[0].hands[:2]]


def test_a_hand_that_was_found_under_both_sides_takes_part_once() -> None:
    """Its keypoints are on the same pixels in another order."""
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [9, 0, 19, 10]]
    left = np.array([False, True, True])
    hands = pictured(boxes, left=left, sureness=np.array([0.5, 0.9, 0.7]))
    hands.keypoints[1] = hands.keypoints[1, ::-1]
    assert [group.hands for group in touching(hands, 0.0)] == [(1, 2)]
    hands.keypoints[1] += [0.0, 2.0]  # another hand behind it
    assert [group.hands for group in touching(hands, 0.0)] == [(0, 1, 2)]
