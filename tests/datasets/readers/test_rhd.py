"""RHD's layout, from the files on disk to both hands."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.readers import open_dataset
from datasets.readers.iteration import usable
from datasets.readers.rhd import open_rhd
from tests.support.errors import raises
from tests.support.hand_pairs import SIDES
from tests.support.reader_checks import check_reader
from tests.support.rhd_files import DEPTH_STEP, NUMBERS, sample, write_annotations, write_rhd


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rhd")
    return write_rhd(folder / "set", folder), folder / "set"


@pytest.fixture
def copied(written, tmp_path):
    return Path(shutil.copytree(written[1], tmp_path / "set"))


@pytest.fixture
def samples(written):
    return {number: sample(pair, hidden=False) for number, pair in written[0].items()}


def test_both_hands(written):
    pairs, root = written
    images = check_reader(lambda: open_dataset("rhd", root, "training"))
    assert list(images.names) == [f"training/color/{number:05d}.png" for number in NUMBERS]
    for place, number in enumerate(NUMBERS):
        read, pair = images[place], pairs[number]
        hands = read.annotation.hands
        seen = ["right"] if number == NUMBERS[-1] else list(SIDES)
        assert [hand.side for hand in hands] == seen
        np.testing.assert_array_equal(read.pixels, pair.image)
        for hand, mask in zip(hands, read.masks, strict=True):
            known = pair.hands[hand.side]
            np.testing.assert_allclose(hand.keypoints_3d, known.keypoints, atol=1e-6)
            np.testing.assert_array_equal(mask, known.mask)
        np.testing.assert_allclose(read.depth, pair.depth, atol=DEPTH_STEP)


def test_what_is_visible(written):
    left, right = open_rhd(written[1], "training").annotation(0).hands
    # In the file the 8th of the left hand, which is the second from the tip of the index finger.
    assert np.flatnonzero(~left.visible).tolist() == [6] and right.visible.all()


def test_without_depth(copied):
    shutil.rmtree(copied / "training" / "depth")
    assert open_rhd(copied, "training")[0].depth is None


class TestDamage:
    def test_missing_folders_and_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_rhd(tmp_path / "no", "training")
        with raises("dataset.lacks", file=copied / "evaluation" / "color", what="folder"):
            open_rhd(copied, "evaluation")
        (copied / "training" / "anno_training.pickle").unlink()
        with raises("dataset.lacks", file=copied / "training" / "anno_training.pickle"):
            open_rhd(copied, "training")

    def test_a_pickle_that_would_run_code(self, copied, samples, tmp_path):
        class Command:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "was-run"),)

        write_annotations(copied, "training", samples | {9: Command()})
        with raises("model.unsafe", file=copied / "training" / "anno_training.pickle"):
            open_rhd(copied, "training")
        assert not (tmp_path / "was-run").exists()

    def test_a_pickle_of_something_else(self, copied):
        path = copied / "training" / "anno_training.pickle"
        path.write_bytes(pickle.dumps({"a": 1}))
        with raises("model.no_dictionary", file=path):
            open_rhd(copied, "training")
        path.write_bytes(pickle.dumps({}))
        with raises("dataset.empty", file=path):
            open_rhd(copied, "training")

    @pytest.mark.parametrize(
        ("key", "value", "code"),
        [
            ("K", None, "dataset.no_key"),
            ("K", np.eye(2), "dataset.values"),
            ("K", np.zeros((3, 3)), "intrinsics.focal_length"),
            ("uv_vis", np.zeros((21, 3)), "dataset.values"),
            ("xyz", np.full((42, 3), np.nan), "dataset.not_finite"),
        ],
    )
    def test_a_damaged_sample_is_alone(self, copied, samples, key, value, code):
        if value is None:
            del samples[1][key]
        else:
            samples[1][key] = value
        write_annotations(copied, "training", samples)
        damaged = []
        images = open_rhd(copied, "training")
        assert [place for place, _ in usable(images, damaged.append)] == [0, 2]
        assert [d.code for d in damaged] == [code]

    def test_damaged_files(self, copied):
        folder = copied / "training"
        (folder / "color" / "00000.png").unlink()
        Image.new("RGB", (320, 320)).save(folder / "mask" / "00001.png")
        Image.new("L", (320, 200)).save(folder / "mask" / "00004.png")
        damaged = []
        assert not list(usable(open_rhd(copied, "training"), damaged.append))
        codes = ["image.missing", "dataset.values", "dataset.layer_size"]
        assert [d.code for d in damaged] == codes

    def test_samples_that_the_pickle_lacks(self, copied, samples):
        write_annotations(copied, "training", {0: samples[0], 4: samples[4]})
        assert len(open_rhd(copied, "training")) == 2
