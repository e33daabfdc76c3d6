"""Reports of stores whose model, pictures and names are somebody else's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fitter.commands.report_hands import report_hands
from fitter.rendering.overlay_style import OverlayStyle
from fitter.report import write_report
from fitter.store.reader import StoreReader
from tests.support.errors import raises
from tests.support.exported_stores import write_mano_store
from tests.support.fitted_stores import (
    image_row,
    posed_hand,
    write_heavy_store,
    write_images,
    write_store,
)
from tests.support.report_pages import Page
from tests.support.report_stores import SMALL
from tests.support.small_mano import write_small_mano


class TestStoresFromElsewhere:
    def test_a_model_that_moved(self, tmp_path, say):
        mano = write_small_mano(tmp_path / "MANO_RIGHT.pkl")
        where = tmp_path / "gone" / "MANO_RIGHT.pkl"
        write_mano_store(tmp_path / "m.zarr", mano, {"a.jpg": image_row(posed_hand(1))}, where)
        with raises("results.model_moved", file=str(where)):
            write_report(tmp_path / "m.zarr", tmp_path / "p.html", options=SMALL)
        written = write_report(tmp_path / "m.zarr", tmp_path / "p.html", options=SMALL, model=mano)
        assert written.hands == 1
        asked = ("--out", tmp_path / "q.html", "--model", mano, "--thumbnail-size", 32)
        assert say(tmp_path / "m.zarr", *asked, command=report_hands).status == 0
        assert (tmp_path / "q.html").read_bytes() == (tmp_path / "p.html").read_bytes()

    def test_names_choose_nothing_outside_the_folder(self, tmp_path):
        write_images(tmp_path, ["out.jpg", "in/a.jpg"])
        names = ["a.jpg", "../out.jpg", str(tmp_path / "out.jpg"), "b/../../out.jpg"]
        write_store(tmp_path / "r.zarr", {name: image_row() for name in names})
        write_report(tmp_path / "r.zarr", tmp_path / "p.html", tmp_path / "in", options=SMALL)
        rows = Page(tmp_path / "p.html").rows
        assert [row["name"] for row in rows if "thumbnail" in row] == ["a.jpg"]

    @pytest.mark.parametrize(("look", "expected"), [("mesh", False), ("appearance", True)])
    def test_skins_are_read_where_they_are_shown(self, tmp_path, monkeypatch, look, expected):
        skin = {"texture": np.full((8, 8, 3), 0.5), "vertex_colours": np.zeros((1670, 3))}
        offsets = np.zeros((1670, 3))
        row = image_row(posed_hand(1, vertex_offsets=offsets, **skin))
        write_heavy_store(tmp_path / "r.zarr", {"a.jpg": row}, texels=8)
        read, real = set(), StoreReader._read

        def seen(self, variable, block):
            read.add(variable.name)
            return real(self, variable, block)

        monkeypatch.setattr(StoreReader, "_read", seen)
        options = replace(SMALL, style=OverlayStyle(look))
        write_report(tmp_path / "r.zarr", tmp_path / "p.html", options=options)
        assert "vertex_offsets" in read
        assert {*skin} <= read if expected else not {*skin} & read

    def test_a_killed_one_s_unfinished_page_is_taken_over(self, mixed, tmp_path, monkeypatch):
        """Nothing can be tidied by a process that is gone."""

        def killed(*_):
            raise SystemExit  # as the page is half written

        with monkeypatch.context() as patch:
            patch.setattr("fitter.report.writing._check_photographs", killed)
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            for _ in range(2):
                with pytest.raises(SystemExit):
                    write_report(mixed, tmp_path / "p.html", options=SMALL)
        assert len([*tmp_path.iterdir()]) == 2  # the store, and one of the two
        write_report(mixed, tmp_path / "p.html", options=SMALL)
        assert {path.name for path in tmp_path.iterdir()} == {"p.html", "r.zarr"}
