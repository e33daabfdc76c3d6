"""The shipped networks and the search on images composed of the example renders."""

import cv2
import numpy as np
import pytest
from PIL import Image

from fitter.detection import DetectorOptions, HandDetector, load_backend
from tests.support.drawn_hands import record
from tests.support.paths import ROOT

SIDE = 1000
PLACES = ((80, 90), (700, 120), (420, 480), (150, 760), (780, 800))
SMALL = 110
"""Pixels of the side of each example in the image; its hand has about half of that."""


@pytest.fixture(scope="module")
def examples():
    names = ("open_palm", "three", "victory", "pointing", "relaxed")
    paths = [ROOT / "examples" / f"{name}.jpg" for name in names]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def composed(examples):
    """An image with a small example in each place."""
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    for pixels, (x, y) in zip(examples, PLACES, strict=True):
        small = cv2.resize(pixels, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        picture[y : y + SMALL, x : x + SMALL] = small
    return picture


def places_found(hands):
    """In how many places there is a hand, each place once."""
    middles = [0.5 * (hand.box[:2] + hand.box[2:]) for hand in hands]
    low = np.array(PLACES)
    inside = [((low < middle) & (middle < low + SMALL)).all(axis=1) for middle in middles]
    return np.any(inside, axis=0).sum() if inside else 0


def test_the_search_finds_the_hands_that_the_whole_picture_does_not_show(examples):
    picture = record(composed(examples))
    found = {}
    for search in ("fast", "standard"):
        with HandDetector(DetectorOptions(search=search)) as detector:
            hands = detector.detect(picture)
        found[search] = places_found(hands)
        assert len(hands) == found[search]  # no phantom, and no hand twice
    assert found["standard"] == len(PLACES)
    assert found["fast"] < len(PLACES)


@pytest.mark.parametrize("change", ["darkened", "swapped"])
def test_a_hand_is_found_in_the_dark_and_with_swapped_channels(examples, change):
    pixels = examples[0]
    changed = {
        "darkened": np.round(0.1 * pixels).astype(np.uint8),
        "swapped": np.ascontiguousarray(pixels[..., ::-1]),
    }[change]
    with HandDetector() as detector:
        (plain,) = detector.detect(record(pixels))
        (hand,) = detector.detect(record(changed))
    size = np.ptp(plain.keypoints, axis=0).max()
    assert np.linalg.norm(hand.keypoints - plain.keypoints, axis=1).mean() < 0.1 * size


class Blind:
    """The shipped networks without an eye for palms."""

    def __init__(self):
        self.own = load_backend("builtin", 0.3)

    def find(self, picture, windows):
        return [[] for _ in windows]

    def follow(self, picture, hands, mirrored):
        return self.own.follow(picture, hands, mirrored)

    def close(self):
        self.own.close()


@pytest.mark.parametrize("turns", range(4))
def test_a_hand_that_fills_the_picture_is_found_without_its_palm_at_every_turn(examples, turns):
    pixels = np.ascontiguousarray(np.rot90(examples[0], turns))
    with HandDetector() as detector:
        whole = detector.detect(record(pixels))[0]
    middle, size = 0.5 * (whole.box[:2] + whole.box[2:]), (whole.box[2:] - whole.box[:2]).max()
    low, high = (np.round(middle + k * size).astype(int).clip(0) for k in (-0.45, 0.45))
    cut = np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]])
    with HandDetector(DetectorOptions(search="standard"), Blind()) as detector:
        (found,) = detector.detect(record(cut))
    distance = np.linalg.norm(found.keypoints + low - whole.keypoints, axis=1).mean()
    assert distance < 0.1 * size
    assert found.side == whole.side
    with HandDetector(DetectorOptions(search="fast"), Blind()) as detector:
        assert not detector.detect(record(cut))
