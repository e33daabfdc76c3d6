import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fitter.records import InputError
from fitter.rows import HAND_VARIABLES, VARIABLES, HandRow, ImageRow, assemble
from fitter.store import Block, ResultStore, decode_flags
from fitter.store_layout import StoreSpec, is_result_store

SPEC = StoreSpec(
    images=[f"day {i // 4}/händ_{i}.jpg" for i in range(11)],
    max_hands=2,
    block_size=4,
    num_betas=10,
    num_vertices=6,
    config={"fit": {"max_iterations": 30, "num_starts": 4}, "run": {"seed": 0}},
    model={"name": "open_hand", "sha256": "ab", "sides": "right"},
    versions={"torch": "2.13.0"},
)

# A pipeline that computes nothing: rows drawn from the image's number. Argument 2 says where the
# process kills itself: "chunk N" before the Nth chunk is written, "marker N" before the Nth
# marker is moved into place, "never" not at all.
PIPELINE = """
import os, signal, sys, time
from pathlib import Path
import zarr
from fitter.store import ResultStore
from tests.test_store import SPEC, fake_row

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


def fake_hand(seed: int, side="right") -> HandRow:
    rng = np.random.default_rng(seed)
    return HandRow(
        valid=True,
        side=side,
        detection_score=rng.random(),
        box=rng.random(4),
        keypoints_2d_detected=rng.random((21, 2)),
        hand_pose=rng.random((15, 3)),
        betas=rng.random(10),
        keypoints_3d=rng.random((21, 3)),
        vertices=rng.random((6, 3)),
        fit_status="converged",
        iterations=seed,
    )


def fake_row(i: int) -> ImageRow:
    if i % 5 == 3:
        return ImageRow(image_status="failed", image_error=f"cannot read é {i}")
    if i % 5 == 4:
        return ImageRow(image_status="no_hand", image_width=640, image_height=480)
    hands = (fake_hand(i), fake_hand(i + 100, "left"))[: 1 + i % 2]
    return ImageRow(image_status="ok", intrinsics=np.eye(3), intrinsics_source="exif", hands=hands)


def fill(store: ResultStore, blocks: list[Block] | None = None) -> None:
    for block in store.pending_blocks() if blocks is None else blocks:
        store.write_block(block, [fake_row(i) for i in range(block.start, block.stop)])


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "results.zarr"
    fill(ResultStore.create(path, SPEC))
    return path


def test_every_row_comes_back_in_its_place(undisturbed):
    data = ResultStore.open(undisturbed).dataset()
    assert list(data.image_name.values) == list(SPEC.images)
    for i in range(11):
        row, here = fake_row(i), data.isel(image=i)
        assert str(decode_flags(here.image_status).values) == row.image_status
        assert here.image_error.item() == (row.image_error or "")
        for slot in range(2):
            stored = here.isel(hand=slot)
            hand = row.hands[slot] if slot < len(row.hands) else HandRow()
            assert bool(stored.valid) == bool(hand.valid)
            assert str(decode_flags(stored.side).values) == (hand.side or "none")
            for name in ("keypoints_3d", "hand_pose", "betas", "vertices", "box", "transl"):
                value = getattr(hand, name)
                if value is None:
                    assert np.isnan(stored[name].values).all()
                else:
                    np.testing.assert_array_equal(stored[name], np.float32(value))


def test_a_block_can_be_read_back_as_rows(undisturbed):
    store = ResultStore.open(undisturbed)
    rows = [row for block in store.blocks() for row in store.read_block(block)]
    arrays = {v: assemble(v, rows, store.sizes) for v in VARIABLES if "vertex" not in v.dims}
    expected = [fake_row(i) for i in range(11)]
    for variable, array in arrays.items():
        np.testing.assert_array_equal(array, assemble(variable, expected, store.sizes))
    assert [len(row.hands) for row in rows] == [len(row.hands) for row in expected]
    failed, hand = rows[3], rows[0].hands[0]
    assert (failed.image_error, failed.intrinsics, failed.intrinsics_source) == (
        "cannot read é 3", None, None,
    )  # fmt: skip
    assert (hand.side, hand.transl, hand.fit_error, hand.vertices) == ("right", None, None, None)


@pytest.mark.parametrize("consolidated", [None, True, False])
def test_opens_in_xarray_without_a_warning(undisturbed, consolidated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(undisturbed, consolidated=consolidated).load()
    assert {v.name for v in VARIABLES} == set(data.data_vars)
    assert data.keypoints_3d.dims == ("image", "hand", "keypoint", "xyz")
    wrist_depth = data.keypoints_3d.sel(keypoint="wrist", xyz="z")[0, 0].item()
    assert wrist_depth == np.float32(fake_hand(0).keypoints_3d[0, 2])


def test_every_number_says_its_unit_and_every_variable_its_meaning(undisturbed):
    data = ResultStore.open(undisturbed).dataset()
    for name, variable in data.data_vars.items():
        assert variable.attrs["long_name"], name
        is_number = variable.dtype.kind in "fi"
        assert bool(variable.attrs.get("units")) == is_number, name
        if "flag_values" in variable.attrs:
            texts = variable.attrs["flag_meanings"].split()
            assert variable.attrs["flag_values"] == list(range(len(texts)))
    for name in ("keypoints_3d", "transl", "keypoints_2d", "vertices", "intrinsics"):
        assert data[name].attrs["frame"]
    assert json.loads(data.attrs["configuration"]) == SPEC.config
    assert json.loads(data.attrs["model"])["sha256"] == "ab"
    assert json.loads(data.attrs["versions"]) == {"torch": "2.13.0"}


def test_a_block_larger_than_the_whole_list_of_images(tmp_path):
    path = tmp_path / "r.zarr"
    fill(ResultStore.create(path, replace(SPEC, block_size=64)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(path).load()
    expected = [fake_row(i).image_status for i in range(11)]
    assert list(decode_flags(data.image_status).values) == expected
    assert ResultStore.open(path).pending_blocks() == []


def test_vertices_are_left_out_unless_asked_for(tmp_path):
    store = ResultStore.create(tmp_path / "r.zarr", replace(SPEC, num_vertices=None))
    fill(store)
    assert "vertices" not in store.dataset()


def test_an_unfinished_store_reads_as_pending(tmp_path):
    store = ResultStore.create(tmp_path / "r.zarr", SPEC)
    assert store.pending_blocks() == [Block(0, 0, 4), Block(1, 4, 8), Block(2, 8, 11)]
    fill(store, [Block(2, 8, 11)])
    assert [block.index for block in store.pending_blocks()] == [0, 1]
    status = decode_flags(store.dataset().image_status).values
    assert list(status) == ["pending"] * 8 + ["failed", "no_hand", "ok"]


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(3)), again=st.integers(0, 2))
def test_order_and_repetition_of_blocks_leave_no_trace(undisturbed, tmp_path_factory, order, again):
    path = tmp_path_factory.mktemp("order") / "results.zarr"
    store = ResultStore.create(path, SPEC)
    fill(store, [store.blocks()[i] for i in (*order, again)])
    assert contents(path) == contents(undisturbed)


def run_pipeline(path: Path, kill: str) -> int:
    return start_pipeline(path, kill).wait(timeout=60)


def start_pipeline(path: Path, kill: str) -> subprocess.Popen:
    root = Path(__file__).parent.parent
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
    fill(ResultStore.resume(path, SPEC))
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
    fill(ResultStore.resume(path, SPEC))
    assert contents(path) == contents(undisturbed)


WRITER = """
import sys
from pathlib import Path
from fitter.store import ResultStore
from tests.test_store import SPEC, fill

