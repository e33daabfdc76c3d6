"""What the detector finds in pictures of samples is kept whatever the truth says of it."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import render_and_compare_found as found

from datasets.readers import open_dataset
from fitter.records import HandObservation
from fitter.system.lock import WriterLock
from init_net.samples.shards import SampleSource, ShardedSamples
from tests.support.errors import raises
from tests.support.found_pictures import finding
from tests.support.rendered_samples import render

COUNT = 4


@dataclass
class Place:
    """What of a plan is asked for."""

    samples: Path
    work: Path


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "train"
    render(path, SampleSource(seed=7, count=COUNT + 2, size=96))
    return path


@pytest.fixture
def plan(samples, tmp_path):
    return Place(samples, tmp_path / "work")


@pytest.fixture
def detector(monkeypatch, samples):
    """Sees the hands of even pictures well, those of odd ones elsewhere and as left ones, and no
    hand in the last."""
    fake = finding(monkeypatch)
    truth = ShardedSamples(samples).read(range(COUNT), ["keypoints_2d"])["keypoints_2d"]

    def detect(image):
        fake.looked.append(image.name)
        number = int(Path(image.name).stem)
        if number == COUNT - 1:
            return []
        far = number % 2
        points = truth[number].astype(np.float64) + 60 * far
        return [HandObservation(points, np.full(21, 0.7), ("right", "left")[far], 0.9, 0.8)]

    fake.detect = detect
    return fake


def test_wrong_hands_are_learned_from_with_the_camera_of_their_sample(plan, detector):
    source = found.found_pictures(plan, COUNT)
    assert detector.looked == [f"{number:06d}.png" for number in range(COUNT)]
    rows = ShardedSamples(plan.samples).read(range(COUNT), ["image", "intrinsics"])
    file = Path(source["folder"]) / "000001.png"
    written = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(written, rows["image"][1])
    images = open_dataset("images", Path(source["folder"]), source["split"])
    hands = [images.annotation(number).hands for number in range(COUNT)]
    assert [len(each) for each in hands] == [1, 1, 1, 0]
    assert [each[0].side for each in hands[:3]] == ["right", "left", "right"]
    for number in range(3):
        np.testing.assert_allclose(hands[number][0].intrinsics, rows["intrinsics"][number])
    # Once more: nothing is looked at again.
    assert found.found_pictures(plan, COUNT) == source and len(detector.looked) == COUNT


def test_what_was_found_is_counted_against_the_truth(plan, detector, monkeypatch):
    monkeypatch.setattr(found, "look_at", lambda source, variants: None)

    def learned_from(sources, as_seen):
        (source,), made = sources, ShardedSamples(plan.work / "pictures" / "samples")
        assert as_seen and source.samples_folder == made.folder and len(made) == 3
        return SimpleNamespace(samples=made.subset(np.array([1, 2])))

    monkeypatch.setattr(found, "learned_from", learned_from)
    assert found.found_figures(plan, COUNT) == {
        "pictures": COUNT, "without": 1, "hands": 3, "wrong": 1, "left": 1,
        "learned": 2, "learned_wrong": 1, "learned_left": 1,
    }  # fmt: skip


def test_two_do_not_look_at_the_same_pictures(plan, detector):
    plan.work.mkdir()
    lock = WriterLock(plan.work / "pictures.arm")
    try:
        with raises("run.busy"):
            found.found_pictures(plan, COUNT)
    finally:
        lock.release()
    assert not detector.looked
