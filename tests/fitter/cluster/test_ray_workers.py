"""Runs that are killed, stopped and spread: every store ends as that of an undisturbed run."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from fitter.system.messages import EXIT_LOST
from fitter.workers.isolated_fit import TRIES
from tests.support import bad_files
from tests.support.store_rows import contents
from tests.support.video_files import write_video

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the package ray"
)
COUNT = 18
FATAL = "11.jpg"
"""In the second piece of its block, so that another is fitted before it by every run."""
SIZES = ["--set", "run.batch_size=2", "--set", "run.block_size=4"]
RAY = ["--ray", "local", "--workers", "2"]

# Runs at the start of every Python process, before the program: a picture of this size ends the
# process that fits its hands.
SABOTAGE = """
import importlib.util, os, signal, sys

class Wrap:
    def find_spec(self, name, path, target=None):
        if name != "fitter.engine":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            fit = module.Engine.fit

            def fatal(engine, images):
                if any(image.size == (350, 200) for image in images):
                    if os.environ.get("RAISES"):
                        raise ArithmeticError("no way")
                    os.kill(os.getpid(), signal.SIGKILL)
                return fit(engine, images)

            module.Engine.fit = fatal

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Wrap())
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder with pictures of one hand at several sizes, and their keypoints."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "in").mkdir()
    known = {}
    with Image.open(bad_files.HAND) as hand:
        for i in range(COUNT):
            name, scale = f"{i:02d}.jpg", 0.3 + 0.02 * i
            size = (round(hand.width * scale), round(hand.height * scale))
            hand.resize(size).save(folder / "in" / name, quality=90)
            known[name] = scaled(bad_files.known_hands(), size[0] / hand.width)
    (folder / "in" / "03.jpg").write_bytes(b"no picture")
    (folder / "known.json").write_text(json.dumps(known))
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """A folder with a video of one hand that moves, in two blocks of frames, and its keypoints."""
    folder = tmp_path_factory.mktemp("video")
    with Image.open(bad_files.HAND) as hand:
        small = np.asarray(hand.convert("RGB").resize((320, 240)))
    write_video(folder / "in" / "clip.mkv", [np.roll(small, 4 * k, axis=1) for k in range(6)])
    known = {
        f"clip.mkv/{k:08d}": moved(scaled(bad_files.known_hands(), 0.5), 4 * k) for k in range(6)
    }
    (folder / "known.json").write_text(json.dumps(known))
    return folder


def moved(hands: list[dict], step: float) -> list[dict]:
    return [
        {"side": h["side"], "keypoints": [[p[0] + step, *p[1:]] for p in h["keypoints"]]}
        for h in hands
    ]


def scaled(hands: list[dict], scale: float) -> list[dict]:
    def point(p: list[float]) -> list[float]:
        return [p[0] * scale, p[1] * scale, *p[2:]]

    return [{"side": h["side"], "keypoints": [point(p) for p in h["keypoints"]]} for h in hands]


def command(pictures: Path, out: Path, *more: str) -> list[str]:
    program = "from fitter.commands.fit_hands import fit_hands; fit_hands()"
    known = ["--keypoints", str(pictures / "known.json"), "--device", "cpu"]
    start = [sys.executable, "-c", program, str(pictures / "in"), "--out", str(out)]
    return [*start, *known, *SIZES, *more]


def run(pictures: Path, out: Path, *more: str, **options) -> subprocess.CompletedProcess:
    words = command(pictures, out, *more)
    return subprocess.run(words, capture_output=True, text=True, timeout=240, **options)


def started(pictures: Path, out: Path, *more: str) -> subprocess.Popen:
    """A run, in a process group of its own, that has written its first block."""
    words = command(pictures, out, *more)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("image_status/c/*[0-9]")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    return process


