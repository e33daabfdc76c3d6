"""Hands that a detector found, kept as text: they come back to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fitter.config.options import load_config
from fitter.inputs.image_files import LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.people import People
from fitter.kept_hands import KeptHands, text_of
from fitter.records import HandObservation
from fitter.workers.image_detector import detect_image
from tests.support import bad_files


def hand(seed: int, **more: object) -> HandObservation:
    rng = np.random.default_rng(seed)
    points = 50 + 100 * rng.random((21, 2))
    return HandObservation(points, rng.random(21), "left", 0.5 + rng.random() / 2, 0.9, **more)


HANDS = [
    hand(
        1,
        relative_depth=np.linspace(-1, 1, 21) / 3,
        relative_xyz=np.random.default_rng(2).random((21, 3)),
        features=np.stack([np.full(8, np.nan), np.arange(8) / 7]).astype(np.float32),
        presence=0.1 + 0.2,
    ),
    hand(3),
]
"""One with all that a detector may say, one with what it always says."""

STAMP = (5, 1.5)


def same(found: HandObservation, expected: HandObservation) -> None:
    for name, value in vars(expected).items():
        other = getattr(found, name)
        assert type(other) is type(value), name
        if isinstance(value, np.ndarray):
            assert other.dtype == value.dtype and other.tobytes() == value.tobytes(), name
        else:
            assert other == value, name


def test_they_come_back_to_the_last_bit():
    found = KeptHands(text_of(HANDS), STAMP, 7).hands(STAMP, 7)
    for one, expected in zip(found, HANDS, strict=True):
        same(one, expected)
    assert KeptHands(text_of([]), STAMP, 7).hands(STAMP, 7) == []


@pytest.mark.parametrize("now", [((5, 2.5), 7), ((6, 1.5), 7), (STAMP, 8), (None, 7)])
def test_of_another_file_or_other_inputs_nothing_is_known(now):
    assert KeptHands(text_of(HANDS), STAMP, 7).hands(*now) is None


class Counting:
    """A detector that finds one hand, and counts how often it looks."""

    def __init__(self) -> None:
        self.looks = 0

    def detect(self, _: object) -> list[HandObservation]:
        self.looks += 1
        return [HANDS[0]]


def test_an_image_is_looked_at_once():
    task = ImageTask(
        0,
        "a.jpg",
        LocalFile(Path(bad_files.HAND)),
        Intrinsics(),
        people=People.one_person().of("a.jpg"),
    )
    detector, config = Counting(), load_config()
    alone = detect_image(task, detector, config)
    assert detector.looks == 1 and alone.detections is None  # nobody will ask
    first = detect_image(replace(task, is_final=False), detector, config)
    assert detector.looks == 2 and first.detections is not None
    kept = KeptHands(first.detections, first.file, first.inputs_digest)
    for is_final in (False, True):
        found = detect_image(replace(task, is_final=is_final, kept=kept), detector, config)
        assert detector.looks == 2
        assert (found.detections == first.detections) == (not is_final)
        for one, expected in zip(found.hands, alone.hands, strict=True):
            same(one, expected)
    stale = replace(kept, inputs_digest=kept.inputs_digest + 1)
    detect_image(replace(task, kept=stale), detector, config)
    assert detector.looks == 3
    # One that shares nothing is not even read before the last pass.
    left = detect_image(replace(task, is_final=False, people=None), detector, config)
    assert detector.looks == 3 and left.size is None and not left.error
