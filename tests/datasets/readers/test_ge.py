"""The layout of Ge et al.'s real set, from the files on disk to the hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from datasets.readers import open_dataset
from datasets.readers.ge import open_ge
from datasets.readers.iteration import usable
from tests.support.errors import raises
from tests.support.ge_files import write_ge
from tests.support.reader_checks import check_reader


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ge")
    return write_ge(folder / "set", folder), folder / "set"


@pytest.fixture
def copied(written, tmp_path):
    return Path(shutil.copytree(written[1], tmp_path / "set"))


def test_every_hand(written):
    hands, root = written
    images = check_reader(lambda: open_dataset("ge", root))
    assert len(images) == len(hands)
    for place, known in enumerate(hands):
        annotation = images.annotation(place)
        (hand,) = annotation.hands
        assert hand.side == "left" and annotation.size == (256, 256)
        np.testing.assert_allclose(hand.keypoints_3d, known.keypoints, atol=1e-7)
        np.testing.assert_allclose(annotation.intrinsics, known.view.intrinsics)
        if place == len(hands) - 1:
            assert hand.vertices is None
        else:
            np.testing.assert_allclose(hand.vertices, known.vertices, atol=1e-8)


class TestDamage:
    def test_missing_folders_and_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_ge(tmp_path / "no", "")
        with raises("dataset.split", known="test", found="train"):
            open_ge(copied, "train")
        (copied / "pose_gt.mat").unlink()
        with raises("dataset.lacks", file=copied / "pose_gt.mat", what="file"):
            open_ge(copied, "test")

    @pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", bytes(300)])
    def test_no_file_of_matlab(self, copied, content):
        (copied / "params.mat").write_bytes(content)
        with raises("dataset.unreadable", file=copied / "params.mat"):
            open_ge(copied, "")

    def test_an_array_is_missing_or_another(self, copied):
        path = copied / "params.mat"
        arrays = {k: v for k, v in loadmat(path).items() if not k.startswith("_")}
        savemat(path, {k: v for k, v in arrays.items() if k != "bbox"})
        with raises("dataset.no_key", file=path, key="bbox"):
            open_ge(copied, "")
        savemat(path, arrays | {"cam_param": np.zeros((3, 3))})
        with raises("dataset.values", file=path, key="cam_param"):
            open_ge(copied, "")

    def test_fewer_annotations_than_images(self, copied):
        truth = loadmat(copied / "pose_gt.mat")["pose_gt"]
        savemat(copied / "pose_gt.mat", {"pose_gt": truth[:2]})
        damaged = []
        assert [p for p, _ in usable(open_ge(copied, ""), damaged.append)] == [0, 1]
        assert [d.code for d in damaged] == ["dataset.no_entry"]

    @pytest.mark.parametrize("key", ["cam_param", "bbox", "pose_gt"])
    def test_a_row_that_is_no_number_is_alone(self, copied, key):
        path = copied / ("pose_gt.mat" if key == "pose_gt" else "params.mat")
        arrays = {k: v for k, v in loadmat(path).items() if not k.startswith("_")}
        arrays[key] = arrays[key].astype(float)
        arrays[key][1].flat[0] = np.nan
        savemat(path, arrays)
        damaged = []
        assert [p for p, _ in usable(open_ge(copied, ""), damaged.append)] == [0, 2]
        assert [d.code for d in damaged] == ["dataset.not_finite"]
        assert f"{key}, entry 1" in damaged[0].sentence

    def test_fewer_crops_than_images_and_one_without_extent(self, copied):
        path = copied / "params.mat"
        arrays = {k: v for k, v in loadmat(path).items() if not k.startswith("_")}
        arrays["bbox"] = arrays["bbox"][:2]
        arrays["bbox"][0, 2] = 0
        savemat(path, arrays)
        damaged = []
        assert [p for p, _ in usable(open_ge(copied, ""), damaged.append)] == [1]
        assert [d.code for d in damaged] == ["dataset.values", "dataset.no_entry"]

    def test_a_file_that_would_fill_the_memory(self, copied):
        path = copied / "pose_gt.mat"
        savemat(path, {"pose_gt": np.zeros((200_000, 21, 3))}, do_compression=True)
        assert path.stat().st_size < 1e6
        with raises("dataset.too_large", file=path):
            open_ge(copied, "")

    def test_damaged_files_are_alone(self, copied):
        (copied / "images" / "00000.jpg").unlink()
        Image.new("RGB", (128, 128)).save(copied / "images" / "00002.jpg")
        (copied / "real_hand_3D_mesh" / "00001.obj").write_text("v 1 2\n")
        damaged = []
        assert not list(usable(open_ge(copied, ""), damaged.append))
        codes = ["image.missing", "dataset.values", "dataset.image_size"]
        assert [d.code for d in damaged] == codes
