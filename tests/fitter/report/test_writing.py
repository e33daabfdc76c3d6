"""Reports as files: what is refused, what a page holds of stores of every kind, and thumbnails."""

import io
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import fitter
from fitter.commands.report_hands import report_hands
from fitter.errors import sentence
from fitter.hand_models import load_hand_model
from fitter.meshes import HandMeshes
from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_scene import projected
from fitter.rendering.overlay_style import OverlayStyle
from fitter.report import ReportOptions, write_report
from fitter.report.thumbnails import Thumbnails, Window
from fitter.store.result_store import ResultStore
from fitter.store.schema import ImageRow
from tests.support.errors import raises
from tests.support.fitted_stores import (
    HEIGHT,
    WIDTH,
    K,
    image_row,
    posed_hand,
    store_spec,
    write_images,
    write_store,
)
from tests.support.report_pages import Page
from tests.support.report_stores import HARM, SMALL, many_rows, write_part


class TestWhatAPageHolds:
    def test_every_hand_and_every_image_without_one(self, mixed, tmp_path):
        write_images(tmp_path / "in", ["a/two.jpg", "b/unfitted.jpg", "c/empty.jpg"])
        told = []
        written = write_report(
            mixed,
            tmp_path / "p.html",
            tmp_path / "in",
            options=SMALL,
            told=lambda done, total: told.append((done, total)),
        )
        assert told[-1] == (7, 7)
        assert (written.images, written.done, written.hands, written.fitted) == (7, 7, 6, 4)
        assert (written.refused, written.unfitted, written.failed_images) == (1, 1, 1)
        assert written.size == (tmp_path / "p.html").stat().st_size
        rows = Page(tmp_path / "p.html").rows
        assert [(row["name"], row["status"]) for row in rows[:2]] == [("a/two.jpg", "fitted")] * 2
        by_name = {row["name"]: row for row in rows[2:]}
        assert by_name["b/unfitted.jpg"]["thumbnail"].shape == (32, 32, 3)  # the photograph
        assert by_name["b/left.jpg"]["thumbnail"].shape == (32, 32, 3)  # the hand alone
        assert by_name["c/empty.jpg"]["thumbnail"].shape == (21, 32, 3)  # the whole photograph
        assert "thumbnail" not in by_name["c/broken.jpg"]
        assert "score" not in by_name["b/unfitted.jpg"]

    def test_markup_is_never_an_element(self, mixed, tmp_path):
        write_report(mixed, tmp_path / "p.html", options=SMALL)
        page = Page(tmp_path / "p.html")
        scripts = [attributes for tag, attributes in page.elements if tag == "script"]
        kinds = [a.get("class") or a.get("id") for a in scripts]
        assert kinds == ["rows", "thumbnails"] * 2 + ["setup", None]
        assert not any(
            key.startswith("on") for _, attributes in page.elements for key in attributes
        )
        assert HARM not in (tmp_path / "p.html").read_text("utf-8")
        assert any(HARM in row["name"] for row in page.rows)

    def test_nothing_is_fetched_and_only_our_script_runs(self, mixed, tmp_path):
        write_report(mixed, tmp_path / "p.html", options=SMALL)
        page = Page(tmp_path / "p.html")
        policy = next(a["content"] for tag, a in page.elements if "http-equiv" in a)
        assert "default-src 'none'" in policy and "unsafe" not in policy
        places = [a[k] for _, a in page.elements for k in ("src", "href") if k in a]
        assert places == ["data:,", "#hands"]

    def test_a_store_that_is_not_finished(self, tmp_path):
        rows = many_rows(10)
        write_part(tmp_path / "r.zarr", rows, blocks=2)
        written = write_report(tmp_path / "r.zarr", tmp_path / "p.html", options=SMALL)
        page = Page(tmp_path / "p.html")
        assert [row["name"] for row in page.rows] == [*rows][:8]
        assert ("not reached yet", "2") in written.totals
        assert ", 2 images not reached yet; " in written.said() and written.said().endswith(" kB")

    def test_a_store_with_nothing_in_it(self, tmp_path):
        write_part(tmp_path / "r.zarr", many_rows(3), blocks=0)
        written = write_report(tmp_path / "r.zarr", tmp_path / "p.html")
        assert (written.done, written.hands, Page(tmp_path / "p.html").rows) == (0, 0, [])

    def test_a_store_of_failures_alone(self, tmp_path, monkeypatch):
        failed = ImageRow(image_status="failed", image_error="is no picture")
        write_store(tmp_path / "r.zarr", dict.fromkeys(["a.jpg", "b.jpg"], failed))
        # Nothing is drawn, so no hand model is needed, were it there or not.
        monkeypatch.setattr("fitter.results.Results.meshes", property(lambda self: 1 / 0))
        write_report(tmp_path / "r.zarr", tmp_path / "p.html", tmp_path)
        assert Page(tmp_path / "p.html").rows == [
            {"name": name, "status": "failed", "reason": "is no picture"}
            for name in ("a.jpg", "b.jpg")
        ]

    def test_photographs_of_another_size_are_left_out_and_told(self, tmp_path):
        write_store(tmp_path / "r.zarr", {n: image_row(posed_hand(0)) for n in ("a.png", "b.png")})
        write_images(tmp_path, ["a.png"])
        Image.new("RGB", (WIDTH + 1, HEIGHT)).save(tmp_path / "b.png")
        written = write_report(tmp_path / "r.zarr", tmp_path / "p.html", tmp_path, options=SMALL)
        assert len(written.notes) == 1 and written.notes[0].startswith("1 photograph of another")

    def test_memory_holds_a_part_and_not_the_store(self, tmp_path):
        from fitter.report import parts

        write_store(tmp_path / "r.zarr", many_rows(300), block_size=300)
        alive, most = [0], [0]

        class Counted(parts.Part):
            def __init__(self):
                super().__init__()
                alive[0] += 1
                most[0] = max(most[0], alive[0])

            def __del__(self):
                alive[0] -= 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "Part", Counted)
            patch.setattr(parts, "_IMAGES", 50)
            patch.setattr(parts.PartMaker, "_picture", lambda *_: b"picture")
            write_report(tmp_path / "r.zarr", tmp_path / "p.html")
        assert most[0] <= 2 and len(Page(tmp_path / "p.html").contents("script")) == 2 * 6 + 2


