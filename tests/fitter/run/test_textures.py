"""The texture of a person is made of all images of a run, whatever ended it, and in shares."""

import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import fitter
from fitter.errors import sentence
from fitter.formats.hand_asset import HandAsset
from fitter.run import textures
from tests.support.forked_runs import Kill, start, status_of
from tests.support.store_rows import contents
from tests.support.textured_hands import atlas, chequered
from tests.support.textured_people import OPTIONS, likeness, write_renders

RIGHTS, LEFTS = 10, 2
RIGHT, LEFT = ("one person", "right"), ("one person", "left")

MOMENTS = {
    "before the first image": Kill("fitter.run.textures:extract_texture", 1),
    "behind the first state": Kill("fitter.run.textures:extract_texture", 11),
    "while a state is written": Kill("fitter.run.textures:write_whole", 2),
    "while the textures are written": Kill("fitter.store.people_textures:flush_all", 1),
    "before the passes are removed": Kill("fitter.store.result_store:ResultStore.finish_passes", 1),
}
"""What is called, and the how many-th call does not come to its end. Left hands come first: the
first state but one is of the eighth right hand."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Renders of one person, and the store of an undisturbed run."""
    folder = tmp_path_factory.mktemp("textures")
    write_renders(folder, RIGHTS, LEFTS)
    assert run(folder, "undisturbed.zarr") == 0
    return folder


@pytest.fixture
def told(folder, say, monkeypatch):
    """Runs the command over these images, in this process."""
    monkeypatch.chdir(folder)
    return lambda store, *more: say("in", "--out", store, *OPTIONS, *more)


def run(folder: Path, store: str, kill: Kill | None = None) -> int | None:
    return status_of(start(folder, ["in", "--out", store, *OPTIONS], kill))


def test_a_texture_shows_what_the_images_show(folder):
    people = fitter.open_results(folder / "undisturbed.zarr").people
    at, true = atlas(64), chequered(64)
    for key, least in ((RIGHT, 0.5), (LEFT, 0.15)):
        texture = people[key].texture
        assert texture.colours.shape == (64, 64, 3)
        seen = at.rows(texture.weight) > 0
        assert seen.mean() > least
        plain = at.skin(np.zeros(at.appearance.count))
        colours = (at.rows(texture.colours), at.rows(true), plain)
        assert likeness(*(each[seen] for each in colours)) > 0.4
    stored = xr.open_zarr(folder / "undisturbed.zarr" / "people" / "textures")
    assert stored.images.values.tolist() == [LEFTS, RIGHTS]


def test_what_one_hand_hides_is_taken_from_the_other(folder):
    people = fitter.open_results(folder / "undisturbed.zarr").people
    at, left, right = atlas(64), people[LEFT].texture, people[RIGHT].texture
    hidden = (at.rows(left.weight) == 0) & (at.rows(right.weight) > 1)
    assert hidden.sum() > 50
    difference = np.log(at.rows(left.colours)[hidden]) - np.log(at.rows(right.colours)[hidden])
    other = np.log(at.skin(np.zeros(at.appearance.count))[hidden])
    plain = other - np.log(at.rows(right.colours)[hidden])
    assert np.std(difference) < 0.6 * np.std(plain)


def test_hands_of_the_person_are_shown_with_it(folder, tmp_path):
    results = fitter.open_results(folder / "undisturbed.zarr")
    hand = results["right_0.png"][0]
    texture = results.people[RIGHT].texture
    assert (hand.person_texture.colours == texture.colours).all()
    skin = results.meshes.skin(hand, hand.vertices)
    assert (skin.diffuse == texture.colours).all()
    assert (pickle.loads(pickle.dumps(hand)).person_texture.colours == texture.colours).all()
    asset = HandAsset.of(hand, results.meshes, "right")
    assert (asset.skin.texture == texture.colours).all()
    request = fitter.ExportRequest(
        folder / "undisturbed.zarr", tmp_path / "out", "obj", per="person", quiet=True
    )
    assert fitter.export_results(request).hands == 2
    hand.save(tmp_path / "own.obj")
    own = tmp_path / "own.png"
    exported = [path.read_bytes() for path in (tmp_path / "out").glob("*t.png")]
    assert own.read_bytes() in exported and len(exported) == 2


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_same_bits(folder, told, moment, monkeypatch):
    store = f"{moment.replace(' ', '-')}.zarr"
    assert run(folder, store, kill=MOMENTS[moment]) == -signal.SIGKILL
    assert (folder / store / "passes" / "textures").exists()
    calls = []
    extract = textures.extract_texture
    monkeypatch.setattr(textures, "extract_texture", lambda *a: calls.append(1) or extract(*a))
    assert told(store, "--resume").status == 0
    assert contents(folder / store) == contents(folder / "undisturbed.zarr")
    todo = {
        "before the first image": 12,
        "behind the first state": 2,
        "while a state is written": 10,
    }
    assert len(calls) == todo.get(moment, 0)
    shutil.rmtree(folder / store)


def test_the_share_that_ends_last_makes_them(folder, told):
    for share, status in (("1/2", 3), ("2/2", 0), ("1/2", 0)):
        assert not (folder / "shares.zarr" / "people" / "textures").exists()
        assert told("shares.zarr", "--shard", share).status == status
    assert contents(folder / "shares.zarr") == contents(folder / "undisturbed.zarr")


def test_an_image_that_has_changed_is_left_out_and_told(folder, told, tmp_path):
    kill = MOMENTS["before the first image"]
    assert run(folder, "changed.zarr", kill=kill) == -signal.SIGKILL
    changed = folder / "in" / "right_3.png"
    shutil.copy2(changed, tmp_path)
    try:
        Image.new("RGB", (100, 100)).save(changed)
        done = told("changed.zarr", "--resume")
    finally:
        shutil.copy2(tmp_path / changed.name, changed)
    assert done.status == 0
    stored = xr.open_zarr(folder / "changed.zarr" / "people" / "textures")
    assert stored.images.values.tolist() == [LEFTS, RIGHTS - 1]
    assert "untextured" in (folder / "changed.zarr.log.jsonl").read_text()


def test_without_people_it_is_refused(folder, say, monkeypatch):
    monkeypatch.chdir(folder)
    words = [word for word in OPTIONS if word != "--same-hand"]
    refused = say("in", "--out", "x.zarr", *words)
    said = sentence("usage.textures_without_people", {"file": "people.textures"})
    assert (refused.status, refused.err) == (2, f"fit-hands: {said}\n")
