"""What the command makes of pictures that crash or hang what looks at them, with real signals."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.support import bad_files
from tests.support.bad_commands import ALONE

# Runs at the start of every Python process, before the program: pictures whose name says so end
# the process that opens them, or keep it busy. The program itself knows nothing of it.
SABOTAGE = """
import os, signal, sys, time
if any("fitter.system.isolation" in word for word in sys.orig_argv):
    from PIL import Image
    real = Image.open

    def opened(path, *arguments, **options):
        name = os.path.basename(str(path))
        if name.startswith("once_"):
            try:
                os.mkdir(str(path) + ".met")
            except FileExistsError:
                return real(path, *arguments, **options)
        if name.startswith("late_"):
            try:
                os.mkdir(str(path) + ".met")
                return real(path, *arguments, **options)
            except FileExistsError:
                pass
        if "crash" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "memory" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "leave" in name:
            os._exit(3)
        if "hang" in name:
            while True:
                time.sleep(1)
        return real(path, *arguments, **options)

    Image.open = opened
"""


@pytest.fixture
def sabotage(tmp_path, monkeypatch):
    folder = tmp_path / "sabotage"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def run_with(names: list[str], folder: Path, say, *more: object):
    """A run over copies of one picture under these names; what it says, and its results."""
    (folder / "in").mkdir()
    for name in names:
        shutil.copy(bad_files.HAND, folder / "in" / name)
    known = folder / "p.json"
    known.write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
    arguments = [
        "--keypoints",
        known,
        "--device",
        "cpu",
        "--set",
        "run.batch_size=2",
        *ALONE,
        *more,
    ]
    told = say(folder / "in", "--out", folder / "r.zarr", *arguments)
    return told, xr.open_zarr(folder / "r.zarr").load()


def test_pictures_that_kill_are_recorded_and_stop_nothing(tmp_path, here, say, sabotage):
    names = ["a.jpg", "b_crash.jpg", "c_memory.jpg", "d.jpg", "e_leave.jpg", "f.jpg"]
    told, results = run_with(names, tmp_path, say, "--workers", 2)
    assert told.status == 1
    start = "expected an image that can be looked at, found one that, tried twice, ended its"
    reasons = {
        "b_crash.jpg": f"{start} process by SIGSEGV",
        "c_memory.jpg": f"{start} process by SIGKILL, as happens when memory runs out",
        "e_leave.jpg": f"{start} process with status 3",
    }
    errors = dict(zip(results.image_name.values, results.image_error.values, strict=True))
    assert {name: error for name, error in errors.items() if error} == reasons
    assert results.valid.values.any(1).tolist() == [name not in reasons for name in names]
    for name, reason in reasons.items():
        assert f"failed {name}: {reason}" in told.err.splitlines()
    with (tmp_path / "r.zarr.failures.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["image"]: row["reason"] for row in table} == reasons
    events = [json.loads(x) for x in (tmp_path / "r.zarr.log.jsonl").read_text().splitlines()]
    assert {e["image"]: e["reason"] for e in events if e["event"] == "failed"} == reasons
    assert events[-1]["event"] == "ended" and events[-1]["lost"] == 6


def test_one_that_hangs_is_ended(tmp_path, here, say, sabotage):
    names = ["a.jpg", "b_hang.jpg", "c.jpg"]
    told, results = run_with(names, tmp_path, say, "--timeout-per-image", 3)
    assert told.status == 1
    assert results.image_error.values.tolist() == [
        "",
        "expected an image that can be looked at, found one that, tried twice, took more than 3 s",
        "",
    ]
    assert results.valid.values.any(1).tolist() == [True, False, True]


def test_a_second_attempt_may_succeed(tmp_path, here, say, sabotage):
    told, results = run_with(["a.jpg", "once_crash.jpg", "z.jpg"], tmp_path, say)
    assert told.status == 0
    assert results.valid.values.any(1).all()
    assert "1 time an image ended the process that looked at it" in told.err
    rows = results.isel(image=[0, 2]).drop_vars("image_name")
    again = results.isel(image=[1, 1]).drop_vars("image_name")
    np.testing.assert_allclose(again.keypoints_3d, rows.keypoints_3d, atol=1e-4)


def test_an_overlay_that_kills_loses_only_itself(tmp_path, here, say, sabotage):
    drawn = tmp_path / "drawn"
    told, results = run_with(["a.jpg", "late_crash.jpg"], tmp_path, say, "--overlays", drawn)
    assert told.status == 0
    assert results.valid.values.any(1).all()
    assert [path.name for path in drawn.iterdir()] == ["a.jpg.jpg"]
    assert told.err.splitlines()[0] == (
        "no overlay of late_crash.jpg: the image ended its process by SIGSEGV while its overlay "
        "was rendered"
    )
