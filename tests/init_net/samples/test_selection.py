"""Which pseudo-labels are left, and how far each counts."""

import numpy as np
import pytest

from init_net.samples.annotated import picture_hash
from init_net.samples.selection import (
    PAIRS,
    LabelRules,
    LabelWeights,
    distinct,
    in_portion,
    labelled,
)
from tests.support.errors import raises


class Labels:
    """As much of `ShardedSamples` as rules look at."""

    def __init__(self, **columns: np.ndarray) -> None:
        self.folder, self.columns = "samples", columns
        self.column = columns.__getitem__

    def __len__(self) -> int:
        return len(self.columns["label_score"])

    def subset(self, chosen: np.ndarray) -> np.ndarray:
        return chosen


def near(first: int, second: int, bits: int) -> bool:
    return bin(first ^ second).count("1") <= bits


@pytest.mark.parametrize("bits", [0, 1, 4, 10, 32])
def test_no_two_are_near_and_whoever_is_left_out_has_a_better_one_near(bits):
    generator = np.random.default_rng(bits)
    # Families of hashes a few bits apart: by chance no two of 64 random bits are near.
    roots = generator.integers(2**63, size=12, dtype=np.uint64)
    flips = [
        np.bitwise_or.reduce(np.uint64(1) << generator.integers(64, size=3, dtype=np.uint64))
        for _ in range(150)
    ]
    hashes = roots[generator.integers(12, size=150)] ^ np.array(flips)
    score = generator.random(150)
    kept = distinct(hashes, score, bits)
    values = hashes.tolist()
    assert (np.diff(kept) > 0).all()
    for one in kept:
        assert not any(near(values[one], values[other], bits) for other in kept if other != one)
    for one in np.setdiff1d(np.arange(150), kept):
        better = [o for o in kept if near(values[one], values[o], bits) and score[o] >= score[one]]
        assert better
    if 1 < bits < 20:
        assert 12 <= len(kept) < 150


def test_of_equal_scores_the_first_is_kept():
    assert distinct(np.zeros(3, np.uint64), np.ones(3), 0).tolist() == [0]


def test_a_picture_and_its_brighter_copy_are_near_and_another_is_not():
    generator = np.random.default_rng(0)
    coarse = generator.integers(40, 200, (2, 8, 8, 3))
    one, other = np.kron(coarse, np.ones((1, 16, 16, 1))).astype(np.uint8)
    hashes = [int(picture_hash(image)) for image in (one, one + 20, other)]
    assert near(hashes[0], hashes[1], 4) and not near(hashes[0], hashes[2], 10)


def test_the_unusable_the_unsure_and_copies_are_left_out():
    labels = Labels(
        usable=np.array([True, False, True, True, True]),
        label_score=np.array([0.9, 0.9, 0.4, 0.6, 0.8]),
        picture_hash=np.array([1, 2, 3, 7 << 20, 7 << 20 | 1], np.uint64),
    )
    assert labelled(labels, LabelRules()).tolist() == [0, 2, 3, 4]
    assert labelled(labels, LabelRules(0.5)).tolist() == [0, 3, 4]
    assert labelled(labels, LabelRules(0.5, near_duplicates=1)).tolist() == [0, 4]
    with raises("samples.none_left", file="samples", count=5, score=0.95):
        labelled(labels, LabelRules(0.95))


def test_weights_have_mean_one_and_the_proportions_of_the_confidences():
    score, confidence = np.array([0.2, 0.6]), np.linspace(0, 1, 42).reshape(2, 21)
    labels = Labels(label_score=score, label_confidence=confidence)
    weights = LabelWeights.of(labels)
    np.testing.assert_allclose(weights.hands, [0.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(weights.keypoints, confidence / confidence.mean(), rtol=1e-6)
    alike = LabelWeights.of(labels, confidence=False)
    assert (alike.hands == 1).all() and (alike.keypoints == 1).all()


def test_where_nobody_is_sure_all_count_alike():
    labels = Labels(label_score=np.zeros(2), label_confidence=np.zeros((2, 21)))
    assert (LabelWeights.of(labels).hands == 1).all()


class TestPortions:
    SCENES = np.tile(np.arange(1000), 4)
    """As FreiHAND's: each is shown four times."""

    def test_those_that_meet_share_no_scene_and_have_all_together(self):
        first, second, third = (
            in_portion(self.SCENES, portion) for portion in ((0, 0.3), (0.3, 0.7), (0.7, 1))
        )
        assert (first.astype(int) + second + third == 1).all()

    def test_pictures_of_one_scene_stay_together_and_the_share_is_that_of_the_scenes(self):
        chosen = in_portion(self.SCENES, (0.0, 0.7)).reshape(4, 1000)
        assert (chosen == chosen[0]).all()
        assert chosen[0].sum() == 700

    def test_it_is_neither_the_first_ones_nor_another_one_each_time(self):
        chosen = in_portion(self.SCENES, (0.0, 0.5))
        assert np.array_equal(chosen, in_portion(self.SCENES, (0.0, 0.5)))
        assert 200 < chosen[:500].sum() < 300

    def test_portions_are_those_of_earlier_versions(self):
        """Runs go on: what they held out is not learned from."""
        ten, portion = np.arange(10), (0.0, 0.7)
        assert np.flatnonzero(in_portion(ten, portion)).tolist() == [0, 1, 2, 6, 7, 8, 9]
        pairs = np.flatnonzero(in_portion(ten, portion, PAIRS))
        assert pairs.tolist() == [0, 2, 3, 4, 5, 6, 7]

    def test_all_of_them(self):
        assert in_portion(self.SCENES, (0.0, 1.0)).all()
        assert not len(in_portion(np.zeros(0, np.int64), (0.0, 1.0)))
