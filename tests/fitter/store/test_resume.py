"""Interruption, locks and resumption: a store that was broken off ends as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fitter.errors import InputError
from fitter.store.result_store import ResultStore
from fitter.store.schema import VARIABLES
from tests.support.errors import raises
from tests.support.paths import ROOT
from tests.support.store_rows import SPEC, contents, fill

# A pipeline that computes nothing: rows drawn from the image's number. Argument 2 says where the
# process kills itself: "chunk N" before the Nth chunk is written, "marker N" before the Nth
# marker is moved into place, "never" not at all.
PIPELINE = """
import os, signal, sys, time
from pathlib import Path
import zarr
from fitter.store.result_store import ResultStore
from tests.support.store_rows import SPEC, fake_row

kill, when = sys.argv[2].split()
seen = 0

def count():
    global seen
    seen += 1
    if seen == int(when):
        os.kill(os.getpid(), signal.SIGKILL)

def hooked(function, applies):
    def wrapper(*args):
        if applies(args):
            count()
        return function(*args)
    return wrapper

store = ResultStore.resume(Path(sys.argv[1]), SPEC)
if kill == "chunk":
    zarr.Array.__setitem__ = hooked(zarr.Array.__setitem__, lambda args: True)
if kill == "marker":
    Path.replace = hooked(Path.replace, lambda args: "image_status" in str(args[0]))
for block in store.pending_blocks():
    store.write_block(block, [fake_row(i) for i in range(block.start, block.stop)])
    time.sleep(float(when) if kill == "slow" else 0)
"""


def run_pipeline(path: Path, kill: str) -> int:
    return start_pipeline(path, kill).wait(timeout=60)


def start_pipeline(path: Path, kill: str) -> subprocess.Popen:
    root = ROOT
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.Popen([sys.executable, "-c", PIPELINE, path, kill], env=environment, cwd=root)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_and_resumed_is_the_same_store(undisturbed, tmp_path):
    path = tmp_path / "results.zarr"
    # Into the second block, then between the second block's last chunk and its marker.
    assert run_pipeline(path, f"chunk {len(VARIABLES) + 6}") == -signal.SIGKILL
    assert [b.index for b in ResultStore.open(path).pending_blocks()] == [1, 2]
    assert contents(path) != contents(undisturbed)
    assert run_pipeline(path, "marker 1") == -signal.SIGKILL
    assert [b.index for b in ResultStore.open(path).pending_blocks()] == [1, 2]
    assert list((path / "image_status" / "c").glob("*.partial"))
    assert run_pipeline(path, "never 0") == 0
    assert contents(path) == contents(undisturbed)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_from_outside_and_resumed_is_the_same_store(undisturbed, tmp_path):
    path = tmp_path / "results.zarr"
    process = start_pipeline(path, "slow 0.2")
    deadline = time.monotonic() + 60
    while not (path / "keypoints_3d" / "c" / "1").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert ResultStore.open(path).pending_blocks()
    with ResultStore.resume(path, SPEC) as store:
        fill(store)
    assert contents(path) == contents(undisturbed)


def test_resume_sweeps_up_half_written_blocks(undisturbed, tmp_path):
    path = tmp_path / "results.zarr"
    store = ResultStore.create(path, SPEC)
    fill(store, store.blocks()[:1])
    store.close()
    chunks = path / "keypoints_3d" / "c"
    (chunks / "1" / "0" / "0").mkdir(parents=True)
    (chunks / "1" / "0" / "0" / "0").write_bytes(b"torn")
    (path / "fit_error" / "c").mkdir(exist_ok=True)
    (path / "fit_error" / "c" / "0.123.partial").write_bytes(b"torn")
    # A chunk that the block will not write, since it holds fill values only.
    (path / "transl" / "c" / "2" / "0").mkdir(parents=True)
    (path / "transl" / "c" / "2" / "0" / "0").write_bytes(b"torn")
    with ResultStore.resume(path, SPEC) as store:
        fill(store)
    assert contents(path) == contents(undisturbed)


WRITER = """
import sys
from pathlib import Path
from fitter.store.result_store import ResultStore
from tests.support.store_rows import SPEC, fill

with ResultStore.create(Path(sys.argv[1]), SPEC) as store:
    fill(store, store.blocks()[:1])
    print("half", flush=True)
    sys.stdin.readline()
    fill(store)
