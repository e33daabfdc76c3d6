"""Bad folders of pictures, intrinsics, keypoints and models: one sentence, and nothing harmed."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support import bad_files
from tests.support.bad_commands import FAST

K = [[620.0, 0.0, 320.0], [0.0, 620.0, 240.0], [0.0, 0.0, 1.0]]
SUFFIXES = ".avif, .bmp, .heic, .heif, .jpeg, .jpg, .png, .tif, .tiff, .webp; videos such as .mp4"
MANO = "a MANO model (MANO_RIGHT.pkl or MANO_LEFT.pkl)"


def test_the_folder_of_pictures(refused):
    none = f"expected a folder with pictures ({SUFFIXES}), found none in it"
    refused(f"nothing: {none}", images="nothing")
    refused(f"notes: {none}", images="notes")
    missing = "expected a folder, a picture or a video, found nothing there"
    refused(f"missing: {missing}", images="missing")
    text = f"expected a folder or a picture ({SUFFIXES}), found a file that ends in '.json'"
    refused(f"known.json: {text}", images="known.json")


def test_a_list_of_pictures(tmp_path, refused):
    sentence = f"line 1: expected a picture ({SUFFIXES}), found 'words'"
    refused(f"notes/readme.txt, {sentence}", images="notes/readme.txt")
    path = tmp_path / "pictures.lst"
    path.write_text("# none yet\n")
    none = "expected a list of pictures, one path a line, found none in it"
    refused(f"{path}: {none}", images=path)


def test_a_pattern_of_pictures(refused):
    sentence = f"expected a pattern that pictures match ({SUFFIXES}), found none that does"
    refused(f"photos/*.png: {sentence}", images="photos/*.png")


def test_one_of_several_pictures(say):
    told = say("photos/a.jpg", "nothing", "--out", "o.zarr")
    sentence = f"expected a picture ({SUFFIXES}), as one of several, found a folder; "
    said = f"fit-hands: nothing: {sentence}anything else is given alone\n"
    assert (told.status, told.out, told.err) == (2, "", said)


class TestIntrinsics:
    @pytest.mark.parametrize(
        ("option", "sentence"),
        [
            ("banana", "banana: expected fx,fy,cx,cy or a file with cameras, found neither "
             "numbers nor such a file"),
            ("1,2,3", "intrinsics '1,2,3': expected four numbers fx,fy,cx,cy, found 3"),
            ("-600,600,320,240", "intrinsics '-600,600,320,240': expected positive focal lengths, "
             "found fx = -600, fy = 600"),
            ("nan,600,320,240", "intrinsics 'nan,600,320,240': expected finite numbers in K, "
             "found nan or infinity"),
        ],
    )  # fmt: skip
    def test_text(self, refused, option, sentence):
        refused(sentence, f"--intrinsics={option}")

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("[]", "expected as many 3x3 matrices as pictures, 1, found 0"),
            ("3", "expected K, a lens, a mapping from picture names to them or a list of them, "
             "found int"),
            ("[[1, 0, 0], [0, 1, 0], [5, 6, 1]]", "expected K as [[fx, s, cx], [0, fy, cy], [0, 0, "
             "1]], found [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 6.0, 1.0]]"),
            ('{"K": [[9, 0, 5], [0, 9, 5], [0, 0, 1]], "distortion": [0.1, 0.2, 0.3]}',
             "expected 0, 4, 5, 8, 12 or 14 coefficients of a pinhole lens, found 3"),
            ('{"a": ', "expected JSON with intrinsics, found one that ends in line 1 before it is "
             "complete"),
            ('{"b.jpg": 3}', "expected names of pictures such as 'a.jpg', found none of them, but "
             "'b.jpg'"),
            ("[" * 99_999, "expected JSON with intrinsics, found values that lie too deep in one "
             "another"),
        ],
    )  # fmt: skip
    def test_file(self, here, refused, content, sentence):
        Path("k.json").write_text(content)
        refused(f"k.json: {sentence}", "--intrinsics", "k.json")


class TestKeypoints:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (None, "expected a JSON file with keypoints, found nothing"),
            ('{"a"', "expected JSON with keypoints, found one that ends in line 1 before it is "
             "complete"),
            ("[1, 2]", "expected as many entries as pictures, 1, found 2"),
            ('{"b.jpg": []}', "expected names of pictures such as 'a.jpg', found none of them, but "
             "'b.jpg'"),
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
        share = "'a.jpg' and 'a.png' share a_keypoints.json"
        sentence = f"{known}: expected a file for every picture, found that {share}"
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
        assert told.err.splitlines()[:7] == [
            "failed b.jpg: p.json, entry 'b.jpg', hand 0: expected 21x2 or 21x3 numbers, "
            "found 20x2",
            "failed c.jpg: p.json, entry 'c.jpg', hand 0: expected positions in pixels, "
            "found 1e+300, which no picture reaches",
            "failed d.jpg: p.json, entry 'd.jpg': expected a list of hands, found int",
            "failed e.jpg: k.json: expected an entry for 'e.jpg', found none",
            "failed f.jpg: k.json, entry 'f.jpg': expected positive focal lengths, "
            "found fx = 620, fy = -620",
            "3 images have unusable keypoints (see docs/inputs.md): see o.zarr.failures.csv",
            "2 images have no usable K (see docs/inputs.md): see o.zarr.failures.csv",
        ]
        found = bad_files.statuses(Path("o.zarr"))
        assert {name for name, status in found.items() if status == "ok"} == {"a.jpg", "g.jpg"}


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
        refused(f"{name}_RIGHT.pkl: expected {MANO}, found {found}", "--model", f"{name}_RIGHT.pkl")
        assert not Path("was-run").exists()

    def test_missing(self, refused):
        file = MANO.replace("a MANO", "the file of a MANO")
        any_of = f"open_hand, {file} or the folder of a NIMBLE model"
        refused(f"no.pkl: expected {any_of}, found no such file", "--model", "no.pkl")
        refused(f"mano: expected {any_of}, found no such file", "--set", "model.name=mano")

    def test_a_folder_is_taken_for_nimble(self, refused):
        expected = "NIMBLE's geometry (NIMBLE_DICT_9137.pkl)"
        refused(
            f"notes/NIMBLE_DICT_9137.pkl: expected {expected}, found no such file",
            "--model", "notes",
        )  # fmt: skip

    def test_manos_keypoints_are_nimbles_alone(self, refused):
        refused(
            "other.pkl: expected the folder of a NIMBLE model where model.mano names a file, "
            "found another model",
            "--set", "model.mano=other.pkl",
        )  # fmt: skip

    def test_the_flag_wins_over_the_file(self, tmp_path, here, say):
        (tmp_path / "c.yaml").write_text("model: {name: mano, path: no.pkl}\n")
        told = say(
            "photos", "--out", "o.zarr", "--config", tmp_path / "c.yaml", *FAST,
            "--model", "open_hand", "-q",
        )  # fmt: skip
        assert (told.status, told.err) == (0, "")
