"""Several finds of one hand."""

from dataclasses import replace

import numpy as np

from fitter.detection.same_hand import drop_duplicates, rivals_of
from fitter.records import HandObservation

BASE = np.random.default_rng(0).uniform(0, 100, (21, 2))


def find(score: float, agreement: float, shift: float = 0.0) -> HandObservation:
    return HandObservation(BASE + shift, np.full(21, agreement), "right", 0.9, score)


def test_of_one_hands_finds_the_better_ranked_is_kept() -> None:
    sure, agreed, other = find(0.97, 0.3), find(0.6, 0.9, 2.0), find(0.5, 0.5, 500.0)
    assert drop_duplicates([sure, agreed, other]) == [sure, other]
    ranked = drop_duplicates([sure, agreed, other], rank=lambda hand: hand.confidence.mean())
    assert ranked == [agreed, other]


def test_rivals_are_the_other_finds_of_the_same_hands() -> None:
    hand, other = find(0.9, 0.5), find(0.8, 0.5, 500.0)
    finds = [find(score, 0.5, 1.0) for score in (0.2, 0.7, 0.6)]
    alone = find(0.4, 0.5, -500.0)
    assert rivals_of([hand, other], [hand, other, alone, *finds], 2) == [finds[1], finds[2]]
    turned = replace(finds[0], keypoints=finds[0].keypoints[::-1].copy(), side="left")
    assert rivals_of([hand], [hand, turned], 2) == [turned]
    assert rivals_of([hand], [hand], 2) == []