store = ResultStore.create(Path(sys.argv[1]), SPEC)
fill(store, store.blocks()[:1])
print("half", flush=True)
sys.stdin.readline()
fill(store)
"""


@pytest.fixture
def writer(tmp_path) -> subprocess.Popen:
    """Another process in the middle of writing `results.zarr`; a line makes it go on."""
    root = Path(__file__).parent.parent
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
    sentence = r"\.zarr is being written by another fit-hands run$"
    for again in (path, tmp_path / "link.zarr"):
        with pytest.raises(InputError, match=sentence):
            ResultStore.resume(again, SPEC)
        with pytest.raises(InputError, match=sentence):
            ResultStore.create(again, SPEC, overwrite=True)
    assert contents(path) == before
    assert len(ResultStore.open(path).pending_blocks()) == 2
    writer.communicate("go on\n", timeout=60)
    assert writer.returncode == 0
    assert contents(path) == contents(undisturbed)
    assert ResultStore.resume(path, SPEC).pending_blocks() == []
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
    with pytest.raises(InputError, match="cannot be resumed"):
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


def test_create_keeps_its_hands_off_what_is_there(tmp_path):
    path = tmp_path / "results.zarr"
    fill(ResultStore.create(path, SPEC))
    before = contents(path)
    with pytest.raises(InputError, match=r"results\.zarr already holds results.*--resume.*--over"):
        ResultStore.create(path, SPEC)
    assert contents(path) == before
    store = ResultStore.create(path, replace(SPEC, max_hands=1), overwrite=True)
    assert len(store.pending_blocks()) == 3 and store.sizes["hand"] == 1
    store.close()
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]


def test_leftovers_of_a_killed_replacement_are_swept_up(tmp_path):
    path = tmp_path / "results.zarr"
    ResultStore.create(path, SPEC)
    for name in (".results.zarr.unfinished", ".results.zarr.replaced"):
        shutil.copytree(path, tmp_path / name)
    ResultStore.resume(path, SPEC)
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]
    shutil.copytree(path, tmp_path / ".results.zarr.unfinished")
    ResultStore.create(path, SPEC, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["results.zarr"]


@pytest.mark.parametrize("marker", ["photo.jpg", "zarr.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_overwrite_never_touches_a_folder_that_is_not_ours(tmp_path, marker, overwrite):
    path = tmp_path / "holiday"
    path.mkdir()
    (path / marker).write_text('{"attributes": {"format": "other"}}')
    with pytest.raises(InputError, match="no result store, so it is left alone"):
        ResultStore.create(path, SPEC, overwrite=overwrite)
    assert [p.name for p in path.iterdir()] == [marker]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "disk" / "real.zarr").mkdir(parents=True)
    link = tmp_path / "results.zarr"
    link.symlink_to(tmp_path / "disk" / "real.zarr")
    fill(ResultStore.create(link, SPEC))
    assert ResultStore.resume(link, SPEC).pending_blocks() == []
    assert len(ResultStore.create(link, SPEC, overwrite=True).pending_blocks()) == 3
    assert link.is_symlink() and is_result_store(tmp_path / "disk" / "real.zarr")
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["real.zarr"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "results.zarr"]


@pytest.mark.parametrize("lost", ["block_size", "configuration", "model", "versions"])
def test_a_store_that_lost_an_attribute_is_refused(undisturbed, tmp_path, lost):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    metadata = json.loads((path / "zarr.json").read_text())
    del metadata["attributes"][lost]
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=f"a damaged result store: it has lost {lost}"):
        ResultStore.resume(path, SPEC)


def test_a_file_in_the_way_and_a_missing_parent_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="left alone"):
        ResultStore.create(tmp_path / "file", SPEC, overwrite=True)
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        ResultStore.create(tmp_path / "nowhere" / "r.zarr", SPEC)
    with pytest.raises(InputError, match="there is no result store"):
        ResultStore.open(tmp_path / "r.zarr")
    with pytest.raises(InputError, match="is no result store"):
        ResultStore.open(tmp_path)


def test_a_disk_that_refuses_gives_one_sentence(tmp_path, monkeypatch):
    store = ResultStore.create(tmp_path / "r.zarr", SPEC)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write results to .*: No space left on device$"):
        fill(store)
    assert len(store.pending_blocks()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_gives_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"cannot write results to .*: Permission denied"):
            ResultStore.create(tmp_path / "r.zarr", SPEC)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": SPEC.images[:-1]}, "started for 11 images, now there are 10"),
        ({"images": [*SPEC.images[:-1], "z.jpg"]}, r"images\.10 was 'day 2/.*' .* is 'z.jpg' now"),
        (
            {"config": {"fit": {"max_iterations": 10, "num_starts": 4}, "run": {"seed": 0}}},
            r"configuration\.fit\.max_iterations was 30 when it was started and is 10 now",
        ),
        ({"model": SPEC.model | {"sha256": "cd"}}, r"model\.sha256 was 'ab'"),
        ({"versions": {"torch": "3"}}, r"versions\.torch was '2\.13\.0'"),
        ({"block_size": 5}, "block_size was 4"),
        ({"num_vertices": None}, r"sizes\.vertex was 6 .* is 'absent' now"),
    ],
)
def test_resume_names_the_first_difference(undisturbed, change, sentence):
    with pytest.raises(InputError, match=sentence):
        ResultStore.resume(undisturbed, replace(SPEC, **change))


def test_resume_of_a_finished_store_changes_nothing(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    assert ResultStore.resume(path, SPEC).pending_blocks() == []
    assert contents(path) == contents(undisturbed)


def test_another_format_version_is_refused(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "copy.zarr")
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace('"format_version": 1', '"format_version": 9'))
    assert is_result_store(path)
    with pytest.raises(InputError, match="has format version 9, this program reads 1"):
        ResultStore.open(path)


@pytest.mark.parametrize("images", [[], ["a.jpg", "b.jpg", "a.jpg"]])
def test_an_empty_or_ambiguous_image_list_is_refused(tmp_path, images):
    with pytest.raises(InputError, match=r"no image|listed twice"):
        ResultStore.create(tmp_path / "r.zarr", replace(SPEC, images=images))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (ImageRow(), "needs an image_status"),
        (ImageRow(image_status="pending"), "image_status must be one of"),
        (ImageRow(image_status="ok", hands=(HandRow(),) * 3), "3 hands, the store 2"),
        (
            ImageRow(image_status="ok", hands=(HandRow(betas=np.zeros(1)),)),
            r"betas must have shape \(10,\), got \(1,\)",
        ),
        (ImageRow(image_status="ok", hands=(HandRow(side="up"),)), "side must be one of"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, row, sentence):
    store = ResultStore.create(tmp_path / "r.zarr", SPEC)
    before = contents(store.path)
    with pytest.raises(ValueError, match=sentence):
        store.write_block(store.blocks()[2], [fake_row(0), row, fake_row(1)])
    with pytest.raises(ValueError, match="block 2 has 3 images, got 1 rows"):
        store.write_block(store.blocks()[2], [fake_row(0)])
    assert contents(store.path) == before


def test_an_empty_row_is_all_fill_values():
    for variable in HAND_VARIABLES:
        array = assemble(variable, [ImageRow(hands=(HandRow(),))], SPEC.sizes)
        expected = np.full_like(array, variable.fill)
        np.testing.assert_array_equal(array, expected)
