"""Images whose hands were marked in 2D: COCO-WholeBody, HInt, OpenPose."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.readers import open_dataset
from datasets.readers.coco import open_coco
from datasets.readers.hint import open_hint
from datasets.readers.iteration import usable
from datasets.readers.openpose import open_openpose
from tests.support.errors import raises
from tests.support.hand_pairs import SIDES
from tests.support.marked_files import box_of, seen, write_coco, write_hint, write_openpose
from tests.support.reader_checks import check_reader

WRITERS = {"coco": write_coco, "hint": write_hint}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("marked")
    found = {name: write(folder / name, folder) for name, write in WRITERS.items()}
    found["openpose"] = write_openpose(folder / "openpose", folder, folder / "openpose" / "json")
    return folder, found


@pytest.fixture
def copied(written, tmp_path):
    return Path(shutil.copytree(written[0], tmp_path / "sets"))


def change(path, function):
    content = json.loads(path.read_text())
    function(content)
    path.write_text(json.dumps(content))
    return path


def read(images):
    damaged = []
    return [p for p, _ in usable(images, damaged.append)], [d.code for d in damaged]


class TestCoco:
    path = Path("coco") / "annotations" / "coco_wholebody_val_v1.0.json"

    def test_the_valid_hands_of_all_people(self, written):
        folder, pairs = written[0], written[1]["coco"]
        images = check_reader(lambda: open_dataset("coco", folder / "coco"))
        assert list(images.names) == list(pairs) and images.split == "val"
        for place, pair in enumerate(pairs.values()):
            annotation = images.annotation(place)
            assert annotation.intrinsics is None and annotation.size == (320, 240)
            assert [hand.side for hand in annotation.hands] == list(SIDES)
            for hand in annotation.hands:
                known = pair.hands[hand.side]
                marked = np.isfinite(hand.keypoints_2d[:, 0])
                off = np.abs(hand.keypoints_2d - seen(known))[marked]
                assert off.max() < 1e-3 and np.isnan(hand.keypoints_3d).all()
                np.testing.assert_allclose(hand.box, box_of(known))

    def test_what_is_not_marked(self, written):
        left, right = open_coco(written[0] / "coco", "val").annotation(0).hands
        assert np.flatnonzero(np.isnan(left.keypoints_2d[:, 0])).tolist() == [3]
        assert np.isfinite(right.keypoints_2d).all() and left.visible is None

    def test_images_and_annotations_elsewhere(self, copied):
        root = copied / "coco"
        (root / "images").mkdir()
        (root / "val2017").rename(root / "images" / "val2017")
        (copied / self.path).rename(root / self.path.name)
        assert open_coco(root, "val")[0].pixels.shape == (240, 320, 3)

    def test_missing_or_broken_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_coco(tmp_path / "no", "val")
        with raises("dataset.lacks", file=copied / "coco" / "train2017", what="folder"):
            open_coco(copied / "coco", "train")
        path, whole = copied / self.path, (copied / self.path).read_text()
        path.write_text(whole[:-60])
        with raises("dataset.unreadable", file=path):
            open_coco(copied / "coco", "val")
        path.write_text(json.dumps({"images": {}, "annotations": []}))
        with raises("dataset.unreadable", file=path):
            open_coco(copied / "coco", "val")
        path.write_text(json.dumps({"images": [], "annotations": []}))
        with raises("dataset.no_valid_hand", file=path):
            open_coco(copied / "coco", "val")
        path.unlink()
        with raises("dataset.lacks", file=path, what="file"):
            open_coco(copied / "coco", "val")

    @pytest.mark.parametrize(
        ("function", "code"),
        [
            (lambda c: c["annotations"][0]["lefthand_kpts"].pop(), "dataset.values"),
            (lambda c: c["annotations"][0].pop("righthand_box"), "dataset.no_key"),
            (lambda c: c["images"][1].update(width=30), "dataset.image_size"),
        ],
    )
    def test_a_damaged_person_costs_its_image(self, copied, function, code):
        change(copied / self.path, function)
        assert read(open_coco(copied / "coco", "val")) == ([0], [code])

    @pytest.mark.parametrize("value", [float("inf"), 1 << 40])
    def test_a_size_that_no_image_has(self, copied, value):
        path = change(copied / self.path, lambda c: c["images"][1].update(height=value))
        with raises("dataset.bad_entry", file=path, list="images", number=1):
            open_coco(copied / "coco", "val")

    def test_numbers_beyond_all(self, copied):
        path = change(
            copied / self.path, lambda c: c["annotations"][0].update(lefthand_box=[10**400] * 4)
        )
        assert read(open_coco(copied / "coco", "val")) == ([0], ["dataset.values"])
        change(path, lambda c: c["annotations"][0].update(image_id=1e300))
        with raises("dataset.values", file=path, key="image_id of annotation 0"):
            open_coco(copied / "coco", "val")

    def test_an_image_that_the_disk_or_the_list_lacks(self, copied):
        root = copied / "coco"
        (root / "val2017" / "000000001000.jpg").unlink()
        assert read(open_coco(root, "val")) == ([1], ["image.missing"])
        path = change(copied / self.path, lambda c: c["images"].pop(0))
        assert list(open_coco(root, "val").names) == ["val2017/000000000999.jpg"]
        change(path, lambda c: c["images"][0].pop("height"))
        with raises("dataset.bad_entry", file=path, list="images", number=0):
            open_coco(root, "val")


class TestHint:
    def test_a_hand_and_what_hides_it(self, written):
        folder, hands = written[0], written[1]["hint"]
        images = check_reader(lambda: open_dataset("hint", folder / "hint"))
        assert list(images.names) == list(hands)
        for place, known in enumerate(hands.values()):
            (hand,) = images.annotation(place).hands
            assert hand.side == known.side
            np.testing.assert_allclose(hand.keypoints_2d, seen(known))
            assert np.flatnonzero(~hand.visible).tolist() == [4]
            np.testing.assert_allclose(hand.box, box_of(known))

    @pytest.mark.parametrize(("split", "count"), [("TEST", 2), ("VAL_ego4d_seq", 1), ("", 3)])
    def test_subsets(self, written, split, count):
        assert len(open_hint(written[0] / "hint", split)) == count

    def test_a_subset_itself(self, written):
        images = open_hint(written[0] / "hint" / "VAL_ego4d_seq", "")
        assert images[0].annotation.hands[0].side == "right"

    def test_missing_subsets(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_hint(tmp_path / "no", "")
        with raises("dataset.lacks", file=copied / "hint" / "TRAIN", what="folder"):
            open_hint(copied / "hint", "TRAIN")

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            ("[", "json.invalid"),
            ("{}", "dataset.no_list"),
            ("[{}]", "dataset.no_key"),
            ('[{"keypoints": [[1, 2]], "occlusion": [], "bbox": []}]', "dataset.values"),
        ],
    )
    def test_a_damaged_file_is_alone(self, copied, content, code):
        images = open_hint(copied / "hint", "")
        images.path(1).with_suffix(".json").write_text(content)
        assert read(images) == ([0, 2], [code])

    def test_a_hand_without_a_box(self, copied):
        images = open_hint(copied / "hint", "")
        path = images.path(1).with_suffix(".json")
        change(path, lambda hands: hands[0].update(bbox=[]))
        (hand,) = images[1].annotation.hands
        assert hand.box is None and np.isfinite(hand.keypoints_2d).all()

    def test_images_that_have_to_be_fetched(self, copied):
        images = open_hint(copied / "hint", "")
        images.path(2).unlink()
        assert read(images) == ([0, 1], ["image.missing"])
        assert images.annotation(2).hands


class TestOpenPose:
    def test_people_with_hands(self, written):
        folder, pairs = written[0], written[1]["openpose"]
        images = check_reader(lambda: open_dataset("openpose", folder / "openpose", "json"))
        assert list(images.names) == list(pairs)
        for place, pair in enumerate(pairs.values()):
            hands = images.annotation(place).hands
            assert [hand.side for hand in hands] == list(SIDES)
            for hand in hands:
                lost = [8] if hand.side == "right" else []
                found = np.isfinite(hand.keypoints_2d[:, 0])
                assert np.flatnonzero(~found).tolist() == lost
                assert np.flatnonzero(hand.confidence == 0).tolist() == lost
                expected = seen(pair.hands[hand.side])
                np.testing.assert_allclose(hand.keypoints_2d[found], expected[found])

    def test_files_beside_the_images(self, copied):
        root = copied / "openpose"
        shutil.copytree(root / "json", root, dirs_exist_ok=True)
        shutil.rmtree(root / "json")
        assert len(open_openpose(root, "")[0].annotation.hands) == 2

    def test_one_file_for_all(self, written, tmp_path):
        pairs = written[1]["openpose"]
        hands = {
            name: [{"side": "left", "keypoints": seen(pair.hands["left"]).tolist()}]
            for name, pair in pairs.items()
        }
        (tmp_path / "marks.json").write_text(json.dumps(hands))
        images = open_openpose(written[0] / "openpose", str(tmp_path / "marks.json"))
        assert [len(images.annotation(place).hands) for place in range(3)] == [1, 1, 1]

    def test_missing_folders(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_openpose(tmp_path / "no", "")
        with raises("keypoints.no_files", file=copied / "openpose" / "a"):
            open_openpose(copied / "openpose" / "a", "")
        (tmp_path / "empty").mkdir()
        with raises("list.empty_folder"):
            open_openpose(tmp_path / "empty", str(copied / "openpose" / "json"))

    def test_a_damaged_file_is_alone(self, copied):
        root = copied / "openpose"
        (root / "json" / "a" / "one_keypoints.json").write_text('{"people": 1}')
        (root / "json" / "b" / "one_keypoints.json").unlink()
        assert read(open_openpose(root, "json")) == ([1], ["keypoints.no_people", "json.missing"])

    def test_a_list_shorter_than_the_images(self, written, tmp_path):
        (tmp_path / "list.json").write_text(json.dumps([[[50.0, 60.0]] * 21] * 2))
        with raises("keypoints.count", count=3, found=2):
            open_openpose(written[0] / "openpose", str(tmp_path / "list.json"))


def test_an_image_of_another_size_than_its_file_says(copied):
    root = copied / "coco"
    Image.new("RGB", (64, 48)).save(root / "val2017" / "000000000999.jpg")
    assert read(open_coco(root, "val")) == ([0], ["dataset.image_size"])
