"""`export-hands`: what it says, its exit status, and a disk that is full."""

import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from fitter.commands import export_hands as command
from fitter.commands.export_hands import export_hands
from fitter.export.request import FORMATS
from tests.support.fitted_stores import image_row, posed_hand, write_store
from tests.support.paths import ROOT
from tests.support.small_mano import write_small_mano


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "r.zarr"
    hands = (posed_hand(1), posed_hand(2, "left"))
    write_store(path, {"a.jpg": image_row(*hands), "b/a.jpg": image_row(posed_hand(3))})
    return path


@pytest.fixture
def run(say):
    return lambda *arguments: say(*arguments, command=export_hands)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(run, store, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("fitter.formats.mano_fit.ROUNDS", 1)
    out = tmp_path / "out"
    mano = []
    if kind in ("freihand", "mano-npz"):
        mano = ["--mano", write_small_mano(tmp_path / "MANO_RIGHT.pkl")]
    told = run(store, "--format", kind, "--out", out, "--only", "a.jpg", *mano)
    assert (told.status, told.out) == (0, "")
    lines = told.err.splitlines()
    hands = "1 hand" if kind == "freihand" else "2 hands"
    assert lines[0].startswith(f"{hands} of 1 image") and lines[-1] == f"exported: {out}"
    assert (" converted to MANO: vertices " in told.err) == bool(mano)
    again = run(store, "--format", kind, "--out", out, *mano)
    assert again.status == 2
    assert again.err == (
        f"export-hands: {out}: exists, and is left alone: use --overwrite to replace files, or "
        "another --out\n"
    )
    quiet = run(store, "--format", kind, "--out", out, "--overwrite", "-q", *mano)
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


def test_flags_reach_the_request(run, monkeypatch, store, tmp_path):
    seen = []

    def note(request):
        seen.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr("fitter.export.exporter.export_results", note)
    told = run(
        *(store, "--format", "json", "--out", tmp_path / "o", "--only", "a*", "--only", "b"),
        *("--min-score", "0.5", "--side", "left", "--include-invalid", "--save-vertices"),
        *("--model", "m.pkl", "--overwrite", "-q"),
    )  # fmt: skip
    assert told.status == 130
    assert told.err == "export-hands: interrupted; a file that is there is whole\n"
    (request,) = seen
    assert (request.only, request.min_score, request.side) == (["a*", "b"], 0.5, "left")
    assert request.include_invalid and request.save_vertices and request.overwrite
    assert (request.model, request.per, request.quiet) == (Path("m.pkl"), None, True)


def test_failed_fits_are_told(run, tmp_path):
    failed = posed_hand(1, valid=False, score=None, keypoints_2d=None, fit_error="diverged")
    write_store(tmp_path / "r.zarr", {"a.jpg": image_row(posed_hand(2), failed)})
    out = tmp_path / "out"
    told = run(tmp_path / "r.zarr", "--format", "ply", "--out", out, "--include-invalid")
    assert told.status == 1 and "1 hand left out whose fit failed" in told.err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--format", "fbx", "--out", "o"], "argument --format: invalid choice: 'fbx'"),
        (["--format", "glb"], "the following arguments are required: --out"),
        (["--format", "glb", "--out", "o", "--min-score", "-1"], "argument --min-score: expected"),
        (["--format", "csv", "--out", "o", "--per", "image"], "--per: expected --per hand"),
        (["--format", "csv", "--out", "o", "--mano", "m.pkl"], "--mano: expected the format"),
    ],
)
def test_wrong_usage_is_one_line(run, store, arguments, sentence):
    told = run(store, *arguments)
    assert told.status == 2 and told.err.startswith(f"export-hands: {sentence}")
    assert len(told.err.splitlines()) == 1


def test_the_formats_are_those_of_the_door():
    assert command._FORMATS == FORMATS


def test_a_refusal_loads_nothing_heavy(store, tmp_path):
    (tmp_path / "o").write_text("")
    program = (
        "import sys\nfrom fitter.commands.export_hands import export_hands\n"
        "try:\n    export_hands(sys.argv[1:])\nexcept SystemExit as ended:\n"
        "    assert ended.code == 2\nprint(*sys.modules)"
    )
    arguments = [str(store), "--format", "csv", "--out", str(tmp_path / "o")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert not {"torch", "zarr", "scipy", "rich", "cv2", "pygltflib"} & set(done.stdout.split())


@pytest.fixture
def short_files():
    """Lets no file grow beyond so many bytes, while its block lasts."""

    @contextmanager
    def limited(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limited


@pytest.mark.parametrize(
    ("kind", "limit"), [("csv", 2000), ("json", 2000), ("coco", 2000), ("glb", 100_000)]
)
def test_a_file_that_cannot_grow(run, store, tmp_path, short_files, kind, limit):
    with short_files(limit):
        told = run(store, "--format", kind, "--out", tmp_path / "o", "-q")
    assert told.status == 2 and len(told.err.splitlines()) == 1
    assert told.err.startswith(f"export-hands: {tmp_path / 'o'}")
    assert "cannot write: File too large" in told.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["json", "coco", "obj"])
def test_a_full_disk(run, store, small_disk, kind):
    """What was there before is kept, and nothing is there in part."""
    (small_disk / "taken").write_bytes(bytes(58_000 if kind == "coco" else 30_000))
    if kind != "obj":
        (small_disk / "o").write_text("before")
    options = ["--save-vertices"] if kind == "json" else []
    told = run(*(store, "--format", kind, "--out", small_disk / "o", "-q", "--overwrite"), *options)
    assert told.status == 2 and len(told.err.splitlines()) == 1
    assert "cannot write: No space left on device" in told.err
    left = {path.name for path in small_disk.rglob("*") if path.is_file()} - {"taken"}
    assert left == (set() if kind == "obj" else {"o"})
    assert kind == "obj" or (small_disk / "o").read_text() == "before"
