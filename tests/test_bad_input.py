"""Bad input to the real commands: one sentence, the right exit status, and nothing else harmed."""

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import bad_files
import pytest
import torch

from fitter.cli import eval_hands, fit_hands
from fitter.pipeline import Engine, overlay_name
from fitter.store import ResultStore
from fitter.store_lock import sole_writer

K = [[620.0, 0.0, 320.0], [0.0, 620.0, 240.0], [0.0, 0.0, 1.0]]
SUFFIXES = ".bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"
MANO = "a MANO model (MANO_RIGHT.pkl or MANO_LEFT.pkl)"
SEE = "; see fit-hands --help"
FAST = ["--keypoints", "known.json", "--device", "cpu"]
"""Keypoints from a file, so that no detector need be loaded."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("photos", "nothing", "notes", "faults"):
        (folder / name).mkdir()
    shutil.copy(bad_files.HAND, folder / "photos" / "a.jpg")
    (folder / "notes" / "readme.txt").write_text("words\n")
    (folder / "known.json").write_text(json.dumps({"a.jpg": bad_files.known_hands()}))
    bad_files.mano_faults(folder)
    bad_files.freihand(folder / "freihand")
    return folder


@pytest.fixture
def here(workplace: Path, monkeypatch) -> Path:
    """The workplace as current folder; a command run in it leaves no results unless it may."""
    monkeypatch.chdir(workplace)
    loggers = [logging.getLogger(name) for name in ("fitter", "datasets")]
    levels = [logger.level for logger in loggers]
    yield workplace
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    shutil.rmtree(workplace / "o.zarr", ignore_errors=True)


@pytest.fixture
def say(here, capsys):
    """Runs a command in this process: what it prints, and its exit status."""

    def run(*arguments: object, command=fit_hands) -> SimpleNamespace:
        with pytest.raises(SystemExit) as left:
            command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=left.value.code, out=out, err=err)

    return run


@pytest.fixture
def refused(say):
    """Runs fit-hands, which must refuse in exactly one sentence and leave no results behind."""

    def run(sentence: str, *arguments: object, images: str = "photos", out: str = "o.zarr"):
        told = say(images, "--out", out, *arguments)
        assert (told.status, told.out, told.err) == (2, "", f"fit-hands: {sentence}\n")
        assert not Path("o.zarr").exists()

    return run


def test_the_folder_of_pictures(refused):
    none = f"expected a folder with pictures ({SUFFIXES}), found none in it."
    refused(f"nothing: {none}", images="nothing")
    refused(f"notes: {none}", images="notes")
    missing = "expected a folder or a picture, found nothing there."
    refused(f"missing: {missing}", images="missing")
    text = f"expected a folder or a picture ({SUFFIXES}), found a file that ends in '.txt'."
    refused(f"notes/readme.txt: {text}", images="notes/readme.txt")


class TestStore:
    def test_where_it_cannot_be(self, refused):
        start = "cannot write results to"
        refused(f"{start} no/x.zarr: there is no folder no", out="no/x.zarr")
        refused(f"{start} .: give them a folder of their own", out=".")
        left_alone = "exists and is no result store, so it is left alone"
        refused(f"notes {left_alone}", out="notes")
        refused(f"notes {left_alone}", "--overwrite", out="notes")
        refused(f"notes/readme.txt {left_alone}", out="notes/readme.txt")
        no_store = "is no result store (expected a Zarr folder made by fit-hands)"
        refused(f"notes {no_store}", "--resume", out="notes")
        assert Path("notes/readme.txt").read_text() == "words\n"

    def test_one_that_exists(self, here, say, refused):
        assert say("photos", "--out", "kept.zarr", *FAST, "-q").status == 0
        before = {p: p.read_bytes() for p in Path("kept.zarr").rglob("*") if p.is_file()}
        sentence = "already holds results: use --resume to continue it or --overwrite to replace it"
        refused(f"kept.zarr {sentence}", *FAST, out="kept.zarr")
        was = "configuration.detector.max_hands was 2 when it was started and is 1 now"
        instead = "use --overwrite to replace it, or another --out"
        sentence = f"kept.zarr cannot be resumed: {was}; {instead}"
        refused(sentence, *FAST, "--resume", "--max-hands", "1", out="kept.zarr")
        after = {p: p.read_bytes() for p in Path("kept.zarr").rglob("*") if p.is_file()}
        assert before == after

    def test_one_that_another_run_writes(self, here, refused):
        with sole_writer(Path("o.zarr")):
            for how in ([], ["--resume"], ["--overwrite"]):
                refused("o.zarr is being written by another fit-hands run", *FAST, *how)

    def test_it_names_the_device_that_was_used(self, tmp_path, here, say):
        arguments = ["photos", "--out", tmp_path / "a.zarr", "--keypoints", "known.json", "-q"]
        assert say(*arguments).status == 0
        configuration = json.loads(ResultStore.open(tmp_path / "a.zarr").dataset().configuration)
        used = "cuda" if torch.cuda.is_available() else "cpu"
        assert configuration["run"]["device"] == used
        assert say(*arguments, "--resume", "--device", used).status == 0

    def test_a_damaged_one(self, here, say, refused):
        say("photos", "--out", "torn.zarr", *FAST, "-q", "--overwrite")
        shutil.rmtree("torn.zarr/keypoints_3d")
        sentence = "torn.zarr is a damaged result store: it has lost keypoints_3d"
        refused(sentence, *FAST, "--resume", out="torn.zarr")

    def test_moved_pictures_resume_and_others_of_the_same_name_do_not(self, tmp_path, here, say):
        copy = tmp_path / "elsewhere"
        shutil.copytree("photos", copy)
        say("photos", "--out", tmp_path / "a.zarr", *FAST, "-q")
        (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
        told = say(copy, "--out", tmp_path / "b.zarr", *FAST, "--resume")
        assert told.status == 0
        assert told.err.splitlines()[:2] == ["1 image done before", "nothing left to do"]
        size = (copy / "a.jpg").stat().st_size
        shutil.copy(bad_files.EXAMPLES / "victory.jpg", copy / "a.jpg")
        told = say(copy, "--out", tmp_path / "b.zarr", *FAST, "--resume")
        found = f"was {size} when it was started and is {(copy / 'a.jpg').stat().st_size} now"
        assert f"cannot be resumed: configuration.inputs.image_bytes {found}; use" in told.err
        assert told.status == 2

    def test_a_moved_keypoint_folder_resumes_and_another_does_not(self, tmp_path, here, say):
        known = tmp_path / "known"
        (known / "b").mkdir(parents=True)
        (known / "a_keypoints.json").write_text('{"people": []}')
        arguments = ["photos", "--out", tmp_path / "a.zarr", "--device", "cpu", "-q"]
        assert say(*arguments, "--keypoints", known).status == 0
        moved = known.rename(tmp_path / "moved")
        (moved / "readme.txt").write_text("words")
        assert say(*arguments, "--keypoints", moved, "--resume").status == 0
        for name in ("a_keypoints.json", "b/a_keypoints.json"):
            other = shutil.copytree(moved, tmp_path / "other" / "known", dirs_exist_ok=True)
            (other / name).write_text('{"people": [] }')
            told = say(*arguments, "--keypoints", other, "--resume")
            assert "cannot be resumed: configuration.inputs.keypoints was 'sha256:" in told.err
            assert told.status == 2
            shutil.rmtree(other)

    def test_a_resumed_run_remembers_earlier_failures(self, tmp_path, here, say):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "empty.jpg").touch()
        arguments = (tmp_path / "in", "--out", tmp_path / "a.zarr", "--device", "cpu")
        known = tmp_path / "none.json"
        known.write_text("{}")
        first = say(*arguments, "--keypoints", known)
        again = say(*arguments, "--keypoints", known, "--resume")
        assert (first.status, again.status) == (1, 1)
        assert again.err.splitlines()[0] == "1 image done before, 1 of them failed"


class TestModelFile:
    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("web", "a web page saved under this name"),
            ("cut", "a file that ends too early, after 100000 bytes"),
            ("command", "the command posix.system, which was not run"),
        ],
    )
    def test_broken(self, here, refused, name, found):
        refused(
            f"{name}_RIGHT.pkl: expected {MANO}, found {found}.", "--model", f"{name}_RIGHT.pkl"
        )
        assert not Path("was-run").exists()

    def test_missing(self, refused):
        either = MANO.replace("a MANO model", "open_hand or the file of a MANO model")
        refused(f"no.pkl: expected {either}, found no such file.", "--model", "no.pkl")
        refused(f"mano: expected {either}, found no such file.", "--set", "model.name=mano")
        refused(f"notes: expected {MANO}, found a folder.", "--model", "notes")

    def test_the_flag_wins_over_the_file(self, tmp_path, here, say):
        (tmp_path / "c.yaml").write_text("model: {name: mano, path: no.pkl}\n")
        told = say(
            "photos", "--out", "o.zarr", "--config", tmp_path / "c.yaml", *FAST,
            "--model", "open_hand", "-q",
        )  # fmt: skip
        assert (told.status, told.err) == (0, "")


class TestConfiguration:
    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (
                b"fit:\n  max_iteration: 3\n",
                "c.yaml: unknown option 'fit.max_iteration'; did you mean 'max_iterations'?",
            ),
            (
                b"fti: {}\n",
                "c.yaml: unknown option 'fti'; did you mean 'fit'?",
            ),
            (
                b"fit:\n  max_iterations: many\n",
                "c.yaml: fit.max_iterations must be a whole number, found 'many'",
            ),
            (b"fit: 3\n", "c.yaml: fit must be a section of options, found a number"),
            (
                b"fit: [1,\n",
                "configuration c.yaml is not valid YAML at line 2: expected the node content, "
                "but found '<stream end>'",
            ),
            (
                b"? [a, b]\n: 3\n",
                "configuration c.yaml is not valid YAML at line 1: a name cannot be a list or a "
                "section",
            ),
            (b"\xff\xfe\x00", "configuration c.yaml is not UTF-8 text"),
            (b"- a\n", "configuration c.yaml must hold sections such as 'fit:', found a list"),
            (b"[" * 20_000, "configuration c.yaml is nested too deeply to be read"),
        ],
    )
    def test_file(self, here, refused, text, sentence):
        Path("c.yaml").write_bytes(text)
        refused(sentence, "--config", "c.yaml")

    def test_no_file(self, refused):
        refused(
            "cannot read configuration no.yaml: No such file or directory", "--config", "no.yaml"
        )

    @pytest.mark.parametrize(
        ("override", "sentence"),
        [
            ("fit.max_iteration=3", "unknown option 'fit.max_iteration'; did you mean "
             "'max_iterations'?"),
            ("fit.max_iterations=many", "fit.max_iterations must be a whole number, found 'many'"),
            ("fit.max_iterations=", "fit.max_iterations must be a whole number, found nothing"),
            ("fit.keypoint_scale=-1", "fit.keypoint_scale must be greater than 0, found -1"),
            ("max_iterations=3", "expected section.option=value, such as fit.num_starts=2"),
            ("fit.num_starts=[1", "'[1' is not a YAML value"),
        ],
    )  # fmt: skip
    def test_override(self, refused, override, sentence):
        refused(f"--set {override}: {sentence}", "--set", override)

    @pytest.mark.parametrize(
        ("flag", "value", "sentence"),
        [
            ("--max-hands", "0", "detector.max_hands must be greater than or equal to 1, found 0"),
            ("--batch-size", "0", "run.batch_size must be greater than or equal to 1, found 0"),
            ("--device", "cuda:7", "run.device must be 'cpu', 'cuda' or 'auto', found 'cuda:7'"),
            ("--device", "banana", "run.device must be 'cpu', 'cuda' or 'auto', found 'banana'"),
        ],
    )
    def test_flag(self, refused, flag, value, sentence):
        refused(f"{flag} {value}: {sentence}", flag, value)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_no_gpu(self, refused):
        refused(
            "device 'cuda': expected a CUDA GPU that this PyTorch can use, found none; "
            "use --device cpu",
            "--device",
            "cuda",
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: IMAGES, --out"),
        (["photos", "--out", "o.zarr", "--bananas"], "unrecognized arguments: --bananas"),
        (["photos", "--out", "o.zarr", "--max", "1"], "unrecognized arguments: --max 1"),
        (
            ["photos", "--out", "o.zarr", "--max-hands", "x"],
            "argument --max-hands: expected a whole number, found 'x'",
        ),
        (
            ["photos", "--out", "o.zarr", "--resume", "--overwrite"],
            "argument --overwrite: not allowed with argument --resume",
        ),
        (
            ["", "--out", "o.zarr"],
            "argument IMAGES: expected a value, found an empty text",
        ),
    ],
)
def test_usage_is_one_line(say, arguments, sentence):
    told = say(*arguments)
    assert (told.status, told.out, told.err) == (2, "", f"fit-hands: {sentence}{SEE}\n")


class TestIntrinsics:
    @pytest.mark.parametrize(
        ("option", "sentence"),
        [
            ("banana", "banana: expected fx,fy,cx,cy or a JSON file with intrinsics, found "
             "neither numbers nor such a file."),
            ("1,2,3", "intrinsics '1,2,3': expected four numbers fx,fy,cx,cy, found 3."),
            ("-600,600,320,240", "intrinsics '-600,600,320,240': expected positive focal lengths, "
             "found fx = -600, fy = 600."),
            ("nan,600,320,240", "intrinsics 'nan,600,320,240': expected finite numbers in K, "
             "found nan or infinity."),
        ],
    )  # fmt: skip
    def test_text(self, refused, option, sentence):
        refused(sentence, f"--intrinsics={option}")

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("[]", "expected one 3x3 matrix for each of the 1 pictures, found 0."),
            ("3", "expected a JSON object (picture name: 3x3) or a list of 3x3 matrices, "
             "found int."),
            ('{"a": ', "expected JSON with intrinsics, found: Expecting value: line 1 column 7 "
             "(char 6)."),
            ('{"b.jpg": 3}', "expected names of pictures such as 'a.jpg', found none of them, but "
             "'b.jpg'."),
            ("[" * 99_999, "expected JSON with intrinsics, found: maximum recursion depth "
             "exceeded while decoding a JSON array from a unicode string."),
        ],
    )  # fmt: skip
    def test_file(self, here, refused, content, sentence):
        Path("k.json").write_text(content)
        refused(f"k.json: {sentence}", "--intrinsics", "k.json")


class TestKeypoints:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (None, "expected a JSON file with keypoints, found nothing."),
            ('{"a"', "expected JSON with keypoints, found: Expecting ':' delimiter: line 1 column "
             "5 (char 4)."),
            ("[1, 2]", "expected one entry for each of the 1 pictures, found 2."),
            ('{"b.jpg": []}', "expected names of pictures such as 'a.jpg', found none of them, but "
             "'b.jpg'."),
        ],
    )  # fmt: skip
    def test_file(self, here, refused, content, sentence):
        Path("p.json").unlink(missing_ok=True)
        if content is not None:
            Path("p.json").write_text(content)
        refused(f"p.json: {sentence}", "--keypoints", "p.json")

    def test_pictures_that_share_a_file(self, tmp_path, here, refused):
        pictures, known = tmp_path / "in", tmp_path / "known"
        pictures.mkdir()
        known.mkdir()
        for name in ("a.jpg", "a.png"):
            shutil.copy(bad_files.HAND, pictures / name)
        (known / "a_keypoints.json").write_text('{"people": []}')
        share = "'a.jpg' and 'a.png' share a_keypoints.json."
        sentence = f"{known}: expected a file of OpenPose's for every picture, found that {share}"
        refused(sentence, "--keypoints", known, images=pictures)

    def test_an_entry_fails_its_own_picture_alone(self, tmp_path, monkeypatch, say):
        monkeypatch.chdir(tmp_path)
        Path("in").mkdir()
        known, given = {}, {}
        for letter in "abcdefg":
            shutil.copy(bad_files.HAND, f"in/{letter}.jpg")
            known[f"{letter}.jpg"], given[f"{letter}.jpg"] = bad_files.known_hands(), K
        known["b.jpg"][0]["keypoints"].pop()
        known["c.jpg"][0]["keypoints"][3] = [1e300, 4.0]
        known["d.jpg"] = 3
        del given["e.jpg"]
        given["f.jpg"] = [[620, 0, 320], [0, -620, 240], [0, 0, 1]]
        Path("p.json").write_text(json.dumps(known))
        Path("k.json").write_text(json.dumps(given))
        told = say(
            "in", "--out", "o.zarr", "--keypoints", "p.json", "--intrinsics", "k.json",
            "--device", "cpu",
        )  # fmt: skip
        assert told.status == 1
        assert told.err.splitlines()[:-2] == [
            "failed b.jpg: p.json, entry 'b.jpg', hand 0: expected 21x2 or 21x3 numbers, "
            "found 20x2.",
            "failed c.jpg: p.json, entry 'c.jpg', hand 0: expected positions in pixels, "
            "found 1e+300, which no picture reaches.",
            "failed d.jpg: p.json, entry 'd.jpg': expected a list of hands, found int.",
            "failed e.jpg: k.json: expected an entry for 'e.jpg', found none among its 6 names.",
            "failed f.jpg: k.json, entry 'f.jpg': expected positive focal lengths, "
            "found fx = 620, fy = -620.",
        ]
        found = bad_files.statuses(Path("o.zarr"))
        assert {name for name, status in found.items() if status == "ok"} == {"a.jpg", "g.jpg"}


class TestOverlays:
    def test_where_they_cannot_be(self, refused):
        place = "notes/readme.txt"
        sentence = f"--overlays {place}: expected a folder, found a file"
        refused(sentence, "--overlays", place, *FAST)
        sentence = "cannot make the folder notes/readme.txt/x: Not a directory"
        refused(sentence, "--overlays", "notes/readme.txt/x", *FAST)
        sentence = (
            "--overlays photos/drawn: expected a folder outside photos, found one inside it, "
            "where the next run would take the overlays for pictures"
        )
        refused(sentence, "--overlays", "photos/drawn", *FAST)
        one = "photos/a.jpg"
        sentence = (
            f"--overlays photos: expected another folder than that of {one}, found the same, "
            "where overlays would lie among pictures"
        )
        refused(sentence, "--overlays", "photos", *FAST, images=one)

    def test_an_interruption_while_drawing_loses_none(self, tmp_path, here, say, monkeypatch):
        arguments = ["photos", "--out", "o.zarr", "--overlays", tmp_path / "drawn", *FAST, "-q"]

        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("fitter.run.draw_results", interrupted)
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
        arguments = ["--overlays", drawn, "--keypoints", known, "--device", "cpu"]
        told = say(pictures, "--out", "o.zarr", *arguments)
        assert told.status == 0
        assert told.err.splitlines()[:2] == [
            f"no overlay of a.jpg: cannot write the overlay {drawn / overlay_name('a.jpg')}: "
            "Is a directory",
            f"no overlay of b.jpg: {pictures / 'b.jpg'}: expected a picture, found no such file.",
        ]
        assert told.err.splitlines()[2].startswith(
            "3 images: 3 hands in 3 of them, 0 images failed"
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
        rest = ["--keypoints", known, "--device", "cpu", "-q", "--set", "run.block_size=2"]

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

    def test_every_picture_has_its_own_even_with_the_longest_name(self, tmp_path, here, say):
        longest = "ä" * 125 + ".jpg"
        names = ["a.jpg", "b/c.jpg", "b__c.jpg", longest, "ö" * 125 + ".jpg"]
        (tmp_path / "in" / "b").mkdir(parents=True)
        for name in names:
            shutil.copy(bad_files.HAND, tmp_path / "in" / name)
        (tmp_path / "p.json").write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
        told = say(
            tmp_path / "in", "--out", "o.zarr", "--overlays", tmp_path / "drawn",
            "--keypoints", tmp_path / "p.json", "--device", "cpu", "-q",
        )  # fmt: skip
        assert (told.status, told.err) == (0, "")
        drawn = {p.relative_to(tmp_path / "drawn") for p in (tmp_path / "drawn").rglob("*.jpg")}
        assert drawn == {Path(overlay_name(name)) for name in names} and len(drawn) == len(names)


@pytest.fixture(scope="module")
def store(workplace) -> Path:
    """Results of the picture in FreiHAND's layout, and the same with a cut file."""
    (workplace / "list.json").write_text(json.dumps({"00000000.jpg": bad_files.known_hands()}))
    with pytest.raises(SystemExit):
        fit_hands(
            [
                *(str(workplace / "freihand/evaluation/rgb"), "--out"),
                *(str(workplace / "e.zarr"), "--device", "cpu", "-q"),
                *("--keypoints", str(workplace / "list.json")),
            ]
        )
    shutil.copytree(workplace / "e.zarr", workplace / "cut.zarr")
    chunk = next(p for p in (workplace / "cut.zarr/keypoints_3d/c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:10])
    return workplace / "e.zarr"


class TestEvaluation:
    @pytest.mark.parametrize(
        ("name", "data", "sentence"),
        [
            ("no.zarr", "freihand", "there is no result store no.zarr"),
            ("notes", "freihand", "notes is no result store (expected a Zarr folder made by "
             "fit-hands)"),
            ("e.zarr", "notes", "FreiHAND's notes/evaluation_K.json is missing"),
            ("e.zarr", "no", "there is no data set folder no"),
            ("cut.zarr", "freihand", "cut.zarr: expected a whole result store, found a damaged "
             "keypoints_3d (Zstd decompression error: invalid input data)"),
        ],
    )  # fmt: skip
    def test_refusals(self, say, store, name, data, sentence):
        told = say(name, "--dataset", "freihand", data, command=eval_hands)
        assert (told.status, told.out, told.err) == (2, "", f"eval-hands: {sentence}\n")

    def test_other_pictures(self, say, store):
        say("photos", "--out", "o.zarr", *FAST, "-q")
        told = say("o.zarr", "--dataset", "freihand", "freihand", command=eval_hands)
        sentence = "eval-hands: o.zarr holds none of the pictures of freihand\n"
        assert (told.status, told.out, told.err) == (2, "", sentence)

    def test_the_same_arguments_with_good_input_work(self, say, store):
        told = say("e.zarr", "--dataset", "freihand", "freihand", command=eval_hands)
        assert (told.status, told.err) == (0, "")
        assert "1 / 1" in told.out


@pytest.mark.parametrize("command", [fit_hands, eval_hands])
def test_help_is_a_manual_page(say, command):
    told = say("--help", command=command)
    assert told.status == 0
    assert told.err == ""
    for part in ("usage:", "examples:", "exit status:", "--quiet", "130"):
        assert part in told.out
    assert max(map(len, told.out.splitlines())) <= 100
