"""Runs whose images share a hand's shape: one shape a person, whatever ended the run, and in
shares."""

import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

import fitter
from fitter.errors import sentence
from fitter.hand_models.rest_offsets import posed_offsets
from fitter.records import HandParams
from fitter.run import passes
from fitter.run.passes import Pass, share, wait_for_others
from fitter.run.summary import Summary
from fitter.run.telling import report
from tests.support.forked_runs import Kill, start, status_of
from tests.support.people_cases import OPTIONS, write_images
from tests.support.store_rows import contents

PEOPLE = {"anna": 3, "ben": 2}
"""Three blocks of images."""

COMMIT = "fitter.store.result_store:ResultStore._commit"
MOMENTS = {
    "before the second block of the first pass": Kill(COMMIT, 2),
    "while the shapes are made": Kill("fitter.groups.people:joint_shapes", 1),
    "while the shapes are written": Kill("fitter.store.files:flush_all", 1),
    "when the shapes are written": Kill("fitter.run.work:sources_for", 2),
    "before the second block of the last pass": Kill(COMMIT, 5),
    "while the first pass is removed": Kill("fitter.store.result_store:shutil.rmtree", 1),
}  # fmt: skip
"""What is called, and the how many-th call does not come to its end."""

GROUPS = ("--people", "people.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The images of two people."""
    folder = tmp_path_factory.mktemp("people")
    write_images(folder, PEOPLE)
    return folder


@pytest.fixture
def undisturbed(folder, told) -> Path:
    """The store of a run that nothing disturbed."""
    store = folder / "undisturbed.zarr"
    if not store.exists():
        assert told(store.name, *GROUPS).status == 0
    return store


@pytest.fixture
def killed(folder):
    """A copy of the store of a run that was killed at a moment."""

    def at(moment: str, copy: str) -> Path:
        store = folder / f"{moment.replace(' ', '-')}.zarr"
        if not store.exists():
            words = ["in", "--out", store.name, *OPTIONS, *GROUPS]
            assert status_of(start(folder, words, MOMENTS[moment])) == -signal.SIGKILL
        shutil.copytree(store, folder / copy)
        return folder / copy

    return at


def test_a_person_has_one_shape_for_a_side(undisturbed):
    results = fitter.open_results(undisturbed)
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
        ("anna", "left"): 1, ("anna", "right"): 3, ("ben", "left"): 1, ("ben", "right"): 2,
    }  # fmt: skip


