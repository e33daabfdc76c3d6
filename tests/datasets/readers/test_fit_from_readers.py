"""`fit-hands --dataset` takes every reader's images, K and keypoints by the same flag."""

import io
import json
import tomllib

import numpy as np
import pytest
import xarray as xr
from PIL import ExifTags, Image

from fitter.errors import InputError, sentence
from fitter.inputs.datasets import ENTRY_POINTS
from fitter.store.reader import StoreReader, decode_flags
from tests.support import bad_files
from tests.support.bad_commands import ALONE
from tests.support.object_files import box, write_mesh
from tests.support.paths import ROOT
from tests.support.reader_fixtures import FIXTURES
from tests.support.same_process import SameProcess
from tests.support.shard_files import TIME, K, write_shard
from tests.support.taken_objects import TakenObjects

GIVEN = ["--use", "keypoints", "--device", "cpu", *ALONE]
TOUCHING = (
    "{solver: lm, iterations: 1, free: [global_orient, pose, shape, camera], "
    "energies: {keypoints: 1, object_penetration: 1}}"
)
"""A short stage that looks at objects."""


@pytest.fixture
def fit_shard(tmp_path, say, monkeypatch):
    """Writes a shard of one photograph, fits it as a data set; what is said, and the results."""
    monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    path, out = tmp_path / "0.tar", tmp_path / "r.zarr"

    def run(picture: bytes | None, annotation: bytes = b"", *more: object):
        if picture is not None:
            write_shard(path, {"a.jpg": picture, "a.json": annotation})
        told = say("--dataset", "shards", path, "--out", out, *GIVEN, *more)
        return told, xr.open_zarr(out).load()

    return run


def hand_json(**more: object) -> bytes:
    (known,) = bad_files.known_hands()
    points = np.array(known["keypoints"])[:, :2].tolist()
    return json.dumps({"hands": [{"side": known["side"], "keypoints_2d": points}], **more}).encode()


def photograph(focal_in_35mm: int | None = None) -> bytes:
    written = io.BytesIO()
    with Image.open(bad_files.HAND) as image:
        exif = Image.Exif()
        if focal_in_35mm is not None:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = focal_in_35mm
        image.save(written, "jpeg", quality=90, exif=exif)
    return written.getvalue()


def test_a_continued_run_notices_another_image_in_a_shard(fit_shard):
    told, results = fit_shard(photograph(), hand_json(K=K))
    assert told.status == 0, told.err
    assert results.file_size.values[0] == len(photograph()) and results.file_time.values[0] >= TIME
    told, _ = fit_shard(None, b"", "--resume")
    assert "nothing left to do" in told.err and "changed" not in told.err
    told, _ = fit_shard(photograph(28), hand_json(K=K), "--resume")
    assert "changed 0.tar/a.jpg" in told.err


