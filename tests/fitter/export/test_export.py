"""Stores to files: the numbers of the store, read by those who use such files."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trimesh
from PIL import Image

import fitter
from datasets.evaluation.freihand_protocol import freihand_evaluation
from datasets.evaluation.predictions import PredictionEstimates
from datasets.readers import open_dataset
from datasets.readers.coco import open_coco
from fitter.export import ExportRequest, export_results
from fitter.formats.mano_fit import load_mano_meshes
from fitter.formats.skin import encoded
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.inputs.images import read_image
from fitter.store.layout import StoreSpec
from fitter.store.reader import StoreReader
from fitter.store.result_store import ResultStore
from fitter.store.schema import HandRow
from tests.support import exported_hands as hands
from tests.support.errors import raises
from tests.support.fitted_stores import (
    HEIGHT,
    WIDTH,
    image_row,
    posed_hand,
    store_spec,
    write_images,
    write_store,
)
from tests.support.freihand_files import write_freihand
from tests.support.glb_files import CAMERA, Glb
from tests.support.small_mano import write_small_mano

FAILED = HandRow(valid=False, side="left", fit_error="diverged", box=np.array([1.0, 2, 3, 4]))
ROWS = {
    "a.jpg": image_row(posed_hand(1), posed_hand(2, "left")),
    "a.png": image_row(posed_hand(3)),
    "anna/b.jpg": image_row(FAILED, posed_hand(4, valid=False, fit_error="too low")),
    "anna/c.jpg": image_row(),
    "../out.jpg": image_row(posed_hand(5, "left")),
    "e.jpg": image_row(posed_hand(6), posed_hand(7)),
}
ALL = [("a.jpg", 0), ("a.jpg", 1), ("a.png", 0), ("../out.jpg", 0), ("e.jpg", 0), ("e.jpg", 1)]
"""The valid hands, by image and slot."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "r.zarr"
    write_store(path, ROWS)
    return path


@pytest.fixture(scope="module")
def mano(tmp_path_factory):
    return write_small_mano(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl")


@pytest.fixture
def export(store, tmp_path):
    def run(kind, name="out", **values):
        request = ExportRequest(store, tmp_path / name, kind, quiet=True, **values)
        return export_results(request), request.out

    return run


def fitted(store, name, slot):
    return fitter.open_results(store)[name][slot]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


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
    _, out = export("obj", images="a.jpg", per="image")
    assert files(out) == ["a.jpg.mtl", "a.jpg.obj", "a.jpg_left.png", "a.jpg_right.png"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"images": ["a.*"]}, ALL[:3]),
        ({"images": ["a.png", "e*"]}, [ALL[2], *ALL[4:]]),
        ({"side": "left"}, [ALL[1], ALL[3]]),
        ({"min_score": 0.3}, ALL[:2]),
        ({"include_invalid": True}, [*ALL[:3], ("anna/b.jpg", 0), ("anna/b.jpg", 1), *ALL[3:]]),
        ({"images": ["anna/*"], "include_invalid": True}, [("anna/b.jpg", 0), ("anna/b.jpg", 1)]),
    ],
)
def test_which_hands(export, chosen, expected):
    _, out = export("csv", "hands.csv", **chosen)
    table = pd.read_csv(out)
    assert list(zip(table.image_name, table.hand, strict=True)) == expected


def test_a_failed_fit_has_no_mesh(export):
    summary, out = export("glb", images=["anna/*"], include_invalid=True)
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
    _, out = export("json", "meshes.json", save_vertices=True, images=["a.png"])
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
        export_results(ExportRequest(store, out, "coco", images=names, quiet=True))
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


