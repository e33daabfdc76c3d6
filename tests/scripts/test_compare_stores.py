"""Two stores are compared by a script, each variable with its own tolerance."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import zarr

from fitter.store.result_store import ResultStore
from tests.support.paths import ROOT
from tests.support.store_rows import SPEC, fill

COMMAND = [sys.executable, ROOT / "scripts" / "compare_stores.py"]


def stored(path: Path) -> Path:
    with ResultStore.create(path, SPEC) as store:
        fill(store)
    return path


def changed(path: Path, name: str, add: float, index: tuple[int, ...]) -> None:
    array = zarr.open_group(path, mode="r+")[name]
    values = np.asarray(array[:])
    values[index] = values[index] + add
    array[:] = values


def compared(*arguments: object) -> tuple[int, list[str]]:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_what_differs_is_told_and_what_is_too_much_fails(tmp_path):
    one, other = stored(tmp_path / "one.zarr"), stored(tmp_path / "other.zarr")
    changed(other, "file_time", 5.0, (0,))
    assert compared(one, other) == (0, ["identical"])
    changed(other, "keypoints_3d", 1e-4, (0, 0, 3, 1))
    changed(other, "keypoints_2d_detected", 2.0**-11, (0, 0, 3, 1))
    changed(other, "hand_pose", 0.125, (0, 0, 0, 0))
    status, told = compared(one, other)
    assert status == 1
    assert [line.split(":")[0] for line in told] == [
        "hand_pose", "keypoints_2d_detected", "keypoints_3d", "1 too different"
    ]  # fmt: skip
    assert told[0] == "hand_pose: largest difference 0.125 radian"
    assert told[1].endswith(" pixel") and told[2].endswith(" m, too much")
    status, told = compared(one, other, "--metres", "1e-3")
    assert (status, told[-1]) == (0, "within the tolerances")


def test_statuses_must_be_equal_and_older_names_are_known(tmp_path):
    one, other = stored(tmp_path / "one.zarr"), stored(tmp_path / "other.zarr")
    (other / "initialisation_source").rename(other / "start_source")
    text = (other / "zarr.json").read_text()
    text = text.replace('"initialisation_source": {', '"start_source": {')
    text = text.replace('"format_version": 3', '"format_version": 2')
    (other / "zarr.json").write_text(text)
    assert compared(one, other) == (0, ["identical"])
    changed(other, "fit_status", 1, (0, 0))
    status, told = compared(one, other)
    assert status == 1
    assert told == ["fit_status: 1 of 22 values differ", "1 too different"]


def test_what_is_no_store_is_refused_in_one_sentence(tmp_path):
    status, told = compared(stored(tmp_path / "one.zarr"), tmp_path / "none.zarr")
    assert status == 2 and len(told) == 1 and told[0].startswith("compare_stores.py: ")
