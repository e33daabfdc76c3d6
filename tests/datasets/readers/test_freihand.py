"""FreiHAND's layout, from the files on disk to the posed hand."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.readers import open_dataset
from datasets.readers.freihand import open_freihand
from datasets.readers.iteration import usable
from datasets.readers.posing import hand_params
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from tests.support.errors import raises
from tests.support.freihand_files import VERSIONS, write_freihand
from tests.support.known_hands import model
from tests.support.reader_checks import check_reader, overlap, posed

COUNT = 3


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("freihand")
    return folder, write_freihand(folder / "set", folder, COUNT), folder / "set"


@pytest.fixture
def copied(written, tmp_path):
    """The data set, to be damaged."""
    return Path(shutil.copytree(written[2], tmp_path / "set"))


def change_list(root, name, change):
    path = root / f"{name}.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def read(images):
    """Places of the usable samples, and the sentences about the others by place."""
    damaged = []
    places = [place for place, _ in usable(images, damaged.append)]
    return places, {sample.place: sample for sample in damaged}


@pytest.mark.parametrize(("split", "versions"), [("training", VERSIONS), ("evaluation", 1)])
def test_every_sample(written, split, versions):
    _, hands, root = written
    images = check_reader(lambda: open_dataset("freihand", root, split))
    assert len(images) == versions * COUNT
    for place in range(len(images)):
        sample, known = images[place], hands[place % COUNT]
        (hand,) = sample.annotation.hands
        assert hand.side == "right" and sample.annotation.size == (224, 224)
        np.testing.assert_array_equal(sample.annotation.intrinsics, known.view.intrinsics)
        np.testing.assert_array_equal(hand.keypoints_3d, known.regressed)
        inside = known.mask[tuple(hand.keypoints_2d[[5, 9, 13]].astype(int).T[::-1])]
        assert inside.all()  # the knuckles are seen where 2D says


def test_stored_parameters_give_the_stored_joints_and_vertices(written):
    folder, hands, root = written
    mano = model(folder, "right")
    definition = KeypointDefinition.of(mano, "freihand")
    images = open_freihand(root, "training")
    for place in (0, 1, COUNT + 2):
        (hand,) = images.annotation(place).hands
        params = hand_params(hand.mano, mano)
        joints = definition.keypoints(params)[0].numpy()
        np.testing.assert_allclose(joints, hand.keypoints_3d, atol=1e-9)
        _, vertices = posed(hand, mano)
        np.testing.assert_allclose(vertices, hand.vertices, atol=1e-9)
        known = hands[place % COUNT]
        np.testing.assert_allclose(params.hand_pose[0], known.params.hand_pose[0], atol=1e-12)


def test_masks_are_those_of_the_sample(written):
    _, hands, root = written
    images = open_freihand(root, "training")
    for place in range(len(images)):
        assert overlap(images.masks(place)[0], hands[place % COUNT].mask) > 0.97
    assert open_freihand(root, "evaluation").masks(0) is None


def test_an_image_of_another_version_shows_the_same_hand(written):
    _, hands, root = written
    images = open_freihand(root, "training")
    first, second = images[1], images[1 + COUNT]
    hand = hands[1].mask
    difference = np.abs(first.pixels.astype(int) - second.pixels).max(-1)
    # Inside the hand only what JPEG brings in across its outline differs.
    assert np.median(difference[hand]) < 10 < np.median(difference[~hand])


class TestDamage:
    def test_missing_folders_and_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_dataset("freihand", tmp_path / "no", "training")
        (copied / "training_K.json").unlink()
        with raises("dataset.lacks", file=copied / "training_K.json", what="file"):
            open_dataset("freihand", copied, "training")
        shutil.rmtree(copied / "evaluation" / "rgb")
        with raises("dataset.lacks", file=copied / "evaluation" / "rgb", what="folder"):
            open_dataset("freihand", copied, "evaluation")
        with raises("dataset.split", found="test"):
            open_dataset("freihand", copied, "test")

    def test_a_list_shorter_than_the_images(self, copied):
        change_list(copied, "training_xyz", lambda values: values.pop())
        places, damaged = read(open_freihand(copied, "training"))
        assert places == [0, 1, 3, 4, 6, 7, 9, 10]
        path = copied / "training_xyz.json"
        assert {sample.code for sample in damaged.values()} == {"dataset.no_entry"}
        assert damaged[5].sentence == (f"{path}: has 2 entries, none for training/rgb/00000005.jpg")

    def test_no_sample_is_taken_for_another_where_all_lists_are_shorter(self, copied):
        # 12 images of 3 samples would look like 6 versions of 2.
        for path in copied.glob("training_*.json"):
            path.write_text(json.dumps(json.loads(path.read_text())[:2]))
        (copied / "training" / "rgb" / f"{COUNT * VERSIONS - 1:08d}.jpg").unlink()
        places, damaged = read(open_freihand(copied, "training"))
        assert places == [0, 1]
        assert {sample.code for sample in damaged.values()} == {"dataset.which_entry"}

    @pytest.mark.parametrize("name", ["²³.jpg", "123456789012345678901.jpg", "a.jpg"])
    def test_other_files_among_the_images(self, copied, name):
        (copied / "evaluation" / "rgb" / name).write_bytes(b"")
        assert len(open_freihand(copied, "evaluation")) == COUNT

    def test_a_missing_camera(self, copied):
        change_list(copied, "evaluation_K", lambda values: values.__setitem__(1, None))
        places, damaged = read(open_freihand(copied, "evaluation"))
        assert places == [0, 2]
        assert damaged[1].code == "dataset.values" and "entry 1" in damaged[1].sentence

    def test_a_camera_that_is_none(self, copied):
        change_list(copied, "evaluation_K", lambda values: values[1][0].__setitem__(0, -3.0))
        places, damaged = read(open_freihand(copied, "evaluation"))
        assert places == [0, 2] and damaged[1].code == "intrinsics.focal_length"

    def test_joints_that_are_no_numbers(self, copied):
        change_list(
            copied, "evaluation_xyz", lambda values: values[2][4].__setitem__(1, float("nan"))
        )
        places, damaged = read(open_freihand(copied, "evaluation"))
        assert places == [0, 1] and damaged[2].code == "dataset.not_finite"

    def test_an_image_of_another_size(self, copied):
        path = copied / "evaluation" / "rgb" / "00000001.jpg"
        Image.open(path).resize((112, 200)).save(path)
        places, damaged = read(open_freihand(copied, "evaluation"))
        assert places == [0, 2]
        assert damaged[1].sentence == (
            f"{path}: expected the annotation's 224x224 pixels, found an image of 112x200"
        )

    def test_a_mask_of_another_size(self, copied):
        path = copied / "training" / "mask" / "00000000.jpg"
        Image.open(path).resize((112, 200)).save(path)
        _, damaged = read(open_freihand(copied, "training"))
        assert sorted(damaged) == [0, 3, 6, 9]
        assert {sample.code for sample in damaged.values()} == {"dataset.layer_size"}

    def test_missing_and_cut_images(self, copied):
        (copied / "training" / "rgb" / "00000004.jpg").unlink()
        path = copied / "training" / "rgb" / "00000006.jpg"
        path.write_bytes(path.read_bytes()[:2000])
        images = open_freihand(copied, "training")
        places, damaged = read(images)
        assert places == [0, 1, 2, 3, 5, 7, 8, 9, 10, 11]
        assert {place: sample.code for place, sample in damaged.items()} == {
            4: "image.missing",
            6: "image.damaged",
        }
        assert images.annotation(4).hands  # which is whole

    def test_a_cut_list(self, copied):
        path = copied / "training_verts.json"
        path.write_bytes(path.read_bytes()[:-20])
        with raises("dataset.cut_list", file=path, found=2):
            open_freihand(copied, "training")


def test_without_parameters_and_joints(written, tmp_path):
    root = Path(shutil.copytree(written[2], tmp_path / "set"))
    (root / "evaluation_xyz.json").unlink()
    (hand,) = open_freihand(root, "evaluation")[0].annotation.hands
    assert hand.mano is None and hand.vertices is None
    assert np.isnan(hand.keypoints_3d).all() and np.isnan(hand.keypoints_2d).all()


@pytest.mark.skipif("HAND_REAL_DATA" not in os.environ, reason="HAND_REAL_DATA is not set")
def test_real_images():
    root = Path(os.environ["HAND_REAL_DATA"]) / "dev"
    images = open_dataset("freihand", root, "evaluation")
    joints = np.array(json.loads((root / "evaluation_xyz.json").read_text()))
    cameras = np.array(json.loads((root / "evaluation_K.json").read_text()))
    seen = np.einsum("nij,nkj->nki", cameras, joints)
    seen = seen[..., :2] / seen[..., 2:]
    assert len(images) == len(joints) == 150
    inside = []
    for place in range(len(images)):
        sample = images[place]
        (hand,) = sample.annotation.hands
        assert np.abs(hand.keypoints_2d - seen[place]).max() < 0.5
        np.testing.assert_array_equal(hand.keypoints_3d, joints[place])
        inside.append(((hand.keypoints_2d > 0) & (hand.keypoints_2d < 256)).all(-1).mean())
    assert np.mean(inside) > 0.95
