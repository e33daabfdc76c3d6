"""Bad input of synth-hands: one sentence and the exit status of a user's mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from datasets.synthetic import SyntheticSettings
from datasets.synthetic.command import synth_hands
from fitter.errors import sentence
from tests.support.errors import raises
from tests.support.paths import ROOT

SEE = "; see synth-hands --help"


@pytest.fixture
def refused(say):
    """Runs synth-hands, which must refuse in exactly one sentence."""

    def run(said: str, *arguments: object, out: str = "s") -> None:
        given = [*arguments] if "--count" in arguments else ["--count", 1, *arguments]
        told = say(*given, "--out", out, command=synth_hands)
        assert (told.status, told.out, told.err) == (2, "", f"synth-hands: {said}\n")

    return run


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("argument --count: expected a number above 0, found '0'", ["--count", "0"]),
        ("argument --count: expected a whole number, found 'many'", ["--count", "many"]),
        ("argument --seed: expected a whole number from 0 on, found '-1'", ["--seed", "-1"]),
        ("argument --size: expected a size from 16 to 2048 pixels, found '8'", ["--size", "8"]),
        ("argument --objects: expected a share from 0 to 1, found '2'", ["--objects", "2"]),
        ("argument --workers: expected a number above 0, found '0'", ["--workers", "0"]),
    ],
)
def test_arguments(refused, said, arguments):
    refused(f"{said}{SEE}", *arguments)


@pytest.mark.parametrize(
    ("code", "facts", "arguments"),
    [
        ("synthetic.device", {"file": "--device", "found": "tpu"}, ["--device", "tpu"]),
        ("background.no_folder", {"file": "nowhere"}, ["--backgrounds", "nowhere"]),
        ("background.no_images", {"file": "notes"}, ["--backgrounds", "notes"]),
        ("background.unreadable", {"file": "faults/torn.jpg"}, ["--backgrounds", "faults"]),
    ],
)
def test_options(here, refused, code, facts, arguments):
    Path("faults/torn.jpg").write_bytes(b"no image")
    refused(sentence(code, facts), *arguments)
    Path("faults/torn.jpg").unlink()


def test_refusals_come_before_anything_heavy():
    words = ["--count", "1", "--out", "s", "--backgrounds", "nowhere"]
    code = (
        "import sys; from datasets.synthetic.command import synth_hands\n"
        f"try: synth_hands({words})\n"
        "except SystemExit: sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, "nowhere" in ended.stderr) == (0, True)


def test_no_out(say):
    told = say("--count", 1, command=synth_hands)
    assert told.status == 2
    assert told.err == f"synth-hands: the following arguments are required: --out{SEE}\n"


def test_out_is_a_file(here, refused):
    Path("known").write_text("words")
    refused(sentence("output.is_file", {"file": "known"}), out="known")


def test_out_holds_something_else(here, refused):
    refused(sentence("synthetic.out_filled", {"file": "notes"}), out="notes")
    assert Path("notes/readme.txt").exists()
    refused(sentence("synthetic.out_filled", {"file": "notes"}), "--overwrite", out="notes")


def test_out_holds_other_samples(tmp_path, say):
    out = tmp_path / "s"
    small = ["--size", 32, "--out", out, "--quiet"]
    assert say("--count", 2, *small, command=synth_hands).status == 0
    told = say("--count", 2, *small, "--seed", 3, command=synth_hands)
    facts = {"file": out, "name": "seed", "found": 0, "expected": 3}
    said = sentence("synthetic.other_samples", facts)
    assert (told.status, told.err) == (2, f"synth-hands: {said}\n")
    assert say("--count", 1, *small, "--seed", 3, "--overwrite", command=synth_hands).status == 0
    assert [p.name for p in (out / "training" / "rgb").iterdir()] == ["00000000.jpg"]
    (out / "synthetic.json").write_text("{")
    told = say("--count", 1, *small, command=synth_hands)
    said = sentence("synthetic.description", {"file": out / "synthetic.json"})
    assert (told.status, told.err) == (2, f"synth-hands: {said}\n")


@pytest.mark.parametrize(
    ("settings", "code", "found"),
    [
        ({"object_share": -0.1}, "synthetic.share", -0.1),
        ({"view": "above"}, "synthetic.view", "above"),
    ],
)
def test_settings(settings, code, found):
    with raises(code, file=next(iter(settings)), found=found):
        SyntheticSettings(**settings)
