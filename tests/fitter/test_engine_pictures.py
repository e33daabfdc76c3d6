"""All hands of an image are in one batch of the engine."""

from __future__ import annotations

import numpy as np
import pytest

from fitter.fitting.detected_image import DetectedImage
from fitter.hand_slots import batches_of
from fitter.records import HandObservation


def image(hands: int) -> DetectedImage:
    hand = HandObservation(np.zeros((21, 2)), np.ones(21), "right", 0.9, 0.9)
    return DetectedImage((64, 64), np.eye(3), "given", (hand,) * hands)


@pytest.mark.parametrize(
    ("hands", "expected"),
    [
        # Images with one hand are cut as hands always were: into batches of one size.
        ([1] * 7, [4, 3]),
        ([3, 3, 1, 2], [3, 3, 3]),
        ([9], [9]),
        ([0, 2, 0, 0], [2]),
        ([0, 0], []),
        # Whole pictures more than there are places, and none of few hands at the end.
        ([3] * 4, [6, 3, 3]),
        ([2] * 10, [4, 4, 4, 4, 4]),
    ],
)
def test_images_are_never_cut(hands, expected) -> None:
    batches = list(batches_of([image(count) for count in hands], 4))
    assert [sum(len(each.hands) for each in batch) for batch in batches] == expected
    kept = [each for batch in batches for each in batch if each.hands]
    assert [len(each.hands) for each in kept] == [count for count in hands if count]


def test_no_last_batch_of_few_hands() -> None:
    batches = list(batches_of([image(2) for _ in range(65)], 65))
    assert [sum(len(each.hands) for each in batch) for batch in batches] == [66, 64]