class TestMano:
    def test_freihand_of_another_model(self, export, store, mano):
        summary, out = export("freihand", "pred.json", mano=mano)
        xyz, verts = json.loads(out.read_text())
        assert len(xyz) == len(verts) == len(ROWS)
        assert [entry is None for entry in xyz] == [False, False, True, True, False, False]
        assert [entry is None for entry in verts] == [entry is None for entry in xyz]
        assert np.shape(xyz[0]) == (21, 3) and np.shape(verts[0]) == (778, 3)
        # The best of its image, as the fit has it, millimetres from the model that was fitted.
        hand = fitted(store, "e.jpg", 0)
        assert hand.score > fitted(store, "e.jpg", 1).score
        meshes = hands.open_hand()
        definition = KeypointDefinition.of(meshes.right, "freihand")
        expected = definition.keypoints(hands.params_of(hand))[0].numpy()
        away = np.linalg.norm(np.array(xyz[5]) - expected, axis=1)
        assert away.mean() < 3e-3 and away.max() < 8e-3
        assert (summary.hands, summary.further, summary.mano.hands) == (4, 2, 4)
        assert 0 < summary.mano.vertex_mm / 4 < 0.2

    def test_freihand_needs_mano(self, export, store, tmp_path):
        with raises("export.mano_needed", model="open_hand", vertices=1670):
            export("freihand", "pred.json")
        with raises("export.mano_needed", format="mano-npz"):
            export("mano-npz")
        assert not [*tmp_path.iterdir()]

    def test_npz_per_hand_and_per_image(self, export, mano, monkeypatch):
        monkeypatch.setattr("fitter.formats.mano_fit.ROUNDS", 1)
        chosen = {"images": ["a.jpg"], "mano": mano}
        summary, out = export("mano-npz", "each", **chosen)
        assert files(out) == ["a.jpg_0_right.npz", "a.jpg_1_left.npz"]
        _, out = export("mano-npz", "both", per="image", **chosen)
        both = np.load(out / "a.jpg.npz")
        each = [np.load(out.parent / "each" / name) for name in files(out.parent / "each")]
        for name in both.files:
            expected = np.concatenate([one[name] for one in each])
            np.testing.assert_array_equal(both[name], expected)
        errors = summary.mano
        assert errors.vertex_mm == pytest.approx(both["vertex_error_mm"].sum())
        assert errors.worst_mm == both["vertex_error_mm"].max()

    def test_hands_of_mano_pass(self, mano, tmp_path):
        path = tmp_path / "m.zarr"
        row = posed_hand(1, score=0.9)
        write_mano_store(path, mano, {"a.jpg": image_row(row)})
        request = ExportRequest(path, tmp_path / "npz", "mano-npz", quiet=True)
        summary = export_results(request)
        found = np.load(tmp_path / "npz" / "a.jpg_0_right.npz")
        np.testing.assert_array_equal(found["hand_pose"][0], np.float32(row.hand_pose).ravel())
        np.testing.assert_array_equal(found["betas"][0], np.float32(row.betas))
        assert summary.mano is None and found["vertex_error_mm"][0] == 0
        export_results(replace(request, out=tmp_path / "pred.json", format="freihand"))
        xyz, verts = json.loads((tmp_path / "pred.json").read_text())
        meshes = load_mano_meshes(mano)
        vertices = fitted(path, "a.jpg", 0).vertices
        np.testing.assert_array_equal(np.float32(verts[0]), vertices)
        # FreiHAND's joints are regressed from the posed vertices.
        regressed = meshes.data.joint_regressor @ vertices
        np.testing.assert_allclose(xyz[0][0], regressed[0], atol=1e-6)
        np.testing.assert_allclose(xyz[0][5], regressed[1], atol=1e-6)
        np.testing.assert_allclose(xyz[0][16], vertices[555], atol=1e-6)

    def test_eval_hands_scores_it(self, mano, tmp_path):
        """Truth that is FreiHAND's joints of the same hands: no error, and one hand is lost."""
        truth = write_freihand(tmp_path / "FreiHAND", tmp_path, count=3)
        assert len(truth) == 3
        images = open_dataset("freihand", tmp_path / "FreiHAND", "evaluation")
        rows = [image_row(posed_hand(1)), image_row(), image_row(posed_hand(2))]
        write_mano_store(tmp_path / "m.zarr", mano, dict(zip(images.names, rows, strict=True)))
        meshes = load_mano_meshes(mano)
        definition = KeypointDefinition.of(meshes.right, "freihand")
        path = tmp_path / "FreiHAND" / "evaluation_xyz.json"
        xyz = json.loads(path.read_text())
        for place in (0, 2):
            params = hands.params_of(rows[place].hands[0])
            xyz[place] = definition.keypoints(params)[0].tolist()
        path.write_text(json.dumps(xyz))
        images = open_dataset("freihand", tmp_path / "FreiHAND", "evaluation")
        pred = tmp_path / "pred.json"
        export_results(ExportRequest(tmp_path / "m.zarr", pred, "freihand", quiet=True))
        found = freihand_evaluation(PredictionEstimates(pred, images), images)
        assert (found.found, found.hands) == (2, 3)
        assert found.scores.xyz_al_mean3d < 1e-5 and found.scores.xyz_mean3d < 1e-5

    def test_a_model_that_moved(self, mano, tmp_path):
        path = tmp_path / "m.zarr"
        where = tmp_path / "gone" / "MANO_RIGHT.pkl"
        write_mano_store(path, mano, {"a.jpg": image_row(posed_hand(1))}, where)
        request = ExportRequest(path, tmp_path / "out", "glb", quiet=True)
        with raises("results.model_moved", file=str(where), store=path):
            export_results(request)
        assert not request.out.exists()
        assert export_results(replace(request, model=mano)).hands == 1
        # Another model is not the one that was fitted.
        other = write_small_mano(tmp_path / "MANO_RIGHT.pkl")
        other.write_bytes(other.read_bytes() + b" ")
        with raises("results.other_model"):
            export_results(replace(request, model=other, overwrite=True))