@pytest.fixture(scope="module")
def undisturbed(pictures, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "r.zarr"
    done = run(pictures, out)
    assert done.returncode == 1, done.stderr
    assert "failed 03.jpg: expected a picture, found a file in no known picture format" in (
        done.stderr.splitlines()
    )
    return out


def finish(pictures: Path, out: Path, undisturbed: Path, *more: str) -> None:
    assert run(pictures, out, "--resume", *more).returncode == 1
    assert contents(out) == contents(undisturbed)


def test_killed_and_resumed(pictures, undisturbed, tmp_path):
    out = tmp_path / "r.zarr"
    process = started(pictures, out)
    process.kill()
    process.communicate()
    assert contents(out) != contents(undisturbed)
    finish(pictures, out, undisturbed)


def test_the_first_interrupt_finishes_what_is_begun(pictures, undisturbed, tmp_path):
    out = tmp_path / "r.zarr"
    process = started(pictures, out)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = said.splitlines()
    assert lines[0] == (
        "stopping when the blocks in flight are written; press Ctrl-C again to stop at once"
    )
    assert lines[-1] == "fit-hands: interrupted; what is done is kept, and --resume continues"
    status = xr.open_zarr(out).image_status.values
    done = int((status != 0).sum())
    assert 4 <= done < COUNT
    assert done % 4 == 0 and (status[:done] != 0).all()
    assert f"{COUNT - done} images left to do" in lines
    finish(pictures, out, undisturbed)


def test_the_second_interrupt_stops_at_once(pictures, undisturbed, tmp_path):
    out = tmp_path / "r.zarr"
    process = started(pictures, out, "--set", "run.block_size=9")
    # Between two blocks the first interrupt would end the run: a fit of the second is waited for.
    while not out.with_name(".r.zarr.in-hand").exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "left to do" not in said
    assert len(list(out.glob("image_status/c/*[0-9]"))) == 1


def test_two_shares_at_once_make_one_store(pictures, undisturbed, tmp_path):
    out = tmp_path / "r.zarr"
    runs = [
        subprocess.Popen(command(pictures, out, "--shard", f"{i}/2", "-q"), stderr=subprocess.PIPE)
        for i in (1, 2)
    ]
    codes = [process.wait(timeout=120) for process in runs]
    # The picture that cannot be read is the first run's; the second may have come too early for it.
    assert codes[0] == 1 and codes[1] in (0, 1), [process.stderr.read() for process in runs]
    assert contents(out) == contents(undisturbed)
    table = out.with_name("r.zarr.1-of-2.failures.csv").read_text()
    assert table.splitlines()[1].startswith("03.jpg,,image,")


def is_failed(out: Path, name: str) -> str:
    results = xr.open_zarr(out).load()
    errors = dict(zip(results.image_name.values, results.image_error.values, strict=True))
    good = [n for n in errors if n not in (name, "03.jpg")]
    assert not any(errors[n] for n in good)
    assert results.valid.values.any(1).sum() == len(good)
    return errors[name]


@pytest.fixture
def fatal(pictures, tmp_path) -> tuple[Path, dict[str, str]]:
    """The pictures with one among them whose fit ends its process, and the environment for it."""
    folder = tmp_path / "fatal"
    shutil.copytree(pictures, folder)
    with Image.open(bad_files.HAND) as hand:
        hand.resize((350, 200)).save(folder / "in" / FATAL)
    (tmp_path / "sabotage").mkdir()
    (tmp_path / "sabotage" / "sitecustomize.py").write_text(SABOTAGE)
    return folder, os.environ | {"PYTHONPATH": str(tmp_path / "sabotage")}


REASON = (
    "expected an image whose hands can be fitted, found one that ended its process by SIGKILL, as "
    "happens when memory runs out"
)


def test_a_fit_that_kills_the_run_is_found_out_in_the_end(fatal, tmp_path):
    folder, environment = fatal
    out = tmp_path / "r.zarr"
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        codes.append(run(folder, out, "--resume", "--workers", "2", env=environment).returncode)
        assert len(codes) <= TRIES + 1
    assert codes == [-signal.SIGKILL] * TRIES + [1]
    assert is_failed(out, FATAL) == REASON
    assert not list(tmp_path.glob(".*in-hand"))


def test_a_fit_that_raises_fails_its_picture_alone(fatal, tmp_path):
    folder, environment = fatal
    out = tmp_path / "r.zarr"
    done = run(folder, out, env=environment | {"RAISES": "1"})
    assert done.returncode == 1, done.stderr
    assert is_failed(out, FATAL) == (
        "expected an image whose hands can be fitted, found one that failed (ArithmeticError: no "
        "way)"
    )


@needs_ray
class TestRay:
    def test_gives_the_same_store(self, pictures, undisturbed, tmp_path):
        out = tmp_path / "r.zarr"
        done = run(pictures, out, *RAY)
        assert done.returncode == 1 and done.stdout == ""
        # Of Ray itself nothing is said: a failure, its kind, the summary, and what to do next.
        assert done.stderr.splitlines()[0].startswith("failed 03.jpg: ")
        assert len(done.stderr.splitlines()) == 7
        assert contents(out) == contents(undisturbed)

    def test_gives_the_same_store_of_a_video(self, video, tmp_path):
        alone, spread = tmp_path / "alone.zarr", tmp_path / "spread.zarr"
        for out, how in ((alone, []), (spread, RAY)):
            done = run(video, out, *how)
            assert done.returncode == 0, done.stderr
        results = xr.open_zarr(spread).load()
        assert list(results.image_name.values) == [f"clip.mkv/{k:08d}" for k in range(6)]
        assert (results.track.values[:, 0] == 1).all()  # of the second pass
        assert contents(spread) == contents(alone)

    def test_a_killed_worker_costs_nothing(self, pictures, undisturbed, tmp_path):
        out = tmp_path / "r.zarr"
        process = started(pictures, out, *RAY)
        os.kill(ray_process(process, lambda title: title.startswith("ray::MapWorker")), 9)
        assert process.wait(timeout=120) == 1
        assert contents(out) == contents(undisturbed)

    @pytest.mark.parametrize("head", ["gcs_server", "raylet"])
    def test_a_lost_head_is_told_and_resumed(self, pictures, undisturbed, tmp_path, head):
        out = tmp_path / "r.zarr"
        process = started(pictures, out, *RAY)
        # What is left takes a second, no longer than it takes to notice: nobody goes on with it.
        workers = ray_processes(process, lambda title: title.startswith("ray::MapWorker"))
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        os.kill(ray_process(process, lambda title: Path(title.split()[0]).name == head), 9)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        assert process.returncode == EXIT_LOST
        assert said.splitlines()[-1] == (
            "fit-hands: Ray's head is gone; what is done is kept, and --resume continues"
        )
        finish(pictures, out, undisturbed)

    def test_an_interrupt_finishes_what_is_begun(self, pictures, undisturbed, tmp_path):
        out = tmp_path / "r.zarr"
        process = started(pictures, out, *RAY)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "results: " in said
        finish(pictures, out, undisturbed, *RAY)

    def test_a_fit_that_kills_its_workers_is_found_out(self, fatal, tmp_path):
        folder, environment = fatal
        out = tmp_path / "r.zarr"
        assert run(folder, out, *RAY, env=environment).returncode == 1
        assert is_failed(out, FATAL) == REASON
        with out.with_name("r.zarr.failures.csv").open(newline="") as file:
            assert {row["image"] for row in csv.DictReader(file)} == {"03.jpg", FATAL}

    def test_no_cluster_is_refused(self, pictures, tmp_path):
        done = run(pictures, tmp_path / "r.zarr", "--ray", "127.0.0.1:1")
        assert done.returncode == 2
        assert done.stderr == (
            "fit-hands: --ray 127.0.0.1:1: expected the address of a Ray cluster, found Connection "
            "refused\n"
        )


def ray_process(driver: subprocess.Popen, fits: Callable[[str], bool]) -> int:
    """A process of the Ray that a run has started, by its command line."""
    found = ray_processes(driver, fits)
    assert found
    return found[0]


def ray_processes(driver: subprocess.Popen, fits: Callable[[str], bool]) -> list[int]:
    """All of them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if title.strip() and fits(title.strip()) and is_below(int(folder.name), driver.pid):
            found.append(int(folder.name))
    return found


def is_below(process: int, ancestor: int) -> bool:
    """Whether `ancestor` has started a process, or one that has started it."""
    while process > 1:
        if process == ancestor:
            return True
        status = Path(f"/proc/{process}/status").read_text()
        process = int(status.split("PPid:")[1].split()[0])
    return False