class TestRefusals:
    def test_a_page_that_is_there(self, mixed, tmp_path):
        out = tmp_path / "p.html"
        out.write_text("kept")
        with raises("report.taken", file=out):
            write_report(mixed, out, options=SMALL)
        assert out.read_text() == "kept"
        write_report(mixed, out, options=SMALL, overwrite=True)
        assert out.read_text().startswith("<!DOCTYPE html>")

    @pytest.mark.parametrize(
        ("out", "code"),
        [
            (".", "report.is_folder"),
            ("missing/p.html", "output.no_folder"),
            ("r.zarr/p.html", "report.inside_results"),
        ],
    )
    def test_places_where_no_page_can_be(self, mixed, tmp_path, out, code):
        before = set(tmp_path.rglob("*"))
        with raises(code, file=tmp_path / out):
            write_report(mixed, tmp_path / out, overwrite=True)
        assert set(tmp_path.rglob("*")) == before

    def test_a_full_disk_leaves_what_was_there(self, mixed, tmp_path, monkeypatch):
        out = tmp_path / "p.html"
        out.write_text("kept")
        opened = Path.open

        class Full(io.TextIOWrapper):
            written = 0

            def write(self, text):
                self.written += len(text)
                if self.written > 5_000:
                    raise OSError(28, os.strerror(28))
                return super().write(text)

        def open_page(path, mode="r", *args, **kwargs):
            if not path.name.endswith(".unfinished"):
                return opened(path, mode, *args, **kwargs)
            return Full(opened(path, "wb"), encoding="utf-8")

        monkeypatch.setattr(Path, "open", open_page)
        with raises("output.cannot_write", file=out, reason="No space left on device"):
            write_report(mixed, out, options=SMALL, overwrite=True)
        monkeypatch.undo()
        assert out.read_text() == "kept"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["p.html", "r.zarr"]

    def test_a_damaged_store_leaves_no_page(self, mixed, tmp_path):
        (chunk,) = [p for p in (mixed / "betas" / "c").rglob("*") if p.is_file()][:1]
        chunk.write_bytes(chunk.read_bytes()[:20])
        with raises("store.damaged_variable", variable="betas"):
            write_report(mixed, tmp_path / "p.html")
        assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]

    def test_what_is_no_store(self, tmp_path):
        with raises("store.missing", file=tmp_path / "none.zarr"):
            write_report(tmp_path / "none.zarr", tmp_path / "p.html")
        with raises("store.not_ours", file=tmp_path):
            write_report(tmp_path, tmp_path / "p.html")

    def test_another_hand_model_than_the_one_that_was_fitted(self, tmp_path):
        spec = replace(store_spec(["a.jpg"]), model={"name": "open_hand", "sha256": "ab" * 32})
        with ResultStore.create(tmp_path / "r.zarr", spec) as store:
            store.write_block(store.pending_blocks()[0], [image_row(posed_hand(0))])
        with raises("results.other_model"):
            write_report(tmp_path / "r.zarr", tmp_path / "p.html")
        assert not (tmp_path / "p.html").exists()

    def test_a_folder_without_any_of_the_photographs(self, mixed, tmp_path):
        (tmp_path / "other").mkdir()
        with raises("report.no_photograph", file=tmp_path / "other", name="a/two.jpg"):
            write_report(mixed, tmp_path / "p.html", tmp_path / "other", options=SMALL)
        with raises("report.images", file=tmp_path / "gone"):
            write_report(mixed, tmp_path / "p.html", tmp_path / "gone")
        assert not (tmp_path / "p.html").exists()

    def test_options(self):
        with raises("report.thumbnail", found=31, least=32, most=1024):
            ReportOptions(thumbnail=31)
        with raises("report.order", found="middle"):
            ReportOptions(order="middle")


