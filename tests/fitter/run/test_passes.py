"""Runs whose images share a hand's shape: one shape a person, whatever ended the run, and in
shares."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import fitter
from fitter.errors import sentence
from fitter.hand_models.rest_offsets import posed_offsets
from fitter.records import HandParams
from tests.support.paths import ROOT
from tests.support.people_cases import OPTIONS, write_images
from tests.support.store_rows import contents

PEOPLE = {"anna": 6, "ben": 5}

RUN = """
import os, signal, sys
from pathlib import Path

def killed(function, times):
    def wrapped(*arguments, **more):
        wrapped.calls += 1
        if wrapped.calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    wrapped.calls = 0
    return wrapped

place, times, *arguments = sys.argv[1:]
if place != "nowhere":
    import importlib
    module, _, name = place.partition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, killed(getattr(owner, last), int(times)))
from fitter.commands.fit_hands import fit_hands
fit_hands(arguments)
"""

COMMIT = "fitter.store.result_store:ResultStore._commit"
MOMENTS = {
    "before the second block of the first pass": (COMMIT, 2),
    "while the shapes are made": ("fitter.groups.people:joint_shapes", 1),
    "while the shapes are written": ("fitter.store.people:flush_all", 1),
    "when the shapes are written": ("fitter.run.work:sources_for", 2),
    "before the second block of the last pass": (COMMIT, 5),
    "while the first pass is removed": ("fitter.store.result_store:shutil.rmtree", 1),
}  # fmt: skip
"""What is called, and the how many-th call does not come to its end."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The images of two people, and the store of an undisturbed run."""
    folder = tmp_path_factory.mktemp("people")
    write_images(folder, PEOPLE)
    assert run(folder, "undisturbed.zarr", "--people", "people.csv") == 0
    return folder


@pytest.fixture
def told(folder, say, monkeypatch):
    """Runs the command over these images, in this process."""
    monkeypatch.chdir(folder)

    def run(store: str, *more: object):
        return say("in", "--out", store, *OPTIONS, *more)

    run.say = say
    return run


def start(folder: Path, store: str, *more: str, kill=("nowhere", 0)) -> subprocess.Popen:
    words = [sys.executable, "-c", RUN, kill[0], str(kill[1]), "in", "--out", store, *OPTIONS]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*words, *more], cwd=folder, env=environment)


def run(folder: Path, store: str, *more: str, kill=("nowhere", 0)) -> int:
    with start(folder, store, *more, kill=kill) as process:
        return process.wait()


def test_a_person_has_one_shape_for_a_side(folder):
    results = fitter.open_results(folder / "undisturbed.zarr")
    shapes = {}
    for name, hands in results.items():
        assert [hand.side for hand in hands] == ["right", "left"][: len(hands)]
        for hand in hands:
            assert hand.valid and hand.person == name.split("_")[0]
            shapes.setdefault((hand.person, hand.side), set()).add(hand.betas.tobytes())
    assert [len(found) for found in shapes.values()] == [1, 1, 1, 1]
    assert len(set().union(*shapes.values())) == 4
    assert list(results.people) == sorted(shapes)
    for key, hand in results.people.items():
        assert {hand.shared.betas.astype(np.float32).tobytes()} == shapes[key]
    images = {key: hand.images for key, hand in results.people.items()}
    assert images == {
        ("anna", "left"): 3, ("anna", "right"): 6, ("ben", "left"): 2, ("ben", "right"): 5,
    }  # fmt: skip


def test_nothing_is_left_of_the_passes(folder):
    assert not [path.name for path in (folder / "undisturbed.zarr").glob("*passes*")]
    assert not [path.name for path in (folder / "undisturbed.zarr").glob(".*")]
    assert "shape_information" not in xr.open_zarr(folder / "undisturbed.zarr")


def test_all_hands_of_a_side_are_one_persons(folder, told):
    assert told("same.zarr", "--same-hand").status == 0
    results = xr.open_zarr(folder / "same.zarr")
    for slot in (0, 1):
        valid = results.valid.values[:, slot]
        assert len(np.unique(results.betas.values[valid, slot], axis=0)) == 1
    assert set(np.unique(results.person.values[results.valid.values])) == {"one person"}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_same_bits(folder, told, moment):
    store = f"{moment.replace(' ', '-')}.zarr"
    assert run(folder, store, "--people", "people.csv", kill=MOMENTS[moment]) == -signal.SIGKILL
    assert told(store, "--people", "people.csv", "--resume").status == 0
    assert contents(folder / store) == contents(folder / "undisturbed.zarr")
    shutil.rmtree(folder / store)


def test_an_unfinished_run_shows_no_hand_of_its_first_pass(folder, told):
    kill = MOMENTS["when the shapes are written"]
    assert run(folder, "first.zarr", "--people", "people.csv", kill=kill) == -signal.SIGKILL
    results = fitter.open_results(folder / "first.zarr")
    assert {results.status(name) for name in results} == {"pending"}
    assert not any(results.values()) and len(results.people) == 4


