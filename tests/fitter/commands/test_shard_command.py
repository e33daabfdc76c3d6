"""`fit-hands` on tar files and addresses, end to end."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fitter.errors import sentence
from fitter.store.reader import decode_flags
from tests.support import bad_files
from tests.support.bad_commands import ALONE
from tests.support.paths import ROOT
from tests.support.shard_files import K, cut, k_json, samples, served, write_shard

KEYS = ["a", "b", "c"]
NAMES = [f"00{shard}.tar/{key}.jpg" for shard in range(2) for key in KEYS]


@pytest.fixture
def shards(tmp_path) -> Path:
    """A folder with two shards, in the second of which one K is wrong."""
    folder = tmp_path / "shards"
    folder.mkdir()
    members = samples(KEYS, json=k_json(), txt=b"a hand", cls=b"7")
    write_shard(folder / "000.tar", members)
    write_shard(folder / "001.tar", members | {"b.json": b'{"K": [[1, 2], [3, 4]]}'})
    return folder


@pytest.fixture
def options(tmp_path):
    """The fit to known keypoints alone, of the images in the shards or beside them."""
    known = tmp_path / "known.json"
    names = [*NAMES, *(f"{key}.jpg" for key in KEYS)]
    known.write_text(json.dumps(dict.fromkeys(names, bad_files.known_hands())))
    return ["--keypoints", known, "--device", "cpu", *ALONE]


def results_of(path: Path) -> xr.Dataset:
    return xr.open_zarr(path).load()


def test_images_in_shards_are_fitted_with_the_k_beside_them(
    same_process, shards, options, say, tmp_path
):
    out = tmp_path / "r.zarr"
    told = say(shards / "{000..001}.tar", "--out", out, "--overlays", tmp_path / "over", *options)
    assert told.status == 1
    results = results_of(out)
    assert results.image_name.values.tolist() == NAMES
    errors = dict(zip(NAMES, results.image_error.values.tolist(), strict=True))
    wrong = sentence("intrinsics.shape", {"shape": [2, 2]})
    assert {n: e for n, e in errors.items() if e} == {"001.tar/b.jpg": f".json beside it: {wrong}"}
    good = decode_flags(results.image_status).values == "ok"
    np.testing.assert_array_equal(results.intrinsics.values[good], [K] * 5)
    assert set(decode_flags(results.intrinsics_source).values[good]) == {"given"}
    assert "12 files of other kinds left out (.cls, .txt)" in told.err
    rendered = {
        p.relative_to(tmp_path / "over").as_posix() for p in (tmp_path / "over").rglob("*.jpg")
    }
    assert rendered == {f"{name}.jpg" for name, ok in zip(NAMES, good, strict=True) if ok}
    # The same named by a list, or one by one as a shell does.
    (shards / "all.txt").write_text("000.tar\n# the last\n001.tar\n")
    for given in (
        [shards / "all.txt"],
        [shards / "000.tar", shards / "001.tar"],
        [shards / "*.tar"],
    ):
        told = say(*given, "--out", out, "--resume", *options)
        assert "nothing left to do" in told.err, told.err


def test_a_shard_that_breaks_off_is_said_and_the_rest_is_used(
    same_process, shards, options, say, tmp_path
):
    size = (shards / "001.tar").stat().st_size
    left = size - len(bad_files.HAND.read_bytes())  # in the last image
    cut(shards / "001.tar", left)
    told = say(shards / "*.tar", "--out", tmp_path / "r.zarr", *options)
    assert told.status == 1
    facts = {"file": shards / "001.tar", "size": left, "whole": "8 whole files"}
    assert sentence("shard.breaks_off", facts) in told.err.splitlines()
    assert results_of(tmp_path / "r.zarr").image_name.values.tolist() == NAMES[:5]


def test_a_killed_run_continues_to_the_same_store(shards, options, tmp_path):
    # It kills itself before the second block is marked.
    program = """
import os, signal, sys
from fitter.store.result_store import ResultStore
from fitter.commands.fit_hands import fit_hands
commit = ResultStore._commit
def killing(self, marker, block, status):
    if os.environ.get("KILL") and block.index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, marker, block, status)
ResultStore._commit = killing
fit_hands(sys.argv[1:])
"""

    def run(out: str, *more: object, **environment: str) -> int:
        arguments = [shards / "*.tar", "--out", tmp_path / out, *options]
        arguments += ["--set", "run.block_size=2", "-q", *more]
        command = [sys.executable, "-c", program, *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        return subprocess.run(command, env=environment, check=False).returncode

    assert run("killed.zarr", KILL="1") == -signal.SIGKILL
    shutil.rmtree(tmp_path / "killed.zarr.shards")  # the index is made again where it is gone
    assert run("killed.zarr", "--resume") == 1
    assert run("whole.zarr") == 1
    killed, whole = (
        {
            p.relative_to(tmp_path / name): p.read_bytes()
            for p in (tmp_path / name).rglob("*")
            if p.is_file()
        }
        for name in ("killed.zarr", "whole.zarr")
    )
    assert killed == whole


def test_addresses_give_what_files_give(same_process, shards, options, say, tmp_path):
    (tmp_path / "photos").mkdir()
    for key in KEYS:
        shutil.copy(bad_files.HAND, tmp_path / "photos" / f"{key}.jpg")
    found = {}
    with served(tmp_path) as server:
        for name, places in {
            "photos": (tmp_path / "photos", f"{server}/photos"),
            "shards": (
                shards / "{000..001}.tar",
                f"{server}/shards/{{000..001}}.tar",
                f"file://{shards}/{{000..001}}.tar",
            ),
        }.items():
            for number, place in enumerate(places):
                out = tmp_path / f"{name}{number}.zarr"
                assert say(place, "--out", out, *options).status == (name == "shards")
                found[name, number] = results_of(out).drop_vars(["file_time"])
    for (name, _), results in found.items():
        xr.testing.assert_equal(results, found[name, 0])


def test_an_image_that_an_address_lacks_fails_alone(same_process, options, say, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.jpg").write_bytes(bad_files.HAND.read_bytes())
    (tmp_path / "far" / "list.txt").write_text("a.jpg\nb.jpg\n")
    with served(tmp_path / "far") as server:
        told = say(f"{server}/list.txt", "--out", tmp_path / "r.zarr", *options)
    assert told.status == 1
    assert results_of(tmp_path / "r.zarr").image_error.values.tolist() == [
        "",
        sentence("image.missing", {}),
    ]


@pytest.mark.parametrize("images", ["memory://b", "memory://b/{0..3}.tar", "memory://b/list.txt"])
def test_images_in_the_memory_of_this_process_are_refused(refused, images):
    refused(sentence("address.memory", {"file": images}), images=images)


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz"])
def test_a_compressed_tar_file_is_told_what_to_do(refused, here, ending):
    (here / f"a{ending}").write_bytes(b"")
    refused(
        sentence("shard.compressed", {"file": f"a{ending}", "found": ending}), images=f"a{ending}"
    )


@pytest.mark.parametrize("out", ["s3://bucket/r.zarr", "memory://r.zarr", "https://host/r.zarr"])
def test_results_at_an_address_are_refused(refused, out):
    refused(sentence("output.address", {"file": out}), out=out)


def test_results_at_an_address_of_this_machine_are_written(
    same_process, options, say, shards, tmp_path
):
    out = tmp_path / "r.zarr"
    assert say(shards / "000.tar", "--out", f"file://{out}", *options).status == 0
    assert results_of(out).sizes["image"] == 3