def test_a_shard_without_k_has_it_from_exif(fit_shard):
    told, results = fit_shard(photograph(28), hand_json())
    assert told.status == 0, told.err
    assert decode_flags(results.intrinsics_source).values.tolist() == ["exif"]
    assert not np.allclose(results.intrinsics.values[0], K)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_store_holds_what_the_data_set_says(name, tmp_path, say, monkeypatch):
    monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    written = FIXTURES[name](tmp_path)
    images = written.images
    folder = images.root if name != "store" else tmp_path / "r.zarr"
    out = tmp_path / "fitted.zarr"
    options = ["--split", images.split] if images.split else []
    options += GIVEN
    told = say("--dataset", name, folder, "--out", out, *options)
    assert told.status in (0, 1), told.err
    place = StoreReader.open(out).dataset_place
    assert place == {"name": name, "folder": str(folder), "split": images.split}
    results = xr.open_zarr(out).load()
    names = list(images.names)
    assert results.image_name.values.tolist() == sorted(names)
    status = decode_flags(results.image_status).values
    sources = decode_flags(results.intrinsics_source).values
    fitted = 0
    on_disk = {names[place] for place in written.places[:50]}
    for row, image in enumerate(results.image_name.values):
        if image not in on_disk and row % (1 + len(names) // 50):
            continue
        try:
            sample = images[names.index(image)]
        except InputError as error:
            assert status[row] == "failed" and results.image_error.values[row]
            assert error.code.split(".")[0] in ("dataset", "image", "json", "keypoints")
            continue
        hands = [h for h in sample.annotation.hands if np.isfinite(h.keypoints_2d).all(1).any()]
        if any(hand.side is None for hand in hands):
            assert status[row] == "failed"
            continue
        assert status[row] == ("ok" if hands else "no_hand"), results.image_error.values[row]
        if images.has_intrinsics:
            np.testing.assert_array_equal(
                results.intrinsics.values[row], sample.annotation.intrinsics
            )
        assert sources[row] == ("given" if images.has_intrinsics else "default")
        for slot, hand in enumerate(hands):
            marked = np.isfinite(hand.keypoints_2d).all(1)
            np.testing.assert_allclose(
                results.keypoints_2d_detected.values[row, slot][marked],
                hand.keypoints_2d[marked],
                atol=1e-3,
            )
            fitted += 1
    assert fitted
    # Where pages find the photographs, if names are those of files.
    is_there = (folder / sorted(names)[0]).is_file()
    assert is_there or name not in ("coco", "freihand", "synthetic")
    assert (f"--images {folder}\n" in told.err) == is_there
    told = say("--dataset", name, folder, "--out", out, *options, "--resume")
    assert "nothing left to do" in told.err and "changed" not in told.err


def test_every_reader_of_this_project_is_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(FIXTURES) == set(project["entry-points"][ENTRY_POINTS])


@pytest.mark.parametrize("name", ["ho3d", "dexycb"])
def test_objects_of_a_data_set_are_used_on_request(name, tmp_path, say, monkeypatch):
    monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
    taken = TakenObjects(monkeypatch)
    written = FIXTURES[name](tmp_path)
    images, out = written.images, tmp_path / "fitted.zarr"
    options = ["--dataset", name, images.root, "--out", out, "--split", images.split, *GIVEN]
    told = say(*options)
    assert told.status in (0, 1) and not any(taken.objects)
    used = ["--use", "keypoints,objects", "--set", f"refine.stages.a={TOUCHING}"]
    told = say(*options, *used, "--overwrite")
    assert told.status in (0, 1), told.err
    found = [objects for objects in taken.objects if objects]
    known = {place: images.annotation(place).objects for place in written.places}
    assert len(found) == sum(bool(objects) for objects in known.values()) > 0
    wanted = {(seen.name, *seen.translation) for each in known.values() for seen in each}
    assert {(p.mesh.name, *p.translation) for each in found for p in each} == wanted
    # The meshes of a folder elsewhere, and a run that knows that they have changed.
    models = tmp_path / "models"
    (images.root / "models").rename(models)
    told = say(*options, *used, "--overwrite")
    if name == "ho3d":
        facts = {"file": "--use objects", "dataset": name, "folder": images.root}
        assert told.err == f"fit-hands: {sentence('dataset.no_objects', facts)}\n"
    else:  # images of which nothing can be read might have some
        assert sentence("dataset.no_mesh", {"name": "003_cracker_box"}) in told.err
    given = [*used, "--object-models", models]
    assert say(*options, *given, "--overwrite").status in (0, 1)
    assert "nothing left to do" in say(*options, *given, "--resume").err
    (thing,) = {seen.name for each in known.values() for seen in each}
    write_mesh(models / thing / "textured_simple.obj", box(0.05))
    assert "is not what it was fitted with" in say(*options, *given, "--resume").err


def test_meshes_of_objects_that_are_not_used_are_refused(say, tmp_path):
    models = ["--object-models", tmp_path]
    told = say("--dataset", "ho3d", tmp_path, "--out", tmp_path / "r.zarr", *models)
    expected = sentence("dataset.models_unused", {"file": f"--object-models {tmp_path}"})
    assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")
    told = say(tmp_path, "--out", tmp_path / "r.zarr", *models)
    expected = sentence("usage.dataset_missing", {"file": "--object-models"})
    assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")
