"""Bad input to eval-hands: one sentence, the right exit status, and nothing else harmed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.eval_command import eval_hands
from fitter.commands.fit_hands import fit_hands
from fitter.errors import sentence
from tests.support import bad_files
from tests.support.bad_commands import FAST
from tests.support.paths import ROOT


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
        ("name", "data", "said"),
        [
            ("no.zarr", "freihand", "no.zarr"),
            ("notes", "freihand", "notes"),
            (
                "e.zarr",
                "notes",
                sentence(
                    "dataset.lacks",
                    {"file": "notes/evaluation_K.json", "what": "file", "dataset": "FreiHAND"},
                ),
            ),
            (
                "e.zarr",
                "no",
                sentence("dataset.lacks", {"file": "no", "what": "folder", "dataset": "FreiHAND"}),
            ),
            ("cut.zarr", "freihand", "found a damaged keypoints_3d"),
        ],
    )
    def test_refusals(self, say, store, name, data, said):
        told = say(name, "--dataset", "freihand", data, command=eval_hands)
        assert (told.status, told.out) == (2, "")
        assert said in told.err and told.err.count("\n") == 1

    def test_other_images(self, say, store):
        say("photos", "--out", "o.zarr", *FAST, "-q")
        told = say("o.zarr", "--dataset", "freihand", "freihand", command=eval_hands)
        said = sentence("evaluation.other_images", {"file": "o.zarr", "dataset": "freihand"})
        assert (told.status, told.out, told.err) == (2, "", f"eval-hands: {said}\n")

    def test_hands_that_our_own_detector_finds_are_no_truth(self, say):
        told = say("e.zarr", "--dataset", "images", "photos", command=eval_hands)
        said = sentence("evaluation.not_annotated", {"file": "photos", "dataset": "images"})
        assert (told.status, told.out, told.err) == (2, "", f"eval-hands: {said}\n")

    def test_refusals_come_before_anything_heavy(self):
        words = ["no.zarr", "--dataset", "freihand", "no"]
        code = (
            "import sys; from datasets.eval_command import eval_hands\n"
            f"try: eval_hands({words})\n"
            "except SystemExit: sys.exit('torch' in sys.modules or 'zarr' in sys.modules)"
        )
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (ended.returncode, "this folder of FreiHAND" in ended.stderr) == (0, True)

    def test_the_same_arguments_with_good_input_work(self, say, store):
        told = say("e.zarr", "--dataset", "freihand", "freihand", command=eval_hands)
        assert (told.status, told.err) == (0, "")
        assert "1 / 1" in told.out