def test_shares_end_between_passes_and_go_on(folder, told):
    people = ("--people", "people.csv")
    assert told("shares.zarr", *people, "--shard", "1/2").status == 3
    assert told("shares.zarr", *people, "--shard", "1/2").status == 3
    assert told("shares.zarr", *people, "--shard", "2/2").status == 0
    assert told("shares.zarr", *people, "--shard", "1/2").status == 0
    assert contents(folder / "shares.zarr") == contents(folder / "undisturbed.zarr")


def test_shares_in_two_processes_wait_for_each_other(folder):
    people = ("--people", "people.csv", "--wait")
    with (
        start(folder, "two.zarr", *people, "--shard", "1/2") as first,
        start(folder, "two.zarr", *people, "--shard", "2/2") as second,
    ):
        assert (first.wait(), second.wait()) == (0, 0)
    assert contents(folder / "two.zarr") == contents(folder / "undisturbed.zarr")


def test_more_rounds_are_more_passes(folder, told):
    rounds = ("--people", "people.csv", "--set", "people.rounds=2")
    kill = (COMMIT, 5)  # in the second pass of three
    assert run(folder, "rounds.zarr", *rounds, kill=kill) == -signal.SIGKILL
    assert (folder / "rounds.zarr" / "passes" / "1" / "people").exists()
    assert told("rounds.zarr", *rounds, "--resume").status == 0
    assert told("again.zarr", *rounds).status == 0
    assert contents(folder / "rounds.zarr") == contents(folder / "again.zarr")


def test_new_images_are_taken_in_the_first_pass_alone(folder, told):
    people = ("--people", "people.csv")
    new = folder / "in" / "anna_0a.png"
    kill = MOMENTS["before the second block of the first pass"]
    assert run(folder, "new.zarr", *people, kill=kill) == -signal.SIGKILL
    try:
        shutil.copy(folder / "in" / "anna_0.png", new)
        assert told("new.zarr", *people, "--resume").status == 0
        assert fitter.open_results(folder / "new.zarr").status(new.name) == "no_hand"
        refused = told("undisturbed.zarr", *people, "--resume")
    finally:
        new.unlink()
    facts = {"file": "undisturbed.zarr", "count": 1}
    assert refused.status == 2
    assert refused.err == f"fit-hands: {sentence('run.new_beside_people', facts)}\n"


def test_other_people_for_a_fitted_image_are_refused(folder, told):
    (folder / "others.csv").write_text("image,person\nanna_*,anna\nben_*,ben\nben_0.png,anna\n")
    refused = told("undisturbed.zarr", "--people", "others.csv", "--resume")
    assert refused.status == 2
    assert "what is given for ben_0.png now" in refused.err


def test_a_known_size_stays(folder, told):
    assert told("sized.zarr", "--same-hand", "--hand-size", "0.17").status == 0
    results = xr.open_zarr(folder / "sized.zarr")
    valid = results.valid.values
    np.testing.assert_allclose(results.hand_size.values[valid], 0.17, rtol=0, atol=1e-6)
    assert len(np.unique(results.betas.values[:, 0][valid[:, 0]], axis=0)) == 1


def test_options_that_contradict_each_other_are_refused(told):
    assert "--same-hand" in told("x.zarr", "--same-hand", "--people", "people.csv").err
    refused = told("x.zarr", "--same-hand", "--wait")
    assert refused.status == 2
    assert refused.err == (
        f"fit-hands: {sentence('usage.wait_without_shard', {'file': '--wait'})}\n"
    )


OFFSETS = """
refine:
  resolution: 32
  segmentation: none
  stages:
    surface:
      solver: adam
      iterations: 2
      free: [offsets]
      energies: {photometric_pixel: 1.0}
      rates: {offsets: 0.0005}
"""


def test_offsets_are_shared_in_the_rest_pose(folder, told):
    (folder / "offsets.yaml").write_text(OFFSETS)
    nothing = OPTIONS.index("refine.stages={}")
    options = [*OPTIONS[: nothing - 1], *OPTIONS[nothing + 1 :], "--config", "offsets.yaml"]
    words = ("in", "--out", "offsets.zarr", "--people", "people.csv", *options)
    assert told.say(*words).status == 0
    results = fitter.open_results(folder / "offsets.zarr")
    hand = results.meshes.right
    for hands in results.values():
        for found in hands:
            shared = results.people[found.person, found.side].shared.offsets
            assert np.abs(shared).max() > 1e-5
            values = (found.global_orient, found.hand_pose, found.betas, found.transl)
            params = HandParams(*(torch.as_tensor(v, dtype=torch.float64)[None] for v in values))
            params = params.mirrored() if found.side == "left" else params
            posed = posed_offsets(hand, params, torch.from_numpy(shared).double()[None])[0].numpy()
            flip = [-1, 1, 1] if found.side == "left" else [1, 1, 1]
            np.testing.assert_allclose(found.vertex_offsets, posed * flip, rtol=0, atol=1e-7)
