"""A result store as pseudo-labels: its valid hands, with how far they are to be trusted."""

import pickle

import numpy as np
import pytest
import torch

from datasets.readers import open_dataset, results
from datasets.readers.posing import own_params
from fitter.hand_models import load_hand_model
from fitter.inputs.listing import ImageSource
from fitter.store.result_store import ResultStore
from fitter.store.schema import ImageRow
from tests.support.errors import raises
from tests.support.fitted_stores import (
    HEIGHT,
    WIDTH,
    K,
    image_row,
    keypoints,
    posed_hand,
    store_spec,
    write_images,
    write_store,
)
from tests.support.marked_files import write_hint
from tests.support.reader_checks import check_reader
from tests.support.shard_files import write_shard

ROWS = {
    "a/0.png": image_row(posed_hand(0), posed_hand(1, "left")),
    "a/1.png": image_row(),
    "a/2.png": ImageRow(image_status="failed", image_error="cannot be read"),
    "a/3.png": image_row(posed_hand(2, valid=False), posed_hand(3, "left")),
    "b/4.png": image_row(posed_hand(4, valid=False)),
    "b/5.png": image_row(posed_hand(5, focal_scale=1.25)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_store(folder / "r.zarr", ROWS)
    write_images(folder / "images", list(ROWS))
    return folder


def opened(folder):
    return open_dataset("store", folder / "r.zarr", str(folder / "images"))


def test_valid_hands_alone(folder):
    images = opened(folder)
    assert list(images.names) == ["a/0.png", "a/3.png", "b/5.png"]
    assert [images.names[i] for i in range(3)] == list(images.names)
    found = [[hand.side for hand in images.annotation(i).hands] for i in range(3)]
    assert found == [["right", "left"], ["left"], ["right"]]
    sample = images[1]
    assert sample.pixels.shape == (HEIGHT, WIDTH, 3) and sample.annotation.size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(sample.annotation.intrinsics, K)


def test_a_hand_says_how_far_it_is_to_be_trusted(folder):
    stored = posed_hand(1, "left")
    hand = opened(folder).annotation(0).hands[1]
    assert hand.score == pytest.approx(0.5) and hand.predicted_error == pytest.approx(0.005)
    np.testing.assert_allclose(hand.confidence, stored.keypoint_confidence, atol=1e-6)
    np.testing.assert_array_equal(hand.visible, stored.keypoint_visibility >= 0.5)
    np.testing.assert_allclose(hand.box, stored.box, rtol=1e-5)


def test_parameters_give_the_keypoints(folder):
    images, model = opened(folder), load_hand_model("open_hand", dtype=torch.float64)
    for place in range(len(images)):
        for hand in images.annotation(place).hands:
            found = keypoints(model, own_params(hand.parameters), hand.side)
            np.testing.assert_allclose(found, hand.keypoints_3d, atol=2e-6)
            assert hand.parameters.model == "open_hand"


def test_keypoints_are_projected_with_the_focal_length_that_was_fitted(folder):
    hand = opened(folder).annotation(2).hands[0]
    own = K * [[1.25, 1.25, 1], [1.25, 1.25, 1], [1, 1, 1]]
    points = hand.keypoints_3d @ own.T
    np.testing.assert_allclose(points[:, :2] / points[:, 2:], hand.keypoints_2d, atol=1e-9)
    np.testing.assert_allclose(hand.intrinsics, own)
    assert opened(folder).annotation(0).hands[0].intrinsics is None


def test_projections_with_k_are_the_stored_ones(tmp_path):
    write_store(tmp_path / "r.zarr", ROWS)
    write_images(tmp_path / "images", list(ROWS))
    images = check_reader(lambda: opened(tmp_path))
    np.testing.assert_allclose(
        images.annotation(0).hands[0].keypoints_2d, posed_hand(0).keypoints_2d, atol=1e-3
    )


def test_the_same_in_every_process_and_order(folder, monkeypatch):
    images = opened(folder)
    monkeypatch.setattr(results, "CHUNK", 1)
    monkeypatch.setattr(results, "MOST_HELD", 1)
    other = pickle.loads(pickle.dumps(images))
    for place in (2, 0, 1, 0):
        mine, theirs = images.annotation(place), other.annotation(place)
        assert mine.name == theirs.name == images.names[place] == other.names[place]
        for a, b in zip(mine.hands, theirs.hands, strict=True):
            np.testing.assert_array_equal(a.keypoints_3d, b.keypoints_3d)


def test_unfinished_blocks_are_left_out(folder, tmp_path):
    write_store(tmp_path / "r.zarr", ROWS)
    write_images(tmp_path / "images", list(ROWS))
    with ResultStore.create(tmp_path / "empty.zarr", store_spec(list(ROWS))):
        pass
    with raises("dataset.no_valid_hand", file=tmp_path / "empty.zarr"):
        open_dataset("store", tmp_path / "empty.zarr", str(tmp_path / "images"))
    (tmp_path / "r.zarr" / "image_status" / "c" / "0").unlink()
    assert list(opened(tmp_path).names) == ["b/5.png"]


def test_images_of_a_data_set_that_the_store_tells_of(tmp_path):
    names = list(write_hint(tmp_path / "hint", tmp_path))
    write_images(tmp_path / "hint", names)
    rows = {name: image_row(posed_hand(seed)) for seed, name in enumerate(names)}
    dataset = {"name": "hint", "folder": str(tmp_path / "hint"), "split": "TEST"}
    write_store(tmp_path / "r.zarr", rows, dataset)
    images = open_dataset("store", tmp_path / "r.zarr")
    assert images[0].pixels.shape == (HEIGHT, WIDTH, 3) and images[1].annotation.name == names[1]
    with raises("image.missing"):  # it is of another split
        images[2]


def test_images_in_a_tar_file(folder, tmp_path):
    content = {name: (folder / "images" / name).read_bytes() for name in ("a/0.png", "b/5.png")}
    write_shard(tmp_path / "s.tar", content)
    rows = {f"s.tar/{name}": row for name, row in ROWS.items()}
    write_store(tmp_path / "r.zarr", rows)
    images = open_dataset("store", tmp_path / "r.zarr", str(tmp_path / "s.tar"))
    images = pickle.loads(pickle.dumps(images))
    assert images[0].pixels.shape == (HEIGHT, WIDTH, 3) and len(images[0].annotation.hands) == 2
    assert (
        images.file(0).stamp()
        == ImageSource.of([str(tmp_path / "s.tar")]).files.file_of("s.tar/a/0.png").stamp()
    )
    with raises("image.missing"):
        images[1]


def test_images_in_many_tar_files_at_random(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tars").mkdir()
    pixels = (folder / "images" / "a" / "0.png").read_bytes()
    for number in range(6):
        write_shard(tmp_path / "tars" / f"{number}.tar", {"a.png": pixels})
    hand = posed_hand(0)
    write_store(tmp_path / "r.zarr", {f"{n}.tar/a.png": image_row(hand) for n in range(6)})
    images = open_dataset("store", tmp_path / "r.zarr", str(tmp_path / "tars" / "*.tar"))
    assert len(list((tmp_path / "cache" / "fit-hands" / "shards").iterdir())) == 6
    monkeypatch.setattr("fitter.inputs.tar_index.tar_index", None)
    monkeypatch.setattr("fitter.inputs.shards.tar_index", None)  # would fail where one is asked for
    for place in (5, 0, 4, 1, 3, 2):
        assert images[place].pixels.shape == (HEIGHT, WIDTH, 3)


def test_images_that_are_elsewhere_are_named(folder, tmp_path):
    with raises("dataset.images_unknown", file=folder / "r.zarr"):
        open_dataset("store", folder / "r.zarr")
    with raises("dataset.images_elsewhere", file=str(tmp_path), image="a/0.png"):
        open_dataset("store", folder / "r.zarr", str(tmp_path))


def test_one_image_that_is_gone_is_alone(tmp_path):
    write_store(tmp_path / "r.zarr", ROWS)
    write_images(tmp_path / "images", list(ROWS))
    (tmp_path / "images" / "a" / "3.png").unlink()
    images = opened(tmp_path)
    with raises("image.missing"):
        images[1]
    assert images[0].annotation.hands and images[2].annotation.hands