"""


@pytest.fixture
def writer(tmp_path) -> subprocess.Popen:
    """Another process in the middle of writing `results.zarr`; a line makes it go on."""
    root = ROOT
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path / "results.zarr"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "half\n"
        yield process
        process.kill()


def test_a_second_writer_is_kept_out_until_the_first_ends(undisturbed, tmp_path, writer):
    path = tmp_path / "results.zarr"
    # As it is between the chunks of a block and its marker.
    shutil.copytree(undisturbed / "betas" / "c" / "1", path / "betas" / "c" / "1")
    before = contents(path)
    (tmp_path / "link.zarr").symlink_to(path)
    for again in (path, tmp_path / "link.zarr"):
        with raises("run.busy", file=again):
            ResultStore.resume(again, SPEC)
        with raises("run.busy", file=again):
            ResultStore.create(again, SPEC, overwrite=True)
    assert contents(path) == before
    assert len(ResultStore.open(path).pending_blocks()) == 2
    writer.communicate("go on\n", timeout=60)
    assert writer.returncode == 0
    assert contents(path) == contents(undisturbed)
    with ResultStore.resume(path, SPEC) as store:
        assert store.pending_blocks() == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.zarr", "results.zarr"]


def test_a_killed_writer_locks_nobody_out(undisturbed, tmp_path, writer):
    writer.kill()
    writer.wait(timeout=60)
    with ResultStore.resume(tmp_path / "results.zarr", SPEC) as store:
        fill(store)
    assert contents(store.path) == contents(undisturbed)
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]


def test_a_refused_writer_leaves_no_lock(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "results.zarr")
    with raises("store.other_value", name="block_size", was=4, now=5):
        ResultStore.resume(path, replace(SPEC, block_size=5))
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]


def test_a_block_is_on_the_disk_with_its_folders_before_its_marker(tmp_path, monkeypatch):
    synced, fsync, replace_ = set(), os.fsync, Path.replace

    def sync(handle):
        synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    def commit(source, target):
        if "image_status" in str(source):
            written = [d for v in VARIABLES if (d := store.path / v.name / "c").is_dir()]
            paths = [p for d in written for p in (d.parent, d, *d.rglob("*"))]
            missing = [p for p in paths if p.stat().st_ino not in synced]
            # The folders that lead to the marker follow it.
            marker = store.path / "image_status"
            assert len(written) > 10 and missing == [marker, marker / "c"]
        return replace_(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    store = ResultStore.create(tmp_path / "results.zarr", SPEC)
    synced -= {p.stat().st_ino for p in store.path.iterdir()}
    monkeypatch.setattr(Path, "replace", commit)
    fill(store, store.blocks()[:1])
    for path in ("image_status", "image_status/c", "image_status/c/0", "betas"):
        assert (store.path / path).stat().st_ino in synced


def test_leftovers_of_a_killed_replacement_are_swept_up(tmp_path):
    path = tmp_path / "results.zarr"
    ResultStore.create(path, SPEC).close()
    for name in (".results.zarr.unfinished", ".results.zarr.replaced"):
        shutil.copytree(path, tmp_path / name)
    ResultStore.resume(path, SPEC).close()
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]
    shutil.copytree(path, tmp_path / ".results.zarr.unfinished")
    ResultStore.create(path, SPEC, overwrite=True).close()
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]


@pytest.mark.parametrize("lost", ["block_size", "configuration", "model", "versions"])
def test_a_store_that_lost_an_attribute_is_refused(undisturbed, tmp_path, lost):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    metadata = json.loads((path / "zarr.json").read_text())
    del metadata["attributes"][lost]
    (path / "zarr.json").write_text(json.dumps(metadata))
    with raises("store.lost", file=path, what=lost):
        ResultStore.resume(path, SPEC)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {
                "config": {
                    "fit": {"max_iterations": 10, "num_initialisations": 4},
                    "run": {"seed": 0},
                }
            },
            r"configuration\.fit\.max_iterations was 30 when it was started and is 10 now",
        ),
        (
            {
                "config": {
                    "fit": {"num_initialisations": 4, "max_iterations": 30},
                    "run": {"seed": 0},
                }
            },
            "configuration.fit had the order max_iterations, num_initialisations and has "
            "num_initialisations, max_it",
        ),
        ({"model": SPEC.model | {"sha256": "cd"}}, r"model\.sha256 was 'ab'"),
        ({"versions": {"torch": "3"}}, r"versions\.torch was '2\.13\.0'"),
        ({"block_size": 5}, "block_size was 4"),
        (
            {"optional_sizes": {**SPEC.optional_sizes, "vertex": 7}},
            r"sizes\.vertex was 6 .* is 7 now",
        ),
        ({"optional_sizes": {}}, r"sizes\.appearance_component was 3 .* is 'absent' now"),
    ],
)
def test_resume_names_the_first_difference(undisturbed, change, sentence):
    with pytest.raises(InputError, match=sentence):
        ResultStore.resume(undisturbed, replace(SPEC, **change))


def test_resume_goes_on_with_the_images_of_the_store(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    for images in (SPEC.images[:-1], [*SPEC.images[:-1], "z.jpg"], [*SPEC.images, "z.jpg"], []):
        with ResultStore.resume(path, replace(SPEC, images=images)) as store:
            assert list(store.names) == SPEC.images and store.pending_blocks() == []
    assert contents(path) == contents(undisturbed)


def test_the_stored_configuration_keeps_its_order(undisturbed):
    """Stages are run in the order in which they are written down."""
    attributes = json.loads((undisturbed / "zarr.json").read_text())["attributes"]
    stored = json.loads(attributes["configuration"])
    assert json.dumps(stored) == json.dumps(SPEC.config)


def test_resume_of_a_finished_store_changes_nothing(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    with ResultStore.resume(path, SPEC) as store:
        assert store.pending_blocks() == []
    assert contents(path) == contents(undisturbed)
