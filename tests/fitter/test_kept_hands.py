"""Hands that a detector found, kept as text: they come back to the last bit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fitter.config.options import Config, load_config
from fitter.inputs.image_files import LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.images import read_image
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.mask_files import MaskFolder
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


def test_all_that_a_detector_says_of_a_hand_is_kept():
    """A new field is either kept or known to come from elsewhere."""
    (said,) = json.loads(text_of([HANDS[0]]))
    later = {"hand_size", "person", "shared", "tracked"}
    assert set(said) | later == {field.name for field in fields(HandObservation)}
    assert not set(said) & later


def without_keypoints(text: str) -> str:
    hands = json.loads(text)
    del hands[0]["keypoints"]
    return json.dumps(hands)


def of_other_shape(text: str) -> str:
    hands = json.loads(text)
    hands[0]["keypoints"][1] = [20, 2]
    return json.dumps(hands)


DAMAGES = [
    lambda text: text[: len(text) // 2],
    lambda text: text.replace("=", "", 1).replace("A", "*", 1),
    lambda text: "7",
    lambda text: "[7]",
    lambda text: text.replace("<f8", "?9", 1),
    without_keypoints,
    of_other_shape,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_text_nothing_is_known(damage):
    text = damage(text_of(HANDS))
    assert KeptHands(text, STAMP, 7).hands(STAMP, 7) is None


@pytest.mark.parametrize("now", [((5, 2.5), 7), ((6, 1.5), 7), (STAMP, 8), (None, 7)])
def test_of_another_file_or_other_inputs_nothing_is_known(now):
    assert KeptHands(text_of(HANDS), STAMP, 7).hands(*now) is None


class Counting:
    """A detector that finds some hands, and counts how often it looks."""

    def __init__(self, hands: list[HandObservation]) -> None:
        self.hands, self.looks = hands, 0

    def detect(self, _: object) -> list[HandObservation]:
        self.looks += 1
        return self.hands


@pytest.fixture(params=["one hand", "more hands than slots, with K by name and a mask"])
def case(request, tmp_path) -> tuple[ImageTask, list[HandObservation], Config]:
    """An image, what is found in it, and the configuration."""
    file = Path(bad_files.HAND)
    people = People.one_person().of("a.jpg")
    task = ImageTask(0, "a.jpg", LocalFile(file), Intrinsics(), people=people)
    if request.param == "one hand":
        return task, HANDS[:1], load_config()
    height, width = read_image(file).shape[:2]
    camera = [[900, 0, width / 2], [0, 900, height / 2], [0, 0, 1]]
    (tmp_path / "K.json").write_text(json.dumps({"a.jpg": camera}))
    (tmp_path / "masks").mkdir()
    shown = np.zeros((height, width), np.uint8)
    shown[:160, :160] = 255
    Image.fromarray(shown).save(tmp_path / "masks" / "a.png")
    given = replace(
        task,
        intrinsics=Intrinsics.from_option(str(tmp_path / "K.json")).part(0, ["a.jpg"]),
        masks=MaskFolder.open(tmp_path / "masks").part(["a.jpg"]),
    )
    config = load_config(overrides=["detector.max_hands=2"])
    return given, [*HANDS, replace(hand(4), score=0.5)], config


def test_an_image_is_looked_at_once(case):
    task, hands, config = case
    detector = Counting(hands)
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
        assert found.hands_beyond == alone.hands_beyond == max(0, len(hands) - 2)
        assert found.inputs_digest == alone.inputs_digest and not found.error
        np.testing.assert_array_equal(found.intrinsics, alone.intrinsics)
        for one, expected in zip(found.crops, alone.crops, strict=True):
            np.testing.assert_array_equal(one.keypoints, expected.keypoints)
            np.testing.assert_array_equal(one.given, expected.given)
            assert (one.given is None) == (task.masks is None)
    stale = replace(kept, inputs_digest=kept.inputs_digest + 1)
    detect_image(replace(task, kept=stale), detector, config)
    assert detector.looks == 3
    damaged = replace(kept, text=kept.text[:-9])
    again = detect_image(replace(task, is_final=False, kept=damaged), detector, config)
    assert detector.looks == 4 and again.detections == first.detections
    # One that shares nothing is not even read before the last pass.
    left = detect_image(replace(task, is_final=False, people=None), detector, config)
    assert detector.looks == 4 and left.size is None and not left.error
