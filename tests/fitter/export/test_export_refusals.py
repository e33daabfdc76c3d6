"""Exports that cannot be: one sentence, and nothing in part."""

from pathlib import Path

import pytest

from fitter.export import ExportRequest, export_results
from tests.support.errors import raises
from tests.support.exported_stores import FAILED, ROWS, files
from tests.support.fitted_stores import (
    image_row,
    write_store,
)


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
        export("glb", overwrite=True, only=["a.png"])
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
            export("csv", only=["a*", "b*"])

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
