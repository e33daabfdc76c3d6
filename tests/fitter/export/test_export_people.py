"""Stores that say whose hands they are, and textures of the images."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image

import fitter
from fitter.export import ExportRequest, export_results
from fitter.formats.skin import encoded
from fitter.inputs.images import read_image
from fitter.inputs.stored_images import read_stored_image
from fitter.textures import TextureFusion
from tests.support.errors import raises
from tests.support.exported_stores import ALL, files, fitted, write_people
from tests.support.fitted_stores import image_row, posed_hand, write_images, write_store
from tests.support.glb_files import Glb


class TestPeople:
    def test_a_file_has_the_surest_hand_of_each_side(self, people, tmp_path):
        request = ExportRequest(people, tmp_path / "o", "glb", "person", quiet=True)
        summary = export_results(request)
        assert files(request.out) == ["_up/ben.glb", "anna.glb"]
        assert (summary.hands, summary.images, summary.files) == (3, 3, 2)
        assert summary.less_sure == 3  # two of Anna's left hand, and one that is nobody's
        meshes = Glb.read((request.out / "anna.glb").read_bytes()).json["meshes"]
        told = {mesh["name"]: (mesh["extras"]["image"], mesh["extras"]["hand"]) for mesh in meshes}
        assert told == {"left": ("2.jpg", 0), "right": ("1.jpg", 0)}

    def test_every_person_has_files_of_its_own_in_the_folder(self, tmp_path):
        """Whatever persons are called, and textures beside them."""
        persons = [".", "..", "_up", "_here", "a", "a.right", "a_right", "a/b", "A", "a.left"]
        rows = {
            f"{k}.jpg": image_row(
                *(posed_hand(k + 1, side, person=person) for side in ("left", "right")[: 1 + k % 2])
            )
            for k, person in enumerate(persons)
        }
        (tmp_path / "photos").mkdir()
        write_images(tmp_path / "photos", list(rows))
        (tmp_path / "o.obj").write_text("mine")
        write_people(tmp_path / "p.zarr", rows)
        request = ExportRequest(tmp_path / "p.zarr", tmp_path / "o", "obj", "person", quiet=True)
        summary = export_results(replace(request, textures=tmp_path / "photos"))
        found = files(request.out)
        assert summary.files == len(found)  # none over another
        assert len([name for name in found if name.endswith(".obj")]) == len(persons)
        assert (tmp_path / "o.obj").read_text() == "mine"
        assert {path.name for path in tmp_path.iterdir()} == {"o", "o.obj", "p.zarr", "photos"}
        for name in found:
            if name.endswith(".mtl"):
                text = (request.out / name).read_text()
                for line in text.splitlines():
                    if line.startswith("map_Kd "):
                        place = (request.out / name).parent / line.removeprefix("map_Kd ")
                        assert place.is_file()

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
        request = ExportRequest(store, tmp_path / "o", "glb", only=["a.jpg"], quiet=True)
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

    def test_a_person_has_one_of_all_images_for_each_hand(self, people, tmp_path):
        """What one hand never shows is filled from the other."""
        write_images(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
        request = ExportRequest(people, tmp_path / "o", "glb", "person", quiet=True)
        export_results(replace(request, textures=tmp_path))
        results = fitter.open_results(people)
        anna = [hand for name in ("1.jpg", "2.jpg") for hand in results[name]]
        fused = {side: TextureFusion(results.meshes.atlas(512)) for side in ("left", "right")}
        for hand in anna:
            pixels, others = read_image(tmp_path / hand.image_name), results[hand.image_name]
            fused[hand.side].add(hand.extract_texture(pixels, others=others))
        alone = {side: fusion.result() for side, fusion in fused.items()}
        left = fused["left"].result(alone["right"])
        right = fused["right"].result(alone["left"])
        assert not np.array_equal(left.weight, right.weight)
        found = Glb.read((request.out / "anna.glb").read_bytes())
        sources = [texture["source"] for texture in found.json["textures"]]
        pictures = [np.array(Image.open(io.BytesIO(found.image(place)))) for place in sources]
        wanted = [encoded(left.colours), encoded(right.colours)]
        for picture in wanted:
            assert any(np.array_equal(picture, each) for each in pictures)

    def test_they_say_where_they_were_measured(self, store, tmp_path):
        write_images(tmp_path / "photos", ["a.jpg"])
        hand = fitted(store, "a.jpg", 0)
        beside = fitter.open_results(store)["a.jpg"]
        mine = hand.extract_texture(read_image(tmp_path / "photos" / "a.jpg"), others=beside)
        assert 0 < mine.measured.mean() < 1
        maps = []
        for kind in ("obj", "glb"):
            request = ExportRequest(store, tmp_path / kind, kind, only=["a.jpg"], quiet=True)
            export_results(replace(request, textures=tmp_path / "photos"))
        assert "a.jpg_0_right.measured.png" in files(tmp_path / "obj")
        maps.append(np.array(Image.open(tmp_path / "obj" / "a.jpg_0_right.measured.png")))
        found = Glb.read((tmp_path / "glb" / "a.jpg_0_right.glb").read_bytes())
        (mesh,) = found.json["meshes"]
        place = mesh["extras"]["texture_weight"]
        maps.append(np.array(Image.open(io.BytesIO(found.image(place)))))
        for shown in maps:
            assert shown.dtype == np.uint8 and shown.shape == mine.weight.shape
            np.testing.assert_array_equal(shown > 0, mine.measured)
            away = np.abs(shown / 255.0 - mine.weight.clip(0, 1))
            assert away.max() <= 1 / 255

    def test_a_fitted_skin_has_none(self, export):
        _, out = export("glb", only=["a.png"])
        found = Glb.read((out / "a.png_0_right.glb").read_bytes())
        assert "texture_weight" not in found.json["meshes"][0]["extras"]

    def test_an_image_is_read_once_however_many_hands_it_has(self, store, tmp_path, monkeypatch):
        read = []

        def refused(folder, name):
            read.append(name)
            return read_stored_image(folder, name)

        monkeypatch.setattr("fitter.export.textures.read_stored_image", refused)
        request = ExportRequest(store, tmp_path / "o", "ply", textures=tmp_path, quiet=True)
        summary = export_results(request)
        assert sorted(read) == ["../out.jpg", "a.jpg", "a.png", "e.jpg"]
        assert summary.untextured.count == 6

    def test_names_of_a_store_choose_nothing_outside_the_folder(self, tmp_path):
        """A store may be somebody else's."""
        write_images(tmp_path, ["out.jpg"])
        (tmp_path / "photos").mkdir()
        names = ["../out.jpg", str(tmp_path / "out.jpg"), "a/../../out.jpg"]
        write_store(tmp_path / "r.zarr", {name: image_row(posed_hand(1)) for name in names})
        request = ExportRequest(tmp_path / "r.zarr", tmp_path / "o", "glb", quiet=True)
        summary = export_results(replace(request, textures=tmp_path / "photos"))
        assert (summary.hands, summary.untextured.count) == (3, 3)
        assert all("leads out of it" in told for told in summary.untextured.first)
