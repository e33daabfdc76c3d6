"""Stores and overlays that cannot be made, kept or resumed: one sentence, and nothing lost."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from fitter.commands.fit_hands import fit_hands
from fitter.engine import Engine
from fitter.errors import sentence
from fitter.rendering.overlay_names import overlay_name
from fitter.store.result_store import ResultStore
from fitter.system.lock import WriterLock
from fitter.workers.local_executor import LocalExecutor
from tests.support import bad_files
from tests.support.bad_commands import ALONE, FAST
from tests.support.same_process import SameProcess
from tests.support.store_rows import contents

pytestmark = pytest.mark.usefixtures("same_process")


@pytest.fixture(scope="module")
def fitted(workplace, tmp_path_factory) -> Path:
    """The workplace's photograph fitted, in a store that tests copy."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.chdir(workplace)
        patch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
        fit_hands(["photos", "--out", str(folder / "a.zarr"), *FAST, *ALONE, "-q"])
    assert left.value.code == 0
    return folder


def copied(fitted: Path, folder: Path, name: str = "a.zarr") -> Path:
    """A copy of the fitted store, with what a run keeps beside it, under a name of its own."""
    for path in fitted.iterdir():
        place = folder / path.name.replace("a.zarr", name)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place)
    return folder / name


class TestStore:
    def test_where_it_cannot_be(self, refused):
        start = "cannot write results there"
        refused(f"no/x.zarr: {start}: there is no folder no", out="no/x.zarr")
        refused(f".: {start}: give them a folder of their own", out=".")
        refused(f"..: {start}: give them a folder of their own", "--resume", out="..")
        left_alone = ": exists and is no result store, so it is left alone"
        refused(f"notes{left_alone}", out="notes")
        refused(f"notes{left_alone}", "--overwrite", out="notes")
        refused(f"notes/readme.txt{left_alone}", out="notes/readme.txt")
        no_store = ": is no result store (expected a Zarr folder made by fit-hands)"
        refused(f"notes{no_store}", "--resume", out="notes")
        assert Path("notes/readme.txt").read_text() == "words\n"

    def test_one_that_exists(self, here, refused, fitted):
        copied(fitted, here, "kept.zarr")
        before = contents(Path("kept.zarr"))
        said = "already holds results: use --resume to continue it or --overwrite to replace it"
        refused(f"kept.zarr: {said}", *FAST, out="kept.zarr")
        was = "configuration.detector.max_hands was 'auto' when it was started and is 1 now"
        instead = "use --overwrite to replace it, or another --out"
        said = f"kept.zarr: cannot be resumed: {was}; {instead}"
        refused(said, *FAST, *ALONE, "--resume", "--max-hands", "1", out="kept.zarr")
        assert contents(Path("kept.zarr")) == before

    def test_one_that_another_run_writes(self, here, refused):
        lock = WriterLock(Path("o.zarr"))
        for how in ([], ["--resume"], ["--overwrite"], ["--shard", "1/2"]):
            refused(sentence("run.busy", {"file": "o.zarr"}), *FAST, *ALONE, *how)
        lock.release()

    def test_it_names_the_device_that_was_used(self, tmp_path, here, say):
        known = ["--keypoints", "known.json", *ALONE, "-q"]
        arguments = ["photos", "--out", tmp_path / "a.zarr", *known]
        assert say(*arguments).status == 0
        configuration = json.loads(ResultStore.open(tmp_path / "a.zarr").dataset().configuration)
        used = "cuda" if torch.cuda.is_available() else "cpu"
        assert configuration["run"]["device"] == used
        assert say(*arguments, "--resume", "--device", used).status == 0

    def test_a_damaged_one(self, here, refused, fitted):
        copied(fitted, here, "torn.zarr")
        shutil.rmtree("torn.zarr/keypoints_3d")
        said = "torn.zarr: is a damaged result store: it has lost keypoints_3d"
        refused(said, *FAST, *ALONE, "--resume", out="torn.zarr")

    def test_moved_pictures_resume_and_changed_ones_are_named(self, tmp_path, here, say, fitted):
        copy = tmp_path / "elsewhere"
        shutil.copytree("photos", copy)
        copied(fitted, tmp_path, "b.zarr")
        told = say(copy, "--out", tmp_path / "b.zarr", *FAST, *ALONE, "--resume")
        assert told.status == 0
        assert told.err.splitlines()[:2] == ["1 image done before", "nothing left to do"]
        before = ResultStore.open(tmp_path / "b.zarr").dataset().load()
        shutil.copy(bad_files.EXAMPLES / "victory.jpg", copy / "a.jpg")
        (copy / "list.txt").write_text("a.jpg\n")
        for change, word in ((lambda: None, "changed"), ((copy / "a.jpg").unlink, "gone")):
            change()
            told = say(copy / "list.txt", "--out", tmp_path / "b.zarr", *FAST, *ALONE, "--resume")
            assert told.status == 0
            assert told.err.splitlines()[:4] == [
                f"{word} a.jpg",
                "1 image changed or gone on disk after having been fitted; the results are those "
                "of the files before",
                "1 image done before",
                "nothing left to do",
            ]
        assert ResultStore.open(tmp_path / "b.zarr").dataset().load().identical(before)

    def test_a_moved_keypoint_folder_resumes_and_another_does_not(self, tmp_path, here, say):
        known = tmp_path / "known"
        (known / "b").mkdir(parents=True)
        (known / "a_keypoints.json").write_text('{"people": []}')
        arguments = ["photos", "--out", tmp_path / "a.zarr", "--device", "cpu", *ALONE, "-q"]
        assert say(*arguments, "--keypoints", known).status == 0
        moved = known.rename(tmp_path / "moved")
        (moved / "readme.txt").write_text("words")
        assert say(*arguments, "--keypoints", moved, "--resume").status == 0
        other = shutil.copytree(moved, tmp_path / "other" / "known")
        # Of a picture that the run does not have.
        (other / "b" / "a_keypoints.json").write_text('{"people": [] }')
        assert say(*arguments, "--keypoints", other, "--resume").status == 0
        (other / "a_keypoints.json").write_text('{"people": [] }')
        told = say(*arguments, "--keypoints", other, "--resume")
        assert told.status == 2
        store = tmp_path / "a.zarr"
        assert (
            sentence("run.other_inputs", {"file": store, "name": "a.jpg", "options": "--keypoints"})
            in told.err
        )
        told = say(*arguments, "--resume")
        assert "cannot be resumed: configuration.inputs.keypoints was 'given' when" in told.err
        assert told.status == 2

    def test_new_pictures_are_added_unless_their_keypoints_are_a_list(self, tmp_path, here, say):
        shutil.copytree("photos", tmp_path / "in")
        named, listed = tmp_path / "named.json", tmp_path / "listed.json"
        hands = bad_files.known_hands()
        named.write_text(json.dumps(dict.fromkeys(["a.jpg", "b.jpg"], hands)))
        listed.write_text(json.dumps([hands[0]["keypoints"]]))
        rest = ["--device", "cpu", *ALONE]
        for known in (named, listed):
            out = ["--out", known.with_suffix(".zarr"), *rest, "--keypoints", known]
            assert say(tmp_path / "in", *out).status == 0
        shutil.copy(bad_files.HAND, tmp_path / "in" / "b.jpg")
        told = say(tmp_path / "in", *out, "--resume")
        said = sentence("run.list_order", {"file": listed, "count": 1})
        assert (told.status, told.err) == (2, f"fit-hands: {said}\n")
        out = ["--out", tmp_path / "named.zarr", *rest, "--keypoints", named]
        told = say(tmp_path / "in", *out, "--resume")
        assert told.status == 0 and "1 image added to the store" in told.err.splitlines()
        found = bad_files.statuses(tmp_path / "named.zarr")
        assert found == {"a.jpg": "ok", "b.jpg": "ok"}

    def test_a_refused_run_adds_no_pictures(self, tmp_path, here, say):
        shutil.copytree("photos", tmp_path / "in")
        known, other = tmp_path / "known.json", tmp_path / "other.json"
        hands = bad_files.known_hands()
        known.write_text(json.dumps(dict.fromkeys(["a.jpg", "b.jpg"], hands)))
        other.write_text(json.dumps({"a.jpg": [], "b.jpg": hands}))
        out = ["--out", tmp_path / "a.zarr", "--device", "cpu", *ALONE]
        assert say(tmp_path / "in", *out, "--keypoints", known).status == 0
        store = tmp_path / "a.zarr"
        before = contents(store)
        shutil.copy(bad_files.HAND, tmp_path / "in" / "b.jpg")
        told = say(tmp_path / "in", *out, "--keypoints", other, "--resume")
        assert told.status == 2 and "what is given for a.jpg now" in told.err
        assert contents(store) == before
        # The block of a picture that changed is done again with the one that is added.
        shutil.copy(bad_files.EXAMPLES / "victory.jpg", tmp_path / "in" / "a.jpg")
        told = say(tmp_path / "in", *out, "--keypoints", known, "--resume")
        assert told.status == 0
        assert told.err.splitlines()[0] == "1 image added to the store"
        assert told.err.splitlines()[1].startswith("2 images: 2 valid hands in 2 of them")
        size = ResultStore.open(store).dataset().file_size.values.tolist()
        assert size == [(tmp_path / "in" / name).stat().st_size for name in ("a.jpg", "b.jpg")]

    def test_a_resumed_run_remembers_earlier_failures(self, tmp_path, here, say):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "empty.jpg").touch()
        arguments = (tmp_path / "in", "--out", tmp_path / "a.zarr", "--device", "cpu", *ALONE)
        known = tmp_path / "none.json"
        known.write_text("{}")
        first = say(*arguments, "--keypoints", known)
        again = say(*arguments, "--keypoints", known, "--resume")
        assert (first.status, again.status) == (1, 1)
        assert again.err.splitlines()[0] == "1 image done before, 1 of them failed"