class TestCommand:
    def test_it_does_what_python_does(self, mixed, tmp_path, say):
        told = say(
            mixed, "--out", tmp_path / "a.html", "--thumbnail-size", 32, command=report_hands
        )
        said = f"{tmp_path / 'a.html'}: 6 hands of 7 images, 1 image failed, 1 fit failed; "
        assert told.status == 0 and told.err == ""
        assert told.out.splitlines()[1].startswith(said)
        fitter.write_report(mixed, tmp_path / "b.html", options=fitter.ReportOptions(thumbnail=32))
        assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()

    def test_it_can_be_quiet_and_replace(self, mixed, tmp_path, say):
        arguments = (mixed, "--out", tmp_path / "a.html", "--thumbnail-size", 32, "--quiet")
        assert say(*arguments, command=report_hands).status == 0
        refused = say(*arguments, command=report_hands)
        facts = {"file": tmp_path / "a.html"}
        assert refused.status == 2
        assert refused.err == f"report-hands: {sentence('report.taken', facts)}\n"
        told = say(
            *arguments, "--overwrite", "--overlay-style", "side-by-side", command=report_hands
        )
        assert (told.status, told.out, told.err) == (0, "", "")
        shapes = [r["thumbnail"].shape for r in Page(tmp_path / "a.html").rows if "thumbnail" in r]
        assert {*shapes} == {(32, 64, 3)}

    @pytest.mark.parametrize(
        ("options", "code", "facts"),
        [
            (("--thumbnail-size", 4), "report.thumbnail", {"least": 32, "most": 1024, "found": 4}),
            (("--overlay-opacity", -1), "overlay.opacity", {"found": -1.0}),
        ],
    )
    def test_bad_options_are_one_sentence(self, mixed, tmp_path, say, options, code, facts):
        told = say(mixed, "--out", tmp_path / "a.html", *options, command=report_hands)
        expected = sentence(code, {"file": options[0], **facts})
        assert (told.status, told.err) == (2, f"report-hands: {expected}\n")


class TestThumbnails:
    def overlay_hand(self) -> OverlayHand:
        meshes = HandMeshes(load_hand_model("open_hand", dtype=torch.float64))
        row = posed_hand(0)
        return OverlayHand.of(row, meshes.vertices(row), meshes.faces("right"))

    def test_the_hand_lies_where_it_lies_in_the_photograph(self):
        hand = self.overlay_hand()
        style = OverlayStyle(opacity=1.0, skeleton=False, captions=False)
        ground = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        content = Thumbnails(256, style).of_hand(hand, K, (WIDTH, HEIGHT), ground)
        thumbnail = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)
        # The same, drawn over the photograph enlarged first and cut out of it then.
        larger = np.diag([8.0, 8.0, 1.0]) @ K
        whole = render_overlay(
            np.zeros((8 * HEIGHT, 8 * WIDTH, 3), np.uint8), [hand], larger, style
        )
        window = Window.around(projected(hand, K), (WIDTH, HEIGHT))
        cut = Window(8 * window.x, 8 * window.y, 8 * window.side).cut(whole, 256)
        lit, expected = thumbnail.max(-1) > 60, cut.max(-1) > 60
        assert (lit & expected).sum() / (lit | expected).sum() > 0.95

    def test_a_cut_keeps_the_photograph_and_is_grey_beyond_it(self):
        pixels = np.random.default_rng(0).integers(0, 100, (60, 80, 3), dtype=np.uint8)
        cut = Window(60, -10, 40).cut(pixels, 40)
        assert np.array_equal(cut[10:, :20], pixels[:30, 60:]) and (cut[:10] == 128).all()
        assert (cut[:, 20:] == 128).all()
        point = np.array([[65.5, 12.5]])
        assert Window(60, -10, 40).points(point, 80).tolist() == [[11.0, 45.0]]

    def test_a_hand_that_is_anywhere_needs_no_more_memory(self):
        wild = np.array([[1e12, -1e12, 1.0], [np.nan, 0, 1], [3.0, 4.0, 1.0]])
        window = Window.around(wild, (640, 480))
        assert window.side <= 640 and abs(window.x) < 2000 and abs(window.y) < 2000
        assert Window.around(np.full((3, 2), np.nan), (640, 480)).side == 640
        assert Window.around(np.array([[5.0, 5.0]]), (640, 480)).side == 16

    def test_an_image_is_shown_whole(self):
        pixels = np.zeros((100, 400, 3), np.uint8)
        content = Thumbnails(64, OverlayStyle()).of_image(pixels)
        assert Image.open(io.BytesIO(content)).size == (64, 16)
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (16, 64, 3)
