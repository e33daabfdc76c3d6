"""Annotated pictures become shards once, whatever stops it and whatever is damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from init_net.samples import conversion, shards, sightings
from init_net.samples.annotated import hand_sample
from init_net.samples.conversion import AnnotatedSource, convert_images
from init_net.samples.shards import LABEL_FIELDS, SAMPLE_FIELDS, ShardedSamples
from init_net.samples.sightings import Sightings, look_at_shards
from tests.support.annotated_pictures import Pictures, without_parameters
from tests.support.errors import raises

SIDE = 48
NAMES = [*SAMPLE_FIELDS, *LABEL_FIELDS]


@pytest.fixture(autouse=True)
def by_three(monkeypatch):
    for module in (shards, conversion, sightings):
        monkeypatch.setattr(module, "SHARD", 3)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Makes a source of pictures, each of whose runs opens them again."""

    def make(images: Pictures, pictures: int | None = None) -> AnnotatedSource:
        conversion._opened.cache_clear()
        monkeypatch.setattr(conversion, "open_dataset", lambda *which: images)
        return AnnotatedSource("pictures", Path("here"), None, SIDE, pictures, tmp_path / "kept")

    return make


def everything(folder: Path) -> dict[str, np.ndarray]:
    samples = ShardedSamples(folder)
    return samples.read(range(len(samples)), NAMES)


def require_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_samples_are_the_hands_in_order(source):
    images = Pictures(twice=(1,))
    wanted = source(images)
    assert wanted.count == 7
    progress: list[int] = []
    assert convert_images(wanted, progress=progress.append) == []
    assert sum(progress) == 7
    found = everything(wanted.samples)
    for number, (place, hand) in enumerate([(0, 0), (1, 0), (1, 1), (2, 0)]):
        one = hand_sample(images[place], hand, "mediapipe", SIDE)
        for name, (dtype, _) in {**SAMPLE_FIELDS, **LABEL_FIELDS}.items():
            np.testing.assert_array_equal(found[name][number], one[name].astype(dtype))


def test_what_is_damaged_is_left_out_and_named_and_the_others_are_used(source):
    def nobodys(row, hand):
        return replace(hand, side=None) if row == 4 else hand

    wanted = source(Pictures(nobodys, damaged=(1,)))
    first, second = convert_images(wanted)
    assert first.startswith("1.png: ") and second.startswith("4.png, hand 0: ")
    found = everything(wanted.samples)
    assert found["usable"].tolist() == [True, False, True, True, False, True]
    require_same(
        {name: values[[0, 2, 3, 5]] for name, values in found.items()},
        {name: values[[0, 2, 3, 5]] for name, values in _whole(source).items()},
    )
    assert convert_images(wanted) == [first, second]


def _whole(source) -> dict[str, np.ndarray]:
    whole = source(Pictures())
    whole = replace(whole, samples=whole.samples.with_name("whole"))
    convert_images(whole)
    return everything(whole.samples)


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(source, monkeypatch):
    wanted, made, is_stopping = source(Pictures()), [], True
    convert = conversion._convert_shard

    def counted(which, start):
        if start == 3 and is_stopping:
            raise KeyboardInterrupt
        made.append(start)
        return convert(which, start)

    monkeypatch.setattr(conversion, "_convert_shard", counted)
    with pytest.raises(KeyboardInterrupt):
        convert_images(wanted)
    is_stopping = False
    convert_images(source(Pictures()))
    assert made == [0, 3]
    require_same(everything(wanted.samples), _whole(source))


def test_more_pictures_are_added(source):
    few = source(Pictures(), 4)
    convert_images(few)
    assert len(ShardedSamples(few.samples)) == 4
    convert_images(source(Pictures()))
    require_same(everything(few.samples), _whole(source))


def test_annotations_that_changed_are_refused(source):
    convert_images(source(Pictures()))
    moved = Pictures(lambda row, hand: replace(hand, keypoints_3d=hand.keypoints_3d + 0.01))
    with raises("samples.other_option", option="annotations"):
        convert_images(source(moved))


def test_processes_of_their_own_are_told_where_the_pictures_are(source):
    import pickle

    wanted = source(Pictures())
    assert wanted.count == 6
    there = pickle.loads(pickle.dumps(wanted))
    assert "images" not in vars(there) and there.count == 6


def test_no_hands(source):
    class Empty(Pictures):
        def annotation(self, place):
            return replace(super().annotation(place), hands=())

    with raises("samples.no_annotated"):
        convert_images(source(Empty()))


def test_the_detector_looks_at_hands_that_can_be_used_and_only_in_part_known(source):
    def partly(row, hand):
        positions = hand.keypoints_2d.copy()
        positions[1:5] = np.nan
        return replace(without_parameters(row, hand), keypoints_2d=positions)

    wanted = source(Pictures(partly, damaged=(0,)))
    convert_images(wanted)
    samples = ShardedSamples(wanted.samples)
    look_at_shards(samples, 1)
    found = Sightings(samples).found[:, 0]
    assert found[0] == 0 and (found[1:] > 0).sum() >= 3
    chosen = samples.subset(np.array([5, 2]))
    assert (Sightings(chosen).found[:, 0] == found[[5, 2]]).all()
    assert (chosen.column("usable")).all()
