"""Continued runs whose pictures are others than before: added, gone, or named from elsewhere."""

import json
import shutil
from pathlib import Path

import pytest
import xarray as xr

from fitter.errors import sentence
from tests.support import bad_files

NAMES = [f"{i}.jpg" for i in range(6)]


@pytest.fixture
def runs(tmp_path, here, say):
    """Runs the command over the pictures in `tmp_path/in` with their keypoints."""
    (tmp_path / "in").mkdir()
    known = tmp_path / "p.json"
    for name in NAMES:
        shutil.copy(bad_files.HAND, tmp_path / "in" / name)

    def run(*more: object, images: Path = tmp_path / "in"):
        names = [p.relative_to(images).as_posix() for p in images.rglob("*.jpg")]
        known.write_text(json.dumps(dict.fromkeys([*names, *NAMES], bad_files.known_hands())))
        rest = ["--keypoints", known, "--device", "cpu", "--set", "run.block_size=4", "--set"]
        return say(images, "--out", tmp_path / "r.zarr", *rest, "refine.stages={}", *more)

    assert run("-q").status == 0
    return run


def status(folder: Path) -> dict[str, int]:
    results = xr.open_zarr(folder / "r.zarr")
    return dict(zip(results.image_name.values, results.image_status.values.tolist(), strict=True))


def test_new_pictures_are_added_and_the_short_block_done_again(runs, tmp_path):
    for name in ("0a.jpg", "z.jpg"):
        shutil.copy(bad_files.HAND, tmp_path / "in" / name)
    told = runs("--resume")
    assert told.status == 0
    assert status(tmp_path) == dict.fromkeys([*NAMES, "0a.jpg", "z.jpg"], 1)
    assert "4 images done before" in told.err and "2 images added to the store" in told.err


def test_results_that_would_be_lost_keep_new_pictures_out(runs, tmp_path):
    (tmp_path / "in" / "5.jpg").unlink()
    shutil.copy(bad_files.HAND, tmp_path / "in" / "z.jpg")
    told = runs("--resume")
    assert told.status == 2
    facts = {"file": tmp_path / "r.zarr", "name": "5.jpg"}
    assert told.err == f"fit-hands: {sentence('run.image_would_be_lost', facts)}\n"
    assert status(tmp_path) == dict.fromkeys(NAMES, 1)


def test_gone_and_changed_pictures_are_named_and_kept(runs, tmp_path):
    (tmp_path / "in" / "1.jpg").unlink()
    (tmp_path / "in" / "2.jpg").write_bytes(b"another")
    told = runs("--resume")
    assert told.status == 0
    assert told.err.splitlines()[:4] == [
        "gone 1.jpg",
        "changed 2.jpg",
        "2 images changed or gone on disk after having been fitted; the results are those of the "
        "files before",
        "6 images done before",
    ]
    assert status(tmp_path) == dict.fromkeys(NAMES, 1)


def test_the_same_pictures_named_from_elsewhere_are_refused(runs, tmp_path):
    (tmp_path / "above").mkdir()
    (tmp_path / "in").rename(tmp_path / "above" / "in")
    told = runs("--resume", images=tmp_path / "above")
    assert told.status == 2
    facts = {"file": tmp_path / "r.zarr", "expected": "0.jpg", "found": "in/0.jpg"}
    assert told.err == f"fit-hands: {sentence('run.other_images', facts)}\n"
    assert status(tmp_path) == dict.fromkeys(NAMES, 1)
