"""InterHand2.6M's layout, from the files on disk to the posed hands."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.readers import open_dataset
from datasets.readers.interhand import open_interhand
from datasets.readers.iteration import usable
from tests.support.errors import raises
from tests.support.hand_pairs import SIDES
from tests.support.interhand_files import FRAMES, SPLIT, write_interhand
from tests.support.known_hands import model
from tests.support.reader_checks import assert_same, check_reader, posed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interhand")
    return folder, write_interhand(folder / "set", folder), folder / "set"


@pytest.fixture
def copied(written, tmp_path):
    return Path(shutil.copytree(written[2], tmp_path / "set"))


def changed(root, kind, change):
    """A file of annotations with its content changed in place."""
    path = root / "annotations" / SPLIT / f"InterHand2.6M_{SPLIT}_{kind}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def usable_places(images):
    damaged = []
    return [place for place, _ in usable(images, damaged.append)], damaged


def test_both_hands_in_the_camera(written):
    folder, pairs, root = written
    images = check_reader(lambda: open_dataset("interhand", root, SPLIT))
    assert list(images.names) == list(pairs) and images.definition == "interhand"
    for place, (name, pair) in enumerate(pairs.items()):
        annotation = images.annotation(place)
        alone = annotation.frame == FRAMES[1]
        assert {hand.side for hand in annotation.hands} == ({"right"} if alone else set(SIDES))
        assert annotation.sequence == name.split("/", 2)[2].rsplit("/", 1)[0]
        assert annotation.size == pair.image.shape[1::-1]
        for hand in annotation.hands:
            known = pair.hands[hand.side]
            np.testing.assert_allclose(hand.keypoints_3d, known.keypoints, atol=1e-6)
            np.testing.assert_allclose(annotation.intrinsics, known.view.intrinsics)
            joints, vertices = posed(hand, model(folder, hand.side))
            np.testing.assert_allclose(joints, hand.keypoints_3d, atol=2e-6)
            np.testing.assert_allclose(vertices, known.vertices, atol=2e-6)
            assert (hand.box is not None) == alone
        if alone:
            np.testing.assert_array_equal(annotation.hands[0].box, [10, 20, 110, 220])


def test_joints_that_are_not_annotated(copied):
    def hide(data):
        data["annotations"][0]["joint_valid"][41] = [0]  # the left hand's wrist
        data["annotations"][0]["joint_valid"][3] = [0]  # the base of the right hand's thumb

    changed(copied, "data", hide)
    right, left = open_interhand(copied, SPLIT).annotation(0).hands
    assert np.flatnonzero(np.isnan(left.keypoints_3d[:, 0])).tolist() == [0]
    assert np.flatnonzero(np.isnan(right.keypoints_2d[:, 0])).tolist() == [1]


@pytest.mark.parametrize("folder", ["all", "machine_annot"])
def test_without_parameters_and_in_the_first_release_s_folders(copied, folder):
    (copied / "annotations" / SPLIT).rename(copied / "annotations" / folder)
    (copied / "annotations" / folder / f"InterHand2.6M_{SPLIT}_MANO_NeuralAnnot.json").unlink()
    images = open_interhand(copied, SPLIT)
    assert len(images) == 4 and images.annotation(0).hands[0].mano is None


class TestDamage:
    def test_missing_folders_and_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_interhand(tmp_path / "no", SPLIT)
        with raises("dataset.lacks", file=copied / "images" / "val", what="folder"):
            open_interhand(copied, "val")
        path = copied / "annotations" / SPLIT / f"InterHand2.6M_{SPLIT}_camera.json"
        path.unlink()
        with raises("dataset.lacks", file=path, what="file"):
            open_interhand(copied, SPLIT)

    @pytest.mark.parametrize("kind", ["data", "camera", "joint_3d", "MANO_NeuralAnnot"])
    def test_a_file_that_breaks_off(self, copied, kind):
        path = copied / "annotations" / SPLIT / f"InterHand2.6M_{SPLIT}_{kind}.json"
        path.write_text(path.read_text()[:-40])
        with raises("dataset.unreadable", file=path):
            open_interhand(copied, SPLIT)

    @pytest.mark.parametrize(
        ("kind", "change", "code"),
        [
            ("camera", lambda c: c.pop("1"), "dataset.no_camera"),
            ("camera", lambda c: c["1"]["focal"].clear(), "dataset.no_key"),
            (
                "camera",
                lambda c: c["1"]["focal"].update({"400262": [0, 0]}),
                "intrinsics.focal_length",
            ),
            ("joint_3d", lambda c: c.pop("1"), "dataset.no_frame"),
        ],
    )
    def test_a_capture_without_its_camera_or_joints(self, copied, kind, change, code):
        changed(copied, kind, change)
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 1] and [d.code for d in damaged] == [code, code]

    @pytest.mark.parametrize(
        ("kind", "change", "code"),
        [
            ("joint_3d", lambda c: c["0"]["47"]["world_coord"].pop(), "dataset.values"),
            ("MANO_NeuralAnnot", lambda c: c["0"]["47"]["right"].pop("shape"), "dataset.no_key"),
            ("data", lambda c: c["annotations"].pop(1), "dataset.no_annotation"),
            ("data", lambda c: c["annotations"][1].pop("joint_valid"), "dataset.no_key"),
            ("data", lambda c: c["annotations"][1]["bbox"].pop(), "dataset.values"),
            ("data", lambda c: c["images"][1].update(width=100), "dataset.image_size"),
        ],
    )
    def test_a_damaged_frame_is_alone(self, copied, kind, change, code):
        changed(copied, kind, change)
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 2, 3] and [d.code for d in damaged] == [code]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
    def test_a_joint_that_is_no_number_costs_nothing_where_it_is_not_annotated(self, copied, value):
        def spoil(joints):
            joints["0"]["47"]["world_coord"][30][0] = value  # of the left hand, which is not there

        whole = open_interhand(copied, SPLIT).annotation(1)
        changed(copied, "joint_3d", spoil)
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 1, 2, 3] and not damaged
        assert_same(open_interhand(copied, SPLIT).annotation(1), whole)
        changed(copied, "joint_3d", lambda j: j["0"]["47"]["world_coord"][3].__setitem__(0, value))
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 2, 3] and [d.code for d in damaged] == ["dataset.not_finite"]

    def test_two_annotations_of_an_image(self, copied):
        changed(copied, "data", lambda c: c["annotations"].append(c["annotations"][1]))
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 2, 3] and [d.code for d in damaged] == ["dataset.two_annotations"]

    @pytest.mark.parametrize("value", [float("inf"), 1 << 70])
    def test_numbers_that_no_image_has(self, copied, value):
        path = changed(copied, "data", lambda c: c["images"][1].update(width=value))
        with raises("dataset.bad_entry", file=path, list="images", number=1):
            open_interhand(copied, SPLIT)

    def test_annotations_with_numbers_beyond_all(self, copied):
        changed(copied, "data", lambda c: c["annotations"][1]["bbox"].__setitem__(0, 10**400))
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 2, 3] and [d.code for d in damaged] == ["dataset.values"]
        path = changed(copied, "data", lambda c: c["annotations"][1].update(image_id=1 << 70))
        with raises("dataset.values", file=path, key="image_id of annotation 1"):
            open_interhand(copied, SPLIT)

    def test_a_frame_that_the_disk_lacks(self, copied):
        (copied / open_interhand(copied, SPLIT).names[2]).unlink()
        places, damaged = usable_places(open_interhand(copied, SPLIT))
        assert places == [0, 1, 3] and [d.code for d in damaged] == ["image.missing"]

    def test_a_file_without_images(self, copied):
        path = changed(copied, "data", lambda c: c.pop("images"))
        with raises("dataset.empty", file=path):
            open_interhand(copied, SPLIT)

    def test_an_image_without_its_name(self, copied):
        path = changed(copied, "data", lambda c: c["images"][1].pop("file_name"))
        with raises("dataset.bad_entry", file=path, list="images", number=1):
            open_interhand(copied, SPLIT)
