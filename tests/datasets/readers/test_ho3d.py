"""HO-3D's layout, from the files on disk to the posed hand."""

import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.readers import open_dataset
from datasets.readers.ho3d import open_ho3d
from datasets.readers.iteration import usable
from tests.support.errors import raises
from tests.support.ho3d_files import (
    DEPTH_UNIT,
    FLIP,
    FRAMES,
    OBJECT,
    OBJECT_ROTATION,
    OBJECT_TRANSLATION,
    annotation,
    write_ho3d,
    write_pickle,
    write_truth,
)
from tests.support.known_hands import model
from tests.support.reader_checks import check_reader, posed


@pytest.fixture(scope="module", params=[2, 3])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ho3d")
    hands = write_ho3d(folder / "set", folder, request.param)
    return folder, hands, folder / "set", request.param


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ho3d")
    return folder / "set", write_ho3d(folder / "set", folder, 3)


@pytest.fixture
def copied(third, tmp_path):
    return Path(shutil.copytree(third[0], tmp_path / "set"))


def read(images):
    damaged = []
    places = [place for place, _ in usable(images, damaged.append)]
    return places, {sample.place: sample for sample in damaged}


def test_every_training_sample(written):
    folder, hands, root, version = written
    images = check_reader(lambda: open_dataset("ho3d", root, "train"))
    assert images.version == version and len(images) == len(FRAMES)
    mano = model(folder, "right")
    for place, frame in enumerate(FRAMES):
        sample, known = images[place], hands[frame]
        (hand,) = sample.annotation.hands
        assert hand.side == "right" and sample.annotation.size == (640, 480)
        assert sample.annotation.sequence == frame.split("/")[0]
        assert sample.annotation.frame == int(frame.split("/")[1])
        np.testing.assert_allclose(hand.keypoints_3d, known.keypoints, atol=1e-12)
        joints, vertices = posed(hand, mano)
        np.testing.assert_allclose(joints, hand.keypoints_3d, atol=1e-9)
        np.testing.assert_allclose(vertices, known.vertices, atol=1e-9)
        assert np.abs(sample.depth - known.depth)[known.mask].max() < DEPTH_UNIT
        assert (sample.depth[~known.mask] == 0).all() and sample.masks is None


def test_evaluation_has_the_root_and_a_box(written):
    _, hands, root, _ = written
    images = check_reader(lambda: open_dataset("ho3d", root, "evaluation"))
    for place, frame in enumerate(FRAMES):
        (hand,) = images.annotation(place).hands
        np.testing.assert_allclose(hand.keypoints_3d[0], hands[frame].joints[0], atol=1e-12)
        assert np.isnan(hand.keypoints_3d[1:]).all() and hand.mano is None
        rows, columns = np.nonzero(hands[frame].mask)
        box = [columns.min(), rows.min(), columns.max(), rows.max()]
        np.testing.assert_array_equal(hand.box, box)


def test_evaluation_with_the_lists_published_later(third, copied):
    _, hands = third
    write_truth(copied, hands)
    images = check_reader(lambda: open_ho3d(copied, "evaluation"))
    for place, frame in enumerate(FRAMES):
        (hand,) = images.annotation(place).hands
        np.testing.assert_allclose(hand.keypoints_3d, hands[frame].keypoints, atol=1e-12)
        np.testing.assert_allclose(hand.vertices, hands[frame].vertices, atol=1e-12)


def test_lists_of_other_frames_are_noticed(third, copied):
    _, hands = third
    write_truth(copied, dict(zip(FRAMES, list(hands.values())[::-1], strict=True)))
    places, damaged = read(open_ho3d(copied, "evaluation"))
    assert places == [1]  # the middle one of three stays in its place
    assert {sample.code for sample in damaged.values()} == {"dataset.other_root"}


def test_objects_are_in_the_opencv_camera(written):
    _, _, root, _ = written
    (thing,) = open_ho3d(root, "train").annotation(0).objects
    corner = np.array([0.03, -0.05, 0.02])
    in_opengl = cv2.Rodrigues(OBJECT_ROTATION)[0] @ corner + OBJECT_TRANSLATION
    expected = FLIP @ in_opengl
    np.testing.assert_allclose(thing.rotation @ corner + thing.translation, expected, atol=1e-12)
    assert expected[2] > 0 and thing.name == OBJECT
    assert thing.mesh == root / "models" / OBJECT / "textured_simple.obj"


