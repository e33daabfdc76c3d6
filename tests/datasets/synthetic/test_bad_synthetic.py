"""Bad input of synth-hands: one sentence and the exit status of a user's mistake."""

from pathlib import Path

import pytest

from datasets.synthetic.command import synth_hands
from datasets.synthetic.records import SyntheticSettings
from fitter.errors import InputError
from tests.support import bad_commands

workplace = bad_commands.workplace
here = bad_commands.here
say = bad_commands.say

SEE = "; see synth-hands --help"


@pytest.fixture
def refused(say):
    def run(sentence: str, *arguments: object, out: str = "s") -> None:
        given = [*arguments] if "--count" in arguments else ["--count", 1, *arguments]
        told = say(*given, "--out", out, command=synth_hands)
        assert (told.status, told.out, told.err) == (2, "", f"synth-hands: {sentence}\n")

    return run


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        (f"argument --count: expected a number above 0, found '0'{SEE}", ["--count", "0"]),
        (f"argument --count: expected a whole number, found 'many'{SEE}", ["--count", "many"]),
        (f"argument --seed: expected a whole number from 0 on, found '-1'{SEE}", ["--seed", "-1"]),
        (
            f"argument --size: expected a size from 16 to 2048 pixels, found '8'{SEE}",
            ["--size", "8"],
        ),
        (f"argument --objects: expected a share from 0 to 1, found '2'{SEE}", ["--objects", "2"]),
        (f"argument --workers: expected a number above 0, found '0'{SEE}", ["--workers", "0"]),
        ("--device: expected cpu, cuda or auto, found 'tpu'", ["--device", "tpu"]),
        ("there is no folder of backgrounds nowhere", ["--backgrounds", "nowhere"]),
        (
            "notes holds no pictures (JPEG, PNG, WebP or BMP) for backgrounds",
            ["--backgrounds", "notes"],
        ),
        (
            "cannot read faults/torn.jpg as a picture for backgrounds",
            ["--backgrounds", "faults"],
        ),
    ],
)
def test_flags(here, refused, sentence, arguments):
    Path("faults/torn.jpg").write_bytes(b"no picture")
    refused(sentence, *arguments)
    Path("faults/torn.jpg").unlink()


def test_no_out(say):
    told = say("--count", 1, command=synth_hands)
    assert told.status == 2
    assert told.err == f"synth-hands: the following arguments are required: --out{SEE}\n"


def test_out_is_a_file(here, refused):
    Path("known").write_text("words")
    refused("--out known: expected a folder, found a file", out="known")


def test_out_holds_something_else(here, refused):
    refused("--out notes: expected an empty folder or one of synth-hands, found files", out="notes")
    assert Path("notes/readme.txt").exists()
    refused(
        "--out notes: expected an empty folder or one of synth-hands, found files",
        "--overwrite",
        out="notes",
    )


def test_out_holds_other_samples(tmp_path, say):
    out = tmp_path / "s"
    small = ["--size", 32, "--out", out, "--quiet"]
    assert say("--count", 2, *small, command=synth_hands).status == 0
    told = say("--count", 2, *small, "--seed", 3, command=synth_hands)
    sentence = f"{out} holds samples with seed 0, not 3; --overwrite replaces them"
    assert (told.status, told.err) == (2, f"synth-hands: {sentence}\n")
    assert say("--count", 1, *small, "--seed", 3, "--overwrite", command=synth_hands).status == 0
    assert [p.name for p in (out / "training" / "rgb").iterdir()] == ["00000000.jpg"]
    (out / "synthetic.json").write_text("{")
    told = say("--count", 1, *small, command=synth_hands)
    sentence = f"{out / 'synthetic.json'} cannot be read; --overwrite starts anew"
    assert (told.status, told.err) == (2, f"synth-hands: {sentence}\n")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"object_share": -0.1}, "object_share: expected a number from 0 to 1, found -0.1"),
        ({"view": "above"}, "view: expected mixed, egocentric or third_person, found 'above'"),
    ],
)
def test_settings(settings, sentence):
    with pytest.raises(InputError) as refusal:
        SyntheticSettings(**settings)
    assert str(refusal.value) == sentence
