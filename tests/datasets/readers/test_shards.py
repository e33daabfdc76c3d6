"""Tar files of annotated images, read as a data set."""

import io
import json
import pickle

import fsspec
import numpy as np
import pytest
from PIL import Image

from datasets.offers import SHARDS
from datasets.readers import usable
from tests.support.annotated_shards import write_annotated_shards
from tests.support.errors import raises
from tests.support.reader_checks import check_reader
from tests.support.shard_files import K, cut, samples, write_shard


def opened(place):
    return SHARDS.open("shards", place)


POINTS = [[100.0 + k, 200.0 + k] for k in range(21)]


def annotation(**more) -> bytes:
    hand = {"side": "left", "keypoints_2d": [*POINTS[:20], None]}
    second = {"side": None, "keypoints_3d": [[0.0, 0.1, None]] * 21, "visible": [True] * 21}
    return json.dumps({"K": K, "hands": [hand, second], "definition": "ge"} | more).encode()


def mask() -> bytes:
    labels = np.zeros((480, 640), np.uint8)
    labels[:10], labels[-5:] = 1, 2
    written = io.BytesIO()
    Image.fromarray(labels).save(written, "png")
    return written.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fit-hands" / "shards"


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    beside = {"json": annotation(size=[640, 480], sequence="s", frame=4), "mask.png": mask()}
    for number in range(3):
        write_shard(folder / f"{number:03}.tar", samples(["x/0", "x/1"], **beside))
    return folder


def test_a_sample_is_what_stands_beside_the_image(shards):
    images = opened(shards)
    assert len(images) == 6 and images.definition == "ge" and images.has_intrinsics
    assert images.names[3] == "001.tar/x/1.jpg"
    sample = images[3]
    assert sample.pixels.shape == (480, 640, 3)
    found = sample.annotation
    np.testing.assert_array_equal(found.intrinsics, K)
    assert (found.sequence, found.frame, found.size) == ("s", 4, (640, 480))
    first, second = found.hands
    assert (first.side, second.side) == ("left", None)
    np.testing.assert_array_equal(first.keypoints_2d[:20], POINTS[:20])
    assert np.isnan(first.keypoints_2d[20]).all() and np.isnan(first.keypoints_3d).all()
    assert np.isnan(second.keypoints_3d[:, 2]).all() and (second.keypoints_3d[:, 1] == 0.1).all()
    assert second.visible.all() and first.visible is None
    assert sample.masks.sum((1, 2)).tolist() == [6400, 3200]


def test_it_is_a_reader_as_any_other(tmp_path):
    pairs = write_annotated_shards(tmp_path / "set", tmp_path)
    images = check_reader(lambda: opened(tmp_path / "set"))
    assert set(pairs) == set(images.names) - {"001.tar/s/none.png"}
    assert images[4].annotation.hands == () and images[4].masks is None
    for name, pair in pairs.items():
        sample = images[images.names.index(name)]
        np.testing.assert_array_equal(sample.pixels, pair.image)
        for hand, mask, known in zip(
            sample.annotation.hands, sample.masks, pair.hands.values(), strict=True
        ):
            assert hand.side == known.side
            np.testing.assert_array_equal(hand.keypoints_3d, known.keypoints)
            np.testing.assert_array_equal(mask, known.mask)


def test_it_travels_and_is_read_in_any_order_from_patterns_and_addresses(shards):
    memory = fsspec.filesystem("memory")
    for path in shards.iterdir():
        memory.pipe(f"/b/{path.name}", path.read_bytes())
    try:
        for place in (str(shards / "{000..002}.tar"), "memory://b", "memory://b/00*.tar"):
            images = pickle.loads(pickle.dumps(opened(place)))
            assert list(images.names) == list(opened(shards).names)
            assert images[5].annotation.hands[0].side == "left"
            assert images[0].pixels.shape == (480, 640, 3)
    finally:
        memory.rm("/b", recursive=True)


def test_members_are_looked_up_once(shards, cache, monkeypatch):
    opened(shards)
    assert len(list(cache.iterdir())) == 3
    monkeypatch.setattr("tarfile.open", None)  # would fail where a header was read again
    assert len(opened(shards)) == 6


def test_what_is_wrong_costs_its_own_sample(shards):
    write_shard(
        shards / "003.tar",
        {
            **samples(["a"], json=b"{"),
            **samples(["b"]),
            **samples(["c"], json=annotation(hands=3)),
            **samples(["d"], json=annotation(hands=[{"side": "both"}])),
            **samples(["e"], json=annotation(hands=[{"keypoints_2d": [[1, 2]]}])),
            **samples(["f"], json=annotation(size=[1, 2])),
            **samples(["g"], json=annotation(K=[1, 2])),
            "h.jpg": b"no picture",
            "h.json": annotation(),
        },
    )
    (shards / "004.tar").write_bytes((shards / "000.tar").read_bytes())
    cut(shards / "004.tar", 62_600)  # in what stands beside the first image
    images = opened(shards)
    damaged = []
    read = [images.names[place] for place, _ in usable(images, damaged.append)]
    assert len(read) == 6 and all("003" not in name for name in read)
    codes = {one.name: one.code for one in damaged}
    assert codes == {
        "003.tar/a.jpg": "json.invalid",
        "003.tar/b.jpg": "dataset.no_annotation",
        "003.tar/c.jpg": "dataset.no_list",
        "003.tar/d.jpg": "keypoints.side",
        "003.tar/e.jpg": "dataset.values",
        "003.tar/f.jpg": "dataset.image_size",
        "003.tar/g.jpg": "intrinsics.shape",
        "003.tar/h.jpg": "image.format",
        "004.tar/x/0.jpg": "dataset.no_annotation",
    }
    assert len(images.broken) == 1 and "004.tar" in images.broken[0]


def test_there_must_be_shards_with_images(tmp_path):
    with raises("shard.no_match", file=f"{tmp_path}/*.tar"):
        opened(tmp_path)
    path = write_shard(tmp_path / "0.tar", {"a.cls": b"1"})
    with raises("list.no_match", file=str(path)):
        opened(path)
    with raises("dataset.values", key="definition"):
        opened(write_shard(path, samples(["a"], json=annotation(definition="mine"))))


def test_another_definition_costs_its_image(shards):
    write_shard(shards / "003.tar", samples(["a"], json=annotation(definition="coco")))
    images, damaged = opened(shards), []
    assert len(list(usable(images, damaged.append))) == 6 and images.definition == "ge"
    assert [(one.name, one.code) for one in damaged] == [("003.tar/a.jpg", "dataset.values")]
    assert "expected ge as definition, found coco" in damaged[0].sentence


def test_the_first_whole_annotation_says_the_definition(tmp_path):
    first = samples([f"{k:02}" for k in range(20)], json=b"{")
    path = write_shard(tmp_path / "0.tar", first | samples(["99"], json=annotation()))
    assert opened(path).definition == "ge"
    with raises("json.invalid"):
        opened(write_shard(tmp_path / "1.tar", first))


def test_a_json_file_that_would_fill_the_memory(tmp_path):
    large = b" " * 2**24 + annotation()
    members = samples(["a"], json=annotation()) | samples(["b"], json=large)
    images = opened(write_shard(tmp_path / "0.tar", members))
    with raises("dataset.too_large"):
        images[1]
