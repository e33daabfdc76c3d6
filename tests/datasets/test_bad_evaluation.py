"""Bad input to eval-hands: one sentence, the right exit status, and nothing else harmed."""

import json
import shutil
from pathlib import Path

import pytest

from datasets.eval_command import eval_hands
from fitter.commands.fit_hands import fit_hands
from tests.support import bad_commands, bad_files
from tests.support.bad_commands import FAST

workplace = bad_commands.workplace
here = bad_commands.here
say = bad_commands.say


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
