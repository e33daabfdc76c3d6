"""Bad pictures beside good ones, and Ctrl-C: the installed command, run as a user runs it."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from fitter.store.schema import IMAGE_STATUS
from tests.support import bad_files


def _without_privileges() -> None:
    """Take from a root process what lets it read files whatever their permissions say."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _command(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert found, f"the command {name} is not installed beside this Python"
    return found


def _start(*arguments: object, cwd: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [_command("fit-hands"), *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=_without_privileges,
    )


def _finish(process: subprocess.Popen) -> SimpleNamespace:
    out, err = process.communicate(timeout=120)
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def without_count(text: str) -> str:
    """Without the number of bytes after which a decoder gave up."""
    return re.sub(r"\(\d+ bytes", "(N bytes", text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("mixed")
    pictures = folder / "pictures"
    pictures.mkdir()
    bad_files.good_pictures(pictures)
    bad_files.no_hand(pictures / "noise.png")
    reasons = bad_files.bad_pictures(pictures)
    command = ["cat", pictures / "locked.jpg"]
    told = subprocess.run(command, preexec_fn=_without_privileges, capture_output=True)
    can_lock = told.returncode != 0
    told = _finish(_start("pictures", "--out", "o.zarr", "--device", "cpu", cwd=folder))
    results = xr.open_zarr(folder / "o.zarr").load()
    if not can_lock:  # a root that keeps its privileges
        reasons.pop("locked.jpg")
    return SimpleNamespace(told=told, results=results, reasons=reasons, can_lock=can_lock)


class TestPicturesBesideEachOther:
    """One run over one folder that holds everything."""

    def row(self, finished, name: str) -> xr.Dataset:
        place = list(finished.results.image_name.values).index(name)
        return finished.results.isel(image=place)

    def test_some_failed_and_the_store_says_why(self, finished):
        failed = finished.results.image_status.values == IMAGE_STATUS.index("failed")
        rows = finished.results.isel(image=failed)
        errors = map(without_count, rows.image_error.values)
        found = dict(zip(rows.image_name.values, errors, strict=True))
        assert found == finished.reasons
        assert finished.told.status == 1

    def test_standard_error_holds_one_line_for_each_and_a_summary(self, finished):
        *told, summary, results = without_count(finished.told.err).splitlines()[:-3]
        failures = [line for line in told if line.startswith("failed ")]
        names = {bad_files.LINE_BREAK: "line\\nbreak \\x1b[31m.jpg"}
        expected = {
            f"failed {names.get(name, name)}: {reason}" for name, reason in finished.reasons.items()
        }
        assert set(failures) == expected and len(failures) == len(expected)
        kinds = [line for line in told if line not in failures]
        assert sum(int(line.split()[0]) for line in kinds) == len(expected)
        number = len(finished.results.image)
        hands = 10 if finished.can_lock else 11
        assert re.fullmatch(
            rf"{number} images: {hands} valid hands in {hands} of them, "
            rf"{len(expected)} images failed, "
            r"0 fits failed; \d+\.\d s, \d+\.\d images a second",
            summary,
        )
        assert results == "results: o.zarr"
        assert finished.told.out == ""

    def test_no_permission(self, finished):
        if not finished.can_lock:
            pytest.skip("this root cannot give up reading what it may not read")
        reason = "expected a picture that may be read, found no permission to read it"
        assert self.row(finished, "locked.jpg").image_error == reason

    def test_a_picture_without_hands_is_no_failure(self, finished):
        row = self.row(finished, "noise.png")
        assert IMAGE_STATUS[int(row.image_status)] == "no_hand"
        assert not row.valid.any() and row.image_error == ""

    @pytest.mark.parametrize(
        ("name", "pixels"),
        [
            (bad_files.UNICODE, 1e-3),
            ("rgb16.png", 1e-3),
            ("rgba.png", 1e-3),
            ("cmyk.tif", 1.5),
            ("cmyk.jpg", 1.5),
            ("turned.jpg", 1.5),
            ("grey16.png", 10.0),
            ("grey.jpg", 10.0),
        ],
    )
    def test_every_form_of_a_picture_gives_the_same_hand(self, finished, name, pixels):
        original, other = self.row(finished, "original.jpg"), self.row(finished, name)
        assert (int(other.image_width), int(other.image_height)) == (640, 480)
        assert other.valid.values.nonzero()[0].tolist() == [0]
        assert other.side[0] == original.side[0]
        offset = (other.keypoints_2d_detected - original.keypoints_2d_detected)[0].values
        assert np.linalg.norm(offset, axis=-1).mean() < pixels

    def test_a_huge_picture(self, finished):
        original, huge = self.row(finished, "original.jpg"), self.row(finished, "huge.jpg")
        assert (int(huge.image_width), int(huge.image_height)) == (12000, 9000)
        assert huge.valid.values.nonzero()[0].tolist() == [0]
        offset = (huge.keypoints_2d / 18.75 - original.keypoints_2d)[0].values
        assert np.linalg.norm(offset, axis=-1).mean() < 5


def test_interrupting_keeps_what_is_done_and_resuming_completes(tmp_path):
    names = [f"{i:02d}.jpg" for i in range(16)]
    (tmp_path / "many").mkdir()
    for name in names:
        shutil.copy(bad_files.HAND, tmp_path / "many" / name)
    hands = dict.fromkeys(names, bad_files.known_hands())
    (tmp_path / "known.json").write_text(json.dumps(hands))
    arguments = ["--out", "o.zarr", "--set", "run.block_size=1", "--keypoints", "known.json"]
    arguments += ["--device", "cpu"]
    process = _start("many", *arguments, "--quiet", cwd=tmp_path)
    first_block = tmp_path / "o.zarr" / "image_status" / "c" / "1"
    while not first_block.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    told = _finish(process)
    sentence = "fit-hands: interrupted; what is done is kept, and --resume continues\n"
    assert (told.status, told.out, told.err) == (130, "", sentence)
    found = list(bad_files.statuses(tmp_path / "o.zarr").values())
    assert 2 <= found.count("ok") < len(names)
    assert found.count("ok") + found.count("pending") == len(names)

    # By another path to the same pictures, and telling what it does.
    told = _finish(_start("./many/", *arguments, "--resume", "--verbose", cwd=tmp_path))
    assert told.status == 0
    lines = told.err.splitlines()
    assert f"{found.count('ok')} images done before" in lines
    assert any(line.endswith("hand model open_hand on cpu") for line in lines)
    assert len(lines) <= found.count("pending") + 11
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", told.err)
    results = xr.open_zarr(tmp_path / "o.zarr").load()
    assert results.valid[:, 0].all()
    # The pictures are all the same, so those before and after the interruption must agree.
    for variable in ("hand_pose", "transl", "keypoints_3d"):
        assert np.unique(results[variable][:, 0].values, axis=0).shape[0] == 1


def test_a_second_interruption_does_not_wait_for_the_block(tmp_path):
    names = [f"{i:02d}.jpg" for i in range(64)]
    (tmp_path / "many").mkdir()
    for name in names:
        shutil.copy(bad_files.HAND, tmp_path / "many" / name)
    hands = dict.fromkeys(names, bad_files.known_hands())
    (tmp_path / "known.json").write_text(json.dumps(hands))
    arguments = ["--out", "o.zarr", "--batch-size", "1", "--keypoints", "known.json"]
    process = _start("many", *arguments, "--device", "cpu", cwd=tmp_path)
    # There while a piece is fitted.
    in_hand = tmp_path / ".o.zarr.in-hand"
    while not in_hand.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    told = _finish(process)
    assert first == (
        "stopping when the blocks in flight are written; press Ctrl-C again to stop at once\n"
    )
    sentence = "fit-hands: interrupted; what is done is kept, and --resume continues\n"
    assert (told.status, told.out, told.err) == (130, "", sentence)
    assert set(bad_files.statuses(tmp_path / "o.zarr").values()) == {"pending"}