class TestOverlays:
    def test_where_they_cannot_be(self, refused):
        def said(code, place, **facts):
            return sentence(code, {"file": f"--overlays {place}", **facts})

        place = "notes/readme.txt"
        refused(said("output.is_file", place), "--overlays", place, *FAST, *ALONE)
        place = "notes/readme.txt/x"
        facts = {"file": place, "reason": "Not a directory"}
        refused(sentence("overlay.no_folder", facts), "--overlays", place, *FAST, *ALONE)
        place = "photos/drawn"
        refused(said("overlay.inside_images", place, root="photos"), "--overlays", place, *FAST)
        refused(said("overlay.inside_results", "o.zarr/x", out="o.zarr"), "--overlays", "o.zarr/x")
        one = "photos/a.jpg"
        refused(
            said("overlay.among_images", "photos", title=one),
            *("--overlays", "photos", *FAST, *ALONE),
            images=one,
        )

    def test_their_folder_brings_that_of_the_results(self, here, say):
        arguments = ["photos", "--out", "new/o.zarr", "--overlays", "new/drawn", *FAST, *ALONE]
        assert say(*arguments).status == 0
        assert (here / "new" / "o.zarr").is_dir() and any((here / "new" / "drawn").iterdir())

    def test_an_interruption_while_drawing_loses_none(self, tmp_path, here, say, monkeypatch):
        wanted = ["--overlays", tmp_path / "drawn"]
        arguments = ["photos", "--out", "o.zarr", *wanted, *FAST, *ALONE, "-q"]

        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(LocalExecutor, "_submit_overlays", interrupted)
            assert say(*arguments).status == 130
        assert say(*arguments, "--resume").status == 0
        assert (tmp_path / "drawn" / overlay_name("a.jpg")).exists()

    def test_one_that_cannot_be_drawn_stops_nothing(self, tmp_path, here, say, monkeypatch):
        pictures, drawn, known = tmp_path / "in", tmp_path / "drawn", tmp_path / "p.json"
        pictures.mkdir()
        names = ["a.jpg", "b.jpg", "c.jpg"]
        for name in names:
            shutil.copy(bad_files.HAND, pictures / name)
        known.write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
        (drawn / overlay_name("a.jpg")).mkdir(parents=True)
        fit = Engine.fit

        def fit_and_lose_a_picture(engine, seen):
            rows = fit(engine, seen)
            (pictures / "b.jpg").unlink()
            return rows

        monkeypatch.setattr(Engine, "fit", fit_and_lose_a_picture)
        arguments = ["--overlays", drawn, "--keypoints", known, "--device", "cpu", *ALONE]
        told = say(pictures, "--out", "o.zarr", *arguments)
        assert told.status == 0
        assert told.err.splitlines()[:2] == [
            "no overlay of a.jpg: "
            + sentence(
                "overlay.unwritable", {"file": drawn / "a.jpg.jpg", "reason": "Is a directory"}
            ),
            f"no overlay of b.jpg: {pictures / 'b.jpg'}: expected a picture, found no such file",
        ]
        assert told.err.splitlines()[2].startswith(
            "3 images: 3 valid hands in 3 of them, 0 images failed"
        )
        assert sorted(p.name for p in drawn.iterdir()) == ["a.jpg.jpg", "c.jpg.jpg"]
        assert set(bad_files.statuses(Path("o.zarr")).values()) == {"ok"}

    def test_resuming_draws_those_that_are_missing(self, tmp_path, here, say):
        (tmp_path / "in").mkdir()
        names = ["a.jpg", "b.jpg", "c.jpg"]
        for name in names:
            shutil.copy(bad_files.HAND, tmp_path / "in" / name)
        (tmp_path / "in" / "d.jpg").touch()
        known = tmp_path / "p.json"
        known.write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
        rest = ["--keypoints", known, "--device", "cpu", "-q", "--set", "run.block_size=2", *ALONE]

        def drawn_by(out, folder, *more):
            arguments = [tmp_path / "in", "--out", tmp_path / out, *rest, *more]
            assert say(*arguments, "--overlays", tmp_path / folder).status == 1
            return {p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()}

        undisturbed = drawn_by("a.zarr", "whole")
        assert sorted(undisturbed) == [overlay_name(name) for name in names]
        assert drawn_by("a.zarr", "later", "--resume") == undisturbed
        (tmp_path / "later" / "b.jpg.jpg").unlink()
        (tmp_path / "later" / "c.jpg.jpg").write_bytes(b"kept")
        again = drawn_by("a.zarr", "later", "--resume")
        assert again == undisturbed | {"c.jpg.jpg": b"kept"}

    def test_resuming_with_another_style_is_refused_and_with_the_same_completes(
        self, tmp_path, here, say, same_process
    ):
        (tmp_path / "in").mkdir()
        names = ["a.jpg", "b.jpg"]
        for name in names:
            shutil.copy(bad_files.HAND, tmp_path / "in" / name)
        known, out = tmp_path / "p.json", tmp_path / "drawn"
        known.write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
        arguments = [tmp_path / "in", "--out", "o.zarr", "--overlays", out, "--keypoints", known]
        arguments += ["--device", "cpu", "-q", *ALONE]
        style = ["--overlay-style", "outline", "--overlay-views", "side,top"]
        assert say(*arguments, *style).status == 0
        first = {p.name: p.read_bytes() for p in out.glob("*.jpg")}
        assert sorted(first) == ["a.jpg.jpg", "b.jpg.jpg"]
        (out / "b.jpg.jpg").unlink()
        told = say(*arguments, "--resume")
        facts = {"file": out, "name": "look", "was": "outline", "now": "mesh"}
        assert told.status == 2
        assert sentence("overlay.other_style", facts) in told.err
        assert say(*arguments, *style, "--resume").status == 0
        assert {p.name: p.read_bytes() for p in out.glob("*.jpg")} == first
        with Image.open(out / "a.jpg.jpg") as wide, Image.open(bad_files.HAND) as photograph:
            width, height = photograph.size
            assert wide.size == (width + 2 * min(width, height), height)

    def test_a_style_that_cannot_be_is_refused(self, refused):
        for options, code, facts in (
            (("--overlay-opacity", "2"), "overlay.opacity", {"found": 2.0}),
            (
                ("--overlay-views", "left"),
                "overlay.view",
                {"found": "left", "expected": "side, top, back"},
            ),
        ):
            said = sentence(code, {"file": options[0], **facts})
            refused(said, "--overlays", "d", *options, *FAST, *ALONE)

    def test_a_style_without_a_folder_is_refused(self, refused):
        for options in (("--overlay-style", "mesh"), ("--overlay-views", "side")):
            said = sentence("usage.overlays_missing", {"file": options[0]})
            refused(said, *options, *FAST, *ALONE)

    def test_every_picture_has_its_own_even_with_the_longest_name(self, tmp_path, here, say):
        longest = "ä" * 125 + ".jpg"
        names = ["a.jpg", "b/c.jpg", "b__c.jpg", longest, "ö" * 125 + ".jpg"]
        (tmp_path / "in" / "b").mkdir(parents=True)
        for name in names:
            shutil.copy(bad_files.HAND, tmp_path / "in" / name)
        (tmp_path / "p.json").write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
        told = say(
            tmp_path / "in", "--out", "o.zarr", "--overlays", tmp_path / "drawn",
            "--keypoints", tmp_path / "p.json", "--device", "cpu", "-q", *ALONE,
        )  # fmt: skip
        assert (told.status, told.err) == (0, "")
        drawn = {p.relative_to(tmp_path / "drawn") for p in (tmp_path / "drawn").rglob("*.jpg")}
        assert drawn == {Path(overlay_name(name)) for name in names} and len(drawn) == len(names)
