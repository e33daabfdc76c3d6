"""What is said of runs whose images share a hand's shape."""

import json
from pathlib import Path

import pytest

from fitter.errors import sentence
from tests.support.people_cases import OPTIONS, write_images

LOUD = (*(word for word in OPTIONS if word != "-q"), "--set", "run.block_size=4")


@pytest.fixture
def folder(tmp_path, here, monkeypatch) -> Path:
    """The images of two people, in the current folder, which is not that of `here`."""
    write_images(tmp_path, {"anna": 6, "ben": 5})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_was_made_and_what_of_the_file_had_no_effect_is_said(folder, say):
    said = {"anna_*": "anna", "ben_1.png": {"left": "ben", "5": "carl"}, "ben_0.png": {"left": "x"}}
    (folder / "odd.json").write_text(json.dumps(said))
    run = say("in", "--out", "odd.zarr", *LOUD, "--people", "odd.json")
    assert run.status == 0
    assert (
        "3 shapes made, of 2 persons (anna, left: 3 images; anna, right: 6 images; "
        "ben, left: 1 image)\n"
        "odd.json: no valid hand of carl; x was found\n"
        "odd.json: there is no hand 5 in ben_1.png; left hand in ben_0.png\n"
        "results: odd.zarr\n"
    ) in run.err


def test_a_summary_before_the_last_pass_says_that_there_are_no_results(folder, say, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    people = ("--out", "ended.zarr", *LOUD, "--people", "people.csv")
    part = say("in", *people, "--shard", "1/2")
    assert part.status == 3
    assert "pass 1 of 2: 7 images: 10 valid hands in 7 of them" in part.err
    assert "\n4 images left to other shares in pass 1 of 2: run this one again" in part.err
    assert "results: " not in part.err and "\nno results to read yet" in part.err
    with monkeypatch.context() as patch:
        patch.setattr("fitter.groups.people.joint_shapes", interrupted)
        stopped = say("in", *people, "--resume")
    assert stopped.status == 130
    assert "\n0 images left to do in pass 1 of 2\nno results to read yet" in stopped.err
    part = say("in", *people, "--shard", "2/2")
    assert part.status == 0
    assert "\n7 images left to other shares: run those that are not at work again" in part.err
    assert "\nresults: ended.zarr\n" in part.err
    refused = say("in", "--out", "ended.zarr", *LOUD, "--resume")
    facts = {"was": "--people FILE", "now": "neither --same-hand nor --people"}
    assert refused.status == 2
    assert sentence("store.other_people", {"file": "ended.zarr", **facts}) in refused.err