class TestDamage:
    def test_missing_folders_and_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_ho3d(tmp_path / "no", "train")
        shutil.rmtree(copied / "evaluation")
        with raises("dataset.lacks", file=copied / "evaluation", what="folder"):
            open_ho3d(copied, "evaluation")
        (copied / "train.txt").unlink()
        with raises("dataset.lacks", file=copied / "train.txt", what="file"):
            open_ho3d(copied, "train")

    @pytest.mark.parametrize("line", ["", "ABF10", "ABF10/rgb/0000", "../0000", "ABF10/"])
    def test_a_list_of_something_else(self, copied, line):
        (copied / "train.txt").write_text(line)
        with raises("dataset.frame_names", file=copied / "train.txt", found=line):
            open_ho3d(copied, "train")

    def test_a_pickle_that_would_run_code(self, copied, tmp_path):
        class Command:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "was-run"),)

        path = copied / "train" / "ABF10" / "meta" / "0003.pkl"
        path.write_bytes(pickle.dumps({"camMat": np.eye(3), "handPose": Command()}, 2))
        places, damaged = read(open_ho3d(copied, "train"))
        assert places == [0, 2] and damaged[1].code == "model.unsafe"
        assert damaged[1].sentence == (
            f"{path}: expected annotations of HO-3D in a pickle, found the command "
            f"{os.mkdir.__module__}.mkdir, which was not run"
        )
        assert not (tmp_path / "was-run").exists()
        pickle.loads(path.read_bytes())  # the attack is a real one
        assert (tmp_path / "was-run").exists()

    @pytest.mark.parametrize("key", ["camMat", "handJoints3D", "handTrans", "objRot", "objName"])
    def test_a_missing_value(self, copied, third, key):
        path = copied / "train" / "MC1" / "meta" / "0001.pkl"
        meta = annotation(third[1]["MC1/0001"], "train")
        del meta[key]
        write_pickle(path, meta)
        places, damaged = read(open_ho3d(copied, "train"))
        assert places == [0, 1]
        assert damaged[2].sentence == f"{path}: expected {key} in it, found none"

    def test_a_listed_frame_without_annotation(self, copied):
        with (copied / "train.txt").open("a") as file:
            file.write("ABF10/0001\n")
        places, damaged = read(open_ho3d(copied, "train"))
        assert places == [0, 1, 2] and damaged[3].code == "dataset.not_annotated"

    def test_values_of_another_shape(self, copied, third):
        path = copied / "train" / "ABF10" / "meta" / "0000.pkl"
        meta = annotation(third[1]["ABF10/0000"], "train")
        write_pickle(path, meta | {"handPose": np.zeros(45)})
        places, damaged = read(open_ho3d(copied, "train"))
        assert places == [1, 2]
        assert damaged[0].sentence == f"{path}: expected 48 numbers as handPose, found 45"

    def test_frames_that_the_disk_lacks(self, copied):
        (copied / "train" / "ABF10" / "rgb" / "0000.jpg").unlink()
        (copied / "train" / "ABF10" / "meta" / "0003.pkl").unlink()
        (copied / "train" / "MC1" / "depth" / "0001.png").unlink()
        images = open_ho3d(copied, "train")
        places, damaged = read(images)
        assert places == [] and images.version == 3
        assert {place: sample.code for place, sample in damaged.items()} == {
            0: "image.missing",
            1: "dataset.lacks",
            2: "image.missing",
        }

    def test_an_image_and_a_depth_of_another_size(self, copied):
        for kind, name in (("rgb", "ABF10/rgb/0000.jpg"), ("depth", "MC1/depth/0001.png")):
            path = copied / "train" / name
            Image.open(path).crop((0, 0, 320, 240)).save(path)
            assert kind in name
        places, damaged = read(open_ho3d(copied, "train"))
        assert places == [1]
        assert damaged[0].code == "dataset.image_size" and damaged[2].code == "dataset.layer_size"
