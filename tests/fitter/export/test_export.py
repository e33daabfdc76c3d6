"""Stores to files: the numbers of the store, read by those who use such files."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import trimesh
from PIL import Image

import fitter
from datasets.readers.coco import open_coco
from fitter.export import ExportRequest, export_results
from fitter.formats.skin import encoded
from fitter.store.layout import StoreSpec
from fitter.store.reader import StoreReader
from fitter.store.result_store import ResultStore
from tests.support import exported_hands as hands
from tests.support.errors import raises
from tests.support.exported_stores import ALL, ROWS, files, fitted
from tests.support.fitted_stores import (
    HEIGHT,
    WIDTH,
    image_row,
    posed_hand,
    store_spec,
    write_heavy_store,
    write_images,
    write_store,
)
from tests.support.glb_files import CAMERA, Glb


def test_meshes_of_each_hand(export, store):
    summary, out = export("glb")
    assert files(out) == [
        "_up/out.jpg_0_left.glb",
        "a.jpg_0_right.glb",
        "a.jpg_1_left.glb",
        "a.png_0_right.glb",
        "e.jpg_0_right.glb",
        "e.jpg_1_right.glb",
    ]
    assert (summary.hands, summary.images, summary.files, summary.left_out) == (6, 4, 6, 2)
    assert (summary.empty, summary.pending, summary.without_mesh) == (2, 0, 0)
    for name, slot in ALL:
        hand = fitted(store, name, slot)
        path = out / f"{name.replace('..', '_up')}_{slot}_{hand.side}.glb"
        shown = Glb.read(path.read_bytes()).skinned() @ CAMERA
        close = np.linalg.norm(shown[:, None] - hand.vertices, axis=-1).min(axis=0)
        assert close.max() < 1e-6


def test_a_hand_saves_itself_as_the_store_exports_it(export, store, tmp_path):
    hand = fitted(store, "a.jpg", 0)
    for ending in ("glb", "obj", "ply"):
        _, out = export(ending, ending)
        hand.save(tmp_path / f"a.jpg_0_right.{ending}")
        exported = out / f"a.jpg_0_right.{ending}"
        mine, theirs = (tmp_path / exported.name).read_bytes(), exported.read_bytes()
        if ending == "glb":  # a hand by itself does not know its slot
            assert Glb.read(theirs).json["meshes"][0]["extras"].pop("hand") == 0
            mine, theirs = Glb.read(mine).blob, Glb.read(theirs).blob
        assert mine == theirs
    hand.save(tmp_path / "own.glb", texture=hands.texture())
    picture = Image.open(io.BytesIO(Glb.read((tmp_path / "own.glb").read_bytes()).image()))
    np.testing.assert_array_equal(np.array(picture), encoded(hands.texture().colours))
    hand.save(tmp_path / "one.csv")
    assert pd.read_csv(tmp_path / "one.csv").loc[0, "score"] == pytest.approx(hand.score)
    hand.save(str(tmp_path / "one.json"))
    said = json.loads((tmp_path / "one.json").read_text())
    np.testing.assert_allclose(said["vertices"], hand.vertices, rtol=1e-7)


def test_a_hand_that_cannot_be_saved(store, tmp_path):
    hand = fitted(store, "a.jpg", 0)
    with raises("export.ending", found=".stl"):
        hand.save(tmp_path / "hand.stl")
    with raises("output.cannot_write"):
        hand.save(tmp_path / "missing" / "hand.glb")
    with raises("hand.not_fitted"):
        fitted(store, "anna/b.jpg", 0).save(tmp_path / "hand.glb")
    assert not files(tmp_path)


def test_meshes_of_each_image(export, store):
    summary, out = export("ply", per="image")
    assert files(out) == ["_up/out.jpg.ply", "a.jpg.ply", "a.png.ply", "e.jpg.ply"]
    assert (summary.hands, summary.files) == (6, 4)
    mesh = trimesh.load_mesh(out / "e.jpg.ply", process=False)
    both = np.concatenate([fitted(store, "e.jpg", slot).vertices for slot in (0, 1)])
    np.testing.assert_array_equal(mesh.vertices.astype(np.float32), both)
    _, scenes = export("glb", "scenes", per="image")
    names = {n["name"] for n in Glb.read((scenes / "e.jpg.glb").read_bytes()).json["nodes"]}
    assert {"right_0", "right_1", "right_0_wrist", "right_1_wrist"} <= names


def test_obj_brings_its_textures(export):
    _, out = export("obj", only="a.jpg", per="image")
    assert files(out) == ["a.jpg.left.png", "a.jpg.mtl", "a.jpg.obj", "a.jpg.right.png"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"only": ["a.*"]}, ALL[:3]),
        ({"only": ["a.png", "e*"]}, [ALL[2], *ALL[4:]]),
        ({"side": "left"}, [ALL[1], ALL[3]]),
        ({"min_score": 0.3}, ALL[:2]),
        ({"include_invalid": True}, [*ALL[:3], ("anna/b.jpg", 0), ("anna/b.jpg", 1), *ALL[3:]]),
        ({"only": ["anna/*"], "include_invalid": True}, [("anna/b.jpg", 0), ("anna/b.jpg", 1)]),
    ],
)
def test_which_hands(export, chosen, expected):
    _, out = export("csv", "hands.csv", **chosen)
    table = pd.read_csv(out)
    assert list(zip(table.image_name, table.hand, strict=True)) == expected


def test_a_failed_fit_has_no_mesh(export):
    summary, out = export("glb", only=["anna/*"], include_invalid=True)
    assert files(out) == ["anna/b.jpg_1_right.glb"] and summary.without_mesh == 1


def test_json(export, store):
    _, out = export("json", "hands.json")
    listed = json.loads(out.read_text())
    assert len(out.read_text().splitlines()) == len(listed) + 2
    assert [(hand["image_name"], hand["hand"]) for hand in listed] == ALL
    for said, (name, slot) in zip(listed, ALL, strict=True):
        expected = fitted(store, name, slot).to_dict()
        assert said.keys() - {"hand"} == expected.keys() - {"vertices", "faces"}
        np.testing.assert_allclose(said["hand_pose"], expected["hand_pose"], rtol=1e-7)
    _, out = export("json", "meshes.json", save_vertices=True, only=["a.png"])
    (said,) = json.loads(out.read_text())
    hand = fitted(store, "a.png", 0)
    np.testing.assert_array_equal(np.float32(said["vertices"]), hand.vertices)
    np.testing.assert_array_equal(said["faces"], hand.faces)


class TestCoco:
    def test_pycocotools_reads_it(self, export, store, capsys):
        coco_tools = pytest.importorskip("pycocotools.coco")
        _, out = export("coco", "hands.json")
        coco = coco_tools.COCO(out)
        assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == list(ROWS)
        assert coco.getCatIds(catNms=["person"]) == [1]
        found = []
        for number in coco.getImgIds():
            (image,) = coco.loadImgs(number)
            assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
            for slot, person in enumerate(coco.loadAnns(coco.getAnnIds(imgIds=[number]))):
                hand = fitted(store, image["file_name"], slot)
                found.append((image["file_name"], slot))
                other = "left" if hand.side == "right" else "right"
                assert person[f"{hand.side}hand_valid"] and not person[f"{other}hand_valid"]
                marks = np.array(person[f"{hand.side}hand_kpts"]).reshape(21, 3)
                np.testing.assert_array_equal(np.float32(marks[:, :2]), hand.keypoints_2d)
                np.testing.assert_array_equal(marks[:, 2] == 2, hand.keypoint_visibility >= 0.5)
                assert set(marks[:, 2]) <= {1, 2} and not any(person[f"{other}hand_kpts"])
                x, y, width, height = person[f"{hand.side}hand_box"]
                np.testing.assert_allclose([x, y, x + width, y + height], hand.box)
                assert person["score"] == pytest.approx(hand.score)
        assert found == ALL

    def test_our_reader_reads_it_back(self, store, tmp_path):
        root = tmp_path / "coco"
        (root / "annotations").mkdir(parents=True)
        names = [name for name in ROWS if not name.startswith("..")]
        write_images(root / "val2017", names)
        out = root / "annotations" / "coco_wholebody_val_v1.0.json"
        export_results(ExportRequest(store, out, "coco", only=names, quiet=True))
        images = open_coco(root, "val")
        assert list(images.names) == [f"val2017/{n}" for n in ("a.jpg", "a.png", "e.jpg")]
        for annotation in map(images.annotation, range(3)):
            name = annotation.name.removeprefix("val2017/")
            of_store = fitter.open_results(store)[name]
            assert [hand.side for hand in annotation.hands] == [hand.side for hand in of_store]
            for mine, theirs in zip(annotation.hands, of_store, strict=True):
                np.testing.assert_allclose(mine.keypoints_2d, theirs.keypoints_2d, rtol=1e-6)
                np.testing.assert_allclose(mine.box, theirs.box, rtol=1e-6)

    def test_coco_s_own_images_keep_their_numbers(self, tmp_path):
        names = ["images/val2017/000000000139.jpg", "images/val2017/000000000785.jpg"]
        rows = {name: image_row(posed_hand(seed)) for seed, name in enumerate(names, 1)}
        write_store(tmp_path / "c.zarr", rows, {"name": "coco", "folder": "x", "split": "val"})
        request = ExportRequest(tmp_path / "c.zarr", tmp_path / "c.json", "coco", quiet=True)
        export_results(request)
        said = json.loads((tmp_path / "c.json").read_text())
        assert [(i["id"], i["file_name"]) for i in said["images"]] == [
            (139, "000000000139.jpg"),
            (785, "000000000785.jpg"),
        ]
        assert [a["image_id"] for a in said["annotations"]] == [139, 785]


def test_images_that_were_not_reached(tmp_path):
    names = [f"{i}.jpg" for i in range(6)]
    with ResultStore.create(tmp_path / "r.zarr", store_spec(names)) as store:
        store.write_block(store.blocks()[0], [image_row(posed_hand(1))] * 4)
    request = ExportRequest(tmp_path / "r.zarr", tmp_path / "o.csv", "csv", quiet=True)
    summary = export_results(request)
    assert (summary.hands, summary.pending, len(pd.read_csv(request.out))) == (4, 2, 4)


def test_a_long_store_is_read_in_parts(tmp_path, monkeypatch):
    """Memory holds a chunk of images, whatever the block and the store."""
    count = 600
    spec: StoreSpec = store_spec([f"{i}.jpg" for i in range(count)], block_size=512)
    with ResultStore.create(tmp_path / "r.zarr", spec) as store:
        for block in store.pending_blocks():
            store.write_block(block, [image_row(posed_hand(1))] * len(block))
    lengths, real = [], StoreReader.read_block

    def read(self, block, wanted=None):
        lengths.append(len(block))
        return real(self, block, wanted)

    monkeypatch.setattr(StoreReader, "read_block", read)
    request = ExportRequest(tmp_path / "r.zarr", tmp_path / "o.csv", "csv", quiet=True)
    assert export_results(request).hands == count
    assert sum(lengths) == count and max(lengths) <= 256
    lengths.clear()
    export_results(replace(request, only=["599.jpg"], overwrite=True))
    assert sum(lengths) == 88  # the last chunk alone


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("csv", {}, set()),
        ("coco", {}, set()),
        ("json", {}, set()),
        ("json", {"save_vertices": True}, {"vertex_offsets", "vertex_colours", "texture"}),
        ("glb", {}, {"vertex_offsets", "vertex_colours", "texture"}),
    ],
)
def test_meshes_and_textures_are_read_where_they_are_asked_for(
    tmp_path, monkeypatch, kind, values, expected
):
    rng = np.random.default_rng(0)
    count = len(hands.open_hand().data.v_template)
    heavy = {
        "vertex_offsets": rng.normal(size=(count, 3)) / 1000,
        "vertex_colours": rng.normal(size=(count, 3)) / 100,
        "texture": rng.random((8, 8, 3)),
    }
    rows = {"a.jpg": image_row(posed_hand(1, **heavy))}
    write_heavy_store(tmp_path / "r.zarr", rows, texels=8)
    read, real = set(), StoreReader._read

    def seen(self, variable, block):
        read.add(variable.name)
        return real(self, variable, block)

    monkeypatch.setattr(StoreReader, "_read", seen)
    request = ExportRequest(tmp_path / "r.zarr", tmp_path / "out", kind, quiet=True, **values)
    export_results(request)
    assert read & set(heavy) == expected
    if kind == "json":
        (said,) = json.loads((tmp_path / "out").read_text())
        assert said.keys() & set(heavy) == expected


def test_long_names_of_images(tmp_path):
    """Whatever the length, up to what a file system takes and beyond."""
    lengths = [200, 215, 224, *range(233, 246), 251]
    rows = {"é" * 10 + "a" * (n - 24) + ".jpg": image_row(posed_hand(1)) for n in lengths}
    write_store(tmp_path / "r.zarr", rows)
    for kind, per in (("glb", "hand"), ("obj", "image"), ("obj", "hand")):
        request = ExportRequest(tmp_path / "r.zarr", tmp_path / f"{kind}{per}", kind, per=per)
        summary = export_results(replace(request, quiet=True))
        assert summary.hands == len(lengths)
        assert len([n for n in files(request.out) if n.endswith(kind)]) == len(lengths)