def test_nothing_is_left_of_the_passes(undisturbed):
    assert not [path.name for path in undisturbed.glob("*passes*")]
    assert not [path.name for path in undisturbed.glob(".*")]
    assert "shape_information" not in xr.open_zarr(undisturbed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_same_bits(undisturbed, told, killed, moment):
    store = killed(moment, "killed.zarr")
    assert told(store.name, *GROUPS, "--resume").status == 0
    assert contents(store) == contents(undisturbed)
    shutil.rmtree(store)


def test_an_unfinished_run_shows_no_hand_of_its_first_pass(killed):
    results = fitter.open_results(killed("when the shapes are written", "first.zarr"))
    assert {results.status(name) for name in results} == {"pending"}
    assert not any(results.values()) and len(results.people) == 4


def test_new_images_are_taken_in_the_first_pass_alone(folder, undisturbed, told, killed):
    new = folder / "in" / "anna_0a.png"
    killed("before the second block of the first pass", "new.zarr")
    try:
        shutil.copy(folder / "in" / "anna_0.png", new)
        assert told("new.zarr", *GROUPS, "--resume").status == 0
        assert fitter.open_results(folder / "new.zarr").status(new.name) == "no_hand"
        refused = told(undisturbed.name, *GROUPS, "--resume")
    finally:
        new.unlink()
    facts = {"file": undisturbed.name, "count": 1}
    assert refused.status == 2
    assert refused.err == f"fit-hands: {sentence('run.new_beside_people', facts)}\n"


def test_shares_end_between_passes_and_go_on(folder, undisturbed, told):
    assert told("shares.zarr", *GROUPS, "--shard", "1/2").status == 3
    assert told("shares.zarr", *GROUPS, "--shard", "1/2").status == 3
    assert told("shares.zarr", *GROUPS, "--shard", "2/2").status == 0
    assert told("shares.zarr", *GROUPS, "--shard", "1/2").status == 0
    assert contents(folder / "shares.zarr") == contents(undisturbed)


def test_shares_in_two_processes_wait_for_each_other(folder, undisturbed):
    words = ["in", "--out", "two.zarr", *OPTIONS, *GROUPS, "--wait", "--shard"]
    both = [start(folder, [*words, shard]) for shard in ("1/2", "2/2")]
    assert [status_of(process) for process in both] == [0, 0]
    assert contents(folder / "two.zarr") == contents(undisturbed)


@pytest.fixture
def first(tmp_path, monkeypatch) -> Pass:
    """A pass whose rows are not complete here; waiting for them would take for ever."""

    def never(_: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(passes.time, "sleep", never)
    folder = tmp_path / "passes" / "1"
    folder.mkdir(parents=True)
    rows = SimpleNamespace(path=folder, is_complete=False, is_alone=False)
    return Pass(1, 3, rows, folder / "people", None)


@pytest.mark.parametrize("end", ["the values are there", "the last pass has ended"])
def test_a_share_without_blocks_neither_waits_nor_shares_once_others_have(first, end):
    stop = SimpleNamespace(asked=False)
    with pytest.raises(AssertionError, match="it waits"):
        wait_for_others(first, stop, lambda _: None)
    if end == "the values are there":
        first.shared.mkdir()
    else:
        shutil.rmtree(first.rows.path.parent)
    assert wait_for_others(first, stop, lambda _: None)
    assert first.is_over is (end != "the values are there")
    # Whoever asks it for anything fails, since it has none of the methods.
    share(first, SimpleNamespace())


def test_all_hands_of_a_side_are_one_persons_and_a_known_size_stays(folder, told):
    assert told("same.zarr", "--same-hand", "--hand-size", "0.17").status == 0
    results = xr.open_zarr(folder / "same.zarr")
    for slot in (0, 1):
        valid = results.valid.values[:, slot]
        assert len(np.unique(results.betas.values[valid, slot], axis=0)) == 1
    valid = results.valid.values
    assert set(np.unique(results.person.values[valid])) == {"one person"}
    np.testing.assert_allclose(results.hand_size.values[valid], 0.17, rtol=0, atol=1e-6)


def test_other_people_for_a_fitted_image_are_refused(folder, undisturbed, told):
    (folder / "others.csv").write_text("image,person\nanna_*,anna\nben_*,ben\nben_0.png,anna\n")
    refused = told(undisturbed.name, "--people", "others.csv", "--resume")
    assert refused.status == 2
    assert "what is given for ben_0.png now" in refused.err


def test_two_sizes_of_one_person_are_refused(folder, told):
    (folder / "sizes.json").write_text('{"anna_0.png": 0.17}')
    words = ("--person-size", "sizes.json", "--hand-size", "0.18")
    refused = told("sizes.zarr", *GROUPS, *words)
    facts = {
        "file": "sizes.json", "person": "anna", "one": 0.17, "other": 0.18, "image": "anna_1.png",
    }  # fmt: skip
    assert (refused.status, refused.err) == (
        2,
        f"fit-hands: {sentence('people.two_sizes', facts)}\n",
    )


def test_options_that_contradict_each_other_are_refused(told):
    assert "--same-hand" in told("x.zarr", "--same-hand", *GROUPS).err
    refused = told("x.zarr", "--same-hand", "--wait")
    assert refused.status == 2
    assert refused.err == (
        f"fit-hands: {sentence('usage.wait_without_shard', {'file': '--wait'})}\n"
    )


def test_the_summary_counts_the_time_of_all_passes():
    lines: list[str] = []
    report(Summary(images=16, seconds=2.0, seconds_before=6.0), Path("o"), None, lines.append)
    assert "8.0 s with the passes before, 2.0 images a second" in lines[0]
    assert Summary(seconds=2.0, seconds_before=6.0).counts()["seconds"] == 8.0


OFFSETS = """
refine:
  resolution: 32
  segmentation: none
  stages:
    surface:
      solver: adam
      iterations: 2
      free: [offsets, vertex_colours]
      energies: {photometric_pixel: 1.0}
      rates: {offsets: 0.0005, vertex_colours: 0.01}
"""


@pytest.fixture
def rounds(folder) -> tuple[str, ...]:
    """Options of runs of three passes with a stage that frees offsets."""
    (folder / "offsets.yaml").write_text(OFFSETS)
    nothing = OPTIONS.index("refine.stages={}")
    options = [*OPTIONS[: nothing - 1], *OPTIONS[nothing + 1 :], *GROUPS]
    return (*options, "--config", "offsets.yaml", "--set", "people.rounds=2")


@pytest.fixture
def offsets(folder, told, rounds) -> Path:
    """The store of such a run."""
    store = folder / "offsets.zarr"
    if not store.exists():
        assert told(store.name, options=rounds).status == 0
    return store


def test_more_rounds_are_more_passes_and_a_killed_one_ends_with_the_same_offsets(
    folder, told, rounds, offsets
):
    words = ["in", "--out", "rounds.zarr", *rounds]
    kill = Kill(COMMIT, 5)  # in the second pass of three
    assert status_of(start(folder, words, kill)) == -signal.SIGKILL
    before = folder / "rounds.zarr" / "passes" / "1"
    assert (before / "people" / "offsets").exists()
    # Of what a run stores on request the passes before the last keep what is made use of.
    assert {"vertex_offsets", "vertex_colours"} <= set(zarr.open_group(offsets).array_keys())
    assert "vertex_offsets" in zarr.open_group(before).array_keys()
    assert "vertex_colours" not in zarr.open_group(before).array_keys()
    assert told("rounds.zarr", "--resume", options=rounds).status == 0
    assert contents(folder / "rounds.zarr") == contents(offsets)


def test_offsets_are_shared_in_the_rest_pose(offsets):
    results = fitter.open_results(offsets)
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