def write_mano_store(path, mano, rows, where=None):
    """A store of hands that were fitted with a MANO file, which may be elsewhere now."""
    spec = store_spec(list(rows))
    model = {"name": "mano", "sha256": load_mano_meshes(mano).data.sha256}
    config = {**spec.config, "model": {"name": "mano", "path": str(where or mano)}}
    with ResultStore.create(path, replace(spec, model=model, config=config)) as store:
        store.write_block(store.blocks()[0], list(rows.values()))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Anna's hands in two images, her left one three times, Ben's in one, and one of nobody."""
    path = tmp_path_factory.mktemp("people") / "p.zarr"
    anna, ben = {"person": "anna"}, {"person": "../ben"}
    rows = {
        "1.jpg": image_row(posed_hand(3, **anna), posed_hand(4, "left", **anna)),
        "2.jpg": image_row(posed_hand(1, "left", **anna), posed_hand(2, "left", **anna)),
        "3.jpg": image_row(posed_hand(5, "left", **ben), posed_hand(6, person=None)),
    }
    spec = replace(store_spec(list(rows)), has_people=True)
    with ResultStore.create(path, spec) as store:
        store.write_block(store.blocks()[0], list(rows.values()))
    return path


class TestPeople:
    def test_a_file_has_the_surest_hand_of_each_side(self, people, tmp_path):
        request = ExportRequest(people, tmp_path / "o", "glb", "person", quiet=True)
        summary = export_results(request)
        assert files(request.out) == ["_up/ben.glb", "anna.glb"]
        assert (summary.hands, summary.images, summary.files) == (3, 3, 2)
        meshes = Glb.read((request.out / "anna.glb").read_bytes()).json["meshes"]
        told = {mesh["name"]: (mesh["extras"]["image"], mesh["extras"]["hand"]) for mesh in meshes}
        assert told == {"left": ("2.jpg", 0), "right": ("1.jpg", 0)}

    def test_coco_puts_one_person_s_hands_together(self, people, tmp_path):
        export_results(ExportRequest(people, tmp_path / "o.json", "coco", quiet=True))
        said = json.loads((tmp_path / "o.json").read_text())["annotations"]
        sides = [(a["image_id"], a["lefthand_valid"], a["righthand_valid"]) for a in said]
        assert sides == [
            (0, True, True),
            (1, True, False),
            (1, True, False),
            (2, True, False),
            (2, False, True),
        ]

    def test_the_table_names_them(self, people, tmp_path):
        export_results(ExportRequest(people, tmp_path / "o.csv", "csv", quiet=True))
        table = pd.read_csv(tmp_path / "o.csv", keep_default_na=False)
        assert list(table.person) == ["anna"] * 4 + ["../ben", ""]


class TestTextures:
    """On images of one colour; what texels show is the business of `fitter.textures`."""

    def test_each_hand_has_its_image_s(self, store, tmp_path):
        write_images(tmp_path / "photos", ["a.jpg", "e.jpg"])
        request = ExportRequest(store, tmp_path / "o", "glb", images=["a.jpg"], quiet=True)
        export_results(replace(request, textures=tmp_path / "photos"))
        for name, slot in ALL[:2]:
            hand = fitted(store, name, slot)
            found = Glb.read((request.out / f"a.jpg_{slot}_{hand.side}.glb").read_bytes())
            picture = np.array(Image.open(io.BytesIO(found.image())))
            pixels = read_image(tmp_path / "photos" / name)
            others = fitter.open_results(store)[name]
            mine = hand.extract_texture(pixels, size=512, others=others)
            np.testing.assert_array_equal(picture, encoded(mine.colours))

    def test_images_that_are_not_there_or_others(self, store, tmp_path):
        write_images(tmp_path, ["e.jpg"])
        Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
        request = ExportRequest(store, tmp_path / "o", "ply", textures=tmp_path, quiet=True)
        summary = export_results(request)
        assert (summary.hands, summary.untextured.count, summary.has_failures) == (6, 4, True)
        assert "a.png" in summary.untextured.first[2]
        with raises("export.no_images"):
            export_results(replace(request, textures=tmp_path / "no", out=tmp_path / "p"))

    def test_a_person_has_one_of_all_images(self, people, tmp_path):
        write_images(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
        request = ExportRequest(people, tmp_path / "o", "glb", "person", quiet=True)
        export_results(replace(request, textures=tmp_path))
        results = fitter.open_results(people)
        anna = [hand for name in ("1.jpg", "2.jpg") for hand in results[name]]
        pixels = [read_image(tmp_path / hand.image_name) for hand in anna]
        others = [results[hand.image_name] for hand in anna]
        fused = fitter.hand_texture(anna, pixels, others=others)
        found = Glb.read((request.out / "anna.glb").read_bytes())
        assert len(found.json["images"]) == 2  # the right and the left hand have it
        for place in range(2):
            picture = np.array(Image.open(io.BytesIO(found.image(place))))
            np.testing.assert_array_equal(picture, encoded(fused.colours))


class TestBadCases:
    def test_nothing_in_it(self, tmp_path):
        rows = {"a.jpg": image_row(), "b.jpg": image_row(FAILED)}
        write_store(tmp_path / "r.zarr", rows)
        for kind in ("glb", "csv", "json", "coco"):
            request = ExportRequest(tmp_path / "r.zarr", tmp_path / "out", kind, quiet=True)
            with raises("export.no_hand"):
                export_results(request)
            assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]

    def test_no_store(self, tmp_path):
        with raises("store.missing", file=tmp_path / "r.zarr"):
            export_results(ExportRequest(tmp_path / "r.zarr", tmp_path / "out", "glb"))

    @pytest.mark.parametrize("kind", ["csv", "json", "coco"])
    def test_a_file_that_exists(self, export, tmp_path, kind):
        (tmp_path / "out").write_text("mine")
        with raises("export.exists"):
            export(kind)
        assert (tmp_path / "out").read_text() == "mine"
        export(kind, overwrite=True)
        assert (tmp_path / "out").read_text() != "mine"

    def test_a_folder_that_is_not_empty(self, export, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").write_text("mine")
        with raises("export.exists"):
            export("glb")
        assert files(tmp_path) == ["out/notes.txt"]
        export("glb", overwrite=True, images=["a.png"])
        assert files(tmp_path) == ["out/a.png_0_right.glb", "out/notes.txt"]

    def test_places_that_cannot_be(self, export, store, tmp_path):
        (tmp_path / "file").write_text("")
        (tmp_path / "folder").mkdir()
        for code, kind, name in (
            ("export.is_file", "glb", "file"),
            ("export.is_folder", "csv", "folder"),
            ("export.no_folder", "csv", "no/hands.csv"),
            ("export.in_store", "csv", store),
            ("export.in_store", "glb", store / "meshes"),
            ("output.no_name", "glb", ".."),
        ):
            with raises(code):
                export(kind, name, overwrite=True)
        with raises("export.address"):
            ExportRequest(store, "s3://bucket/hands.csv", "csv")

    def test_choices_that_do_not_fit(self, store, export):
        for code, values in (
            ("export.format", {"format": "fbx"}),
            ("export.per_name", {"format": "glb", "per": "finger"}),
            ("export.per", {"format": "csv", "per": "image"}),
            ("export.mano_unused", {"format": "glb", "mano": Path("m.pkl")}),
            ("export.textures_unused", {"format": "csv", "textures": Path()}),
            ("export.vertices_unused", {"format": "csv", "save_vertices": True}),
        ):
            with raises(code):
                ExportRequest(store, Path("out"), **values)
        with raises("export.no_image", found="b*"):
            export("csv", images=["a*", "b*"])

    def test_a_store_that_does_not_say_whose_hands_they_are(self, export):
        with raises("export.no_person"):
            export("glb", per="person")

    def test_damage_leaves_no_table(self, tmp_path):
        write_store(tmp_path / "r.zarr", ROWS)
        (chunk,) = (tmp_path / "r.zarr" / "keypoints_3d" / "c").glob("1/0/0/0")
        chunk.write_bytes(b"")
        with raises("store.damaged_variable"):
            export_results(ExportRequest(tmp_path / "r.zarr", tmp_path / "o.csv", "csv"))
        assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


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
    export_results(replace(request, images=["599.jpg"], overwrite=True))
    assert sum(lengths) == 88  # the last chunk alone
